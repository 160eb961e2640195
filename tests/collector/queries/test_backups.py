"""A backup as one: states combined, at the API, on the page, in metrics and in a goal, by a whole collector."""

import asyncio
import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from collector.config import AgentsConfig, CollectorConfig, OperatorsConfig
from collector.metrics import exposition
from collector.queries import backups
from collector.queries.goals import evaluations
from collector.services.state_metrics import backup_samples
from collector.web.api import schemas
from collector.web.api.backups import BackupAnswer
from collector.web.api.history import HistoryAnswer
from collector.web.backup_lines import size
from inventory.base.types import Text
from inventory.model.entities import Backup
from inventory.protocol import kinds
from inventory.protocol.plan import decode
from inventory.protocol.states import DEGRADED, DOWN, NO_STATUS_YET, UNKNOWN, UP
from inventory.protocol.wire import Batch, Position
from tests.collector.web.test_api import Feeder, Running, now_ms
from tests.support.pruning import prune_all

INVENTORY = """\
province: {id: p, name: P, push_every: 5s}
agencies:
  office:
    name: {vi: Cơ quan, en: Office}
    backups:
      db:
        name: {vi: Cơ sở dữ liệu, en: Database}
        rpo: 14h
        interval: 5m
        evidence:
          pings: {params: {cron: "0 23 * * *"}}
          files: {params: {path: /srv/db}}
          drill: {}
      far: {rpo: 50h, interval: 5m, evidence: {repository: {params: {evidence: restic, path: /srv/far}}}}
goals:
  g6: {name: G6, objective: 50%, select: {tags: [backup]}, per: backup, combine: mean, windows: [day, rolling-1d]}
"""
KINDS = kinds.load()
EVERY = 300_000
Look = tuple[int, int, str, dict[str, float]]


class Backups(Feeder):
    """Tells looks with their measures."""

    async def looks(self, history: dict[str, list[Look]]) -> None:
        await self.push()
        plan = decode(self.service.inventories.plan(self.agent)[1])
        places = [n for n, check in enumerate(plan.checks) if history.get(check.name)]
        each = [history[plan.checks[n].name] for n in places]
        base = min(look[0] for looks in each for look in looks) - self.boot0
        at, values = [], []
        for place, looks in zip(places, each, strict=True):
            times = [moment - self.boot0 - base for moment, *_ in looks]
            at += [times[0], *(b - a for a, b in itertools.pairwise(times))]
            columns = plan.columns[plan.checks[place].kind]
            for *_, known in looks:
                assert known.keys() <= {column.name for column in columns}
                values += [round(known[c.name] * c.per) if c.name in known else None for c in columns]
        every = [look for looks in each for look in looks]
        batch = Batch(
            epoch=7,
            previous=self.at,
            last=len(every),
            plan=plan.digest,
            boot=b"bootboot",
            base=base,
            checks=[places[0], *(b - a for a, b in itertools.pairwise(places))],
            counts=[len(looks) for looks in each],
            at=at,
            states=bytes(look[1] for look in every),
            latency=[None] * len(every),
            values=values,
            reasons=[(n, look[2]) for n, look in enumerate(every) if look[2]],
        )
        assert (await self.push(batch)).verdict == "taken"
        self.at = Position(7, len(every))


@pytest.fixture
async def collector(tmp_path: Path):
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "all.yaml").write_text(INVENTORY, "utf-8")
    config = CollectorConfig(
        state_dir=tmp_path / "state",
        inventory=tmp_path / "inventory",
        agents=AgentsConfig(listen="127.0.0.1:0"),
        operators=OperatorsConfig(listen="127.0.0.1:0"),
    )
    async with Running(config) as running:
        yield running


@pytest.fixture
async def told(collector):
    """Two hours: the database's job fails half-way, its files grow, no drill was ever tried; the far copy is locked."""
    end = now_ms() - 1000
    times = [end - (23 - n) * EVERY for n in range(24)]
    ages = {"last_success_timestamp_seconds": 1.79e9, "rpo_met": 1}
    collector.times = times
    await Backups(collector.service, "office").looks(
        {
            "db-pings": [
                (
                    at,
                    DOWN if n >= 12 else UP,
                    "it failed with exit code 3" if n >= 12 else "",
                    {**ages, "age_seconds": 60},
                )
                for n, at in enumerate(times)
            ],
            "db-files": [
                (at, UP, "", {**ages, "age_seconds": 3600 + n * 300, "size_bytes": 1000 + n, "copies": 7})
                for n, at in enumerate(times)
            ],
            "db-drill": [(at, UNKNOWN, "no restore was tried yet; one is wanted every 92d", {}) for at in times],
            "far-repository": [
                (at, DEGRADED, "a lock was left behind", {**ages, "age_seconds": 100, "copies": 2}) for at in times
            ],
        }
    )
    await collector.service.ingest.committer.save_all()
    return collector


async def listed(running: Running, query: str = "") -> dict[str, BackupAnswer]:
    return {one.id: one for one in await running.json(f"/api/v1/backups{query}", list[BackupAnswer])}


