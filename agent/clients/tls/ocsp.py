"""Check a stapled OCSP response (RFC 6960): is it about this certificate, current, and signed by one who may."""

import datetime
from typing import TYPE_CHECKING, Final

from agent.failure import ProbeFailed
from inventory.protocol.reasons import joined, sentence
from inventory.protocol.states import DEGRADED, DOWN

if TYPE_CHECKING:  # imported when a response is judged: 10 MB that a look without one does not need
    from cryptography.x509 import Certificate
    from cryptography.x509.ocsp import OCSPResponse, OCSPSingleResponse

SKEW: Final = datetime.timedelta(minutes=5)  # how far a responder's clock may be ahead


def check_staple(staple: bytes, chain: tuple[bytes, ...], now: float) -> None:
    """Return when the response says "good". Raises ProbeFailed: down when revoked, degraded when it is worth nothing.

    ``staple``: b"" when there is none. ``chain``: leaf first, DER; without the issuer in it the signature cannot be
    checked and is believed.
    """
    from cryptography import x509
    from cryptography.x509 import ocsp

    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    if not staple:
        if _demands_staple(chain[0]):
            raise ProbeFailed(
                sentence("the certificate demands a stapled OCSP response and the server sends none"), DEGRADED
            )
        return
    try:
        response = ocsp.load_der_ocsp_response(staple)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            word = response.response_status.name.lower().replace("_", " ")
            raise ProbeFailed(
                sentence("the stapled OCSP response is an error of the responder: {word}", word=word), DEGRADED
            )
        leaf = x509.load_der_x509_certificate(chain[0])
        issuer = _issuer(leaf, chain)
        single = _matching_response(response, leaf, issuer)
        if single is None:
            raise ProbeFailed(sentence("the stapled OCSP response is about another certificate"), DEGRADED)
        if issuer is not None and not _is_signed(response, issuer, moment):
            raise ProbeFailed(sentence("the stapled OCSP response is not signed by the certificate's issuer"), DEGRADED)
        status, begins, ends = single.certificate_status, single.this_update_utc, single.next_update_utc
        revoked, revocation_reason = single.revocation_time_utc, single.revocation_reason
    except _unreadable() as error:
        raise ProbeFailed(
            sentence("the stapled OCSP response cannot be read: {error}", error=str(error)[:60]), DEGRADED
        ) from None
    if status is ocsp.OCSPCertStatus.REVOKED:
        when: str = f"{revoked:%Y-%m-%d}" if revoked else sentence("a day not given")
        if revocation_reason:
            when = sentence("{when} ({because})", when=when, because=revocation_reason.value)
        words = sentence("revoked: on {when}, says the stapled OCSP response", when=when)
        unproven = [] if issuer is not None else [sentence("its signature could not be checked")]
        raise ProbeFailed(joined([words, *unproven]), DOWN)
    if status is ocsp.OCSPCertStatus.UNKNOWN:
        raise ProbeFailed(
            sentence("the stapled OCSP response says that the issuer does not know this certificate"), DEGRADED
        )
    if begins > moment + SKEW:
        raise ProbeFailed(
            sentence("the stapled OCSP response is not valid before {begins} UTC", begins=f"{begins:%Y-%m-%d %H:%M}"),
            DEGRADED,
        )
    if ends is not None and ends < moment:
        raise ProbeFailed(
            sentence("the stapled OCSP response is out of date since {ends} UTC", ends=f"{ends:%Y-%m-%d %H:%M}"),
            DEGRADED,
        )


def _demands_staple(certificate: bytes) -> bool:
    """RFC 7633."""
    from cryptography import x509

    try:
        x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(x509.TLSFeature)
    except _unreadable():
        return False
    return True


def _unreadable() -> tuple[type[Exception], ...]:
    """What the library raises for what is no certificate, or one that it does not know: there is no common base."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    return (
        ValueError,
        TypeError,
        InvalidSignature,
        x509.DuplicateExtension,
        x509.ExtensionNotFound,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
        UnsupportedAlgorithm,
    )


def _issuer(leaf: "Certificate", chain: tuple[bytes, ...]) -> "Certificate | None":
    """The certificate of the chain that issued the leaf, by name and signature."""
    from cryptography import x509

    for encoded in chain:  # the leaf included: a self-signed one issued itself
        try:
            candidate = x509.load_der_x509_certificate(encoded)
            leaf.verify_directly_issued_by(candidate)
            return candidate
        except _unreadable():
            continue
    return None


def _matching_response(
    response: "OCSPResponse", leaf: "Certificate", issuer: "Certificate | None"
) -> "OCSPSingleResponse | None":
    """The part of the response that is about the leaf: its serial number, and its issuer where that is at hand."""
    from cryptography.x509.ocsp import OCSPRequestBuilder

    for single in response.responses:
        if single.serial_number != leaf.serial_number:
            continue
        if issuer is None:
            return single
        asked = OCSPRequestBuilder().add_certificate(leaf, issuer, single.hash_algorithm).build()
        if (asked.issuer_name_hash, asked.issuer_key_hash) == (single.issuer_name_hash, single.issuer_key_hash):
            return single
    return None


def _is_signed(response: "OCSPResponse", issuer: "Certificate", moment: datetime.datetime) -> bool:
    """By the issuer itself, or by a responder whose certificate the issuer signed for that purpose, now valid."""

    if _verifies_with(response, issuer):
        return True
    for responder in response.certificates:
        try:
            responder.verify_directly_issued_by(issuer)
        except _unreadable():
            continue
        in_time = responder.not_valid_before_utc <= moment + SKEW and moment <= responder.not_valid_after_utc
        if in_time and _may_respond(responder) and _verifies_with(response, responder):
            return True
    return False


def _may_respond(certificate: "Certificate") -> bool:
    from cryptography import x509

    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except _unreadable():
        return False
    return x509.oid.ExtendedKeyUsageOID.OCSP_SIGNING in usage


def _verifies_with(response: "OCSPResponse", signer: "Certificate") -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

    key = signer.public_key()
    try:
        hash_algorithm = response.signature_hash_algorithm
        if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(response.signature, response.tbs_response_bytes)
        elif hash_algorithm is None:
            return False
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), hash_algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(hash_algorithm))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
