"""The collector's private certificate authority: who the agents are, and how they know the collector. Pure.

One CA a collector, made on its first start, EC P-256. Agents trust it alone and are pinned to it by the fingerprint
in their enrolment code, so its dates carry no meaning for them. An agent's name comes from what the collector
decided, never from what the request says. Serial numbers grow with time, so that "everything issued to this agent
so far" is one number.
"""

import base64
import hashlib
import ipaddress
import secrets
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from collector.keys import plan_signatures
from inventory.protocol.authority import SERVER_NAME, fingerprint

SECRET_BYTES = 10  # 80 bits, 16 characters
MAX_CSR = 16_384  # characters
AUTHORITY_DAYS = 40 * 365
SERVER_DAYS = 365
SERIAL_RANDOM_BITS = 64
NO_SERIAL = 1 << 160  # above any: of an agent that holds no certificate
_SKEW = timedelta(days=1)  # a verifier's clock may be a little behind ours


class RequestRefused(Exception):
    """A certificate request that cannot be signed; the text says why, in words for the person at the agent."""


class SignedCertificate(msgspec.Struct, frozen=True):
    """A certificate as issued. ``not_after`` in ms since the epoch."""

    pem: str
    serial: int
    not_after: int


class CertificateAuthority:
    """A CA's key and certificate in use."""

    def __init__(self, key_pem: bytes, certificate_pem: bytes) -> None:
        """Raises ValueError when these are not an EC key and the certificate of that key."""
        key = serialization.load_pem_private_key(key_pem, None)
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise ValueError("the key does not belong to the certificate")
        self._key = key
        self._certificate = certificate
        self.key_pem = key_pem
        self.pem = certificate_pem.decode("ascii")
        self.fingerprint = fingerprint(certificate.public_bytes(serialization.Encoding.DER))

    @classmethod
    def create(cls, now: int) -> "CertificateAuthority":
        """A new CA; ``now`` in ms since the epoch."""
        key = ec.generate_private_key(ec.SECP256R1())
        identity = secrets.token_hex(4)  # two collectors' CAs are told apart by name
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Hai Dang collector CA {identity}")])
        builder = _certificate_builder(name, name, key.public_key(), x509.random_serial_number(), now, AUTHORITY_DAYS)
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(sign_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(_key_pem(key), certificate.public_bytes(serialization.Encoding.PEM))

    def sign_agent(self, csr_pem: str, agent: str, serial: int, now: int, days: float) -> SignedCertificate:
        """A client certificate for ``agent`` over the request's key. The request's subject is ignored.

        Raises RequestRefused: not a request, a bad signature, a weak or unknown key.
        """
        public = _requested_key(csr_pem)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, agent)])
        certificate = (
            _certificate_builder(subject, self._certificate.subject, public, serial, now, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(self._issuer_key(), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
        return SignedCertificate(pem, serial, int(certificate.not_valid_after_utc.timestamp() * 1000))

    def server_certificate(self, names: tuple[str, ...], now: int) -> tuple[bytes, bytes]:
        """(key, certificate) in PEM for the agents' listener: SERVER_NAME and ``names`` (host names or addresses)."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVER_NAME)])
        alternative = [_general_name(name) for name in dict.fromkeys((SERVER_NAME, *names))]
        certificate = (
            _certificate_builder(
                subject, self._certificate.subject, key.public_key(), new_serial(now), now, SERVER_DAYS
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
            .add_extension(_key_usage(), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(self._issuer_key(), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return _key_pem(key), certificate.public_bytes(serialization.Encoding.PEM)

    def sign_plan(self, agent: str, encoded: bytes) -> bytes:
        """The signature that goes with an agent's plan when it is served (:mod:`collector.keys.plan_signatures`)."""
        return plan_signatures.sign(self._key, agent, encoded)

    def _issuer_key(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())


def request_key(csr_pem: str) -> bytes:
    """SHA-256 of the requested public key (DER): tells whether two requests are of one key. Raises RequestRefused."""
    public = _requested_key(csr_pem)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).digest()


def new_serial(now: int, above: int = 0) -> int:
    """A serial number that grows with ``now`` (ms since the epoch), unguessable in its low bits, above ``above``.

    Also when the clock has gone back there is room between the two (``serial_between``).
    """
    low = secrets.randbits(SERIAL_RANDOM_BITS)
    return max((now << SERIAL_RANDOM_BITS) | low, above + (1 << SERIAL_RANDOM_BITS) + low)


def serial_between(low: int, high: int) -> int | None:
    """A serial number between these two, with room for hundreds more above it; None when there is none."""
    room = min(high - low - 1, 1 << SERIAL_RANDOM_BITS)
    return low + 1 + secrets.randbelow(max(1, room >> 9)) if room > 0 else None


def serials_up_to(now: int) -> int:
    """No serial made by ``now`` (ms since the epoch, by the same clock) is above this."""
    return ((now + 1) << SERIAL_RANDOM_BITS) - 1


def new_code(authority: CertificateAuthority) -> tuple[str, str]:
    """(code, secret): the code is for the person, only a hash of the secret is for the store."""
    secret = _base32(secrets.token_bytes(SECRET_BYTES))
    return f"hd1-{secret}-{_base32(authority.fingerprint)}", secret


def secret_hash(secret: str) -> bytes:
    """How a secret is kept. 80 random bits need no slow hash."""
    return hashlib.sha256(b"haidang enrolment\0" + secret.encode()).digest()


def not_after(certificate_pem: bytes) -> int:
    """When a certificate ends, ms since the epoch. Raises ValueError when it is none."""
    return int(x509.load_pem_x509_certificate(certificate_pem).not_valid_after_utc.timestamp() * 1000)


def matches(key_pem: bytes, certificate_pem: bytes) -> bool:
    """Whether the certificate is of this key. Raises ValueError when either is not what it should be."""
    key = serialization.load_pem_private_key(key_pem, None)
    return key.public_key() == x509.load_pem_x509_certificate(certificate_pem).public_key()


def names_of(certificate_pem: bytes) -> set[str]:
    """The host names and addresses a server certificate is for. Raises ValueError when it is none."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in extension.value}


def _requested_key(csr_pem: str) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey:
    if len(csr_pem) > MAX_CSR:
        raise RequestRefused(f"the certificate request is longer than {MAX_CSR} characters")
    try:
        csr = x509.load_pem_x509_csr(csr_pem.encode("ascii"))
        valid = csr.is_signature_valid
        public = csr.public_key()
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion):
        raise RequestRefused("this is not a certificate request in PEM") from None
    if not valid:
        raise RequestRefused("the certificate request is not signed by its own key")
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.key_size >= 256:
        return public
    if isinstance(public, ed25519.Ed25519PublicKey):
        return public
    if isinstance(public, rsa.RSAPublicKey) and 2048 <= public.key_size <= 8192:
        return public
    raise RequestRefused("the key must be EC (256 bits or more), Ed25519, or RSA with 2048 to 8192 bits")


def _certificate_builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey,
    serial: int,
    now: int,
    days: float,
) -> x509.CertificateBuilder:
    moment = datetime.fromtimestamp(now // 1000, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(max(moment - _SKEW, datetime(1970, 1, 1, tzinfo=UTC)))
        .not_valid_after(moment + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _key_usage(*, sign_certificates: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode("ascii"))


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()
