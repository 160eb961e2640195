"""The operators' listener of a whole collector in this process: API, pages, metrics, who may look."""

import asyncio
import base64
import itertools
import re
import shutil
import time
from pathlib import Path

import aiohttp
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from collector.app.run import CannotStart, CollectorService
from collector.config import AgentsConfig as AgentsConfig
from collector.config import CollectorConfig, OperatorsConfig, OperatorToken, OperatorUser
from collector.store.opening import open_store
from collector.store.records import RegisteredCheck
from collector.web.access.passwords import hash_password
from collector.web.api import schemas as web_schemas
from inventory.assembly.load import load
from inventory.base.types import Secret
from inventory.protocol import wire
from inventory.protocol.plan import decode
from inventory.protocol.states import DOWN, UP
from inventory.protocol.wire import Batch, Echo, Position, Push, Reading

INVENTORY = """\
province: {id: st, name: {vi: Tỉnh Sóc Trăng, en: Soc Trang}, push_every: 5s}
agencies:
  so-ttt:
    name: {vi: Sở Thông tin và Truyền thông, en: Department of Information}
    kind: department
    site:
      agent: so-ttt
      checks:
        portal: {kind: tcp, name: {vi: Cổng, en: "Portal <&>"}, params: {host: 192.0.2.1, port: 443}, interval: 30s}
        mail: {kind: tcp, name: {vi: Thư, en: Mail}, params: {host: 192.0.2.2, port: 25}, interval: 30s}
  so-tc:
    name: {vi: Sở Tài chính, en: Department of Finance}
    site: {agent: so-tc, checks: {gate: {kind: tcp, params: {host: 192.0.2.3, port: 80}, interval: 30s}}}
goals:
  g1: {name: {vi: Dịch vụ, en: Services}, combine: mean, objective: 99%, windows: [rolling-30d]}
"""
STEP = 30_000


class Feeder:
    """An agent's part: pushes of its own chain, straight into ingest. Its boot clock began 3 hours ago."""

    def __init__(self, service: CollectorService, agent: str) -> None:
        self.service = service
        self.agent = agent
        self.boot0 = now_ms() - 3 * 3_600_000
        self.echo: Echo | None = None
        self.at: Position | None = None

    async def push(self, batch: Batch | None = None, **more) -> wire.Ack:
        boot_ms = now_ms() - self.boot0
        sent = Reading(b"bootboot", boot_ms, now_ms())
        push = Push(version=1, sent=sent, echo=self.echo, batch=batch, **more)
        ack = await self.service.ingest.push(self.agent, wire.encode_push(push))
        self.echo = Echo(ack.sent_ms, now_ms() - self.boot0)
        return ack

    async def tell(self, history: dict[str, list[tuple[int, int]]], reason: str = "192.0.2.1:443 <refused>") -> None:
        """``history``: by check's name, (ms since the epoch, state), one batch. ``reason``: of what is down."""
        await self.push()
        plan = decode(self.service.inventories.plan(self.agent)[1])
        places = [n for n, check in enumerate(plan.checks) if history.get(check.name)]
        looks = [history[plan.checks[n].name] for n in places]
        base = min(at for each in looks for at, _ in each) - self.boot0
        at = []
        for each in looks:
            times = [moment - self.boot0 - base for moment, _ in each]
            at += [times[0], *(b - a for a, b in itertools.pairwise(times))]
        states = bytes(state for each in looks for _, state in each)
        width = [len(plan.columns[plan.checks[n].kind]) for n in places]
        batch = Batch(
            epoch=7,
            previous=self.at,
            last=len(states),
            plan=plan.digest,
            boot=b"bootboot",
            base=base,
            checks=[places[0], *(b - a for a, b in itertools.pairwise(places))],
            counts=[len(each) for each in looks],
            at=at,
            states=states,
            latency=[1_500 if state == UP else None for state in states],
            values=[None] * sum(w * len(each) for w, each in zip(width, looks, strict=True)),
            reasons=[(n, reason) for n, state in enumerate(states) if state == DOWN][:1],
        )
        assert (await self.push(batch)).verdict == "taken"
        self.at = Position(7, len(states))


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def config_for(tmp_path: Path, **operators) -> CollectorConfig:
    (tmp_path / "inventory").mkdir(exist_ok=True)
    (tmp_path / "inventory" / "all.yaml").write_text(INVENTORY)
    return CollectorConfig(
        state_dir=tmp_path / "state",
        inventory=tmp_path / "inventory",
        agents=AgentsConfig(listen="127.0.0.1:0"),
        operators=OperatorsConfig(listen="127.0.0.1:0", **operators),
    )


