"""What agents and collectors have to agree on of a collector's CA: the name on its listener, and the fingerprint."""

import hashlib
from typing import Final

SERVER_NAME: Final = "haidang-collector"  # what every collector's certificate says, whatever the address dialled
FINGERPRINT_BYTES: Final = 20  # of SHA-256, in an enrolment code


def fingerprint(certificate_der: bytes) -> bytes:
    """What an enrolment code carries of the CA's certificate."""
    return hashlib.sha256(certificate_der).digest()[:FINGERPRINT_BYTES]
