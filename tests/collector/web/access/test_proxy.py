"""A trusted proxy in front, and listeners off loopback: who may log in from where."""

import asyncio
import os
import re
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from collector import config as configs
from collector.config import CollectorConfig, ProxyConfig
from collector.web.access.origin import Origins
from collector.web.access.throttle import FREE
from inventory.base.http_listener import HostNames
from inventory.base.problems import Invalid
from tests.collector.web.access.test_origin import with_incident
from tests.collector.web.test_api import Running, config_for
from tests.support.people import Browser, basic, bearer, guarded


def with_operators(config: CollectorConfig, **more: object) -> CollectorConfig:
    return msgspec.structs.replace(config, operators=msgspec.structs.replace(config.operators, **more))


class FakeTransport:
    """The ends of a connection."""

    def __init__(self, peer: str, here: str = "192.0.2.7", tls: bool = False) -> None:
        self._ends = {"peername": (peer, 5), "sockname": (here, 8440), "ssl_object": object() if tls else None}

    def get_extra_info(self, name: str) -> object:
        return self._ends.get(name)


class FakeRequest:
    """What of a request says where it comes from."""

    def __init__(self, peer: str, headers: list[tuple[str, str]], **ends: object) -> None:
        from multidict import CIMultiDict

        self.transport = FakeTransport(peer, **ends)  # type: ignore[arg-type]
        self.headers = CIMultiDict(headers)


FORWARDED = [("Host", "a"), ("X-Forwarded-For", "198.51.100.9, 203.0.113.5"), ("X-Forwarded-Proto", "https")]


@pytest.mark.parametrize(
    ("peer", "headers", "wanted"),
    [
        ("192.0.2.1", FORWARDED, ("203.0.113.5", "https", True)),
        ("192.0.2.2", FORWARDED, ("192.0.2.2", "http", False)),  # no proxy of ours
        ("192.0.2.1", [("Host", "a")], ("192.0.2.1", "http", True)),
        ("192.0.2.1", [*FORWARDED[:2], ("X-Forwarded-Proto", "http")], ("203.0.113.5", "http", False)),
        ("192.0.2.1", [("X-Forwarded-For", "203.0.113.5, 10.9.0.4")], ("203.0.113.5", "http", True)),  # two of ours
        (
            "192.0.2.1",
            [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "203.0.113.5")],
            ("203.0.113.5", "http", True),
        ),
        ("192.0.2.1", [("X-Forwarded-For", "evil; DROP")], ("192.0.2.1", "http", True)),
        ("192.0.2.1", [("X-Forwarded-For", "10.0.0.1")], ("10.0.0.1", "http", True)),
        ("192.0.2.1", [("X-Forwarded-For", "203.0.113.5:40000")], ("203.0.113.5", "http", True)),
        ("192.0.2.1", [("X-Forwarded-For", "[2001:db8::5]:40000")], ("2001:db8::5", "http", True)),
        ("192.0.2.1", [("X-Forwarded-For", "2001:db8::5")], ("2001:db8::5", "http", True)),
        # on this machine: who says http is believed, unless it says that the browser is here too
        ("127.0.0.1", [("X-Forwarded-Proto", "http")], ("127.0.0.1", "http", False)),
        ("127.0.0.1", [("X-Forwarded-Proto", "http"), ("X-Forwarded-For", "?")], ("127.0.0.1", "http", False)),
        ("127.0.0.1", [("X-Forwarded-Proto", "http"), ("X-Forwarded-For", "::1")], ("::1", "http", True)),
        ("127.0.0.1", [], ("127.0.0.1", "http", True)),
    ],
)
def test_who_is_behind_a_proxy(peer: str, headers: list[tuple[str, str]], wanted: tuple[str, str, bool]) -> None:
    origins = Origins(HostNames(), ProxyConfig(addresses=("192.0.2.1", "10.0.0.0/8", "127.0.0.1")))
    client = origins.client(FakeRequest(peer, headers))  # type: ignore[arg-type]
    assert (client.address, client.scheme, client.private) == wanted