class Running:
    """A started service and a session to its operators' listener."""

    def __init__(self, config: CollectorConfig) -> None:
        self.service = CollectorService(config)

    async def __aenter__(self) -> "Running":
        await self.service.start()
        self.session = aiohttp.ClientSession(f"http://127.0.0.1:{self.service.operators_port}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()
        await self.service.stop()

    async def get(self, path: str, **more) -> tuple[int, bytes]:
        async with self.session.get(path, **more) as response:
            return response.status, await response.read()

    async def json(self, path: str, kind: type):
        """The answer, checked to be exactly of the declared type."""
        status, body = await self.get(path)
        assert status == 200, body
        raw = msgspec.json.decode(body)
        told = msgspec.json.decode(body, type=kind)
        assert msgspec.to_builtins(told) == raw
        return told


@pytest.fixture
async def collector(tmp_path):
    async with Running(config_for(tmp_path)) as running:
        yield running


@pytest.fixture
async def told(collector):
    """An hour of one agent: the portal up, 5 minutes down in the middle; mail up and silent for the last half."""
    begin = now_ms() - 3_600_000
    times = [begin + n * STEP for n in range(119)]
    portal = [(at, DOWN if 1_800_000 <= at - begin < 2_100_000 else UP) for at in times]
    mail = [(at, UP) for at in times[:60]]
    collector.begin = begin
    collector.service.store.count_from = 0  # or counters would leave out what was before the store
    await Feeder(collector.service, "so-ttt").tell({"portal": portal, "mail": mail})
    return collector


async def uid_of(running: Running, name: str) -> str:
    checks = await running.json("/api/v1/checks", list[web_schemas.CheckAnswer])
    return next(check.uid for check in checks if check.check == name)


async def test_checks_as_they_are_now(told):
    checks = {c.check: c for c in await told.json("/api/v1/checks", list[web_schemas.CheckAnswer])}
    assert (checks["portal"].state, checks["portal"].latency, checks["portal"].interval) == ("up", 0.0015, 30.0)
    assert abs(checks["portal"].since - (told.begin + 2_085_000)) <= 1
    assert (checks["mail"].state, checks["mail"].reason) == ("unknown", "nothing heard")
    assert (checks["gate"].state, checks["gate"].since, checks["gate"].last_result) == ("unknown", None, None)
    assert [c.check for c in await told.json("/api/v1/checks?agency=so-tc", list[web_schemas.CheckAnswer])] == ["gate"]
    assert [c.check for c in await told.json("/api/v1/checks?state=up", list[web_schemas.CheckAnswer])] == ["portal"]
    one = await told.json(f"/api/v1/checks/{checks['portal'].uid}", web_schemas.CheckAnswer)
    assert one.title == web_schemas.LocalizedText("Cổng", "Portal <&>")


async def test_availability_comes_with_its_bounds_and_its_evidence(told):
    uid = await uid_of(told, "portal")
    begin, end = told.begin, told.begin + 118 * STEP
    path = f"/api/v1/checks/{uid}/availability?from={begin}&to={end}"
    answer = await told.json(path, web_schemas.AvailabilityAnswer)
    # down from the look at 1800 s to the one at 2070 s; edges are halved, bounds hold both gaps, and the drift of an
    # hour (200 ppm) at six ends of what is proven
    assert answer.figure.down == pytest.approx(300.0, abs=0.01)
    assert answer.figure.best == pytest.approx(1 - 300 / 3540, abs=1e-5)
    assert 1 - 334.5 / 3540 <= answer.figure.lower <= 1 - 330 / 3540
    assert 1 - 270 / 3540 <= answer.figure.upper <= 1 - 267 / 3540
    assert answer.figure.coverage == 1
    assert [span.state for span in answer.spans] == ["up", "down", "up"]
    down = answer.spans[1]
    assert (down.looks, down.reason) == (10, "192.0.2.1:443 <refused>")
    assert abs(down.sure_from - (begin + 1_800_000)) <= 1
    assert abs(down.sure_to - (begin + 2_070_000)) <= 1
    assert answer.timeline[0].start == begin
    assert answer.timeline[-1].end == end
    assert all(a.end == b.start for a, b in itertools.pairwise(answer.timeline))


async def test_a_uid_in_a_path_is_the_inventorys_and_else_says_whose(tmp_path):
    """A store of before may hold what agents registered as theirs under anybody's uid."""
    config = config_for(tmp_path)
    of_inventory = next(one for one in load(config.inventory).checks.values() if one.agent == "so-tc")
    config.state_dir.mkdir()
    store = open_store(config.database)
    for agent, uid in (("so-ttt", of_inventory.uid), ("so-ttt", "00aa"), ("so-tc", "00aa"), ("so-tc", "00bb")):
        kept = RegisteredCheck(id=0, agent=agent, uid=uid, name="x", kind="tcp", born=1, ended=None)
        await store.write(lambda tx, kept=kept: tx.checks.save(kept))
    await store.close()
    async with Running(config) as collector:

        async def agent_of(path: str) -> str:
            status, body = await collector.get(f"/api/v1/checks/{path}")
            return msgspec.json.decode(body)["agent"] if status == 200 else f"{status}"

        uid = of_inventory.uid
        paths = (uid, f"{uid}?agent=so-tc", f"{uid}?agent=so-ttt", "00aa", "00aa?agent=so-tc", "00bb", "00bb?agent=x")
        assert [await agent_of(path) for path in paths] == [
            "so-tc", "so-tc", "so-ttt", "400", "so-tc", "so-tc", "404",
        ]  # fmt: skip
        for below in ("availability", "history?measure=latency"):
            status, _ = await collector.get(f"/api/v1/checks/00aa/{below}")
            assert status == 400
            status, _ = await collector.get(f"/api/v1/checks/00aa/{below}{'&' if '?' in below else '?'}agent=so-tc")
            assert status == 200
        _, body = await collector.get("/api/v1/checks")
        assert [one["uid"] for one in msgspec.json.decode(body) if one["agent"] == "so-tc"] == [uid]
        assert sum(one["uid"] == uid for one in msgspec.json.decode(body)) == 1


async def test_an_exclusion_declared_beside_the_running_collector_changes_past_figures(told, tmp_path):
    from collector.queries import exclusions
    from inventory.model.entities import Selector

    uid = await uid_of(told, "portal")
    path = f"/api/v1/checks/{uid}/availability?from={told.begin}&to={told.begin + 118 * STEP}"
    before = await told.json(path, web_schemas.AvailabilityAnswer)
    span = (told.begin + 1_700_000, told.begin + 2_200_000)
    store = told.service.store
    await store.write(lambda tx: exclusions.declare(tx, Selector(checks=("portal",)), *span, "works", "an", 1))
    during = await told.json(path, web_schemas.AvailabilityAnswer)
    assert (during.figure.best, during.figure.excluded, during.figure.down) == (1.0, 500.0, 0.0)
    assert any(segment.state == "excluded" for segment in during.timeline)
    await store.write(lambda tx: exclusions.withdraw(tx, 1, "an", 2))
    assert (await told.json(path, web_schemas.AvailabilityAnswer)).figure == before.figure


async def test_a_goals_calendar_leaves_time_out_of_the_goal_alone(told, tmp_path):
    goal = "{name: {vi: Giờ, en: Hours}, combine: mean, objective: 99%, windows: [rolling-30d], calendar: never}"
    never = "calendars: {never: {name: {vi: Nghỉ, en: Off}, off: {daily: ['00:00-24:00']}}}"
    (tmp_path / "inventory" / "all.yaml").write_text(f"{INVENTORY}  g2: {goal}\n{never}\n")
    assert await told.service.inventories.refresh(), told.service.inventories.problems
    goals = {goal.id: goal for goal in await told.json("/api/v1/goals", list[web_schemas.GoalAnswer])}
    assert goals["g1"].best is not None
    assert (goals["g2"].verdict, goals["g2"].best, goals["g2"].members) == ("no evidence", None, 0)
    checks = {c.check: c for c in await told.json("/api/v1/checks?window=1h", list[web_schemas.CheckAnswer])}
    assert checks["portal"].figure.excluded == 0


async def test_agencies_goals_incidents_agents(told):
    agencies = {a.id: a for a in await told.json("/api/v1/agencies", list[web_schemas.AgencyAnswer])}
    assert (agencies["so-ttt"].up, agencies["so-ttt"].unknown, agencies["so-tc"].unknown) == (1, 1, 1)
    (goal,) = await told.json("/api/v1/goals", list[web_schemas.GoalAnswer])
    assert (goal.id, goal.window, goal.members, goal.objective) == ("g1", "rolling-30d", 3, 0.99)
    assert goal.lower <= goal.best <= goal.upper
    found = await told.json("/api/v1/troubles", web_schemas.ProblemSpansAnswer)
    assert {(t.check, t.state) for t in found.open} == {("mail", "unknown")}  # nobody has looked at the gate yet
    assert [(t.check, t.state, t.reason) for t in found.past] == [("portal", "down", "192.0.2.1:443 <refused>")]
    # nothing else was looked at then, and where the portal stands nobody said
    assert [(t.cause, t.certainty) for t in found.past] == [("not known", "probable")]
    agents = {a.agent: a for a in await told.json("/api/v1/agents", list[web_schemas.AgentAnswer])}
    assert (agents["so-ttt"].results, agents["so-ttt"].checks, agents["so-tc"].last_seen) == (179, 2, None)
    assert not agents["so-ttt"].revoked
    await told.service.registry.revoke("so-ttt", "an", "stolen")
    assert not (await told.json("/api/v1/agents", list[web_schemas.AgentAnswer]))[
        1
    ].revoked  # it never held a certificate


async def test_long_lists_are_paged(told):
    seen, after = [], ""
    while True:
        page = await told.json(f"/api/v1/checks?limit=2{after}", list[web_schemas.CheckAnswer])
        if not page:
            break
        seen += [check.check for check in page]
        after = f"&after={page[-1].uid}"
    assert seen == ["portal", "mail", "gate"] or sorted(seen) == ["gate", "mail", "portal"]
    async with told.session.get("/api/v1/checks?limit=1") as response:
        assert response.headers["X-Total-Count"] == "3"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/v1/checks?limit=-1", 400, "whole number"),
        ("/api/v1/checks?limit=99999999999999999999", 400, "whole number"),
        ("/api/v1/checks?limit=²", 400, "whole number"),
        ("/api/v1/checks?sate=up", 400, "no parameter 'sate'"),
        ("/api/v1/checks?state=UP", 400, "one of up"),
        ("/api/v1/checks?window=forever", 400, "not a duration"),
        ("/api/v1/checks?window=9999d", 400, "ten years"),
        ("/api/v1/checks?window=99999d", 400, "a hundred years"),
        ("/api/v1/checks?after=nothing", 400, "uid"),
        ("/api/v1/checks/0123456789abcdef", 404, "there is no check"),
        ("/api/v1/checks/x/availability", 404, "there is no check"),
        ("/api/v1/checks/{uid}/availability?from=5&to=5", 400, "before"),
        ("/api/v1/checks/{uid}/availability?from=0", 400, "ten years"),
        ("/api/v1/goals?at=99999999999999999", 400, "whole number"),
        ("/api/v1/nothing", 404, "nothing is here"),
        ("/agencies/nobody", 404, "no such agency"),
        ("/static/../api.py", 404, "nothing is here"),
        ("/sd/prometheus?role=other", 400, "one of"),
    ],
)
async def test_what_cannot_be_answered_says_why(told, path, status, words):
    if "{uid}" in path:
        path = path.format(uid=await uid_of(told, "portal"))
    got, body = await told.get(path)
    assert (got, msgspec.json.decode(body, type=web_schemas.ErrorAnswer).error.count(words)) == (status, 1)


