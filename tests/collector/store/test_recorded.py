"""Stores that the code before wrote are read: what they say is what was recorded when they were written."""

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alerts.channels.outbox import OutgoingMail
from collector.ingest.ingest import Ingest
from collector.queries import availability
from collector.queries.reader import LedgerReader
from collector.store.sqlite.store import SqliteStore
from inventory.assembly import load
from inventory.protocol.states import NAMES
from tests.support.clock import FakeClock
from tests.support.evaluator_world import EvaluatorWorld, FixedInventory
from tests.support.paths import ROOT

RECORDED = ROOT / "tests" / "data" / "recorded" / "v1" / "store"
MANIFEST = json.loads((RECORDED / "manifest.json").read_text("utf-8"))
ALL = MANIFEST["all"]
MAIL_FIELDS = ("contact", "address", "kind", "severity", "incidents", "made", "subject", "thread", "roots")


def unpack(folder: Path, label: str) -> FakeClock:
    """A recorded store into ``folder``, and the clock as it was when the store was left."""
    for name in MANIFEST["files"][label]["files"]:
        plain_name = name.replace(label, "collector").removesuffix(".gz")
        (folder / plain_name).write_bytes(gzip.decompress((RECORDED / name).read_bytes()))
    moment = MANIFEST["clock"]
    return FakeClock(moment["wall_ms"], boot=moment["boot_ms"], boot_id=bytes.fromhex(moment["boot"]))


class RecordedCollector:
    """A collector over a recorded store, at the moment at which it was left."""

    def __init__(self, folder: Path, label: str) -> None:
        self.expected = {**ALL, **MANIFEST["files"][label]}
        clock = unpack(folder, label)
        inventory = folder / "inventory"
        inventory.mkdir()
        (inventory / "all.yaml").write_bytes((RECORDED / "inventory.yaml").read_bytes())
        self.store = SqliteStore.open(folder / "collector.db")
        self.as_found = self.store.database.read_now(_as_found)
        self.ingest = Ingest(self.store, clock)
        self.reader = LedgerReader(self.store, self.ingest.fleet, FixedInventory(load.load(inventory)), clock.wall_ms)


@pytest.fixture(params=sorted(MANIFEST["files"]))
async def collector(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RecordedCollector]:
    collector = RecordedCollector(tmp_path, request.param)
    await collector.ingest.start()
    yield collector
    await collector.ingest.stop()
    await collector.store.close()


def _as_found(db: Any) -> dict[str, Any]:
    """The tables before anything is written."""
    last_run = "SELECT stopped FROM collector_life ORDER BY id DESC LIMIT 1"
    tables = [name for name in MANIFEST["files"]["clean"]["rows"] if name not in NOT_TABLES]
    return {
        "integrity": db.execute("PRAGMA integrity_check").get,
        "stopped": db.execute(last_run).get,
        "rows": {
            **{table: db.execute(f"SELECT count(*) FROM {table}").get for table in tables},
            "replay_after": db.execute("SELECT after FROM replay").get,
            "last_batch": db.execute("SELECT max(id) FROM batches").get,
            "checkpoints": dict(db.execute("SELECT agent, batch FROM streams").fetchall()),
        },
    }


NOT_TABLES = ("replay_after", "last_batch", "checkpoints")


