"""Certificates as browsers judge them, in every kind that judges one, on every version of TLS."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from agent.clients.net.tls_records import read_flight
from agent.clients.tls.chain import expiry_warning
from agent.clients.tls.contexts import TlsContexts
from agent.probe import Limits, Outcome, ProbeContext
from agent.probes import build
from agent.uplink.connection import tls_context as uplink_context
from alerts.channels.smtp import tls_context as relay_context
from inventory.protocol.states import DEGRADED, DOWN, UP
from tests.support.certificates import DAY, HOST, NOW, Issued, Talk, refusing, server_context, serving, silent


@pytest.fixture(scope="module")
def root() -> Issued:
    return Issued("Root R1", ca=True)


@pytest.fixture
def authority(root: Issued, tmp_path: Path) -> str:
    (tmp_path / "authority.pem").write_bytes(root.pem)
    return str(tmp_path / "authority.pem")


async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


async def smtp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 here\r\n")
    await reader.readline()
    writer.write(b"250 here\r\n")
    await reader.readline()
    writer.write(b"221 bye\r\n")


async def imap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"* OK [CAPABILITY IMAP4rev1] ready\r\n")
    while line := await reader.readline():
        writer.write(line.split()[0] + b" OK done\r\n")


KINDS: dict[str, tuple[Talk, Callable[[int], dict[str, Any]]]] = {
    "http": (web, lambda port: {"url": f"https://localhost:{port}/"}),
    "tls": (silent, lambda port: {"host": "localhost", "port": port, "staple": False}),
    "smtp": (smtp, lambda port: {"host": "localhost", "port": port, "security": "tls"}),
    "imap": (imap, lambda port: {"host": "localhost", "port": port, "security": "tls"}),
}
EVERY_KIND = pytest.mark.parametrize("kind", sorted(KINDS))
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


async def look(kind: str, port: int, authority: str, **more: Any) -> Outcome:
    params = {**KINDS[kind][1](port), "family": "ipv4", "authority": authority, **more}
    clients: dict[type[Any], Any] = {}
    try:
        return await build(kind, params).run(ProbeContext(6, Limits(), clients, lambda name: {}))
    finally:
        for client in clients.values():
            await client.close()


@EVERY_KIND
async def test_a_good_one_is_up(kind: str, root: Issued, authority: str, tmp_path: Path) -> None:
    async with serving(KINDS[kind][0], server_context(tmp_path, Issued("localhost", root))) as port:
        found = await look(kind, port, authority)
    assert (found.state, found.reason) == (UP, "")


@EVERY_KIND
async def test_a_common_name_is_no_name(kind: str, root: Issued, authority: str, tmp_path: Path) -> None:
    nameless = server_context(tmp_path, Issued("localhost", root, names=()))
    async with serving(KINDS[kind][0], nameless) as port:
        found = await look(kind, port, authority)
    assert found.state == DOWN and found.reason.startswith("wrong host: ")
    if kind != "http":
        assert "common name 'localhost' does not count" in found.reason


def test_no_context_takes_the_common_name_or_depends_on_the_version_of_python(
    root: Issued, authority: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = ssl.create_default_context

    def strict(*given: Any, **more: Any) -> ssl.SSLContext:  # as Python 3.13 and later
        context = make(*given, **more)
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    def contexts() -> list[ssl.SSLContext]:
        probes = TlsContexts()
        return [
            probes.get(verify=True, authority=authority, limits=Limits()),
            probes.get(verify=True, authority="", limits=Limits()),
            uplink_context([root.pem.decode()], None),
            relay_context(authority),
        ]

    older = contexts()
    monkeypatch.setattr(ssl, "create_default_context", strict)
    for context, before in zip(contexts(), older, strict=True):
        assert not context.hostname_checks_common_name
        assert not context.verify_flags & ssl.VERIFY_X509_STRICT
        assert context.verify_flags == before.verify_flags


async def test_a_private_authority_without_key_usage_is_up_and_named(
    root: Issued, authority: str, tmp_path: Path
) -> None:
    proper = Issued("Proper Root", ca=True, plain=False)
    (tmp_path / "proper.pem").write_bytes(proper.pem)
    async with serving(silent, server_context(tmp_path, Issued("localhost", root))) as port:
        found = await look("tls", port, authority, staple=True)
    async with serving(silent, server_context(tmp_path, Issued("localhost", proper, plain=False))) as port:
        strictly = await look("tls", port, str(tmp_path / "proper.pem"), staple=True)
    assert (found.state, found.reason) == (UP, "")
    assert any("deviates from RFC 5280" in note for note in found.notes)
    assert any("nobody was asked" in note for note in found.notes)
    assert strictly.state == UP and not any("deviates" in note for note in strictly.notes)
    assert found.measures["revocation_known"] == 0


@EVERY_KIND
async def test_only_the_path_that_was_verified_has_dates(
    kind: str, root: Issued, authority: str, tmp_path: Path
) -> None:
    """A cross-certificate that has expired is sent along, as with the DST Root X3."""
    old = Issued("Root R0", ca=True)
    crossed = Issued("Root R1", old, ca=True, key=root.key, begins=NOW - 900 * DAY, ends=NOW - 300 * DAY)
    leaf = Issued("localhost", root)
    async with serving(KINDS[kind][0], server_context(tmp_path, leaf, crossed)) as port:
        found = await look(kind, port, authority)
    assert (found.state, found.reason) == (UP, "")
    if kind != "http":
        expected = min(leaf.x509.not_valid_after_utc, root.x509.not_valid_after_utc).timestamp()
        assert found.measures["chain_expiry_timestamp_seconds"] == expected


@pytest.mark.parametrize("kind", ["tls", "smtp", "imap"])
async def test_an_intermediate_of_the_path_is_warned_of(
    kind: str, root: Issued, authority: str, tmp_path: Path
) -> None:
    middle = Issued("Middle", root, ca=True, ends=NOW + 5 * DAY)
    async with serving(KINDS[kind][0], server_context(tmp_path, Issued("localhost", middle), middle)) as port:
        found = await look(kind, port, authority)
    assert found.state == DEGRADED and found.reason == "a certificate in the chain expires in 5.0 days"


def test_the_words_for_an_end() -> None:
    now = NOW.timestamp()
    day = 86_400.0
    assert expiry_warning([now + 90 * day, now + 80 * day], 14, now) == ""
    assert expiry_warning([now + 3 * day], 14, now) == "the certificate expires in 3.0 days"
    assert expiry_warning([now + day / 4], 14, now) == "the certificate expires in 6.0 hours"
    past = expiry_warning([now + 90 * day, now - 300 * day], 14, now)
    assert past.startswith("a certificate in the chain ended on ") and "expires" not in past


@VERSIONS
@EVERY_KIND
async def test_a_server_that_wants_our_certificate(
    kind: str, version: ssl.TLSVersion, root: Issued, authority: str, tmp_path: Path
) -> None:
    context = server_context(tmp_path, Issued("localhost", root, ends=NOW + 30 * DAY), minimum_version=version,
                             maximum_version=version, verify_mode=ssl.CERT_REQUIRED)  # fmt: skip
    context.load_verify_locations(authority)
    with refusing(context) as port:
        found = await look(kind, port, authority)
    assert found.reason == f"{HOST}:{port} wants a certificate of the agent's, which has none to show"
    assert found.state == (UP if kind == "tls" else DOWN)
    if kind == "tls":  # its own was sent, and is judged
        assert found.measures["certificate_expiry_timestamp_seconds"] == (NOW + 30 * DAY).timestamp()
        assert found.latency and found.latency > 0


@VERSIONS
async def test_its_own_certificate_is_judged_all_the_same(
    version: ssl.TLSVersion, root: Issued, authority: str, tmp_path: Path
) -> None:
    for leaf, words in (
        (Issued("localhost", root, ends=NOW + 3 * DAY), "expires in 3.0 days"),
        (Issued("other", root, names=("other.test",)), "wrong host"),
        (Issued("localhost", root, begins=NOW - 90 * DAY, ends=NOW - DAY), "expired"),
    ):
        context = server_context(
            tmp_path, leaf, minimum_version=version, maximum_version=version, verify_mode=ssl.CERT_REQUIRED
        )
        context.load_verify_locations(authority)
        with refusing(context) as port:
            found = await look("tls", port, authority)
        assert found.state in (DEGRADED, DOWN) and words in found.reason


async def test_a_refusal_without_a_reason_gets_none(root: Issued, authority: str, tmp_path: Path) -> None:
    """No cipher is shared: the server says "handshake failure" and no more."""
    context = server_context(tmp_path, Issued("localhost", root), maximum_version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # its key is another
    with refusing(context) as port:
        found = await look("tls", port, authority)
    assert found.state == DOWN and "does not say why" in found.reason and "cipher" not in found.reason


def test_bytes_of_any_sort_are_no_flight() -> None:
    for data in (b"", b"\x16\x03\x03", b"HTTP/1.1 400", b"\x16\x03\x03\x00\x04\x0b\x00\x00\x10", bytes(300)):
        assert read_flight(data) == read_flight(b"")


@pytest.mark.parametrize("host", ["localhost.", "www.test."])
async def test_a_dot_at_the_end_is_the_resolvers(host: str, root: Issued, authority: str, tmp_path: Path) -> None:
    leaf = Issued("x", root, names=("localhost", "www.test"))
    async with serving(silent, server_context(tmp_path, leaf)) as port:
        found = await look("tls", port, authority, host="localhost", server_name=host)
    assert (found.state, found.reason) == (UP, "")


# revocation


def ocsp_answer(leaf: Issued, issuer: Issued, status: ocsp.OCSPCertStatus) -> bytes:
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    return (
        ocsp.OCSPResponseBuilder()
        .add_response(
            leaf.x509, issuer.x509, hashes.SHA1(), status, NOW - DAY, NOW + DAY, NOW - DAY if revoked else None,
            x509.ReasonFlags.key_compromise if revoked else None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, issuer.x509)
        .sign(issuer.key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )  # fmt: skip


def crl(issuer: Issued, *revoked: Issued, ends: datetime.datetime = NOW + DAY, signer: Issued | None = None) -> bytes:
    builder = x509.CertificateRevocationListBuilder(issuer.x509.subject, NOW - DAY, ends)
    for certificate in revoked:
        entry = x509.RevokedCertificateBuilder(certificate.x509.serial_number, NOW - DAY)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign((signer or issuer).key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def names_places(responder: str = "", listing: str = "") -> tuple[x509.ExtensionType, ...]:
    found: list[x509.ExtensionType] = []
    if responder:
        place = x509.UniformResourceIdentifier(responder)
        found.append(
            x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)])
        )
    if listing:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(listing)], None, None, None)
        found.append(x509.CRLDistributionPoints([point]))
    return tuple(found)


@pytest.fixture
async def publisher() -> AsyncIterator[tuple[str, dict[str, bytes]]]:
    """An authority's web server: (its address, what it answers by path)."""
    pages: dict[str, bytes] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        page = pages.get(head.split()[1].decode(), b"")
        status = b"200 OK" if page else b"404 Not Found"
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(page)) + page)
        writer.close()

    server = await asyncio.start_server(handle, HOST, 0)
    yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}", pages
    server.close()