async def test_nothing_can_be_written(told):
    for path in ("/", "/api/v1/checks", "/metrics"):
        async with told.session.post(path, data=b"x") as response:
            assert response.status == 405
            assert "read" in (await response.json())["error"]


async def test_the_description_names_every_route_and_every_type(told):
    description = await told.json("/api/v1/openapi.json", dict)
    assert set(description["paths"]) == {
        "/api/v1/checks",
        "/api/v1/checks/{uid}",
        "/api/v1/checks/{uid}/availability",
        "/api/v1/checks/{uid}/history",
        "/api/v1/agencies",
        "/api/v1/backups",
        "/api/v1/goals",
        "/api/v1/incidents",
        "/api/v1/incidents/{key}",
        "/api/v1/incidents/{key}/acknowledge",
        "/api/v1/incidents/{key}/snooze",
        "/api/v1/incidents/{key}/comment",
        "/api/v1/incidents/{key}/close",
        "/api/v1/links",
        "/api/v1/troubles",
        "/api/v1/agents",
        "/api/v1/audit",
    }
    needs = {path: next(iter(one.values()))["x-needs"] for path, one in description["paths"].items()}
    assert (needs["/api/v1/checks"], needs["/api/v1/audit"]) == ("viewer", "admin")
    assert needs["/api/v1/incidents/{key}/close"] == "operator"
    text = msgspec.json.encode(description).decode()
    schemas = description["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", text)) <= set(schemas)
    for name in ("CheckAnswer", "AvailabilityAnswer", "GoalAnswer", "ErrorAnswer"):
        assert schemas[name]["description"]
    checks = description["paths"]["/api/v1/checks"]["get"]
    assert {p["name"] for p in checks["parameters"]} >= {"agency", "state", "window", "limit", "after"}


