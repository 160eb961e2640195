"""Signed links: what is signed is read back; nothing else is taken."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.mail.signed_urls import MAX_TOKEN_LENGTH, BadLink, LinkClaim, LinkSigner

KEY = b"0123456789abcdef0123456789abcdef"
OTHER = b"fedcba9876543210fedcba9876543210"
NOW = 1_795_762_800_000
CLAIM = LinkClaim(action="acknowledge", incident="a1b2c3d4e5f60001", contact="truc-ca", expires=NOW + 60_000)

ids = st.text(max_size=60).filter(lambda text: len(text.encode("utf-8", "replace")) <= 255 and text.isprintable())
claims = st.builds(
    LinkClaim,
    action=st.sampled_from(["acknowledge", "snooze", "stop-digest"]),
    incident=ids,
    contact=ids,
    expires=st.integers(NOW // 1000 + 1, 2**40).map(lambda seconds: seconds * 1000),
)


@given(claims)
def test_a_claim_is_read_back_as_it_was_signed(claim):
    token = LinkSigner(KEY).sign(claim)
    assert token == LinkSigner(KEY).sign(claim)
    assert LinkSigner(KEY).verify(token, NOW) == claim
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(claims, st.data())
def test_no_change_of_any_byte_is_taken(claim, data):
    signer = LinkSigner(KEY)
    token = signer.sign(claim)
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadLink):
        signer.verify(base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), NOW)


@given(claims, st.data())
def test_no_other_spelling_of_a_token_is_taken(claim, data):
    """Base64 has several spellings of the same bytes (loose bits, padding, line ends); one of them is ours."""
    signer = LinkSigner(KEY)
    token = signer.sign(claim)
    place = data.draw(st.integers(0, len(token)))
    letter = data.draw(st.sampled_from("ABCDwxyz019-_=+/ \n\r\t.é\x00"))
    changed = data.draw(
        st.sampled_from([token[:place] + letter + token[place:], token[:place] + letter + token[place + 1 :]])
    )
    if changed != token:
        with pytest.raises(BadLink):
            signer.verify(changed, NOW)


@given(st.text(max_size=200))
def test_what_is_no_token_is_refused_in_words(text):
    with pytest.raises(BadLink, match="this link is not whole"):
        LinkSigner(KEY).verify(text, NOW)


def test_the_last_letters_loose_bits_are_not_loose():
    signer = LinkSigner(KEY)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for extra in range(3):  # so that each remainder by three bytes occurs
        token = signer.sign(LinkClaim(action="snooze", incident="i" * extra, contact="c", expires=CLAIM.expires))
        taken = [letter for letter in letters if _reads(signer, token[:-1] + letter)]
        assert taken == [token[-1]]


def _reads(signer: LinkSigner, token: str) -> bool:
    try:
        signer.verify(token, NOW)
    except BadLink:
        return False
    return True


def test_it_ends_when_it_says():
    signer = LinkSigner(KEY)
    token = signer.sign(CLAIM)
    assert signer.verify(token, CLAIM.expires - 1) == CLAIM
    with pytest.raises(BadLink, match="too old") as refused:
        signer.verify(token, CLAIM.expires)
    assert refused.value.expired


def test_another_key_does_not_read_it_but_a_former_one_still_does():
    token = LinkSigner(OTHER).sign(CLAIM)
    with pytest.raises(BadLink) as refused:
        LinkSigner(KEY).verify(token, NOW)
    assert not refused.value.expired
    assert LinkSigner(KEY, (OTHER,)).verify(token, NOW) == CLAIM
    assert LinkSigner(KEY, (OTHER,)).sign(CLAIM) == LinkSigner(KEY).sign(CLAIM)


def test_the_action_the_incident_and_the_person_are_all_signed():
    signer = LinkSigner(KEY)
    tokens = {
        signer.sign(CLAIM),
        signer.sign(LinkClaim(action="snooze", incident=CLAIM.incident, contact="truc-ca", expires=CLAIM.expires)),
        signer.sign(LinkClaim(action="acknowledge", incident="x", contact="truc-ca", expires=CLAIM.expires)),
        signer.sign(LinkClaim(action="acknowledge", incident=CLAIM.incident, contact="x", expires=CLAIM.expires)),
        # the boundary between the two is signed, too
        signer.sign(
            LinkClaim(action="acknowledge", incident=CLAIM.incident + "t", contact="ruc-ca", expires=CLAIM.expires)
        ),
    }
    assert len(tokens) == 5
    macs = {token[-43:] for token in tokens}
    assert len(macs) == 5


def test_keys_and_ids_that_cannot_be():
    with pytest.raises(ValueError, match="at least 16 bytes"):
        LinkSigner(b"short")
    with pytest.raises(ValueError, match="at least 16 bytes"):
        LinkSigner(KEY, (b"",))
    with pytest.raises(ValueError, match="longer than 255"):
        LinkSigner(KEY).sign(LinkClaim(action="snooze", incident="i" * 256, contact="c", expires=NOW))
    with pytest.raises(BadLink):
        LinkSigner(KEY).verify("A" * (MAX_TOKEN_LENGTH + 1), NOW)