GOOD, REVOKED, GONE = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN


@pytest.mark.parametrize(
    ("case", "state", "words"),
    [
        ("ocsp good", UP, ""),
        ("ocsp revoked", DOWN, "(keyCompromise), says the OCSP responder"),
        ("ocsp unknown", DEGRADED, "does not know this certificate"),
        ("ocsp silent, crl good", UP, ""),
        ("ocsp silent, crl revoked", DOWN, "says the list of revoked certificates of"),
        ("crl good", UP, ""),
        ("crl revoked", DOWN, "revoked: on "),
        ("crl old", DEGRADED, "is out of date since"),
        ("crl of another", DEGRADED, "is not signed by the certificate's issuer"),
        ("nowhere", DEGRADED, "it names neither a responder nor a list"),
        ("silent", DEGRADED, "answers with status 404"),
    ],
)
async def test_whoever_may_know_is_asked(
    case: str, state: int, words: str, root: Issued, authority: str, tmp_path: Path, publisher: Any
) -> None:
    url, pages = publisher
    asks_ocsp, asks_crl = "ocsp" in case or case == "silent", "crl" in case
    places = names_places(f"{url}/ocsp" if asks_ocsp else "", f"{url}/list.crl" if asks_crl else "")
    leaf = Issued("localhost", root, extensions=places)
    for word, status in (("ocsp good", GOOD), ("ocsp revoked", REVOKED), ("ocsp unknown", GONE)):
        if word in case:
            pages["/ocsp"] = ocsp_answer(leaf, root, status)
    if asks_crl:
        pages["/list.crl"] = crl(
            root,
            *([leaf] if "revoked" in case else []),
            ends=NOW - datetime.timedelta(hours=1) if "old" in case else NOW + DAY,
            signer=Issued("Root R1", ca=True) if "another" in case else None,
        )
    async with serving(silent, server_context(tmp_path, leaf)) as port:
        found = await look("tls", port, authority, revocation=True, staple=True)
        unasked = await look("tls", port, authority, staple=True)
    assert found.state == state and words in found.reason, found.reason
    assert unasked.state == UP and any("nobody was asked" in note for note in unasked.notes)
    if state == UP:
        assert found.measures["revocation_known"] == 1


async def test_the_agents_limits_hold_for_who_is_asked(
    root: Issued, tmp_path: Path, publisher: Any, authority: str
) -> None:
    from ipaddress import ip_network

    url, pages = publisher
    leaf = Issued("localhost", root, extensions=names_places(url.replace(HOST, "127.0.0.2") + "/ocsp"))
    pages["/ocsp"] = ocsp_answer(leaf, root, GOOD)
    async with serving(silent, server_context(tmp_path, leaf)) as port:
        limits = Limits(networks=(ip_network("127.0.0.1/32"),))
        params = {**KINDS["tls"][1](port), "authority": authority, "revocation": True}
        found = await build("tls", params).run(ProbeContext(6, limits, {}))
    assert found.state == DEGRADED and "outside the networks this agent may probe" in found.reason
