"""TLS contexts that probes share, and OpenSSL's refusals of a certificate as reasons.

A context takes 30 times as long to make as a handshake and holds the machine's whole trust store, so one is made
for each way of judging and kept for the life of the agent.
"""

import ssl
import time
from pathlib import Path
from typing import Final

from agent.clients.net.stream import WANTS_CERTIFICATE, CertificateRequired, tls_error_text
from agent.clients.net.tls_records import ClientCertificateWanted
from agent.clients.tls import der
from agent.failure import ProbeFailed
from agent.probe import Limits
from inventory.base.clock import CLOCK_FLOOR
from inventory.base.trust import judge_alike
from inventory.protocol.reasons import sentence
from inventory.protocol.states import DOWN, UNKNOWN

MAX_INTERMEDIATES: Final = 1_000  # intermediates remembered

# OpenSSL's X509_V_ERR_* (x509_vfy.h), grouped by what a person has to do about them
NOT_YET_VALID, EXPIRED, SELF_SIGNED, SELF_SIGNED_IN_CHAIN, NO_ISSUER = 9, 10, 18, 19, 20
NO_ISSUER_CODES: Final = frozenset({2, NO_ISSUER, 21})
WRONG_HOST_CODES: Final = frozenset({62, 64})  # 62 a name, 64 an IP address
VERIFY_ERROR_TEXTS: Final = {
    NOT_YET_VALID: sentence("not yet valid: the certificate's time has not come"),
    EXPIRED: sentence("expired: the certificate's time is over"),
    SELF_SIGNED: sentence("self-signed: nobody but itself vouches for the certificate"),
    SELF_SIGNED_IN_CHAIN: sentence("unknown issuer: the certificate's chain ends in a root that is not trusted here"),
    7: sentence("wrong signature: one in the certificate's chain does not fit"),
    23: sentence("revoked: the certificate has been withdrawn"),
    26: sentence("wrong purpose: the certificate is not meant for servers"),
    66: sentence("weak key: the certificate's key is too short"),
    67: sentence("weak key: one in the certificate's chain is too short"),
    68: sentence("weak signature: one in the certificate's chain uses a hash that is not safe any more"),
    **dict.fromkeys(
        NO_ISSUER_CODES, sentence("unknown issuer or incomplete chain: nobody trusted here vouches for the certificate")
    ),
    **dict.fromkeys(WRONG_HOST_CODES, sentence("wrong host: the certificate is for another name")),
}


class TlsContexts:
    """The agent's TLS contexts (a shared client: ``look.client(TlsContexts, TlsContexts)``)."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[bool, str, tuple[str, ...]], tuple[object, ssl.SSLContext]] = {}
        self.known_intermediates: set[bytes] = set()  # DER names of the intermediates in chains that were verified

    def add_intermediates(self, chain: list[bytes]) -> None:
        """Remember the intermediates of a verified chain (leaf first, root last)."""
        for certificate in chain[1:-1]:
            if len(self.known_intermediates) < MAX_INTERMEDIATES:
                self.known_intermediates.add(der.parse(certificate).subject)

    def get(self, *, verify: bool, authority: str, limits: Limits, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
        """A context that trusts the machine's store, or the PEM file ``authority`` alone; a changed file is read anew.

        Raises Trouble (unknown) when that file cannot be used.
        """
        authority = authority if verify else ""
        key = (verify, authority, alpn)
        version = _file_version(authority, limits) if authority else None
        cached = self._contexts.get(key)
        if cached is not None and cached[0] == version:
            return cached[1]
        try:
            context = _verifying_context(authority) if verify else _permissive_context()
        except (OSError, ssl.SSLError) as error:
            raise ProbeFailed(
                sentence("cannot use the authority file {authority}: {error}", authority=authority, error=error),
                UNKNOWN,
            ) from None
        if alpn:
            context.set_alpn_protocols(list(alpn))
        self._contexts[key] = (version, context)
        return context

    async def close(self) -> None:
        self._contexts.clear()


def _verifying_context(authority: str) -> ssl.SSLContext:
    context = judge_alike(ssl.create_default_context(cafile=authority or None))
    context.options |= ssl.OP_NO_TICKET  # nothing is resumed: a look is to see the certificate
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # said here: Debian's Python leaves it to OpenSSL's own default
    return context


def _permissive_context() -> ssl.SSLContext:
    """Takes any certificate, and the old versions and weak keys of TLS that old devices have: nothing is trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.options |= ssl.OP_NO_TICKET
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def _file_version(authority: str, limits: Limits) -> object:
    path = Path(authority)
    if limits.directories and not any(path.resolve().is_relative_to(Path(d).resolve()) for d in limits.directories):
        raise ProbeFailed(
            sentence(
                "the authority file {authority} is outside the directories this agent may read", authority=authority
            ),
            UNKNOWN,
        )
    try:
        stat = path.stat()
    except OSError as error:
        raise ProbeFailed(
            sentence("cannot read the authority file {authority}: {error}", authority=authority, error=error.strerror),
            UNKNOWN,
        ) from None
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def handshake_failure(error: ssl.SSLError, who: str, now: float | None = None) -> ProbeFailed:
    """A failed handshake as a reason. A clock before CLOCK_FLOOR makes a judgement of dates no evidence."""
    if isinstance(error, ClientCertificateWanted):
        return CertificateRequired(sentence(WANTS_CERTIFICATE, who=who))
    if not isinstance(error, ssl.SSLCertVerificationError):
        return ProbeFailed(sentence("TLS with {who} failed: {error}", who=who, error=_protocol_error_text(error)))
    code = error.verify_code
    if code in (NOT_YET_VALID, EXPIRED) and (time.time() if now is None else now) < CLOCK_FLOOR:
        return ProbeFailed(sentence("this machine's clock is wrong, so it cannot judge certificates"), UNKNOWN)
    if code in VERIFY_ERROR_TEXTS:
        return ProbeFailed(VERIFY_ERROR_TEXTS[code], DOWN)
    return ProbeFailed(
        sentence("the certificate is not accepted: {verify_message}", verify_message=error.verify_message)
    )