def plain(value: Any) -> Any:
    """As the manifest has it: structs by the names of their fields as stored, bytes in hex."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        return {stored: plain(getattr(value, name)) for name, stored in names}
    return value


async def test_the_file_is_whole_and_nothing_of_it_is_lost(collector: RecordedCollector) -> None:
    assert collector.as_found == {name: collector.expected[name] for name in ("integrity", "stopped", "rows")}
    assert (collector.store.incarnation, collector.store.count_from) == (ALL["incarnation"], ALL["count_from"])


async def test_watermarks_and_what_is_known_of_agents(collector: RecordedCollector) -> None:
    agents = collector.ingest.fleet.agents
    assert {name: plain(state.watermark) for name, state in agents.items()} == ALL["watermarks"]
    fields = ("results", "unplaceable", "dead", "contact", "started", "stopped", "about")
    assert {name: {field: plain(getattr(state, field)) for field in fields} for name, state in agents.items()} == ALL[
        "agents"
    ]


async def test_figures(collector: RecordedCollector) -> None:
    entries = collector.reader.all_checks()
    windows = ALL["windows"]
    figures = await availability.figures(collector.reader, entries, [tuple(window) for window in windows.values()])
    for entry in entries:
        for name, figure in zip(windows, figures[entry.row], strict=True):
            expected = ALL["figures"][entry.name][name]
            assert {field: getattr(figure, field) for field in expected} == expected, (entry.name, name)
    assert {entry.name for entry in entries} == set(ALL["figures"])


async def test_counters_and_history(collector: RecordedCollector) -> None:
    entries = collector.reader.all_checks()
    tails = {entry.name: collector.ingest.fleet.tail(collector.reader.registered(entry)) for entry in entries}
    counters = {
        name: dict(zip(NAMES, (ms / 1000 for ms in tail.settled), strict=True))
        for name, tail in tails.items()
        if tail is not None
    }
    assert counters == ALL["counters"]
    spans = await availability.spans_since(collector.reader, entries, MANIFEST["clock"]["begin_ms"])
    fields = ("state", "start", "end", "sure_from", "sure_to", "error_from", "error_to", "looks", "reason")
    assert {
        entry.name: [{field: getattr(span, field) for field in fields} for span in spans[entry.row]]
        for entry in entries
    } == ALL["history"]


async def test_sums(collector: RecordedCollector) -> None:
    for entry in collector.reader.all_checks():
        if entry.name in collector.expected["sums"]:
            stream = collector.ingest.fleet.agents[entry.agent].stream
            sums = collector.store.read_now(
                lambda tx, stream=stream, row=entry.row: tx.sums.of_check(stream, row, 0, 2**62, 300_000)
            )
            assert [plain(one) for one in sums] == collector.expected["sums"][entry.name]


async def test_events_dead_letters_and_exclusions(collector: RecordedCollector) -> None:
    events, letters, exclusions = await collector.store.read(
        lambda tx: (tx.events.newest(), tx.dead_letters.newest(), tx.exclusions.in_force())
    )
    assert [plain(event) for event in reversed(events)] == ALL["events"]
    assert [plain(letter) for letter in reversed(letters)] == ALL["dead_letters"]
    assert [plain(one) for one in exclusions] == ALL["exclusions"]


async def test_incidents(collector: RecordedCollector) -> None:
    opened, closed = await collector.store.read(lambda tx: (tx.incidents.open(), tx.incidents.closed(100)))
    incidents = sorted((*opened, *closed), key=lambda one: (one.opened, one.key))
    assert [plain(one) for one in incidents] == ALL["incidents"]
    assert [one.key for one in opened] == sorted(one["key"] for one in ALL["incidents"] if one["closed"] is None)


async def test_the_outbox(collector: RecordedCollector) -> None:
    sql = "SELECT ident, state, next, tries, done, way, body FROM outbox ORDER BY id"
    rows = collector.store.database.read_now(lambda db: db.execute(sql).fetchall())
    columns = ("ident", "state", "next", "tries", "done", "way")
    mails = [
        dict(zip(columns, columns_of, strict=True))
        | {field: plain(getattr(msgspec.msgpack.decode(body, type=OutgoingMail), field)) for field in MAIL_FIELDS}
        for *columns_of, body in rows
    ]
    assert mails == ALL["outbox"]
    waiting = [one for one in ALL["outbox"] if one["state"] == "waiting"]
    due = await collector.store.read(lambda tx: tx.outbox.due(2**60, 100))
    assert [(one.ident, one.subject) for one in due] == [(one["ident"], one["subject"]) for one in waiting]


async def test_a_second_start_says_the_same(collector: RecordedCollector) -> None:
    await collector.ingest.stop()
    again = Ingest(collector.store, collector.ingest.clock)
    await again.start()
    assert {name: plain(state.watermark) for name, state in again.fleet.agents.items()} == ALL["watermarks"]
    await again.stop()


@pytest.mark.parametrize("label", sorted(MANIFEST["files"]))
async def test_the_evaluator_takes_up_where_it_was_and_says_nothing_twice(label: str, tmp_path: Path) -> None:
    world = EvaluatorWorld(tmp_path, (RECORDED / "inventory.yaml").read_text("utf-8"))
    world.clock = unpack(tmp_path, label)
    await world._open()
    opened = {one["key"] for one in ALL["incidents"] if one["closed"] is None}
    assert set(world.evaluator.incidents.open) == opened
    await world.evaluator.evaluate()
    assert set(world.evaluator.incidents.open) == opened
    waiting = [one["ident"] for one in ALL["outbox"] if one["state"] == "waiting"]
    assert [one.ident for one in await world.outbox.due(2**60, 100)] == waiting
    await world.stop()
