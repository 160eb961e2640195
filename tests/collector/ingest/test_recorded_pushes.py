"""Every push that an agent of wire version 1 made is taken as the collector of then took it, and is in the ledger."""

import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from collector.ingest.ingest import Ingest
from collector.store.sqlite.store import SqliteStore
from inventory.protocol import plan as plans
from inventory.protocol import states, wire
from inventory.protocol.wire import Batch, Position
from tests.support.ingest_world import collector_clock
from tests.support.recorded import Exchange, exchanges, results

AGENT = "so-ttt"
EVERY = exchanges()
PUSHES = [one for one in EVERY if one.path == "/v1/push"]
PLANS = {
    one.entry["plan"]["digest"]: plans.decode(one.response) for one in EVERY if one.response and "plan" in one.entry
}


def rows(batch: Batch) -> list[tuple[str, int, str, int | None, dict[str, int], object]]:
    """A batch's results as the manifest lists them."""
    plan = PLANS[batch.plan.hex()]
    reasons, found = dict(batch.reasons), []
    begin = value = 0
    for place, count in zip(batch.places(), batch.counts, strict=True):
        check, moment = plan.checks[place], batch.base
        names = [column.name for column in plan.columns.get(check.kind, ())]
        for i in range(begin, begin + count):
            moment += batch.at[i]
            seen = dict(zip(names, batch.values[value : value + len(names)], strict=True))
            value += len(names)
            measures = {name: number for name, number in seen.items() if number is not None}
            found.append(
                (check.name, moment, states.NAMES[batch.states[i]], batch.latency[i], measures, reasons.get(i, ""))
            )
        begin += count
    return found


@pytest.mark.parametrize("one", PUSHES, ids=repr)
def test_it_decodes_to_what_it_holds(one: Exchange):
    push = wire.decode_push(one.request)
    assert push.version == 1
    expected = results(one, EVERY)
    found = rows(push.batch) if push.batch is not None else []
    assert [[*row] for row in found] == expected
    again = wire.decode_push(wire.encode_push(push))
    assert again == push


class Replay:
    """A collector with a new store that hears the whole story again."""

    def __init__(self, path: Path) -> None:
        self.path = path / "collector.db"
        self.copy = path / "copy.db"
        self.clock = collector_clock()
        self.store: SqliteStore
        self.ingest: Ingest

    async def start(self) -> None:
        self.store = SqliteStore.open(self.path)
        self.ingest = Ingest(self.store, self.clock)
        await self.ingest.start()

    async def stop(self) -> None:
        await self.ingest.stop()
        await self.store.close()

    async def serve(self, one: Exchange) -> None:
        assert one.response is not None
        await self.ingest.serve_plan(AGENT, one.response)

    async def hear(self, one: Exchange) -> wire.Ack:
        assert one.ack is not None
        self.clock.advance(one.ack["received_ms"] - self.clock.wall_ms())
        return await self.ingest.push(AGENT, one.request)


async def test_the_whole_story_comes_out_as_it_did(tmp_path: Path):
    replay = Replay(tmp_path)
    await replay.start()
    put_back = next(one for one in PUSHES if one.ack is not None and one.ack["verdict"] == "reposition")
    taken: list[Exchange] = []
    copied_at = 0
    for one in EVERY:
        if one.path == "/v1/plan":
            if one.response:
                await replay.serve(one)
            continue
        if one not in PUSHES:
            continue
        if one.ack is None:
            # 503: it could not be stored; but for one of which only the answer was lost
            following = EVERY[one.number + 1].ack
            if following is None or following["verdict"] != "repeat":
                continue
            assert (await replay.ingest.push(AGENT, one.request)).verdict == "taken"
            taken.append(one)
            continue
        if one is put_back:
            await replay.stop()
            for file in tmp_path.glob("collector.db*"):
                file.unlink()
            shutil.copy(replay.copy, replay.path)
            await replay.start()
            taken = [each for each in taken if each.number <= copied_at]
        ack = await replay.hear(one)
        assert ack.verdict == one.ack["verdict"], one
        mark = one.ack["watermark"]
        assert ack.watermark == (Position(mark["epoch"], mark["seq"]) if mark else None), one
        assert not ack.want  # it was served, so it is known, whatever the collector of then asked for
        if ack.verdict == "taken":
            taken.append(one)
        assert put_back.ack is not None
        if one.number < put_back.number and mark == put_back.ack["watermark"]:
            await replay.stop()
            shutil.copy(replay.path, replay.copy)
            await replay.start()
            copied_at = one.number
    state = replay.ingest.fleet.agents[AGENT]
    names = {row: name for name, row in _rows_by_name(replay).items()}
    said, looks = defaultdict(set), defaultdict(dict)  # looks by their time: those that came twice count once
    for one in taken:
        batch = wire.decode_push(one.request).batch
        assert batch is not None
        for name, moment, word, _, _, reason in results(one, EVERY):
            said[name].add((word, reason))
            looks[name][batch.boot, moment] = 1
        for run in batch.runs:
            name = PLANS[batch.plan.hex()].checks[run.check].name
            said[name].add((states.NAMES[run.state], run.reason))
            looks[name][batch.boot, run.first] = run.count
    spans = await replay.store.database.read(
        lambda db: db.execute("SELECT check_id, state, looks, reason FROM spans").fetchall()
    )
    held, counted = defaultdict(set), defaultdict(int)
    for row, code, count, reason in [
        *spans,
        *((row, tail.state, tail.looks, tail.reason) for row, tail in state.ledger.tails.items()),
    ]:
        if reason and reason != "agent stopped":
            held[names[row]].add((states.NAMES[code], reason))
        if reason != "agent stopped":
            counted[names[row]] += count
    await replay.stop()
    assert set(counted) == set(looks)
    # each of the agent's stops is a look more of a check that was not known anyway
    stops = {"dien": 3}
    assert counted == {name: sum(each.values()) + stops.get(name, 0) for name, each in looks.items()}
    for name, pairs in held.items():
        assert pairs <= said[name]
        assert any(reason.endswith(("refused the connection", "expected NOERROR")) or reason for _, reason in pairs)


def _rows_by_name(replay: Replay) -> dict[str, int]:
    found = {}
    for digest, plan in PLANS.items():
        compiled = replay.ingest.plans.compiled_plan(AGENT, bytes.fromhex(digest))
        assert compiled is not None
        found.update({check.name: row for check, row in zip(plan.checks, compiled.rows, strict=True)})
    return found