async def test_metrics_of_the_whole(told):
    await told.service.goal_cache.refresh()
    status, body = await told.get("/metrics")
    assert status == 200
    samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in parse(body.decode()) for s in f.samples}
    who = (("agency", "so-ttt"), ("agent", "so-ttt"), ("check", "portal"), ("kind", "tcp"), ("site", "so-ttt"))
    assert samples["haidang_check_up", who] == 1
    down = samples["haidang_check_seconds_total", tuple(sorted((*who, ("state", "down"))))]
    assert down == pytest.approx(300, abs=0.01)
    assert samples["haidang_goal_objective_ratio", (("goal", "g1"), ("window", "rolling-30d"))] == 0.99
    assert samples["haidang_collector_pushes_total", (("verdict", "taken"),)] == 1
    assert samples["haidang_collector_inventory_checks", ()] == 3
    async with told.session.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}) as r:
        assert r.headers["Content-Type"].startswith("application/openmetrics-text")
        assert (await r.read()).endswith(b"# EOF\n")


async def test_the_page_in_both_languages(told):
    for language, words in (("vi", ["Sở Tài chính", "không rõ", "Cổng"]), ("en", ["Department of Finance", "unknown"])):
        status, body = await told.get(f"/?lang={language}")
        html = body.decode()
        assert status == 200
        assert f'<html lang="{language}">' in html
        assert all(word in html for word in words)
        assert "<script" not in html
        assert "style=" not in html
    assert "Portal &lt;&amp;&gt;" in html
    assert "&lt;refused&gt;" not in html  # it is up again: its reason is gone
    status, body = await told.get("/agencies/so-ttt?lang=en")
    assert status == 200
    assert "Department of Finance" not in body.decode()
    async with told.session.get("/", headers={"Accept-Language": "en-GB,vi;q=0.5"}) as response:
        assert response.headers["Content-Language"] == "en"
        assert "script-src" not in response.headers["Content-Security-Policy"]
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_reasons_are_told_in_vietnamese_beside_the_words_that_came(collector):
    now = now_ms()
    reason = "the newest good backup is 31 hours old, its objective is 24 hours"
    await Feeder(collector.service, "so-ttt").tell({"portal": [(now - 60_000, DOWN)]}, reason)
    vietnamese = "bản sao lưu tốt mới nhất 31 giờ trước, mục tiêu 24 giờ"
    assert vietnamese in (await collector.get("/?lang=vi"))[1].decode()
    assert vietnamese in (await collector.get("/agencies/so-ttt?lang=vi"))[1].decode()
    page = (await collector.get("/?lang=en"))[1].decode()
    assert reason in page
    assert vietnamese not in page
    uid = await uid_of(collector, "portal")
    for path, find in (
        ("/api/v1/checks?", lambda found: next(one for one in found if one["check"] == "portal")),
        (f"/api/v1/checks/{uid}?", lambda found: found),
        (f"/api/v1/checks/{uid}/availability?", lambda found: found["spans"][-1]),
        ("/api/v1/troubles?", lambda found: found["open"][0]),
    ):
        plain, told = [find(msgspec.json.decode((await collector.get(path + lang))[1])) for lang in ("", "lang=vi")]
        assert plain["reason"] == reason
        assert "reason_vi" not in plain
        assert (told["reason"], told["reason_vi"]) == (reason, vietnamese)
        assert (await collector.get(path + "lang=fr"))[0] == 400


