"""Incidents in the operators' listener of a whole collector: pages, API, and what the links of mails let people do."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alerts.mail.signed_urls import LinkClaim, LinkSigner
from collector.config import OperatorToken, OperatorUser
from collector.web.access.passwords import hash_password
from collector.web.api.incident_schemas import CircuitAnswer, IncidentAnswer, IncidentsAnswer
from inventory.base.types import Secret
from inventory.protocol.states import DOWN, UP
from tests.collector.web.test_api import Feeder, Running, config_for, now_ms
from tests.support.people import basic, guarded

JSON = {"Content-Type": "application/json"}
HOUR = 3_600_000


@pytest.fixture
async def wrong(tmp_path: Path) -> AsyncIterator[Running]:
    """A collector with one open incident: the portal is down."""
    async with Running(config_for(tmp_path)) as running:
        running.feeder = Feeder(running.service, "so-ttt")
        begin = now_ms() - 300_000
        times = [begin + n * 10_000 for n in range(29)]
        looks = [(at, UP if at < begin + 240_000 else DOWN) for at in times]
        await running.feeder.tell({"portal": looks, "mail": [(at, UP) for at in times]}, "192.0.2.1:443 <refused>")
        running.key = (await _open(running))[0].key
        yield running


async def _open(running: Running, some: bool = True) -> list[IncidentAnswer]:
    """Once there are (or are none)."""
    for _ in range(200):
        found = (await running.json("/api/v1/incidents", IncidentsAnswer)).open
        if bool(found) == some:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(found)


def link(running: Running, action: Any, *, incident: str | None = None, life: int = HOUR, contact: str = "an") -> str:
    claim = LinkClaim(
        action=action,
        contact=contact,
        incident=running.key if incident is None else incident,
        expires=now_ms() + life,
    )
    return f"/links/{running.service.alerting.signer.sign(claim)}"


async def post(running: Running, path: str, **more: Any) -> tuple[int, str]:
    async with running.session.post(path, **more) as response:
        return response.status, await response.text()


async def test_an_open_incident_is_told_whole(wrong: Running) -> None:
    [found] = await _open(wrong)
    assert (found.severity, found.closed, found.why) == ("critical", None, "")
    [member] = found.members
    assert (member.key[:5], member.name.vi, member.reason) == ("down:", "Cổng", "192.0.2.1:443 <refused>")
    assert "Cổng" in found.title.vi and "Portal" in found.title.en
    assert await wrong.json(f"/api/v1/incidents/{wrong.key}", IncidentAnswer) == found
    for query, count in (("agency=so-ttt", 1), ("agency=so-tc", 0), (f"cause={found.cause.replace(' ', '%20')}", 1)):
        assert len((await wrong.json(f"/api/v1/incidents?{query}", IncidentsAnswer)).open) == count
    assert (await wrong.get("/api/v1/incidents/0123456789abcdef"))[0] == 404
    assert (await wrong.get("/api/v1/incidents?cause=gremlins"))[0] == 400
    metrics = (await wrong.get("/metrics"))[1].decode()
    assert f'haidang_incident_open{{cause="{found.cause}"}} 1.0' in metrics


@pytest.mark.parametrize("language", ["vi", "en"])
async def test_pages_speak_both_languages_and_show_strangers_words_as_text(wrong: Running, language: str) -> None:
    words = {"vi": ("Sự cố", "nghiêm trọng", "Cổng"), "en": ("Incidents", "critical", "Portal")}[language]
    for path in ("/", "/incidents", f"/incidents/{wrong.key}"):
        status, body = await wrong.get(f"{path}?lang={language}")
        page = body.decode()
        assert status == 200 and all(word in page for word in words), path
        assert "<refused>" not in page and "Portal <&>" not in page
    assert "&lt;" in page
    assert "http-equiv" not in page  # nobody's half-written comment is thrown away


async def test_a_link_only_asks_until_its_button_is_pressed(wrong: Running) -> None:
    path = link(wrong, "acknowledge")
    for _ in range(3):  # a mail scanner looks at everything
        status, body = await wrong.get(path)
        assert status == 200 and b'<form method="post">' in body
    async with wrong.session.head(path) as response:
        assert response.status == 200
    assert (await _open(wrong))[0].acknowledged is None
    status, page = await post(wrong, path, data={"text": "I am on my way"})
    assert status == 200 and "<form" not in page
    found = (await _open(wrong))[0]
    assert found.acknowledged_by == "an" and found.acknowledged is not None
    assert [(one.who, one.text) for one in found.history if one.what == "acknowledged"] == [("an", "I am on my way")]


async def test_forged_and_old_links_do_nothing(wrong: Running) -> None:
    good = link(wrong, "acknowledge")
    forged = good[:-1] + ("A" if good[-1] != "A" else "B")
    stranger = LinkSigner(b"another key of another collector")
    claim = LinkClaim(action="acknowledge", contact="an", incident=wrong.key, expires=now_ms() + HOUR)
    for path, wanted in (
        (forged, 404),
        (f"/links/{stranger.sign(claim)}", 404),
        (link(wrong, "acknowledge", life=-1_000), 410),
        ("/links/x", 404),
    ):
        assert (await wrong.get(path))[0] == wanted
        assert (await post(wrong, path, data={}))[0] == wanted
    assert (await _open(wrong))[0].acknowledged is None


async def test_reminders_are_put_off_for_one_of_the_times_on_the_page(wrong: Running) -> None:
    path = link(wrong, "snooze")
    assert (await post(wrong, path, data={"hours": "5000"}))[0] == 400
    assert (await _open(wrong))[0].snoozed is None
    assert (await post(wrong, path, data={"hours": "4"}))[0] == 200
    snoozed = (await _open(wrong))[0].snoozed
    assert snoozed is not None and abs(snoozed - now_ms() - 4 * HOUR) < 60_000


async def test_a_comment_and_a_closing_by_hand(wrong: Running) -> None:
    page = (await wrong.get(f"/incidents/{wrong.key}?lang=en"))[1].decode()
    forms = re.findall(r'action="(/incidents/[^"?]+)', page)
    assert [form.rpartition("/")[2] for form in forms] == ["acknowledge", "snooze", "comment"]
    [token] = set(re.findall(r'name="form_token" value="(\w{64})"', page))
    assert (await post(wrong, forms[2], data={"text": "<b>cable</b>"}))[0] == 403
    assert (await post(wrong, forms[2], data={"text": "<b>cable</b>", "form_token": token}))[0] == 200
    assert "&lt;b&gt;cable" in (await wrong.get(f"/incidents/{wrong.key}?lang=en"))[1].decode()


async def test_what_programs_may_say_of_an_incident(wrong: Running) -> None:
    path = f"/api/v1/incidents/{wrong.key}"
    assert (await post(wrong, f"{path}/acknowledge", data={"text": "x"}))[0] == 415  # what a form elsewhere can send
    assert (await post(wrong, f"{path}/comment", data=b"{}", headers=JSON))[0] == 400
    assert (await post(wrong, f"{path}/comment", data=b'{"texxt": "a"}', headers=JSON))[0] == 400
    assert (await post(wrong, f"{path}/snooze", data=b'{"until": 5}', headers=JSON))[0] == 400
    assert (await post(wrong, "/api/v1/incidents/0123456789abcdef/acknowledge", data=b"{}", headers=JSON))[0] == 404
    status, body = await post(wrong, f"{path}/comment", data=b'{"text": "a cable"}', headers=JSON)
    assert status == 200
    assert [one.text for one in msgspec.json.decode(body, type=IncidentAnswer).history if one.what == "comment"] == [
        "a cable"
    ]
    status, body = await post(wrong, f"{path}/acknowledge", data=b"{}", headers=JSON)
    assert status == 200 and msgspec.json.decode(body, type=IncidentAnswer).acknowledged_by == "anyone"


async def test_who_did_it_is_who_logged_in(tmp_path: Path) -> None:
    guarded: dict[str, Any] = {
        "users": (OperatorUser(name="binh", password=Secret(hash_password("con đò sang sông"))),),
        "tokens": (OperatorToken(name="chatbot", token=Secret("0123456789abcdefghij"), scope="write"),),
    }
    async with Running(config_for(tmp_path, **guarded)) as running:
        times = [now_ms() - 120_000 + n * 10_000 for n in range(12)]
        await Feeder(running.service, "so-ttt").tell({"portal": [(at, DOWN) for at in times]})
        known = {"Authorization": "Bearer 0123456789abcdefghij", **JSON}
        for _ in range(200):
            if running.service.alerting.incidents.open():
                break
            await asyncio.sleep(0.05)
        running.key = running.service.alerting.incidents.open()[0].key
        path = f"/api/v1/incidents/{running.key}/acknowledge"
        assert (await post(running, path, data=b"{}", headers=JSON))[0] == 401
        status, body = await post(running, path, data=b"{}", headers=known)
        assert status == 200 and msgspec.json.decode(body, type=IncidentAnswer).acknowledged_by == "chatbot"
        assert (await running.get(link(running, "acknowledge")))[0] == 200  # a mail's link needs no login


async def test_no_more_daily_reports(wrong: Running) -> None:
    path = link(wrong, "stop-digest", incident="")
    assert (await wrong.get(path))[0] == 200
    assert wrong.service.alerting.unsubscribed.contacts == frozenset()
    one_click = {"List-Unsubscribe": "One-Click"}  # RFC 8058: a mail program's own button
    assert (await post(wrong, path, data=one_click))[0] == 200
    assert wrong.service.alerting.unsubscribed.contacts == {"an"}


async def test_circuits_of_a_province_without_any(wrong: Running) -> None:
    assert await wrong.json("/api/v1/links", list[CircuitAnswer]) == []
    assert (await wrong.get("/api/v1/links?link=nowhere"))[0] == 404


async def test_what_people_did_about_an_incident_is_in_the_audit(wrong: Running) -> None:
    page = (await wrong.get(f"/incidents/{wrong.key}?lang=en"))[1].decode()
    [token] = set(re.findall(r'name="form_token" value="(\w{64})"', page))
    form = {"form_token": token, "text": "a cable", "hours": "4"}
    assert (await post(wrong, f"/incidents/{wrong.key}/comment?lang=vi", data=form))[0] == 200
    assert (await post(wrong, f"/incidents/{wrong.key}/snooze", data=form))[0] == 200
    assert (await post(wrong, link(wrong, "acknowledge"), data={"text": "mine"}))[0] == 200
    assert (await post(wrong, f"/api/v1/incidents/{wrong.key}/close", data=b"{}", headers=JSON))[0] == 200
    rows = await wrong.service.store.read(lambda tx: tx.audit.all())
    acts = [
        (who, what, data["by"], data.get("text")) for _, who, what, data in rows if data.get("incident") == wrong.key
    ]
    assert acts == [
        ("anyone", "comment", "page, open", "a cable"),
        ("anyone", "snooze", "page, open", "a cable"),
        ("an", "acknowledge", "link in a mail", "mine"),
        ("anyone", "close", "api, open", None),
    ]
    assert [data["until"] > now_ms() for _, _, what, data in rows if what == "snooze"] == [True]


@pytest.mark.parametrize("users", [False, True])
async def test_a_page_behind_a_link_shows_a_stranger_nothing_else(tmp_path: Path, users: bool) -> None:
    """No mistakes of the inventory with their files, no menu, no state of the collector; whatever the link."""
    config = config_for(tmp_path)
    async with Running(guarded(config) if users else config) as running:
        times = [now_ms() - 120_000 + n * 10_000 for n in range(12)]
        await Feeder(running.service, "so-ttt").tell({"portal": [(at, DOWN) for at in times]})
        for _ in range(200):
            if running.service.alerting.incidents.open():
                break
            await asyncio.sleep(0.05)
        running.key = running.service.alerting.incidents.open()[0].key
        file = tmp_path / "inventory" / "all.yaml"
        file.write_text(file.read_text().replace("interval: 30s", "intervall: 30s"))
        await running.service.inventories.refresh()
        assert any("intervall" in str(problem) for problem in running.service.inventories.problems)
        running.service.ingest.trust.why = "canary of the clock"
        shown = (await running.get("/?lang=en", headers=basic("viewer")))[1].decode()
        assert "intervall" in shown and "all.yaml" in shown  # what is not to be seen elsewhere
        forged = "/links/" + "A" * 90
        for path, wanted in (
            ("/links/anything", 404), (forged, 404), (link(running, "acknowledge", life=-1_000), 410),
            (link(running, "acknowledge"), 200), (link(running, "stop-digest", incident=""), 200), ("/login", 200),
        ):  # fmt: skip
            for verb in ("get", "post"):
                if (path, verb) == ("/login", "post") or (path == "/login" and not users):
                    continue
                async with getattr(running.session, verb)(f"{path}?lang=en") as response:
                    page = await response.text()
                    assert response.status == wanted, (verb, path)
                for word in (
                    "intervall",
                    "all.yaml",
                    str(tmp_path),
                    "Soc Trang",
                    "so-tc",
                    "/incidents?",
                    "/audit",
                    "clock",
                ):
                    assert word not in page, (verb, path, word)
                if wanted != 200:
                    assert "Portal" not in page and running.key not in page


async def test_texts_of_people_are_one_line_of_what_can_be_seen(wrong: Running) -> None:
    """From the API, a form and the link of a mail, as they are shown, mailed and kept in the audit."""
    hostile, shown = "x\u202ey\x1b[31m\nz \u200b", "xy[31m z"
    origin = {"Origin": f"http://127.0.0.1:{wrong.service.operators_port}"}
    path = f"/api/v1/incidents/{wrong.key}/comment"
    body = msgspec.json.encode({"text": hostile})
    assert (await post(wrong, path, data=body, headers={**JSON, **origin}))[0] == 200
    assert (await post(wrong, link(wrong, "acknowledge"), data={"text": hostile}))[0] == 200
    assert (await post(wrong, path, data=b'{"text": "\\u200b \\u202e"}', headers={**JSON, **origin}))[0] == 400
    _, page = await wrong.get(f"/incidents/{wrong.key}?lang=en")
    assert page.decode().count(f"“{shown}”") == 2
    rows = await wrong.service.store.read(lambda tx: tx.audit.all())
    assert [data["text"] for *_, data in rows if data.get("text")] == [shown, shown]
