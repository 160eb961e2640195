"""Ask whether a certificate is revoked: its OCSP responder (RFC 6960), else its list (CRL, RFC 5280); and name what in
a path deviates from RFC 5280. In the process of :mod:`agent.clients.tls.staple`, never in the agent's own."""

import datetime
import http.client
import ipaddress
import socket
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from agent.clients.tls import ocsp
from agent.clients.tls.question import StapleQuestion
from agent.failure import ProbeFailed, printable
from inventory.protocol.reasons import Reason, Why, joined, sentence
from inventory.protocol.states import DEGRADED, DOWN

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

MAX_RESPONSE: Final = 16 << 20  # bytes of a response or a list
MAX_PLACES: Final = 3  # responders, and lists, that are asked


class _Unheard(Exception):
    """Nobody said anything; the text is why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def ask(question: StapleQuestion) -> None:
    """Return when somebody says "not revoked". Raises ProbeFailed: down when revoked, degraded when nobody can say."""
    from cryptography import x509

    leaf = x509.load_der_x509_certificate(question.chain[0])
    issuer = ocsp.issuer_of(leaf, question.chain[1:])
    if issuer is None:
        raise ProbeFailed(
            sentence("nobody can be asked whether the certificate is revoked: its issuer is not known"), DEGRADED
        )
    end = time.monotonic() + question.seconds * 0.8
    places = [(True, url) for url in _responders(leaf)[:MAX_PLACES]] + [
        (False, url) for url in _lists(leaf)[:MAX_PLACES]
    ]
    failures: list[Why] = []
    for by_ocsp, url in places:
        try:
            if by_ocsp:
                _ask_responder(url, leaf, issuer, question, end)
            else:
                _ask_list(url, leaf, issuer, question, end)
            return
        except _Unheard as unheard:
            failures.append(unheard.reason)
        except ProbeFailed as failure:
            if failure.state == DOWN:
                raise
            failures.append(failure.reason)
    if not places:
        raise ProbeFailed(
            sentence("nobody can be asked whether the certificate is revoked: it names neither a responder nor a list"),
            DEGRADED,
        )
    raise ProbeFailed(
        sentence("nobody says whether the certificate is revoked: {failures}", failures=joined(failures[:2])), DEGRADED
    )


def deviations(chain: tuple[bytes, ...], now: float) -> list[Reason]:
    """What OpenSSL's strict reading of RFC 5280 says against a path that is trusted all the same."""
    from OpenSSL import crypto

    if len(chain) < 2:
        return []
    certificates = [crypto.load_certificate(crypto.FILETYPE_ASN1, der) for der in chain]
    store = crypto.X509Store()
    store.add_cert(certificates[-1])
    store.set_time(datetime.datetime.fromtimestamp(now, datetime.UTC))
    store.set_flags(crypto.X509StoreFlags.X509_STRICT | crypto.X509StoreFlags.PARTIAL_CHAIN)
    try:
        crypto.X509StoreContext(store, certificates[0], certificates[1:-1]).verify_certificate()
    except crypto.X509StoreContextError as error:
        return [sentence("the chain is trusted, but deviates from RFC 5280: {error}", error=str(error)[:80].lower())]
    return []


def _responders(leaf: "Certificate") -> list[str]:
    from cryptography import x509

    try:
        access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [
        str(entry.access_location.value)
        for entry in access
        if entry.access_method == x509.oid.AuthorityInformationAccessOID.OCSP
    ]


def _lists(leaf: "Certificate") -> list[str]:
    from cryptography import x509

    try:
        points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [
        str(name.value)
        for point in points
        for name in point.full_name or ()
        if isinstance(name, x509.UniformResourceIdentifier)
    ]


def _ask_responder(url: str, leaf: "Certificate", issuer: "Certificate", question: StapleQuestion, end: float) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.ocsp import OCSPRequestBuilder

    names = hashes.SHA1()  # noqa: S303  of the issuer; it protects nothing, and responders know it best (RFC 5019)
    request = OCSPRequestBuilder().add_certificate(leaf, issuer, names).build().public_bytes(Encoding.DER)
    response = _fetch(url, request, question, end)
    whose = sentence("the OCSP responder {host}", host=printable(urlsplit(url).netloc, 60))
    ocsp.check_response(response, question.chain, question.now, whose)


def _ask_list(url: str, leaf: "Certificate", issuer: "Certificate", question: StapleQuestion, end: float) -> None:
    from cryptography import x509

    data = _fetch(url, None, question, end)
    whose = sentence("the list of revoked certificates of {host}", host=printable(urlsplit(url).netloc, 60))
    try:
        read = x509.load_pem_x509_crl if data.lstrip().startswith(b"-----BEGIN") else x509.load_der_x509_crl
        crl = read(data)
        # the issuer's own alone: an indirect list is no evidence here
        signed = crl.issuer == issuer.subject and crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
        revoked = crl.get_revoked_certificate_by_serial_number(leaf.serial_number)
        moment = datetime.datetime.fromtimestamp(question.now, datetime.UTC)
        begins, ends = crl.last_update_utc, crl.next_update_utc
    except (ValueError, TypeError) as error:
        raise _Unheard(sentence("{response} cannot be read: {error}", response=whose, error=str(error)[:60])) from None
    if not signed:
        raise _Unheard(sentence("{response} is not signed by the certificate's issuer", response=whose))
    if revoked is not None:
        try:
            because = revoked.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
        except (x509.ExtensionNotFound, ValueError):
            because = ""
        if because != "removeFromCRL":
            raise ProbeFailed(ocsp.revoked_text(revoked.revocation_date_utc, because, whose), DOWN)
    ocsp.check_dates(begins, ends, moment, whose)


def _fetch(url: str, post: bytes | None, question: StapleQuestion, end: float) -> bytes:
    """By HTTP, as both are published (RFC 5280, 4.2.1.13). Raises _Unheard."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise _Unheard(sentence("{url} is no address to ask by HTTP", url=printable(url, 80)))
    host = printable(parts.netloc, 60)
    try:
        address = _allowed_address(parts.hostname, parts.port or 80, question)
        connection = http.client.HTTPConnection(address, parts.port or 80, timeout=max(end - time.monotonic(), 0.1))
        try:
            fields = {"Host": parts.netloc, "User-Agent": "haidang-agent", "Connection": "close"}
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            if post is None:
                connection.request("GET", path, headers=fields)
            else:
                connection.request("POST", path, post, {**fields, "Content-Type": "application/ocsp-request"})
            response = connection.getresponse()
            if response.status != 200:
                raise _Unheard(sentence("{host} answers with status {status}", host=host, status=response.status))
            data = response.read(MAX_RESPONSE + 1)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise _Unheard(sentence("{host} does not answer: {error}", host=host, error=str(error)[:60])) from None
    if len(data) > MAX_RESPONSE:
        raise _Unheard(sentence("{host} sends more than {most} MiB", host=host, most=MAX_RESPONSE >> 20))
    return data


def _allowed_address(host: str, port: int, question: StapleQuestion) -> str:
    """The first address of a name that the agent's limits allow. Raises _Unheard, OSError."""
    networks = [ipaddress.ip_network(network) for network in question.networks]
    if question.ports and port not in question.ports:
        raise _Unheard(sentence("port {port} is not one this agent may probe", port=port))
    for *_, sockaddr in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        address = ipaddress.ip_address(str(sockaddr[0]).partition("%")[0])
        if not networks or any(address in network for network in networks if network.version == address.version):
            return str(sockaddr[0])
    raise _Unheard(sentence("{address} is outside the networks this agent may probe", address=printable(host, 60)))