async def test_a_broken_edit_keeps_the_last_good_inventory_and_shows_the_mistake(told, tmp_path):
    service, file = told.service, tmp_path / "inventory" / "all.yaml"
    good = service.inventories.plan("so-ttt")
    file.write_text(INVENTORY.replace("interval: 30s", "intervall: 30s"))
    assert await service.inventories.refresh() is False
    assert service.inventories.plan("so-ttt") == good
    page = (await told.get("/?lang=en"))[1].decode()
    assert "the last good one stays in force" in page
    assert "all.yaml:10" in page
    metrics = (await told.get("/metrics"))[1].decode()
    assert re.search(r"^haidang_collector_inventory_mistakes [1-9]", metrics, re.MULTILINE)
    file.write_text(INVENTORY.replace("interval: 30s", "interval: 60s"))
    assert await service.inventories.refresh() is True
    assert service.inventories.plan("so-ttt") != good
    assert "mistakes 0.0" in (await told.get("/metrics"))[1].decode()


async def test_a_broken_inventory_does_no_harm_over_a_restart(tmp_path):
    config = config_for(tmp_path)
    async with Running(config) as running:
        good = running.service.inventories.plan("so-ttt")
    (tmp_path / "inventory" / "all.yaml").write_text("agencies: [")
    async with Running(config) as running:
        assert running.service.inventories.plan("so-ttt") == good
        assert all(check.ended is None for check in running.service.ingest.plans.checks.values())
        assert b"all.yaml" in (await running.get("/"))[1]


