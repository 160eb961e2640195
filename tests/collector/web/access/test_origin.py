"""Names and origins: a page of somebody else's neither reads nor writes, whatever way it found."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from alerts.mail.signed_urls import LinkClaim
from collector.web.api.incident_schemas import IncidentsAnswer
from inventory.protocol.states import DOWN
from tests.collector.web.test_api import Feeder, Running, config_for, now_ms
from tests.support.people import Browser, basic, bearer, guarded, raw


async def with_incident(running: Running) -> str:
    """The key of an open incident."""
    times = [now_ms() - 120_000 + n * 10_000 for n in range(12)]
    await Feeder(running.service, "so-ttt").tell({"portal": [(at, DOWN) for at in times]})
    async with asyncio.timeout(20):
        while not (found := running.service.alerting.incidents.open()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found[0].key


@pytest.fixture(params=["open", "guarded"])
async def running(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Running]:
    config = config_for(tmp_path)
    async with Running(guarded(config) if request.param == "guarded" else config) as running:
        running.headers = basic("operator") if request.param == "guarded" else {}
        running.key = await with_incident(running)
        yield running


async def acknowledged(running: Running) -> bool:
    status, body = await running.get("/api/v1/incidents", headers=running.headers)
    assert status == 200
    return msgspec.json.decode(body, type=IncidentsAnswer).open[0].acknowledged is not None


@pytest.mark.parametrize("host", ["evil.example:{port}", "127.0.0.1.evil.example:{port}", "localhost.", "[::2]", "a b"])
async def test_under_a_foreign_name_nothing_is_answered(running: Running, host: str) -> None:
    """As the browser of somebody at this machine sends it that was made to believe that the name is 127.0.0.1."""
    port = running.service.operators_port
    host = host.format(port=port)
    authorization = "".join(f"\n{name}: {value}" for name, value in running.headers.items())
    rebound = f"\nHost: {host}\nOrigin: http://{host}\nSec-Fetch-Site: same-origin\nConnection: close{authorization}"
    for path in ("/", "/metrics", "/api/v1/checks", "/-/healthy", "/static/haidang.css", "/nothing", "/login"):
        status, answer = await raw(port, f"GET {path} HTTP/1.1{rebound}")
        assert status == 421 and b"operators.names" in answer, path
        status, _ = await raw(port, f"GET http://{host}{path} HTTP/1.1{rebound.replace(host, f'localhost:{port}', 1)}")
        assert status in (400, 421), path
    body = b"{}"
    for path in (f"/api/v1/incidents/{running.key}/acknowledge", f"/incidents/{running.key}/acknowledge", "/links/x"):
        head = f"POST {path} HTTP/1.1{rebound}\nContent-Type: application/json\nContent-Length: {len(body)}"
        assert (await raw(port, head, body))[0] == 421
    assert not await acknowledged(running)


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}", "localhost"])
async def test_under_its_own_names_it_answers(running: Running, host: str) -> None:
    port = running.service.operators_port
    head = f"GET /-/healthy HTTP/1.1\nHost: {host.format(port=port)}\nConnection: close"
    assert (await raw(port, head))[0] == 200
    assert (await raw(port, "GET /-/healthy HTTP/1.0"))[0] == 200  # a load balancer's look; no browser sends this


async def test_two_names_are_none(running: Running) -> None:
    head = "GET / HTTP/1.1\nHost: localhost\nHost: evil.example\nConnection: close"
    assert (await raw(running.service.operators_port, head))[0] in (400, 421)


async def test_names_that_are_configured_are_its_own(tmp_path: Path) -> None:
    config = config_for(tmp_path, names=("monitor.example",))
    alerts = msgspec.structs.replace(config.alerts, url="https://pages.example:8443/x")
    async with Running(msgspec.structs.replace(config, alerts=alerts)) as running:
        for name in ("monitor.example", "MONITOR.example:8440", "pages.example"):
            assert (await running.get("/", headers={"Host": name}))[0] == 200
        assert (await running.get("/", headers={"Host": "example"}))[0] == 421


FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "https://{host}"},
    {"Origin": "http://{host}.evil.example"},
    {"Origin": "http://localhost:{port}"},
    {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://{host}"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
]


@pytest.mark.parametrize("claim", FOREIGN, ids=str)
async def test_a_page_of_another_site_writes_nothing(running: Running, claim: dict[str, str]) -> None:
    """Also where the browser adds a password or a cookie by itself."""
    port = running.service.operators_port
    claim = {name: value.format(host=f"127.0.0.1:{port}", port=port) for name, value in claim.items()}
    link = f"/links/{running.service.alerting.signer.sign(claim_of(running.key))}"
    for path in (f"/api/v1/incidents/{running.key}/acknowledge", f"/incidents/{running.key}/acknowledge", link):
        headers = {**running.headers, **claim, "Content-Type": "application/json"}
        async with running.session.post(path, data=b"{}", headers=headers) as response:
            assert response.status == 403
            assert "another site" in (await response.json())["error"]
    assert not await acknowledged(running)


def claim_of(key: str) -> LinkClaim:
    return LinkClaim(action="acknowledge", incident=key, contact="an", expires=now_ms() + 3_600_000)


async def test_programs_and_own_pages_write(running: Running) -> None:
    port = running.service.operators_port
    path = f"/api/v1/incidents/{running.key}/comment"
    for claim in ({}, {"Origin": f"http://127.0.0.1:{port}"}, {"Sec-Fetch-Site": "same-origin"}):
        headers = {**running.headers, **claim, "Content-Type": "application/json"}
        async with running.session.post(path, data=b'{"text": "x"}', headers=headers) as response:
            assert response.status == 200
    form = re.search(r'name="form_token" value="(\w+)"', (await page_of(running)).decode())
    assert form is not None
    path = f"/incidents/{running.key}/acknowledge"
    for token, wanted in (("", 403), ("0" * 64, 403), (form[1], 303)):
        assert not await acknowledged(running)
        async with running.session.post(
            path, data={"form_token": token}, headers=running.headers, allow_redirects=False
        ) as response:
            assert response.status == wanted
    assert await acknowledged(running)


async def page_of(running: Running) -> bytes:
    status, body = await running.get(f"/incidents/{running.key}", headers=running.headers)
    assert status == 200
    return body


async def test_a_session_writes_only_with_its_own_forms_or_an_origin(tmp_path: Path) -> None:
    async with Running(guarded(config_for(tmp_path))) as running:
        running.key = await with_incident(running)
        port = running.service.operators_port
        async with Browser(port) as browser, Browser(port) as other:
            assert await browser.log_in("operator") == 303
            assert await other.log_in("operator") == 303
            path, json = f"/incidents/{running.key}/acknowledge", {"Content-Type": "application/json"}
            async with browser.session.post(f"/api/v1{path}", data=b"{}", headers=json) as response:
                assert response.status == 403 and "Origin" in (await response.json())["error"]
            foreign = await other.form_token(f"/incidents/{running.key}")
            assert (await browser.post(path, {"form_token": foreign}))[0] == 403
            own = await browser.form_token(f"/incidents/{running.key}")
            assert own != foreign
            assert (await browser.post(path, {"form_token": own}))[0] == 303


async def test_who_only_looks_sees_no_forms(tmp_path: Path) -> None:
    async with Running(guarded(config_for(tmp_path))) as running:
        key = await with_incident(running)
        for headers, forms in ((basic("viewer"), False), (bearer("read"), False), (basic("operator"), True)):
            status, body = await running.get(f"/incidents/{key}", headers=headers)
            assert status == 200
            assert (b"<form" in body) is forms
            assert b"/links/" not in body  # what would act in a reader's name


async def test_answers_say_no_versions(running: Running, tmp_path: Path) -> None:
    port = running.service.operators_port
    for head in (
        "GET / HTTP/1.1\nHost: localhost\nConnection: close",
        "nonsense",
        "GET / HTTP/9.9\nHost: x",
        "\x00\xff",
    ):
        _, answer = await raw(port, head)
        assert re.search(rb"(?i)\nserver: haidang\r", answer) and b"aiohttp" not in answer.lower()
        assert b"python" not in answer.lower().partition(b"\r\n\r\n")[0]


async def test_pages_may_not_be_embedded_and_keep_the_origin_of_their_forms(running: Running) -> None:
    async with running.session.get("/", headers=running.headers) as response:
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert response.headers["Referrer-Policy"] == "same-origin"  # else browsers send Origin: null with forms
        assert "Strict-Transport-Security" not in response.headers