@pytest.mark.parametrize(
    ("peer", "here", "tls", "private"),
    [
        ("127.0.0.1", "127.0.0.1", False, True), ("::1", "::1", False, True), ("192.0.2.9", "192.0.2.7", False, False),
        ("192.0.2.7", "192.0.2.7", False, False), ("192.0.2.9", "192.0.2.7", True, True),
        ("::ffff:127.0.0.1", "::1", False, True),
    ],
)  # fmt: skip
def test_where_a_password_may_be_given(peer: str, here: str, tls: bool, private: bool) -> None:
    request = FakeRequest(peer, [("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "127.0.0.1")], here=here, tls=tls)
    assert Origins(HostNames(), ProxyConfig()).client(request).private is private  # type: ignore[arg-type]


EXPOSED = "passwords would cross the network in clear"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("users: [{name: an, password: 'scrypt:16:00:00'}]", EXPOSED),
        ("users_file: users.yaml", EXPOSED),
        ("tokens: [{name: p, token: 0123456789abcdefghij, scope: write}]", "a token that may write would cross"),
        ("tokens: [{name: p, token: 0123456789abcdefghij, scope: metrics}]", ""),
        ("tokens: [{name: p, token: 0123456789abcdefghij}]", ""),
        ("users_file: users.yaml, proxy: {addresses: [192.0.2.1]}", ""),
        ("users_file: users.yaml, certificate: c.pem, key: k.pem", ""),
        ("users_file: nowhere.yaml", "give users or tokens first"),
        ("proxy: {user_header: X-User}", "counts from the proxy alone"),
        ("proxy: {addresses: [proxy.example]}", "is not an address or a network"),
        ("tokens: [{name: p, token: 0123456789abcdefghij, scope: all}]", "ought to be one of metrics"),
        ("users: [{name: an, password: 'scrypt:16:00:00', role: root}]", "ought to be one of admin"),
        (
            "users: [{name: p, password: 'scrypt:16:00:00'}], tokens: [{name: p, token: 0123456789abcdefghij}]",
            "two of the users and tokens are called p",
        ),
        ("session_idle: 0s", "lets nobody in"),
    ],
)
def test_off_loopback_nobody_logs_in_in_clear(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "users.yaml").write_text("users: {an: {role: admin, password: 'scrypt:16:00:00'}}\n")
    file = tmp_path / "collector.yaml"
    for listen in ("0.0.0.0:8440", "[::]:8440", "192.0.2.7:8440"):
        file.write_text(f"operators: {{listen: '{listen}', {text}}}\n")
        if why:
            with pytest.raises(Invalid, match=re.escape(why)):
                configs.read(file)
        else:
            configs.read(file)


def own_address() -> str:
    """An address of this machine that is not loopback; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        address: str = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    return address


async def test_past_the_proxy_nobody_logs_in(tmp_path: Path) -> None:
    """The listener has to be reachable for its proxy; somebody who goes around it gets no chance to send a password."""
    address = own_address()
    config = with_operators(
        guarded(config_for(tmp_path)), listen=f"{address}:0", proxy=ProxyConfig(addresses=("192.0.2.1",))
    )
    async with Running(config) as running:
        running.session._base_url = running.session._base_url.with_host(address)
        for headers in (
            basic("admin"),
            {**basic("admin"), "X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1"},
        ):
            status, body = await running.get("/", headers=headers)
            assert status == 403 and b"in clear" in body
        status, body = await running.get("/login?lang=en")
        assert status == 200 and b"in clear" in body and b'type="password"' not in body
        async with running.session.post("/login", data={"name": "admin", "password": "x"}) as response:
            assert response.status == 403
        assert (await running.get("/metrics", headers=bearer("metrics")))[0] == 200
        assert (await running.get("/", headers={"Host": "localhost"}))[0] == 421


async def test_with_a_proxy_configured_nothing_is_open(tmp_path: Path) -> None:
    config = with_operators(config_for(tmp_path), proxy=ProxyConfig(addresses=("127.0.0.1",)))
    async with Running(config) as running:
        assert (await running.get("/"))[0] == 401


async def test_whom_the_proxy_vouches_for_writes_only_with_an_origin(tmp_path: Path) -> None:
    proxy = ProxyConfig(addresses=("127.0.0.1",), user_header="Remote-User", role="operator")
    async with Running(with_operators(config_for(tmp_path), proxy=proxy)) as running:
        key = await with_incident(running)
        path, asked = f"/api/v1/incidents/{key}/acknowledge", {"Content-Type": "application/json", "Remote-User": "an"}
        own = {"Origin": f"http://127.0.0.1:{running.service.operators_port}"}
        unfit = ({"Remote-User": "an\u3164"}, {"Remote-User": "agent a"})
        for more, wanted in (({}, 403), *((one, 401) for one in unfit), (own, 200)):
            async with running.session.post(path, data=b"{}", headers={**asked, **more}) as response:
                assert response.status == wanted, (more, await response.text())


async def test_by_https_the_cookie_is_bound_and_browsers_come_back_by_https(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    config = with_operators(guarded(config_for(tmp_path)), certificate=certificate, key=certificate)
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with Running(config) as running:
        origin = f"https://127.0.0.1:{running.service.operators_port}"
        connector = aiohttp.TCPConnector(ssl=trusting)
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(origin, connector=connector, cookie_jar=jar) as session:
            fields = {"name": "admin", "password": "con đò sang sông"}
            for claimed, wanted in ((origin.replace("https", "http"), 403), (origin, 303)):
                async with session.post(
                    "/login", data=fields, headers={"Origin": claimed}, allow_redirects=False
                ) as response:
                    assert response.status == wanted
            cookie = response.headers["Set-Cookie"]
            assert cookie.startswith("__Host-haidang_session=")
            assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
            assert response.headers["Strict-Transport-Security"].startswith("max-age=")
            async with session.get("/") as response:
                assert response.status == 200


def self_signed(folder: Path) -> Path:
    """A certificate of 127.0.0.1 with its key, in one file."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@asynccontextmanager
async def nginx_before(folder: Path, port: int, upstream: int, certificate: Path, user: str) -> AsyncIterator[None]:
    """Debian's nginx as a reverse proxy by HTTPS; with ``user`` it says that this one logged in."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("needs nginx (package nginx-light)")
    told = f'proxy_set_header X-Remote-User "{user}";'
    (folder / "nginx.conf").write_text(f"""
        daemon off; error_log stderr crit; pid {folder}/pid; {"user root;" if os.geteuid() == 0 else ""}
        events {{}}
        http {{
            access_log off;
            client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
            uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
            server {{
                listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {certificate};
                location / {{
                    proxy_pass http://127.0.0.1:{upstream};
                    proxy_set_header Host $http_host;
                    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                    proxy_set_header X-Forwarded-Proto $scheme;
                    {told}
                }}
            }}
        }}""")
    command = (program, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf"))
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(10):
            while True:
                assert process.returncode is None, "nginx does not start"
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                break
        yield
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.real
async def test_through_a_real_nginx(tmp_path: Path, free_port: int) -> None:
    """It speaks HTTPS for us: logging in, cookies, forms; what clients claim of themselves, nginx has overwritten."""
    certificate = self_signed(tmp_path)
    proxy = ProxyConfig(addresses=("127.0.0.1",), user_header="X-Remote-User", role="viewer")
    config = with_operators(guarded(config_for(tmp_path)), proxy=proxy)
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with Running(config) as running:
        upstream = running.service.operators_port
        for user in ("", "admin", "stranger"):
            folder = tmp_path / f"nginx-{user}"
            folder.mkdir()
            async with (
                nginx_before(folder, free_port, upstream, certificate, user),
                Browser(free_port, connector=aiohttp.TCPConnector(ssl=trusting)) as browser,
            ):
                browser.origin = f"https://127.0.0.1:{free_port}"
                browser.session._base_url = browser.session._base_url.with_scheme("https")
                claims = {"X-Remote-User": "admin", "X-Forwarded-Proto": "http", "X-Forwarded-For": "6.6.6.6"}
                if user == "admin":
                    assert (await browser.get("/audit", headers=claims))[0] == 200
                    continue
                if user == "stranger":  # the role for whom nobody knows
                    assert (await browser.get("/", headers=claims))[0] == 200
                    assert (await browser.get("/audit", headers=claims))[0] == 403
                    continue
                assert (await browser.get("/", headers=claims))[0] == 303
                for _ in range(FREE):
                    assert await browser.log_in("operator", "wrong") == 401
                assert await browser.log_in("operator") == 303
                cookie = browser.last.headers["Set-Cookie"]
                assert cookie.startswith("__Host-haidang_session=") and "Secure" in cookie
                token = await browser.form_token()
                assert (await browser.post("/logout", {"form_token": token}, Origin="https://evil.example"))[0] == 403
                assert (await browser.post("/logout", {"form_token": token}))[0] == 303
        rows = await running.service.store.read(lambda tx: tx.audit.all())
        addresses = {data["address"] for _, _, what, data in rows if what == "log in"}
        assert addresses == {"127.0.0.1"}
