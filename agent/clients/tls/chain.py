"""Explain why a certificate was refused, from the chain that the server presents: each fault by its own name."""

import ssl
import time
from typing import Final

from agent.clients.tls import der
from agent.clients.tls.contexts import (
    EXPIRED,
    NO_ISSUER_CODES,
    NOT_YET_VALID,
    SELF_SIGNED,
    SELF_SIGNED_IN_CHAIN,
    WRONG_HOST_CODES,
    TlsContexts,
    handshake_failure,
)
from agent.failure import ProbeFailed, printable
from inventory.protocol.reasons import Reason, Why, sentence
from inventory.protocol.states import DOWN

MAX_NAMES: Final = 3  # of a certificate, in a reason


def explain_refusal(
    error: ssl.SSLCertVerificationError, chain: list[bytes], host: str, contexts: TlsContexts, context: ssl.SSLContext,
    now: float,
) -> ProbeFailed:  # fmt: skip
    """The refusal in words. ``chain``: what the server sends, leaf first, DER; may be empty."""
    plain = handshake_failure(error, host, now)
    facts = [fact for fact in map(_parsed, chain) if fact is not None]
    if plain.state != DOWN or not facts:
        return plain
    leaf, code = facts[0], error.verify_code
    if code in (EXPIRED, NOT_YET_VALID):
        return ProbeFailed(_first_date_fault(facts, now) or plain.reason)
    if code in WRONG_HOST_CODES:
        reason = sentence(
            "wrong host: the certificate is for {chain}, not for {host}", chain=_host_names(chain[0]), host=host
        )
    elif code == SELF_SIGNED:
        reason = sentence(
            "self-signed: nobody but {subject} itself vouches for the certificate", subject=_name_text(leaf.subject)
        )
    elif code == SELF_SIGNED_IN_CHAIN:
        root = _issuer_path(facts)[-1]
        reason = sentence(
            "unknown issuer: the chain ends in the root {subject}, which is not trusted here",
            subject=_name_text(root.subject),
        )
    elif code in NO_ISSUER_CODES:
        reason = _missing_issuer(facts, contexts, context)
    else:
        return plain
    also = _first_date_fault(facts[:1], now)
    return ProbeFailed(sentence("{reason}; also {also}", reason=reason, also=also) if also else reason)


def _parsed(certificate: bytes) -> der.CertificateFields | None:
    try:
        return der.parse(certificate)
    except der.DerError:
        return None


def date_fault(chain: list[bytes], now: float) -> Why:
    """What is wrong with the dates of the first certificate of the chain, or ""."""
    leaf = _parsed(chain[0]) if chain else None
    return _first_date_fault([leaf], now) if leaf else ""


def _first_date_fault(facts: list[der.CertificateFields], now: float) -> Why:
    for place, fact in enumerate(facts):
        whose = (
            sentence("the certificate")
            if place == 0
            else sentence("the certificate of {subject} in the chain", subject=_name_text(fact.subject))
        )
        if fact.not_after < now:
            return sentence("expired: {whose} ended on {not_after}", whose=whose, not_after=_date_text(fact.not_after))
        if fact.not_before > now:
            return sentence(
                "not yet valid: {whose} begins on {not_before}", whose=whose, not_before=_date_text(fact.not_before)
            )
    return ""


def _date_text(moment: float) -> str:
    """A far-off date as one: certificates "without end" reach to 9999."""
    return time.strftime("%Y-%m-%d", time.gmtime(moment))


def _issuer_path(facts: list[der.CertificateFields]) -> list[der.CertificateFields]:
    """From the leaf up, each certificate followed by its issuer, as far as the server sends them."""
    path, rest = [facts[0]], facts[1:]
    while path[-1].issuer != path[-1].subject:
        issuer = next((fact for fact in rest if fact.subject == path[-1].issuer), None)
        if issuer is None:
            break
        path.append(issuer)
        rest.remove(issuer)
    return path


def _missing_issuer(facts: list[der.CertificateFields], contexts: TlsContexts, context: ssl.SSLContext) -> Reason:
    """An intermediate that the server ought to send, or an authority that is not trusted?

    OpenSSL says the same of both. It is an incomplete chain when any of these holds, else an unknown issuer:
    - the missing certificate is an intermediate that this agent saw in a chain that was verified;
    - the server sends its own certificate alone, and that names a place to fetch its issuer's (the caIssuers access
      method, RFC 5280, 4.2.2.1): its authority counts on the chain being completed;
    - the server sends further certificates, but none of them issued its own (a wrong intermediate);
    - the issuer's organisation is that of an authority trusted here (its root is known, what is between is missing).
    """
    path = _issuer_path(facts)
    top, alone = path[-1], len(path) == 1
    incomplete = (
        top.issuer in contexts.known_intermediates
        or (alone and (top.names_issuer_place or len(facts) > 1))
        or _organisation(top.issuer) in _trusted_organisations(context)
    )
    issuer = _name_text(top.issuer)
    if incomplete:
        of = sentence("its own certificate") if alone else sentence("the last one that it sends")
        return sentence(
            "incomplete chain: the server does not send the certificate of {issuer}, which issued {of}",
            issuer=issuer,
            of=of,
        )
    return sentence("unknown issuer: {issuer} is not trusted here", issuer=issuer)


def _trusted_organisations(context: ssl.SSLContext) -> set[str]:
    """Of the authorities loaded so far (a directory of authorities is only read as it is needed)."""
    authorities = (_parsed(certificate) for certificate in context.get_ca_certs(binary_form=True))
    return {der.attributes(fact.subject).get("O", "") for fact in authorities if fact is not None}


def _organisation(name: bytes) -> str:
    """The O of a DER name, or a text that nobody is called."""
    return der.attributes(name).get("O", "\0")


def _name_text(name: bytes) -> str:
    """The CN, else the O or OU of a DER name, quoted."""
    attributes = der.attributes(name)
    text = attributes.get("CN") or attributes.get("O") or attributes.get("OU")
    return printable(text, 60) if text else sentence("a nameless authority")


def _host_names(certificate: bytes) -> str:
    """The hosts that a certificate is for, the first few."""
    from cryptography import x509

    try:
        extensions = x509.load_der_x509_certificate(certificate).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # a stranger's bytes may trip the library in any way, and what it raises has no common base
        return sentence("no host at all")
    hosts = [str(name.value) for name in names if isinstance(name, x509.DNSName | x509.IPAddress)]
    if not hosts:
        return sentence("no host at all")
    shown = ", ".join(printable(name, 40).strip("'") for name in hosts[:MAX_NAMES])
    more = len(hosts) - MAX_NAMES
    return sentence("{so} and {gone} more", so=shown, gone=more) if more > 0 else shown