async def test_a_check_that_leaves_the_inventory_ends_and_an_agent_gone_ends_all_of_its(told, tmp_path):
    service, file = told.service, tmp_path / "inventory" / "all.yaml"
    kept = INVENTORY[: INVENTORY.index("  so-tc:")] + INVENTORY[INVENTORY.index("goals:") :]
    file.write_text("\n".join(line for line in kept.splitlines() if "mail:" not in line))
    assert await service.inventories.refresh() is True, service.inventories.problems
    ended = {check.name: check.ended for check in service.ingest.plans.checks.values()}
    assert ended["portal"] is None
    assert ended["mail"] is not None
    assert ended["gate"] is not None
    assert service.inventories.plan("so-tc") is None
    names = [c.check for c in await told.json("/api/v1/checks", list[web_schemas.CheckAnswer])]
    assert names == ["portal"]


async def test_restart_shows_what_was_there(tmp_path):
    config = config_for(tmp_path)
    begin = now_ms() - 600_000
    async with Running(config) as running:
        looks = [(begin + n * STEP, UP) for n in range(20)]
        await Feeder(running.service, "so-ttt").tell({"portal": looks})
        uid = await uid_of(running, "portal")
        path = f"/api/v1/checks/{uid}/availability?from={begin}&to={begin + 19 * STEP}"
        before = await running.json(path, web_schemas.AvailabilityAnswer)
        assert before.figure.up > 569
    async with Running(config) as running:
        after = await running.json(path, web_schemas.AvailabilityAnswer)
        assert (after.figure, after.timeline) == (before.figure, before.timeline)


