"""Signatures of plans: of this authority, for this agent, over these bytes, and of nothing else."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from collector.keys.pki import CertificateAuthority
from collector.keys.plan_signatures import MAX_SIGNATURE, PlanVerifier

OURS, THEIRS = CertificateAuthority.create(0), CertificateAuthority.create(0)
VERIFIER = PlanVerifier([OURS.pem])
AGENT = st.text(min_size=1, max_size=20)
PLAN = st.binary(max_size=200)


@given(AGENT, PLAN, AGENT, PLAN)
def test_it_holds_for_its_agent_and_its_plan_alone(agent: str, plan: bytes, other: str, changed: bytes) -> None:
    signature = OURS.sign_plan(agent, plan)
    assert VERIFIER.verify(agent, plan, signature)
    assert VERIFIER.verify(other, changed, signature) == ((other, changed) == (agent, plan))
    assert not VERIFIER.verify(agent, plan, THEIRS.sign_plan(agent, plan))
    assert not PlanVerifier().verify(agent, plan, signature)


@given(AGENT, PLAN)
def test_where_the_name_ends_and_the_plan_begins_is_signed_too(agent: str, plan: bytes) -> None:
    signature = OURS.sign_plan(f"{agent}x", plan)
    assert not VERIFIER.verify(agent, b"x" + plan, signature)


@given(st.binary(max_size=2 * MAX_SIGNATURE))
def test_any_other_bytes_are_no_signature(rubbish: bytes) -> None:
    assert not VERIFIER.verify("a", b"{}", rubbish)


def test_a_signature_with_a_bit_changed_is_none() -> None:
    signature = OURS.sign_plan("a", b"{}")
    for place in range(len(signature)):
        changed = bytearray(signature)
        changed[place] ^= 1
        assert not VERIFIER.verify("a", b"{}", bytes(changed))


def test_several_authorities_count_also_from_one_file() -> None:
    both = PlanVerifier([OURS.pem + "\n" + THEIRS.pem])
    assert all(both.verify("a", b"{}", one.sign_plan("a", b"{}")) for one in (OURS, THEIRS))


def test_what_the_authority_signed_as_a_certificate_is_no_plans_signature() -> None:
    certificate = x509.load_pem_x509_certificate(OURS.pem.encode())
    for plan in (certificate.tbs_certificate_bytes, certificate.public_bytes(serialization.Encoding.DER)):
        assert not VERIFIER.verify("", plan, certificate.signature)


NO_AUTHORITY = {
    "nothing": "",
    "rubbish": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "a collector's server": OURS.server_certificate((), 0)[1].decode(),
    "an agent and its authority": OURS.server_certificate((), 0)[1].decode() + OURS.pem,
}


@pytest.mark.parametrize("pem", NO_AUTHORITY.values(), ids=NO_AUTHORITY)
def test_what_is_no_authority_is_refused(pem: str) -> None:
    with pytest.raises(ValueError):
        PlanVerifier([pem])


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())])
def test_what_says_nothing_of_being_an_authority_is_none(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
) -> None:
    with pytest.raises(ValueError, match="not a collector's CA"):
        PlanVerifier([_certificate(key)])


def _certificate(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=9))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_it_is_as_long_as_is_said() -> None:
    assert max(len(OURS.sign_plan("a", b"%d" % n)) for n in range(200)) <= MAX_SIGNATURE
    assert isinstance(x509.load_pem_x509_certificate(OURS.pem.encode()).public_key(), ec.EllipticCurvePublicKey)
