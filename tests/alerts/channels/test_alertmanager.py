"""Incidents as alerts: against Debian's Alertmanager, and against sites that fail."""

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from alerts.channels.alertmanager import ENDED_FOR, AlertmanagerSender, client_for, labels, resolved_alert
from alerts.channels.config import AlertmanagerSettings
from alerts.channels.health import DeliveryStats
from alerts.incident.entities import Incident, IncidentMember
from alerts.incident.problem import Cause, Subject
from deploy.programs import free_port
from inventory.base.types import Secret
from tests.support.clock import FakeClock
from tests.support.web_site import FakeWebSite, site_running

PROGRAM = shutil.which("prometheus-alertmanager")
NOW = time.time_ns() // 1_000_000  # of each test anew: Alertmanager goes by the real time
MINUTE = 60_000


@pytest.fixture(autouse=True)
def present(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "NOW", time.time_ns() // 1_000_000)


def incident(key: str = "00000000000000ab", **fields: Any) -> Incident:
    subject = Subject(agency="so-ttt", site="so-ttt", agent="so-ttt", check="uid-1", kind="icmp")
    members = {
        "down:uid-1": IncidentMember(
            key="down:uid-1", condition="down", subject=subject, severity="critical", since=NOW - MINUTE, joined=NOW
        )
    }
    found: dict[str, Any] = {
        "key": key,
        "cause": Cause(root="wan:so-ttt-vnpt", cause="wan"),
        "severity": "critical",
        "opened": NOW - MINUTE,
        "noticed": NOW,
        "members": members,
    }
    return Incident(**{**found, **fields})


def words(one: Incident) -> dict[str, str]:
    return {"summary_vi": f"Mất kết nối {one.key}", "summary_en": f"No connection {one.key}", "description_vi": ""}


class Desk:
    """A poster with clocks by hand."""

    def __init__(self, settings: AlertmanagerSettings, *incidents: Incident) -> None:
        self.clock = FakeClock(NOW, boot=10_000)
        self.incidents: Sequence[Incident] = incidents
        self.settings = settings
        self.start()

    def start(self) -> None:
        self.poster = AlertmanagerSender(
            self.settings,
            lambda: self.incidents,
            words,
            lambda key: f"https://haidang.example/incidents/{key}",
            {"uid-1": "ping-gateway"}.__getitem__,
            now=self.clock.wall_ms,
            monotonic=self.clock.seconds,
        )

    async def wait(self, ms: int) -> float:
        self.clock.advance(ms)
        return await self.poster.run_once()


def test_labels_stay_while_members_come_and_go() -> None:
    def check_name(uid: str) -> str:
        return {"uid-1": "ping", "uid-2": "web"}[uid]

    first = incident()
    found = dict(labels(first, check_name))
    assert found == {
        "alertname": "HaidangIncident",
        "incident": "00000000000000ab",
        "severity": "critical",
        "cause": "wan",
        "condition": "down",
        "agency": "so-ttt",
        "site": "so-ttt",
        "agent": "so-ttt",
        "link": "so-ttt-vnpt",
        "check": "ping",
        "kind": "icmp",
    }
    later = IncidentMember(
        key="down:uid-2",
        condition="down",
        subject=Subject(agency="so-y-te", check="uid-2"),
        severity="warning",
        since=NOW - 9 * MINUTE,  # began earlier, joined later
        joined=NOW + 1,
    )
    grown = msgspec.structs.replace(first, members={"down:uid-2": later, **first.members})
    assert labels(grown, check_name) == labels(first, check_name)


@pytest.fixture
async def site() -> AsyncIterator[FakeWebSite]:
    async with site_running(FakeWebSite()) as found:
        yield found


def posted(site: FakeWebSite, number: int = -1) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(site.requests[number].body)
    return found


async def test_an_open_incident_is_renewed_before_it_ends(site: FakeWebSite) -> None:
    desk = Desk(AlertmanagerSettings(url=site.url), incident())
    assert await desk.poster.run_once() == 60
    (first,) = posted(site)
    assert (site.requests[0].method, site.requests[0].path) == ("POST", "/api/v2/alerts")
    assert first["generatorURL"] == "https://haidang.example/incidents/00000000000000ab"
    assert first["annotations"] == {
        "summary_vi": "Mất kết nối 00000000000000ab",
        "summary_en": "No connection 00000000000000ab",
    }
    await desk.wait(MINUTE)
    (second,) = posted(site)
    assert second["labels"] == first["labels"]
    assert second["startsAt"] == first["startsAt"]
    assert second["startsAt"] < second["endsAt"]
    assert first["endsAt"] < second["endsAt"]


async def test_a_closed_one_is_said_to_have_ended_for_a_while_also_after_a_restart(site: FakeWebSite) -> None:
    desk = Desk(AlertmanagerSettings(url=site.url), incident())
    await desk.poster.run_once()
    over = incident(ended=NOW + 30_000, closed=NOW + 90_000, resolution="recovered")
    desk.incidents = (over,)
    await desk.wait(100_000)
    first = posted(site)
    desk.start()  # a restart forgets what was posted
    await desk.wait(MINUTE)
    assert posted(site) == first
    assert first[0]["endsAt"] == posted(site, 0)[0]["startsAt"][:-13] + first[0]["endsAt"][-13:]
    asked = len(site.requests)
    desk.incidents = ()
    await desk.wait(ENDED_FOR)
    assert len(site.requests) == asked  # and then no more


async def test_one_whose_cause_becomes_known_is_ended_under_its_old_labels(site: FakeWebSite) -> None:
    desk = Desk(AlertmanagerSettings(url=site.url), incident(cause=Cause(root="lan:so-ttt", cause="not known")))
    await desk.poster.run_once()
    desk.incidents = (incident(),)
    await desk.wait(1_000)
    found = {alert["labels"]["cause"]: alert["endsAt"] for alert in posted(site)}
    assert set(found) == {"wan", "not_known"}
    assert found["not_known"] < found["wan"]
    desk.incidents = (incident(cause=Cause(root="lan:so-ttt", cause="not known")),)
    await desk.wait(1_000)  # and back: it is not ended at the same time
    found = {alert["labels"]["cause"]: alert["endsAt"] for alert in posted(site)}
    assert found["wan"] < found["not_known"]


async def test_what_tells_nobody_is_not_posted(site: FakeWebSite) -> None:
    desk = Desk(AlertmanagerSettings(url=site.url), incident(excluded=True), incident("bb", severity="info"))
    await desk.poster.run_once()
    assert site.requests == []
    desk.incidents = (incident(),)
    await desk.wait(MINUTE)
    desk.incidents = (incident(excluded=True),)  # maintenance, declared now
    await desk.wait(MINUTE)
    (alert,) = posted(site)
    assert alert["endsAt"].startswith(posted_moment(desk.clock.wall_ms())[:19])


def posted_moment(ms: int) -> str:
    return json.loads(resolved_alert(ms))[0]["endsAt"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("fault", [500, "drop", "hang"])
async def test_a_failing_one_is_tried_sooner_and_becomes_a_trouble(site: FakeWebSite, fault: Any) -> None:
    site.answer = fault
    desk = Desk(AlertmanagerSettings(url=site.url, timeout=1_000), incident())
    waits = [await desk.poster.run_once()]
    for _ in range(2 if fault == "hang" else 20):
        waits.append(await desk.wait(round(waits[-1] * 1000) + 1))
    assert waits[0] < 2.1
    assert max(waits) <= 60
    counts = DeliveryStats()
    counts.alertmanagers = [desk.poster.health]
    desk.clock.step_wall(11 * MINUTE)
    ((what, said),) = counts.problems(desk.clock.wall_ms())
    assert what == f"alertmanager:{site.url}"
    assert said.values["reason"]
    site.answer = 200
    await desk.wait(MINUTE)
    assert counts.problems(desk.clock.wall_ms()) == []


async def test_they_are_independent_and_woken(site: FakeWebSite) -> None:
    async with site_running(FakeWebSite()) as second:
        second.answer = "hang"
        incidents: list[Incident] = []
        posters = [
            AlertmanagerSender(AlertmanagerSettings(url=each.url, every=60_000), lambda: incidents, words, str, str)
            for each in (second, site)
        ]
        running = [asyncio.create_task(poster.run()) for poster in posters]
        await asyncio.sleep(0.05)
        incidents.append(incident())
        for poster in posters:
            poster.wake()
        async with asyncio.timeout(5):
            while not site.requests:  # noqa: ASYNC110  # a server's list
                await asyncio.sleep(0.01)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"token": Secret("t0ken")}, "Bearer t0ken"),
        ({"user": "hd", "password": Secret("mật")}, "Basic aGQ6beG6rXQ="),
        ({}, None),
    ],
)
async def test_it_shows_who_it_is(site: FakeWebSite, fields: Any, sent: str | None) -> None:
    await client_for(AlertmanagerSettings(url=f"{site.url}/am/", **fields)).request(
        "POST", "/api/v2/alerts", resolved_alert(NOW)
    )
    assert site.requests[0].path == "/am/api/v2/alerts"
    assert site.requests[0].headers.get("Authorization") == sent


