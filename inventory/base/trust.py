"""How a certificate is judged, wherever one is: as browsers do, and alike on every Python from 3.11 on."""

import ssl
from typing import Final

NO_CHECK_TIME: Final = ssl.VerifyFlags(0x200000)  # X509_V_FLAG_NO_CHECK_TIME, which the ssl module does not name


def judge_alike(context: ssl.SSLContext) -> ssl.SSLContext:
    """Names from subjectAltName alone (RFC 9525); an authority in the trust store is one, root or not; OpenSSL's strict
    reading of RFC 5280, which Python 3.13 switched on, is off: private authorities without key usage are common."""
    if ssl.HAS_NEVER_CHECK_COMMON_NAME:
        context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
