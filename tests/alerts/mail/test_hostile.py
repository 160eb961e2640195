"""Names and reasons made to do harm: no header of theirs, no element of theirs, no other direction, no flood."""

import re
import string
import unicodedata

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from alerts.cli import samples
from alerts.incident.entities import HistoryEntry
from alerts.incident.message import TranslatableMessage
from alerts.incident.problem import Cause
from alerts.mail import clean
from inventory.base.types import Text
from inventory.model.entities import Contact, Inventory
from tests.support import mails
from tests.support.mails import NOW, HtmlMail, parse, parts, write

SOC_TRANG = mails.inventory()
BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"

pieces = st.sampled_from(
    [
        "\r\nBcc: everyone@example.com",
        "\n\n<html>",
        "\r\n.\r\nMAIL FROM:<x@example.com>",
        "\nFrom nobody",
        "\0",
        "<script>alert(1)</script>",
        '"><img src=http://example.com/x onerror=alert(1)>',
        "' onmouseover='x",
        "&lt;b&gt;&amp;",
        "{{ 7*7 }}{% raw %}",
        "%(who)s %s %%",
        "{site} {0.__class__}",
        "=?utf-8?B?PHNjcmlwdD4=?=",
        "javascript:alert(1)",
        'a, b <c@d.e>; "f" (g)',
        "\u202egnp.exe",
        "\u2028\u2029\x85\x0b\x1c",
        "\ud800",
        "e" + "\u0301" * 500,
        "\u200b\u00ad\ufeff\u2800\u3164",
        "Ế" * 50,
        "--=_boundary",
        "Sở Tư pháp",
    ]
)
hostile = st.one_of(
    st.lists(pieces, max_size=4).map("".join),
    st.text(max_size=80),
    pieces.map(lambda piece: (piece * 4_000)[:4_000]),
)

ALLOWED = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Precedence",
    "Importance",
    "Content-Language",
    "X-Haidang-Notice",
    "X-Haidang-Incident",
    "MIME-Version",
    "Content-Type",
}


def poisoned(text: str) -> Inventory:
    """The inventory with every name replaced."""
    name = Text(text, text)

    def renamed(table: dict, field: str = "name") -> dict:
        return {key: msgspec.structs.replace(one, **{field: name}) for key, one in table.items()}

    return msgspec.structs.replace(
        SOC_TRANG,
        province=msgspec.structs.replace(SOC_TRANG.province, name=name),
        agencies=renamed(SOC_TRANG.agencies),
        sites=renamed(SOC_TRANG.sites),
        devices=renamed(SOC_TRANG.devices),
        goals=renamed(SOC_TRANG.goals),
        contacts=renamed(SOC_TRANG.contacts),
        checks={
            key: msgspec.structs.replace(one, title=name, params={"host": text})
            for key, one in SOC_TRANG.checks.items()
        },
        providers={
            key: msgspec.structs.replace(one, name=name, contact=text) for key, one in SOC_TRANG.providers.items()
        },
        links={key: msgspec.structs.replace(one, circuit=text) for key, one in SOC_TRANG.links.items()},
    )


