"""The kind tls against real servers: asyncio's for every fault of a certificate, openssl's for stapled responses."""

import asyncio
import contextlib
import datetime
import ipaddress
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from agent.clients.tls import der
from agent.clients.tls.contexts import TlsContexts, handshake_failure
from agent.clients.tls.ocsp import check_staple
from agent.clients.tls.staple import ASK_AGAIN, StapleChecker
from agent.failure import ProbeFailed
from agent.probe import Limits, Outcome, ProbeContext
from agent.probes import BadProbe, build
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP
from tests.support.clock import FakeClock

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)


class Certificate:
    """A certificate with its key, made for a test."""

    def __init__(
        self,
        name: str,
        issuer: "Certificate | None" = None,
        *,
        ca: bool = False,
        hosts: tuple[str, ...] = ("127.0.0.1", "localhost"),
        begins: datetime.datetime = NOW - 2 * DAY,
        ends: datetime.datetime = NOW + 90 * DAY,
        organisation: str = "",
        extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
        key: Any = None,
    ) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        if organisation:
            parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
        subject = x509.Name(parts)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.x509.subject if issuer else subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            names = [_general(host) for host in hosts]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        self.x509 = builder.sign(issuer.key if issuer else self.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.x509.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.x509.public_bytes(serialization.Encoding.DER)

    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


@pytest.fixture(scope="module")
def root() -> Certificate:
    return Certificate("Test Root", ca=True, organisation="Hải Đăng thử nghiệm")


@pytest.fixture(scope="module")
def middle(root: Certificate) -> Certificate:
    return Certificate("Test Intermediate", root, ca=True)


@contextlib.asynccontextmanager
async def listening(handle: Any, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on a free port, with all its connections gone at the end."""
    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    over = asyncio.ensure_future(server.wait_closed())  # asked for before closing, or Python 3.11 does not wait
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.wait_for(over, 5)


Serve = Callable[..., contextlib.AbstractAsyncContextManager[int]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    @contextlib.asynccontextmanager
    async def server(*chain: Certificate, **settings: Any) -> AsyncIterator[int]:
        file = tmp_path / f"{chain[0].x509.serial_number}.pem"
        file.write_bytes(chain[0].key_pem() + b"".join(c.pem for c in chain))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        for name, value in settings.items():
            setattr(context, name, value)

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, ssl.SSLError):
                await reader.read()
            writer.close()

        asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # refused handshakes are the point
        async with listening(handle, context) as port:
            yield port

    return server


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def look_at(tmp_path: Path, root: Certificate, clock: FakeClock) -> Callable[..., Any]:
    clients: dict[type[Any], Any] = {StapleChecker: StapleChecker(clock.seconds)}
    (tmp_path / "root.pem").write_bytes(root.pem)

    async def look(port: int, timeout: float = 5, limits: Limits | None = None, **params: Any) -> Outcome:
        params = {"host": "127.0.0.1", "authority": str(tmp_path / "root.pem"), "port": port, **params}
        return await build("tls", params).run(ProbeContext(timeout, limits or Limits(), clients))

    return look


async def test_good_certificate_is_up_with_its_times_and_dates(serve, look_at, root, middle):
    leaf = Certificate("good", middle, ends=NOW + 60 * DAY)
    async with serve(leaf, middle) as port:
        found = await look_at(port)
    assert (found.state, found.reason) == (UP, "")
    assert found.measures["certificate_expiry_timestamp_seconds"] == leaf.x509.not_valid_after_utc.timestamp()
    assert found.measures["chain_expiry_timestamp_seconds"] == leaf.x509.not_valid_after_utc.timestamp()
    assert found.measures["tls_version"] == 13
    assert found.latency == found.measures["connect_seconds"] + found.measures["handshake_seconds"] > 0
    assert "resolve_seconds" not in found.measures


async def test_name_is_resolved_and_tls_12_is_reported(serve, look_at, root):
    async with serve(Certificate("named", root), maximum_version=ssl.TLSVersion.TLSv1_2) as port:
        found = await look_at(port, host="localhost")
    assert found.state == UP
    assert found.measures["tls_version"] == 12 and found.measures["resolve_seconds"] > 0


async def test_few_days_left_is_degraded_for_the_certificate_and_for_its_chain(serve, look_at, root):
    async with serve(Certificate("short", root, ends=NOW + 5 * DAY)) as port:
        found = await look_at(port)
        enough = await look_at(port, warn_days=4)
    assert found.state == DEGRADED and "the certificate expires in 5.0 days" in found.reason
    assert enough.state == UP
    short = Certificate("Short Intermediate", root, ca=True, ends=NOW + 3 * DAY)
    async with serve(Certificate("long", short), short) as port:
        found = await look_at(port)
    assert found.state == DEGRADED and "a certificate in the chain expires in 3.0 days" in found.reason
    assert found.measures["chain_expiry_timestamp_seconds"] < found.measures["certificate_expiry_timestamp_seconds"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda root, _: (Certificate("old", root, begins=NOW - 9 * DAY, ends=NOW - 2 * DAY),),
            f"expired: the certificate ended on {NOW - 2 * DAY:%Y-%m-%d}",
        ),
        (
            lambda root, _: (Certificate("new", root, begins=NOW + 2 * DAY),),
            f"not yet valid: the certificate begins on {NOW + 2 * DAY:%Y-%m-%d}",
        ),
        (
            lambda root, _: (Certificate("other", root, hosts=("a.example", "b.example", "c.example", "d.example")),),
            "wrong host: the certificate is for a.example, b.example, c.example and 1 more, not for 127.0.0.1",
        ),
        (
            lambda root, _: (Certificate("other", root, hosts=("a.example",), ends=NOW - DAY),),
            f"wrong host: the certificate is for a.example, not for 127.0.0.1; also expired: the certificate ended on {NOW - DAY:%Y-%m-%d}",  # noqa: E501
        ),
        (lambda *_: (Certificate("alone"),), "self-signed: nobody but 'alone' itself vouches for the certificate"),
        (
            lambda *_: (Certificate("stray", Certificate("Unknown Root", ca=True)),),
            "unknown issuer: 'Unknown Root' is not trusted here",
        ),
        (
            lambda *_: _own_root("Cơ quan lạ"),
            "unknown issuer: the chain ends in the root 'Cơ quan lạ', which is not trusted here",
        ),
        (
            lambda root, _: _expired_middle(root),
            f"expired: the certificate of 'Expired Intermediate' in the chain ended on {NOW - DAY:%Y-%m-%d}",
        ),
    ],
)
async def test_each_fault_is_down_and_named(serve, look_at, root, middle, make, reason):
    async with serve(*make(root, middle)) as port:
        found = await look_at(port)
    assert (found.state, found.reason) == (DOWN, reason)
    assert found.measures["certificate_expiry_timestamp_seconds"] > 0  # told even of a refused one


def _own_root(name: str) -> tuple[Certificate, ...]:
    root = Certificate(name, ca=True)
    return Certificate("leaf", root), root


def _expired_middle(root: Certificate) -> tuple[Certificate, ...]:
    middle = Certificate("Expired Intermediate", root, ca=True, begins=NOW - 9 * DAY, ends=NOW - DAY)
    return Certificate("leaf", middle), middle


async def test_incomplete_chain_is_told_from_an_unknown_issuer_each_way(serve, look_at, root, middle):
    published = x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(
                AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier("http://ca.example/m.crt")
            )
        ]
    )
    leaf = Certificate("leaf", middle)
    incomplete = "incomplete chain: the server does not send the certificate of"
    async with serve(leaf) as port:
        assert (await look_at(port)).reason == "unknown issuer: 'Test Intermediate' is not trusted here"
    async with serve(Certificate("leaf", middle, extensions=((published, False),))) as port:
        assert (await look_at(port)).reason == f"{incomplete} 'Test Intermediate', which issued its own certificate"
    related = Certificate("Same House", root, ca=True, organisation="Hải Đăng thử nghiệm")
    async with serve(Certificate("leaf", related)) as port:
        assert (await look_at(port)).reason.startswith(f"{incomplete} 'Same House'")
    async with serve(leaf, Certificate("Wrong Intermediate", root, ca=True)) as port:
        assert (await look_at(port)).reason.startswith(f"{incomplete} 'Test Intermediate'")
    async with serve(leaf, middle) as port:
        assert (await look_at(port)).state == UP  # from here on the agent knows the intermediate
    async with serve(leaf) as port:
        assert (await look_at(port)).reason.startswith(f"{incomplete} 'Test Intermediate'")


async def test_without_verifying_only_dates_count(serve, look_at):
    async with serve(Certificate("alone", hosts=("other.example",))) as port:
        assert (await look_at(port, verify=False)).state == UP
    async with serve(Certificate("alone", begins=NOW - 9 * DAY, ends=NOW - DAY)) as port:
        found = await look_at(port, verify=False)
    assert found.state == DOWN and found.reason.startswith("expired: ")


async def test_server_name_replaces_the_host(serve, look_at, root):
    async with serve(Certificate("sni", root, hosts=("portal.example",))) as port:
        assert (await look_at(port, server_name="portal.example")).state == UP
        assert "not for 127.0.0.1" in (await look_at(port)).reason


async def test_what_is_not_tls_or_says_nothing_ends_with_a_plain_reason(look_at, free_port):
    async def shut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read()
        writer.close()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    reasons = {}
    for handler in (shut, talk, silent, reset):
        async with listening(handler) as port:
            found = await look_at(port, timeout=0.3)
            assert found.state == DOWN and found.latency is None
            reasons[handler.__name__] = found.reason
    assert "closed during the handshake" in reasons["shut"] or "reset the connection" in reasons["shut"]
    assert "does not speak TLS" in reasons["talk"]
    assert reasons["silent"] == "the TLS handshake did not end within 0.3 s"
    assert "reset the connection" in reasons["reset"]
    assert (await look_at(free_port)).reason == f"127.0.0.1:{free_port} refused the connection"


async def test_no_common_version_is_said(serve, look_at, root):
    async with serve(Certificate("tls13", root), minimum_version=ssl.TLSVersion.TLSv1_3) as port:
        assert (await look_at(port)).state == UP
    error = ssl.SSLError(1, "[SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert protocol version")
    error.reason = "TLSV1_ALERT_PROTOCOL_VERSION"
    assert "no common version of TLS" in handshake_failure(error, "x").reason


async def test_limits_forbid_without_connecting(look_at, free_port):
    found = await look_at(free_port, limits=Limits(networks=(ipaddress.ip_network("192.0.2.0/24"),)))
    assert found.state == UNKNOWN and "outside the networks" in found.reason
    found = await look_at(free_port, limits=Limits(directories=("/etc/haidang",)))
    assert found.state == UNKNOWN and "outside the directories" in found.reason


async def test_authority_file_that_cannot_be_used_is_no_evidence(look_at, free_port, tmp_path):
    found = await look_at(free_port, authority=str(tmp_path / "missing.pem"))
    assert found.state == UNKNOWN and "cannot read the authority file" in found.reason
    (tmp_path / "bad.pem").write_text("nonsense")
    found = await look_at(free_port, authority=str(tmp_path / "bad.pem"))
    assert found.state == UNKNOWN and "cannot use the authority file" in found.reason


def test_wrong_clock_is_no_evidence():
    error = ssl.SSLCertVerificationError(1, "not yet valid")
    error.verify_code, error.verify_message = 9, "certificate is not yet valid"
    assert handshake_failure(error, "x", now=0.0).state == UNKNOWN
    assert handshake_failure(error, "x").state == DOWN


async def test_contexts_are_shared_and_a_changed_authority_is_read_anew(tmp_path, root, middle):
    contexts, file = TlsContexts(), tmp_path / "authority.pem"
    file.write_bytes(root.pem)

    def get() -> ssl.SSLContext:
        return contexts.get(verify=True, authority=str(file), limits=Limits())

    first = get()
    assert get() is first
    file.write_bytes(root.pem + middle.pem)
    assert get() is not first


def test_parameters_are_refused_in_words():
    for params, words in (
        ({"host": "a b"}, "not a host name"),
        ({"host": "x", "port": 0}, "port"),
        ({"host": "x", "sni": "y"}, "no parameter sni"),
        ({}, "host is missing"),
    ):
        with pytest.raises(BadProbe, match=words):
            build("tls", params)


# Stapled responses


def response(
    leaf: Certificate,
    issuer: Certificate,
    signer: Certificate,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    *,
    begins: datetime.datetime = NOW - DAY,
    ends: datetime.datetime | None = NOW + DAY,
    delegate: bool = False,
) -> bytes:
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=leaf.x509,
        issuer=issuer.x509,
        algorithm=hashes.SHA1(),
        cert_status=status,
        this_update=begins,
        next_update=ends,
        revocation_time=NOW - DAY if revoked else None,
        revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signer.x509)
    if delegate:
        builder = builder.certificates([signer.x509])
    return builder.sign(signer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def verdict(staple: bytes, *chain: Certificate) -> tuple[int, str]:
    try:
        check_staple(staple, tuple(c.der for c in chain), NOW.timestamp())
    except ProbeFailed as trouble:
        return trouble.state, trouble.reason
    return UP, ""


def test_response_is_judged_by_signature_time_and_certificate(root):
    leaf, other = Certificate("leaf", root), Certificate("other", root)
    REVOKED, GONE = ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN
    may = ((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False),)
    responder, upstart = Certificate("responder", root, extensions=may), Certificate("upstart", root)
    past = Certificate("past", root, extensions=may, begins=NOW - 9 * DAY, ends=NOW - DAY)
    assert verdict(response(leaf, root, root), leaf, root) == (UP, "")
    assert verdict(response(leaf, root, responder, delegate=True), leaf, root) == (UP, "")
    revoked = f"revoked: on {NOW - DAY:%Y-%m-%d} (keyCompromise), says the stapled OCSP response"
    assert verdict(response(leaf, root, root, REVOKED), leaf, root) == (DOWN, revoked)
    assert verdict(response(leaf, root, root, REVOKED), leaf) == (
        DOWN,
        f"{revoked}; its signature could not be checked",
    )
    for staple, words in (
        (response(leaf, root, upstart, REVOKED, delegate=True), "not signed by"),
        (response(leaf, root, past, REVOKED, delegate=True), "not signed by"),
        (response(leaf, root, other, REVOKED), "not signed by"),
        (response(other, root, root, REVOKED), "about another certificate"),
        (response(leaf, root, root, ends=NOW - datetime.timedelta(hours=1)), "out of date"),
        (response(leaf, root, root, begins=NOW + DAY), "not valid before"),
        (response(leaf, root, root, GONE), "does not know this certificate"),
        (b"\x30\x03\x0a\x01\x03", "an error of the responder: try later"),
        (b"garbage", "cannot be read"),
    ):
        state, reason = verdict(staple, leaf, root)
        assert state == DEGRADED and words in reason


def test_rsa_and_damaged_signatures(root):
    authority = Certificate("RSA Root", ca=True, key=rsa.generate_private_key(65537, 2048))
    leaf = Certificate("leaf", authority)
    staple = response(leaf, authority, authority, ocsp.OCSPCertStatus.REVOKED)
    assert verdict(staple, leaf, authority)[0] == DOWN
    damaged = staple[:-1] + bytes([staple[-1] ^ 1])
    assert verdict(damaged, leaf, authority) == (
        DEGRADED,
        "the stapled OCSP response is not signed by the certificate's issuer",
    )


@given(st.binary(min_size=1, max_size=200))
def test_any_bytes_as_a_response_end_in_words(staple):
    leaf = _LEAF
    assert verdict(staple, leaf)[0] == DEGRADED


_LEAF = Certificate("leaf")


@contextlib.asynccontextmanager
async def openssl_server(
    tmp_path: Path, port: int, leaf: Certificate, issuer: Certificate, staple: bytes | None, *more: str
) -> AsyncIterator[None]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl program (package openssl)")
    (tmp_path / "leaf.pem").write_bytes(leaf.pem + leaf.key_pem())
    (tmp_path / "chain.pem").write_bytes(issuer.pem)
    options = ["-accept", f"127.0.0.1:{port}", "-cert", str(tmp_path / "leaf.pem")]
    options += ["-cert_chain", str(tmp_path / "chain.pem"), "-quiet", *more]
    if staple is not None:
        (tmp_path / "staple.der").write_bytes(staple)
        options += ["-status_file", str(tmp_path / "staple.der")]
    process = await asyncio.create_subprocess_exec(
        openssl, "s_server", *options, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(200):
            try:
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
                break
            except OSError:
                await asyncio.sleep(0.02)
        yield
    finally:
        process.kill()
        await process.wait()


@pytest.mark.real
@pytest.mark.parametrize(
    ("delegate", "options"),
    [
        (False, []),
        (True, []),
        (False, ["-tls1_3"]),
        (False, ["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256", "-groups", "P-256"]),
        (False, ["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"]),
    ],
)
async def test_revoked_by_a_staple_of_a_real_server(look_at, tmp_path, root, free_port, delegate, options):
    may = ((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False),)
    signer = Certificate("responder", root, extensions=may) if delegate else root
    leaf = Certificate("revoked", root)
    staple = response(leaf, root, signer, ocsp.OCSPCertStatus.REVOKED, delegate=delegate)
    async with openssl_server(tmp_path, free_port, leaf, root, staple, *options):
        found = await look_at(free_port)
        unasked = await look_at(free_port, staple=False)
    assert found.state == DOWN and found.reason.startswith("revoked: on ") and found.latency is not None
    assert unasked.state == UP


@pytest.mark.real
async def test_old_device_is_looked_at_when_it_is_not_judged(look_at, tmp_path, root, free_port):
    old = Certificate("ups", key=rsa.generate_private_key(65537, 1024))
    options = ("-tls1", "-cipher", "DEFAULT:@SECLEVEL=0")
    async with openssl_server(tmp_path, free_port, old, root, None, *options):
        judged = await look_at(free_port)
        taken = await look_at(free_port, verify=False)
    assert judged.state == DOWN and "no common version of TLS" in judged.reason
    assert taken.state == UP and taken.measures["tls_version"] == 10


@pytest.mark.real
async def test_good_and_missing_staples_of_a_real_server(look_at, clock, tmp_path, root, free_port):
    must = ((x509.TLSFeature([x509.TLSFeatureType.status_request]), False),)
    leaf = Certificate("good", root, extensions=must)
    async with openssl_server(tmp_path, free_port, leaf, root, response(leaf, root, root)):
        assert (await look_at(free_port)).state == UP
    clock.advance(seconds=ASK_AGAIN)
    async with openssl_server(tmp_path, free_port, leaf, root, None):
        found = await look_at(free_port)
    assert found.state == DEGRADED and "demands a stapled OCSP response" in found.reason


@pytest.mark.real
async def test_a_good_staple_is_asked_for_hourly_and_a_bad_one_at_each_look(look_at, clock, tmp_path, root, free_port):
    leaf = Certificate("good", root)
    good, revoked = response(leaf, root, root), response(leaf, root, root, ocsp.OCSPCertStatus.REVOKED)
    async with openssl_server(tmp_path, free_port, leaf, root, good):
        assert (await look_at(free_port)).state == UP
    async with openssl_server(tmp_path, free_port, leaf, root, revoked):
        clock.advance(seconds=ASK_AGAIN - 1)
        assert (await look_at(free_port)).state == UP
        clock.advance(seconds=1)
        assert (await look_at(free_port)).state == DOWN
        assert (await look_at(free_port)).state == DOWN
    async with openssl_server(tmp_path, free_port, leaf, root, good):
        assert (await look_at(free_port)).state == UP


# The small parsers


def test_der_agrees_with_cryptography(root, middle):
    far = Certificate("Sở Thông tin", middle, ends=datetime.datetime(2060, 1, 2, 3, 4, 5, tzinfo=datetime.UTC))
    for certificate in (root, middle, far):
        facts = der.parse(certificate.der)
        assert facts.not_before == certificate.x509.not_valid_before_utc.timestamp()
        assert facts.not_after == certificate.x509.not_valid_after_utc.timestamp()
        assert facts.issuer == certificate.x509.issuer.public_bytes()
        assert facts.subject == certificate.x509.subject.public_bytes()
    assert der.attributes(der.parse(far.der).subject) == {"CN": "Sở Thông tin"}
    assert der.attributes(der.parse(root.der).subject)["O"] == "Hải Đăng thử nghiệm"


@given(st.data())
def test_der_survives_damage(data):
    good = _LEAF.der
    place = data.draw(st.integers(0, len(good) - 1))
    damaged = bytearray(good[: data.draw(st.integers(place, len(good)))])
    if place < len(damaged):
        damaged[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(der.DerError):
        facts = der.parse(bytes(damaged))
        der.attributes(facts.subject)