async def test_an_incident_without_words_holds_up_no_other(site: FakeWebSite, caplog: pytest.LogCaptureFixture) -> None:
    def stumbling(one: Incident) -> dict[str, str]:
        if one.key == "bb":
            raise KeyError("site")
        return words(one)

    both = (incident("bb"), incident("cc"))
    await AlertmanagerSender(AlertmanagerSettings(url=site.url), lambda: both, stumbling, str, str).run_once()
    assert [bool(alert["annotations"]) for alert in posted(site)] == [False, True]
    assert "bb has no words" in caplog.text


# -- the real one


class Real:
    def __init__(self, url: str) -> None:
        self.url = url

    async def alerts(self) -> dict[str, dict[str, Any]]:
        """By incident: also the resolved ones that it still knows."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/api/v2/alerts") as answer:
            return {alert["labels"].get("incident", ""): alert for alert in await answer.json()}

    async def until(self, key: str, firing: bool) -> dict[str, Any]:
        deadline = time.monotonic() + 15
        while True:
            found = (await self.alerts()).get(key)
            if (found is not None) == firing:
                return found or {}
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.05)


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Real]:
    if PROGRAM is None:
        pytest.skip("needs prometheus-alertmanager")
    port = free_port()
    (tmp_path / "am.yml").write_text("route: {receiver: nobody, group_wait: 1s}\nreceivers: [{name: nobody}]\n")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                PROGRAM,
                f"--config.file={tmp_path}/am.yml",
                f"--storage.path={tmp_path}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
                "--data.retention=1h",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 30
        while b"Listening on" not in (tmp_path / "log").read_bytes():
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.05)
        yield Real(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.real
async def test_debians_alertmanager_sees_it_fire_and_end(real: Real) -> None:
    desk = Desk(AlertmanagerSettings(url=real.url), incident(), incident("00000000000000cd", severity="warning"))
    await desk.poster.run_once()
    assert desk.poster.health.up
    first = await real.until("00000000000000ab", firing=True)
    assert first["status"]["state"] in ("active", "unprocessed")
    assert first["labels"]["link"] == "so-ttt-vnpt"
    assert first["annotations"]["summary_vi"] == "Mất kết nối 00000000000000ab"
    assert first["generatorURL"].endswith("/incidents/00000000000000ab")

    desk.start()  # a restart, and a renewal: the same alert
    await desk.wait(5_000)
    both = await real.alerts()
    assert set(both) == {"00000000000000ab", "00000000000000cd"}
    assert both["00000000000000ab"]["fingerprint"] == first["fingerprint"]
    assert both["00000000000000ab"]["startsAt"] == first["startsAt"]
    assert both["00000000000000ab"]["endsAt"] > first["endsAt"]

    desk.incidents = (incident(ended=NOW, closed=NOW), incident("00000000000000cd", severity="warning"))
    await desk.wait(1_000)
    await real.until("00000000000000ab", firing=False)
    assert set(await real.alerts()) == {"00000000000000cd"}

    # its cause is found out: one alert of it, not two
    desk.incidents = (incident("00000000000000cd", severity="warning", cause=Cause(root="lan:so-ttt", cause="lan")),)
    await desk.wait(1_000)
    deadline = time.monotonic() + 15
    while (found := await real.alerts())["00000000000000cd"]["labels"]["cause"] != "lan":
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)


@pytest.mark.real
async def test_amtool_shows_it(real: Real) -> None:
    amtool = shutil.which("amtool")
    if amtool is None:
        pytest.skip("needs amtool (prometheus-alertmanager)")
    desk = Desk(AlertmanagerSettings(url=real.url), incident())
    await desk.poster.run_once()
    await real.until("00000000000000ab", firing=True)
    shown = await asyncio.to_thread(
        subprocess.run,
        [amtool, f"--alertmanager.url={real.url}", "alert", "query", "cause=wan", "agency=so-ttt", "-o", "json"],
        capture_output=True,
        check=True,
    )
    (alert,) = json.loads(shown.stdout)
    assert alert["labels"]["incident"] == "00000000000000ab"


@pytest.mark.real
async def test_the_trial_alert_tells_nobody(real: Real) -> None:
    await client_for(AlertmanagerSettings(url=real.url)).request(
        "POST", "/api/v2/alerts", resolved_alert(time.time_ns() // 1_000_000)
    )
    assert await real.alerts() == {}