def _protocol_error_text(error: ssl.SSLError) -> str:
    reason = error.reason or ""
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) or reason == "UNEXPECTED_EOF_WHILE_READING":
        return sentence("the connection was closed during the handshake")
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return sentence("what answers there does not speak TLS")
    if reason in ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE"):
        return sentence("no common version of TLS (where certificates are judged, only 1.2 and 1.3 are spoken)")
    if "HANDSHAKE_FAILURE" in reason:
        return sentence("the server refuses the handshake and does not say why (handshake failure)")
    if reason == "TLSV1_UNRECOGNIZED_NAME":
        return sentence("the server does not know this name")
    return tls_error_text(error)


def presented_chain(tls: ssl.SSLObject) -> list[bytes]:
    """The certificates that the server sent, leaf first, as DER; only the leaf on a Python that hides the others."""
    return _chain(tls, "get_unverified_chain")


def verified_chain(tls: ssl.SSLObject) -> list[bytes]:
    """The certificates from the leaf to the trusted root by which it was verified, as DER."""
    return _chain(tls, "get_verified_chain")


def _chain(tls: ssl.SSLObject, method: str) -> list[bytes]:
    # public from Python 3.13 on; before that on the inner object, whose certificates give PEM or DER (2)
    get = getattr(tls, method, None) or getattr(getattr(tls, "_sslobj", None), method, None)
    leaf = tls.getpeercert(True)
    if get is None:
        return [leaf] if leaf else []
    return [c if isinstance(c, bytes) else c.public_bytes(2) for c in get() or ()]


def judged_chain(tls: ssl.SSLObject, verify: bool) -> list[bytes]:
    """What the dates are to be judged of, leaf first, DER: the path that was verified, whatever else the server sent;
    where nothing was verified, the leaf and those of the chain sent that lead on from it."""
    return verified_chain(tls) if verify else issuer_path(presented_chain(tls))


def issuer_path(chain: list[bytes]) -> list[bytes]:
    """From the leaf up, each certificate followed by its issuer, as far as they are in the chain; DER."""
    try:
        fields = [(der.parse(certificate), certificate) for certificate in chain]
    except der.DerError:
        return chain[:1]
    path, rest = fields[:1], fields[1:]
    while path and path[-1][0].issuer != path[-1][0].subject:
        issuer = next((entry for entry in rest if entry[0].subject == path[-1][0].issuer), None)
        if issuer is None:
            break
        path.append(issuer)
        rest.remove(issuer)
    return [certificate for _, certificate in path]


def leaf_expiry(tls: ssl.SSLObject) -> float | None:
    """The end of the server certificate's validity, seconds since the epoch; None when it cannot be read."""
    leaf = tls.getpeercert(True)
    return expiry_of(leaf) if leaf else None


def expiry_of(certificate: bytes) -> float | None:
    try:
        return der.parse(certificate).not_after
    except der.DerError:
        return None
