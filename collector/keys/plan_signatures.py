"""Signatures of plans: what proves that a collector served a plan, after it forgot that, or to a standby. Pure.

Signed with the key of the collector's CA, which a backup holds: ECDSA P-256 with SHA-256. What is signed begins with
words of its own, so that it is never a certificate (those begin with 0x30), and names the agent, so that one agent's
plan is nothing in another's hands.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

MAX_SIGNATURE: Final = 80  # bytes: two numbers of 32 bytes in DER are 72 at most
_DOMAIN: Final = b"haidang plan 1\0"
_ALGORITHM: Final = ec.ECDSA(hashes.SHA256())


def sign(key: ec.EllipticCurvePrivateKey, agent: str, encoded: bytes) -> bytes:
    """The signature (DER) of an agent's plan as encoded. Two of the same plan differ, and both hold."""
    return key.sign(_message(agent, encoded), _ALGORITHM)


class PlanVerifier:
    """Whose signature counts: the CAs in these PEM texts, each of one certificate or several; without any, nobody's.

    Raises ValueError when one holds no certificate, or one that is not a collector's CA: an agent's own must not count.
    """

    def __init__(self, authorities: Iterable[str] = ()) -> None:
        self._keys: Sequence[ec.EllipticCurvePublicKey] = [
            _public_key(certificate)
            for pem in authorities
            for certificate in x509.load_pem_x509_certificates(pem.encode())
        ]

    def verify(self, agent: str, encoded: bytes, signature: bytes) -> bool:
        """Whether one of them signed this plan for this agent."""
        if not signature or len(signature) > MAX_SIGNATURE:
            return False
        message = _message(agent, encoded)
        return any(_holds(key, signature, message) for key in self._keys)


def _public_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    key = certificate.public_key()
    try:
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_authority = False
    if not is_authority or not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("a certificate that is not a collector's CA")
    return key


def _holds(key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message, _ALGORITHM)
    except InvalidSignature:
        return False
    return True


def _message(agent: str, encoded: bytes) -> bytes:
    name = agent.encode()
    return b"%b%b%b%b" % (_DOMAIN, len(name).to_bytes(4, "big"), name, encoded)