async def test_health_readiness_and_discovery(collector):
    assert await collector.get("/-/healthy") == (200, b"healthy\n")
    assert await collector.get("/-/ready") == (200, b"ready\n")
    collector.service.ready = "stopping"
    assert await collector.get("/-/ready") == (503, b"stopping\n")
    (group,) = await collector.json("/sd/prometheus", list)
    assert group["targets"] == [f"127.0.0.1:{collector.service.operators_port}"]
    assert await collector.json("/sd/prometheus?role=devices", list) == []


async def test_only_who_can_say_who_they_are_may_look(tmp_path):
    operators = {
        "users": (OperatorUser(name="an", password=Secret(hash_password("con đò sang sông"))),),
        "tokens": (OperatorToken(name="prometheus", token=Secret("0123456789abcdefghij")),),
    }
    async with Running(config_for(tmp_path, **operators)) as running:
        for path in (
            "/",
            "/metrics",
            "/api/v1/checks",
            "/static/other.css",
            "/nothing",
            "/incidents",
            "/incidents/links/x",
        ):
            async with running.session.get(path) as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"].startswith("Basic")
        assert (await running.get("/static/haidang.css"))[0] == 200  # the pages behind a mail's links wear it
        assert (await running.get("/links/forged"))[0] == 404
        assert (await running.get("/-/healthy"))[0] == 200
        good = "Basic " + base64.b64encode("an:con đò sang sông".encode()).decode()
        for header, status in [
            (good, 200),
            (good, 200),
            ("Bearer 0123456789abcdefghij", 200),
            ("Bearer 0123456789abcdefghiJ", 401),
            ("Bearer ", 401),
            (good[:-4] + "AAA=", 401),
            ("Basic !!!", 401),
            ("Basic " + "A" * 5000, 401),
            ("Negotiate abc", 401),
        ]:
            got, _ = await running.get("/api/v1/agencies", headers={"Authorization": header})
            assert got == status, header


async def test_ports_in_use_and_a_second_collector_are_said_plainly(tmp_path):
    config = config_for(tmp_path)
    async with Running(config) as running:
        with pytest.raises(CannotStart, match="another collector is running with the state in"):
            await CollectorService(config).start()
        other = msgspec.structs.replace(
            config,
            state_dir=tmp_path / "other",
            operators=OperatorsConfig(listen=f"127.0.0.1:{running.service.operators_port}"),
        )
        with pytest.raises(CannotStart, match=r"port \d+ is in use already: .*operators\.listen"):
            await CollectorService(other).start()
        other = msgspec.structs.replace(
            config,
            state_dir=tmp_path / "third",
            agents=AgentsConfig(listen=f"127.0.0.1:{running.service.listener.port}"),
        )
        with pytest.raises(CannotStart, match=r"port \d+ is in use already: .*agents\.listen"):
            await CollectorService(other).start()


async def test_a_scrape_does_not_stop_the_loop(told):
    """The loop goes on turning while the text is made."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    await told.get("/metrics")
    turning.cancel()
    assert turns > 10


@pytest.mark.real
async def test_prometheus_finds_scrapes_and_answers(told, tmp_path, free_port):
    """A real Prometheus, told only of /sd/prometheus."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("needs prometheus (Debian: prometheus)")
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: any\n  http_sd_configs:\n"
        f"  - url: http://127.0.0.1:{told.service.operators_port}/sd/prometheus\n"
    )
    process = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{free_port}",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{free_port}") as session, asyncio.timeout(60):

            async def query(text: str) -> list[dict]:
                try:
                    async with session.get("/api/v1/query", params={"query": text}) as response:
                        return (await response.json())["data"]["result"] if response.status == 200 else []
                except aiohttp.ClientError:
                    return []

            found: list[dict] = []
            while not found:
                found = await query('haidang_check_seconds_total{check="portal",state="down"}')
                await asyncio.sleep(0.2)  # another process's doing
    finally:
        process.terminate()
        await process.wait()
    assert [(one["metric"]["agency"], one["metric"]["job"]) for one in found] == [("so-ttt", "haidang")]
    assert float(found[0]["value"][1]) == pytest.approx(300, abs=0.01)