@pytest.mark.parametrize(
    ("states", "together"),
    [
        ([UP, UP], UP),
        ([UP, DEGRADED], DEGRADED),
        ([UNKNOWN, DEGRADED, UP], UNKNOWN),
        ([UNKNOWN, DEGRADED, DOWN, UP], DOWN),
        ([], UNKNOWN),
    ],
)
def test_all_of_the_evidence_has_to_hold(states: list[int], together: int) -> None:
    assert backups.combined_state(states) == together


async def test_one_state_with_its_reasons(told) -> None:
    found = await listed(told)
    db, far = found["office-db"], found["office-far"]
    assert (db.state, db.reason) == ("down", "pings: it failed with exit code 3")
    assert db.since is not None and abs(db.since - (told.times[12] + told.times[11]) // 2) <= EVERY // 2
    assert [(one.evidence, one.kind, one.state) for one in db.evidence] == [
        ("pings", "job", "down"), ("files", "backup", "up"), ("drill", "drill", "unknown"),
    ]  # fmt: skip
    assert (db.name, db.rpo, db.rpo_met) == (schemas.LocalizedText("Cơ sở dữ liệu", "Database"), 14 * 3600, True)
    assert db.age == pytest.approx(3600 + 23 * 300, abs=10), "of the copies, not of the job's word"
    assert (db.size, db.last_success, db.last_restore) == (1023, 1.79e9, None)
    # half of the time it was down; before that the drill's evidence is missing, so it was never proven up
    assert db.figure.down == pytest.approx(3600, rel=0.1)
    assert (db.figure.up, db.figure.lower) == (0, 0)
    assert (far.state, far.reason) == ("degraded", "repository: a lock was left behind")
    assert far.since is not None and abs(far.since - told.times[0]) <= 1, "nobody looked before, so it began there"
    assert far.figure.degraded == pytest.approx(23 * 300, rel=0.1)
    assert set(await listed(told, "?state=degraded")) == {"office-far"}
    assert await listed(told, "?agency=nobody") == {}
    status, _ = await told.get("/api/v1/backups?sort=age")
    assert status == 400


async def test_reasons_in_vietnamese_too_when_they_are_asked_for(told) -> None:
    plain, db = [(await listed(told, query))["office-db"] for query in ("", "?lang=vi")]
    assert (plain.reason_vi, plain.evidence[0].reason_vi) == (msgspec.UNSET, msgspec.UNSET)
    assert db.reason == plain.reason
    assert db.reason_vi == "tác vụ: thất bại với mã thoát 3"
    assert db.evidence[0].reason_vi == "thất bại với mã thoát 3"


def test_the_age_is_that_of_the_copies_and_of_the_worst_of_them() -> None:
    def oldest(**ages: float) -> tuple[str, float | None] | None:
        seen = msgspec.structs.replace(NO_STATUS_YET, state=UP, last_look=1000, reason="")
        evidence = [
            backups.BackupEvidence(name, None, seen, {"age_seconds": age} | ({} if name == "pings" else {"copies": 1}))
            for name, age in ages.items()
        ]
        backup = Backup(id="b", key="b", name=Text("", "b"), agency="a", site="a")
        found = backups.BackupStatus(backup, UP, evidence).oldest(3000)
        return None if found is None else (found.name, found.age(3000))

    assert oldest(pings=9000, files=100, repository=500) == ("repository", 502)
    assert oldest(pings=9000) == ("pings", 9002)
    assert oldest() is None


@pytest.mark.parametrize(
    ("evidence", "met"),
    [
        ([(UP, 1)], True),
        ([(UP, 1), (UNKNOWN, None)], True),  # a drill says nothing of it
        ([(UP, 1), (UNKNOWN, 1)], None),
        ([(DOWN, 0), (UNKNOWN, 1)], False),
        ([(UNKNOWN, 0), (UP, 1)], None),
        ([(UP, None)], None),
        ([], None),
    ],
)
def test_whether_the_objective_is_met(evidence: list[tuple[int, int | None]], met: bool | None) -> None:
    seen = [
        backups.BackupEvidence(
            "e", None, msgspec.structs.replace(NO_STATUS_YET, state=state), {} if value is None else {"rpo_met": value}
        )
        for state, value in evidence
    ]
    backup = Backup(id="b", key="b", name=Text("", "b"), agency="a", site="a")
    assert backups.BackupStatus(backup, UP, seen).rpo_met is met


async def test_before_any_look_nothing_is_known(collector) -> None:
    found = await listed(collector)
    assert {(one.state, one.age, one.rpo_met) for one in found.values()} == {("unknown", None, None)}
    assert found["office-far"].reason == "repository: no look yet"


async def test_an_age_goes_on_while_nothing_is_heard(told) -> None:
    reader = told.service.reader
    later = now_ms() + 3_600_000
    whole = {one.backup.id: one for one in backups.backup_statuses(reader, later)}["office-db"]
    assert whole.state == UNKNOWN
    assert {why for _, why in whole.reasons} == {"nothing heard", "no restore was tried yet; one is wanted every 92d"}
    assert whole.oldest(later).age(later) == pytest.approx(3600 + 23 * 300 + 3600, abs=10)
    assert whole.rpo_met is None


async def test_the_goal_counts_the_whole_and_names_the_evidence_that_is_missing(told) -> None:
    evaluation = next(one for one in await evaluations(told.service.reader) if one.window.name == "rolling-1d")
    assert evaluation.members == 2
    assert evaluation.verdict == "not proven"
    names = {missing.member: missing.name.en for missing in evaluation.missing}
    assert names["office-db"] == "Database: restore drill"
    assert "Database: restore drill" in evaluation.sentence()


async def test_metrics_of_the_whole_and_of_its_evidence(told) -> None:
    _, body = await told.get("/metrics")
    families = {family.name: family.samples for family in parse(body.decode())}
    assert {(s.labels["backup"], s.value) for s in families["haidang_backup_up"]} == {
        ("office-db", 0), ("office-far", 1),
    }  # fmt: skip
    ages = {(s.labels["backup"], s.labels["kind"]): s.value for s in families["haidang_backup_age_seconds"]}
    assert ages == {("office-db", "job"): 60, ("office-db", "backup"): 10500, ("office-far", "backup"): 100}
    assert "haidang_backup_restore_age_seconds" not in families


@pytest.mark.real
async def test_promtool_finds_nothing_wrong(told) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    _, body = await told.get("/metrics")
    assert b"haidang_backup_up" in body
    run = subprocess.run
    checked = await asyncio.to_thread(run, [promtool, "check", "metrics"], input=body, capture_output=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_what_is_not_known_has_no_sample() -> None:
    assert "".join(exposition.text([backup_samples([])], False)) == ""


async def test_the_history_of_sizes(told) -> None:
    uid = next(one.uid for one in (await listed(told))["office-db"].evidence if one.evidence == "files")
    path = f"/api/v1/checks/{uid}/history?measure=size_bytes"
    fine = await told.json(path, HistoryAnswer)
    assert [point.mean for point in fine.points] == list(range(1000, 1024))
    assert {point.width for point in fine.points} == {EVERY}
    for point, at in zip(fine.points, told.times, strict=True):
        assert abs(point.start - (at - at % EVERY)) <= EVERY
    month = f"{path}&from={now_ms() - 30 * 86_400_000}"
    hours = await told.json(month, HistoryAnswer)
    assert sum(point.looks for point in hours.points) == 24
    assert {point.width for point in hours.points} == {3_600_000}
    assert (min(p.least for p in hours.points), max(p.most for p in hours.points)) == (1000, 1023)
    ages = await told.json(path.replace("size_bytes", "age_seconds"), HistoryAnswer)
    assert [(p.least, p.mean, p.most) for p in ages.points][:2] == [(3600, 3600, 3600), (3900, 3900, 3900)]
    assert (await told.json(f"{path}&to={told.times[0] - 3_600_000}", HistoryAnswer)).points == []
    assert (await told.json(f"/api/v1/checks/{uid}/history", HistoryAnswer)).points == [], "it has no latency"
    status, body = await told.get(f"/api/v1/checks/{uid}/history?measure=smoke")
    assert status == 400 and b"does not measure 'smoke'; it has: age_seconds" in body


async def test_the_history_is_the_same_once_it_is_added_up_by_the_hour(told) -> None:
    service: Any = told.service
    uid = next(one.uid for one in (await listed(told))["office-db"].evidence if one.evidence == "files")
    path = f"/api/v1/checks/{uid}/history?measure=size_bytes&from={now_ms() - 30 * 86_400_000}"
    before = await told.json(path, HistoryAnswer)
    await prune_all(service.store, now_ms() + 12 * 3_600_000)
    hourly = "SELECT count(*) FROM sums WHERE width = 3600000"
    assert (await service.store.database.read(lambda db: db.execute(hourly).fetchone()))[0]
    assert await told.json(path, HistoryAnswer) == before


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("vi", ["Sao lưu", "Cơ sở dữ liệu", "tác vụ: ", "1023 B", "chưa bao giờ"]),
        ("en", ["Backups", "Database", "pings: it failed with exit code 3", "repository: a lock was left behind"]),
    ],
)
async def test_a_line_on_the_page(told, language: str, words: list[str]) -> None:
    for path in ("/", "/agencies/office"):
        status, body = await told.get(f"{path}?lang={language}")
        html = body.decode()
        assert status == 200
        assert [word for word in words if word not in html] == []
    # the one that is down stands first
    assert html.rindex("Database" if language == "en" else "Cơ sở dữ liệu") < html.rindex(">far")


@pytest.mark.parametrize(
    ("count", "language", "text"),
    [
        (None, "en", ""),
        (0, "en", "0 B"),
        (1023, "en", "1023 B"),
        (1536, "en", "1.5 KiB"),
        (1536, "vi", "1,5 KiB"),
        (200 << 30, "en", "200 GiB"),
        (3 << 60, "en", "3072 PiB"),
    ],
)
def test_sizes_in_words(count: float | None, language: str, text: str) -> None:
    assert size(count, language) == text