CLEAN_TAGS = {
    tag
    for kind in samples.KINDS
    for tag, _ in HtmlMail(write(kind, mails.line_incident(SOC_TRANG), made=SOC_TRANG).html).tags
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(hostile, st.sampled_from(samples.KINDS), st.sampled_from(["vi", "en"]))
@example("<script>" * 1_300, "trouble", "vi")  # 10 kB
@example("\u202e\r\nBcc: x@example.com\r\n\r\n<b>", "digest", "en")
def test_whatever_a_name_or_a_reason_is_the_mail_is_a_mail(text, kind, language):
    made = poisoned(text)
    down = mails.line_incident(
        made,
        cause=Cause(
            root="wan:so-tu-phap",
            cause=text or "wan",
            because=tuple(
                TranslatableMessage("seen {reason} {other} {site}", {"reason": text, "other": text, "site": text})
                for _ in range(9)
            ),
        ),
        history=tuple(HistoryEntry(at=NOW, what=text, who=text, text=text) for _ in range(30)),
        acked=(text, NOW),
    )
    uid = next(iter(made.checks))
    wrong = mails.check_incident(made, uid, "down", reason=text, message=None)
    to = Contact(id="an", name=Text(text, text), email="an@soctrang.example")
    mail = write(kind, down, wrong, made=made, language=language, to=to)
    single = write(kind, wrong, made=made, language=language, to=to)
    for one in (mail, single):
        found = parse(one)
        assert set(found.keys()) <= ALLOWED
        for name in ("From", "To", "Subject", "Message-ID", "Auto-Submitted"):
            assert len(found.get_all(name)) == 1
        assert [address.addr_spec for address in found["To"].addresses] == ["an@soctrang.example"]
        assert [address.addr_spec for address in found["From"].addresses] == ["haidang@soctrang.example"]
        assert len(one.message) < 100_000
        assert max(map(len, one.message.split(b"\r\n"))) <= 998
        assert b"\r\n.\r\n" not in one.message
        plain, html = parts(one)
        assert max(len(line.encode()) for line in plain.splitlines()) <= 998
        for seen in (one.subject, plain, html):
            assert not set(BIDI) & set(seen)
            assert not [letter for letter in seen if unicodedata.category(letter) in ("Cs", "Cc") and letter != "\n"]
        page = HtmlMail(html)
        assert {tag for tag, _ in page.tags} <= CLEAN_TAGS
        assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
        assert all(link.startswith(mails.PAGES) for link in page.links)
        assert "\n" not in one.subject
        assert len(one.subject) <= 120


@pytest.mark.parametrize(
    "address", ["an@x.example\r\nBcc: b@x.example", "a@b, c@d", "", "no address", "<a@b.c>", "a@" + "b" * 300]
)
def test_an_address_that_is_none_stands_in_no_header(address):
    to = Contact(id="an", name=Text("An", "An"), email=address)
    found = parse(write("trouble", mails.line_incident(SOC_TRANG), made=SOC_TRANG, to=to))
    assert found["Bcc"] is None
    assert found["To"].addresses == ()


@pytest.mark.parametrize("moment", [0, -1, -(10**17), 10**17, 2**63])
def test_a_moment_of_another_age_is_told_somehow(moment):
    down = mails.line_incident(SOC_TRANG, opened=moment, acked=("an", moment), ended=moment, closed=moment)
    for kind in samples.KINDS:
        assert parse(write(kind, down, made=SOC_TRANG, at=moment, now=moment))["Date"] is not None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**30, -5, 1e300])
def test_a_value_that_cannot_be_is_told_somehow(value):
    said = TranslatableMessage(
        "{seen_at} {left_for} {free_share} {count}",
        dict.fromkeys(("seen_at", "left_for", "free_share", "count"), value),
    )
    wrong = mails.check_incident(SOC_TRANG, next(iter(SOC_TRANG.checks)), "down", message=said)
    assert "Ghi nhận: " in write("trouble", wrong, made=SOC_TRANG).text


class TestClean:
    @given(st.text(max_size=300), st.integers(2, 200))
    def test_is_one_short_line_in_composed_letters(self, text, longest):
        made = clean.clean(text, longest)
        assert len(made) <= longest
        assert unicodedata.is_normalized("NFC", made)
        assert len(made.splitlines()) <= 1
        assert made == made.strip()
        assert clean.clean(made, longest) == made

    @given(st.text(string.ascii_letters + string.digits + string.punctuation + "ắộữĐđ", max_size=100))
    def test_leaves_what_people_write_as_it_is(self, text):
        assert clean.clean(text, 200) == text

    def test_keeps_vietnamese_and_joins_its_marks(self):
        assert clean.clean(unicodedata.normalize("NFD", "Trường Đại học Kế Sách")) == "Trường Đại học Kế Sách"
        assert clean.clean("a\u200b\u0301") == "á"  # joined once what stood between is gone

    def test_cuts_what_is_long_and_says_so(self):
        assert clean.clean("x" * 11, 10) == "x" * 9 + "…"
        assert clean.clean("x" * 10, 10) == "x" * 10

    def test_a_pile_of_marks_is_levelled(self):
        assert len(clean.clean("a" + "\u0316" * 200)) <= 5

    def test_a_long_text_takes_no_time(self):
        assert len(clean.clean("e\u0301 \u202e<" * 1_000_000, 50)) == 50


def test_lines_that_begin_like_another_mail_do_not_in_the_message():
    history = (HistoryEntry(at=NOW, what="comment", text="x"),)
    to = Contact(id="an", name=Text("From x", "From x"), email="an@soctrang.example")
    mail = write("update", mails.line_incident(SOC_TRANG, history=history), made=SOC_TRANG, language="en", to=to)
    assert not re.search(rb"^From ", mail.message.partition(b"\r\n\r\n")[2], re.MULTILINE)
    digest = write("digest", made=SOC_TRANG, language="en")
    assert digest.text.splitlines()[2].startswith("From ")  # as the digest itself does
    assert b"\r\n=46rom 14:08" in digest.message
