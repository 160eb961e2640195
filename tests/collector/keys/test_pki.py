"""The private CA: what it signs, what it refuses, what a code carries."""

import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from collector.keys import pki
from inventory.protocol.authority import SERVER_NAME

NOW = 1_790_000_000_000
DAY = 86_400_000


@pytest.fixture(scope="module")
def authority() -> pki.CertificateAuthority:
    return pki.CertificateAuthority.create(NOW)


def request_for(key, name: str = "whoever") -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def test_an_agents_certificate_is_named_by_the_collector_and_only_for_clients(authority):
    key = ec.generate_private_key(ec.SECP256R1())
    issued = authority.sign_agent(request_for(key, "so-tc"), "so-ttt", 77, NOW, 90)
    certificate = x509.load_pem_x509_certificate(issued.pem.encode())
    assert certificate.subject.rfc4514_string() == "CN=so-ttt"
    assert certificate.serial_number == 77 == issued.serial
    assert certificate.public_key() == key.public_key()
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert issued.not_after == NOW + 90 * DAY == int(certificate.not_valid_after_utc.timestamp() * 1000)


def test_the_collectors_certificate_passes_a_strict_verifier_under_the_fixed_name(authority):
    _, pem = authority.server_certificate(("hub.example", "192.0.2.7", "hub.example"), NOW)
    certificate = x509.load_pem_x509_certificate(pem)
    ca = x509.load_pem_x509_certificate(authority.pem.encode())
    verifier = PolicyBuilder().store(Store([ca])).time(certificate.not_valid_before_utc)
    verifier.build_server_verifier(x509.DNSName(SERVER_NAME)).verify(certificate, [])
    assert pki.names_of(pem) == {SERVER_NAME, "hub.example", "192.0.2.7"}
    assert pki.not_after(pem) == NOW + pki.SERVER_DAYS * DAY


def test_what_is_not_a_sound_request_is_refused_in_words(authority):
    sound = request_for(ec.generate_private_key(ec.SECP256R1()))
    body = sound.splitlines()
    middle = len(body) // 2
    swapped = body[middle][:-4] + ("AAAA" if body[middle][-4:] != "AAAA" else "BBBB")
    broken = "\n".join([*body[:middle], swapped, *body[middle + 1 :]])
    for csr, words in [
        ("", "not a certificate request"),
        ("-----BEGIN CERTIFICATE REQUEST-----\nbm8=\n-----END CERTIFICATE REQUEST-----\n", "not a certificate request"),
        ("chứng thư", "not a certificate request"),
        (authority.pem, "not a certificate request"),
        (sound + "x" * pki.MAX_CSR, "longer than"),
        (broken, "request|signed"),
        (request_for(rsa.generate_private_key(65537, 1024)), "2048"),
        (request_for(ec.generate_private_key(ec.SECP192R1())), "256 bits|not a certificate request"),
    ]:
        with pytest.raises(pki.RequestRefused, match=words):
            authority.sign_agent(csr, "so-ttt", 1, NOW, 90)


def test_one_key_is_one_key_whatever_the_request(authority):
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    assert pki.request_key(request_for(key, "a")) == pki.request_key(request_for(key, "b"))
    assert pki.request_key(request_for(key)) != pki.request_key(request_for(other))


def test_a_code_carries_the_secret_and_the_fingerprint(authority):
    code, secret = pki.new_code(authority)
    assert re.fullmatch(r"hd1-[a-z2-7]{16}-[a-z2-7]{32}", code)
    assert code.split("-")[1] == secret
    assert pki.new_code(authority)[1] != secret
    assert pki.new_code(authority)[0].split("-")[2] == code.split("-")[2]
    assert secret.encode() not in pki.secret_hash(secret)


def test_serials_grow_with_time_and_stay_in_twenty_bytes():
    early, late = pki.new_serial(NOW), pki.new_serial(NOW + 1)
    assert early <= pki.serials_up_to(NOW) < late
    behind = pki.new_serial(NOW - DAY, above=late)  # a clock set back does not issue what is revoked
    assert late + 2**64 <= behind < late + 2**65  # and leaves room for what is renewed before it
    between = late
    for _ in range(300):
        before, between = between, pki.serial_between(between, behind)
        assert before < between < behind
    assert pki.serial_between(5, 6) is None
    assert late < 1 << 159


def test_a_key_and_a_foreign_certificate_do_not_make_an_authority(authority):
    other = pki.CertificateAuthority.create(NOW)
    with pytest.raises(ValueError, match="does not belong"):
        pki.CertificateAuthority(authority.key_pem, other.pem.encode())
    again = pki.CertificateAuthority(authority.key_pem, authority.pem.encode())
    assert again.fingerprint == authority.fingerprint != other.fingerprint
