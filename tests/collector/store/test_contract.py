"""The contract that every store keeps, run through every method of every repository.

Another store is one more entry in ``STORES``.
"""

import ast
import asyncio
import hashlib
import inspect
import json
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest

from alerts.incident.entities import Incident
from collector.ledger.state_step import Span
from collector.store import cells
from collector.store.cells import FIVE_MINUTES, HOUR
from collector.store.errors import StoreError
from collector.store.interfaces.store import Store, Transaction
from collector.store.records import (
    AddedDeadLetter,
    AddedEvent,
    AgentMachine,
    AuditFilter,
    AuditHead,
    DeferredBatch,
    EnrolmentCode,
    EvaluatorCursor,
    IssuedCertificate,
    KeptMachine,
    PlacedBatch,
    PowerCounter,
    QuarantinedAgent,
    RegisteredCertificate,
    RegisteredCheck,
    Revocation,
    SavedCheckpoint,
    StoredBatch,
    StoredSession,
    StoredSums,
)
from collector.store.sqlite.store import SqliteStore
from inventory.model.entities import Selector
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP
from tests.support.outboxes import outgoing_mail

STORES: dict[str, Callable[[Path], Store]] = {"sqlite": lambda folder: SqliteStore.open(folder / "collector.db")}

WHOLE = (0, 2**60)


class OpenedStore:
    """A store that can be opened again; ``do`` is one unit of work of its own."""

    def __init__(self, folder: Path, implementation: str) -> None:
        self._open = lambda: STORES[implementation](folder)
        self.store = self._open()

    async def do(self, work: Callable[[Transaction], Any]) -> Any:
        return await self.store.write(work)

    async def see(self, work: Callable[[Transaction], Any]) -> Any:
        return await self.store.read(work)

    async def reopen(self) -> None:
        await self.store.close()
        self.store = self._open()


@pytest.fixture(params=sorted(STORES))
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenedStore]:
    opened = OpenedStore(tmp_path, request.param)
    yield opened
    await opened.store.close()


def batch(number: int, **fields: Any) -> StoredBatch:
    made = StoredBatch(number, 1, 1_000 * number, True, 7, 10 * number, 10 * number + 9, b"placed", b"push %d" % number)
    return made._replace(**fields)


def span(state: int, start: int, end: int, reason: str = "") -> Span:
    return Span(state, start, end, start + 1, end - 1, 2, 3, 4, reason)


def sums(check: int, start: int, value: int, *, stream: int = 1, width: int = FIVE_MINUTES) -> StoredSums:
    cell = cells.empty(1)
    cells.put(cell, 0, 1, value, value, value)
    return StoredSums(stream, start, width, b"plan", cells.encode({check: cell}))


def event(at: int, kind: str = "agent start", *, agent: str = "a", finding: bool = True) -> AddedEvent:
    return AddedEvent(at, agent, None, kind, {"at": at}, finding)


def check(uid: str, **fields: Any) -> RegisteredCheck:
    defaults = {"id": 0, "agent": "a", "name": f"a/{uid}", "kind": "icmp", "born": None, "ended": None}
    return RegisteredCheck(uid=uid, **{**defaults, **fields})


def incident(key: str, opened: int, closed: int | None = None, **fields: Any) -> Incident:
    cause = {"root": "wan:so", "cause": "wan", "certainty": "sure"}
    kept = {"key": key, "cause": cause, "severity": "critical", "opened": opened, "noticed": opened, "members": {}}
    return msgspec.convert({**kept, "closed": closed, **fields}, Incident)


def fill(tx: Transaction) -> None:
    """Something into every repository."""
    stream = tx.checkpoints.stream("a")
    tx.batches.add([batch(1, stream=stream), batch(2, stream=stream, placing=None)])
    tx.batches.defer([DeferredBatch(2, b"boot", 5)])
    tx.checkpoints.save([SavedCheckpoint(stream, 1, 9, b"state")])
    tx.checkpoints.set_replay_after(1)
    tx.spans.add([(1, span(UP, 0, 10)), (1, span(DOWN, 10, 20, "no answer"))])
    tx.sums.add([sums(1, 0, 5)])
    tx.events.add([event(1)])
    tx.dead_letters.add([AddedDeadLetter(1, "a", "no push", 3, b"GET")])
    tx.quarantine.put([QuarantinedAgent("b", 1, "commit", "why", 0)])
    tx.plans.add(b"digest", "a", b"{}", 1)
    tx.checks.save(check("u", born=1))
    tx.incidents.put([incident("i1", 1), incident("i2", 1, 2)])
    tx.cursor.save(EvaluatorCursor(1, 1, 2, b"book"))
    tx.outbox.put([outgoing_mail("m1")])
    tx.unsubscribed.add("an", 1)
    tx.circuits.add({("l", "p", "wan"): 7}, {"l": 9})
    tx.power.put({"so": PowerCounter(5, (1, 2, 3, 4))}, "incarnation")
    tx.codes.add(EnrolmentCode(b"hash", "a", 1, 2))
    tx.certificates.add(IssuedCertificate("ff", "a", 1, 2, "enrolled"))
    tx.revocations.add(Revocation("a", "fe", 1, "an", "lost"))
    tx.kept_machines.put(KeptMachine("a", "ff", AgentMachine("b", "s", "pc", "192.0.2.1", "ff", 1, 2), (), 3, "an"))
    tx.audit.add(1, "an", "code", {"agent": "a"})
    tx.sessions.add(StoredSession(b"session", "an", b"mark", 1, 2))
    tx.exclusions.add(Selector(checks=("u",)), 1, 2, "works", "an", 3)
    tx.life.begin(b"boot", 1, 2, True)


def everything(tx: Transaction) -> dict[str, Any]:
    """What the repositories have."""
    return {
        "batches": tx.batches.after(0, 99),
        "deferred": tx.batches.deferred(),
        "checkpoints": (tx.checkpoints.all(), tx.checkpoints.replay_after()),
        "spans": (tx.spans.closed([1], *WHOLE), tx.spans.last()),
        "sums": tx.sums.of_check(1, 1, *WHOLE, FIVE_MINUTES),
        "events": tx.events.newest(),
        "dead_letters": tx.dead_letters.newest(),
        "quarantine": tx.quarantine.all(),
        "plans": tx.plans.all(),
        "checks": tx.checks.all(),
        "incidents": (tx.incidents.open(), tx.incidents.closed(9)),
        "cursor": tx.cursor.load(),
        "outbox": (tx.outbox.due(2**60, 9), tx.outbox.waiting()),
        "unsubscribed": tx.unsubscribed.all(),
        "circuits": (tx.circuits.down(), tx.circuits.settled()),
        "power": tx.power.counters("incarnation"),
        "codes": tx.codes.find(b"hash"),
        "certificates": tx.certificates.newest(),
        "revocations": tx.revocations.all(),
        "audit": (tx.audit.all(), tx.audit.head()),
        "sessions": tx.sessions.all(),
        "kept_machines": tx.kept_machines.all(),
        "exclusions": tx.exclusions.in_force(),
        "life": tx.life.runs(*WHOLE),
        "incarnations": tx.incarnations.current(),
    }


# -- transactions


def test_every_method_of_every_repository_is_in_the_contract() -> None:
    called = {
        (node.func.value.attr, node.func.attr)
        for node in ast.walk(ast.parse(Path(__file__).read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if isinstance(node.func.value, ast.Attribute) and getattr(node.func.value.value, "id", "") == "tx"
    }
    declared = {
        (repository, method)
        for repository, protocol in get_type_hints(Transaction).items()
        for method, _ in inspect.getmembers(protocol, inspect.isfunction)
        if not method.startswith("_")
    }
    assert declared - called == set()


async def test_what_is_written_is_there_at_once_and_after_a_restart(opened: OpenedStore) -> None:
    empty = await opened.see(everything)
    await opened.do(fill)
    filled = await opened.see(everything)
    assert [name for name in empty if filled[name] == empty[name]] == ["incarnations"]
    incarnation = (opened.store.incarnation, opened.store.count_from)
    await opened.reopen()
    assert await opened.see(everything) == filled == opened.store.read_now(everything)
    assert (opened.store.incarnation, opened.store.count_from) == incarnation


@pytest.mark.parametrize("way", ["write", "commit"])
async def test_a_unit_of_work_that_fails_leaves_nothing(opened: OpenedStore, way: str) -> None:
    before = await opened.see(everything)

    def fails_at_the_end(tx: Transaction) -> None:
        fill(tx)
        assert everything(tx) != before  # a transaction sees what it wrote
        raise ValueError("at the end")

    with pytest.raises(ValueError, match="at the end"):
        await getattr(opened.store, way)(fails_at_the_end)
    assert await opened.see(everything) == before
    await opened.reopen()
    assert await opened.see(everything) == before
    assert await getattr(opened.store, way)(lambda tx: (fill(tx), "given back")[1]) == "given back"
    assert opened.store.commit_seconds > 0 and opened.store.wal_pages >= 0 and not opened.store.broken.is_set()


async def test_a_unit_of_work_that_hits_a_constraint_leaves_nothing(opened: OpenedStore) -> None:
    await opened.do(lambda tx: tx.batches.add([batch(1)]))
    before = await opened.see(everything)

    def twice(tx: Transaction) -> None:
        tx.spans.add([(1, span(UP, 0, 10))])
        tx.batches.add([batch(2), batch(1)])

    with pytest.raises(Exception, match="batches"):
        await opened.store.commit(twice)
    assert await opened.see(everything) == before


async def test_a_reader_sees_one_moment(opened: OpenedStore) -> None:
    begun, written = threading.Event(), threading.Event()

    def look_twice(tx: Transaction) -> tuple[Any, Any]:
        first = everything(tx)
        begun.set()
        assert written.wait(10)
        return first, everything(tx)

    reading = asyncio.create_task(opened.store.read(look_twice))
    assert await asyncio.to_thread(begun.wait, 10)
    await opened.do(fill)
    written.set()
    first, second = await reading
    assert first == second != await opened.see(everything)


async def test_a_reader_cannot_write(opened: OpenedStore) -> None:
    before = await opened.see(everything)
    with pytest.raises(StoreError):
        await opened.see(fill)
    assert await opened.see(everything) == before


async def test_sizes_are_told(opened: OpenedStore) -> None:
    await opened.do(fill)
    sizes = await opened.see(lambda tx: tx.sizes())
    assert sizes["bytes"] > 0
    assert {name: sizes[name] for name in ("batches", "spans", "sums", "events", "dead_letters")} == {
        "batches": 2, "spans": 2, "sums": 1, "events": 1, "dead_letters": 1,
    }  # fmt: skip


# -- evidence


async def test_batches_are_read_in_order_and_in_pieces(opened: OpenedStore) -> None:
    assert await opened.see(lambda tx: (tx.batches.last(), tx.batches.after(0, 9), tx.batches.body(1))) == (0, [], None)
    batches = [batch(number, believed=number != 2, placing=[b"", None, b"p"][number % 3]) for number in range(1, 6)]
    await opened.do(lambda tx: tx.batches.add(batches))
    assert await opened.see(lambda tx: tx.batches.after(0, 2)) == batches[:2]
    assert await opened.see(lambda tx: tx.batches.after(2, 9)) == batches[2:]
    assert await opened.see(lambda tx: (tx.batches.last(), tx.batches.body(3))) == (5, b"push 3")


async def test_what_waits_for_the_clock_is_placed_once(opened: OpenedStore) -> None:
    def wait(tx: Transaction) -> None:
        tx.batches.add([batch(1, stream=4, placing=None), batch(2, stream=5, placing=None), batch(3)])
        tx.batches.defer([DeferredBatch(2, b"boot", 22), DeferredBatch(1, b"boot", 11)])

    await opened.do(wait)
    assert list((await opened.see(lambda tx: tx.batches.deferred())).items()) == [(1, 4), (2, 5)]
    assert await opened.see(lambda tx: tx.batches.deferred_push(1)) == (b"boot", 11, b"push 1")
    await opened.do(lambda tx: tx.batches.place([PlacedBatch(1, 77, False, b"where")]))
    assert await opened.see(lambda tx: tx.batches.deferred()) == {2: 5}
    with pytest.raises(KeyError):
        await opened.see(lambda tx: tx.batches.deferred_push(1))
    [placed] = await opened.see(lambda tx: tx.batches.after(0, 1))
    assert placed == batch(1, stream=4, received=77, believed=False, placing=b"where")


async def test_batches_are_pruned_from_the_oldest_on(opened: OpenedStore) -> None:
    def several(tx: Transaction) -> None:
        tx.batches.add([batch(1), batch(2), batch(3), batch(4, received=9_999), batch(5, received=1), batch(6)])
        tx.batches.defer([DeferredBatch(2, b"boot", 1)])

    async def left() -> list[int]:
        return [one.id for one in await opened.see(lambda tx: tx.batches.after(0, 9))]

    await opened.do(several)
    assert await opened.do(lambda tx: tx.batches.prune(0, 9_000, 100)) == 0  # nothing is in a checkpoint
    assert await opened.do(lambda tx: tx.batches.prune(9, 9_000, 1)) == 1 and await left() == [2, 3, 4, 5, 6]
    assert await opened.do(lambda tx: tx.batches.prune(9, 9_000, 100)) == 1 and await left() == [2, 4, 5, 6]
    assert await opened.do(lambda tx: tx.batches.prune(4, 10_000, 100)) == 1 and await left() == [2, 5, 6]


async def test_one_agents_batches_are_read_apart_and_refused(opened: OpenedStore) -> None:
    def store(tx: Transaction) -> None:
        tx.batches.add([batch(1, stream=4), batch(2, stream=5, placing=None), batch(3, stream=4), batch(4, stream=5)])
        tx.batches.defer([DeferredBatch(2, b"boot", 22)])

    await opened.do(store)
    assert [row.id for row in await opened.see(lambda tx: tx.batches.of_stream(4, 0, 9))] == [1, 3]
    assert [row.id for row in await opened.see(lambda tx: tx.batches.of_stream(4, 0, 1))] == [1]
    assert [row.id for row in await opened.see(lambda tx: tx.batches.of_stream(4, 1, 9))] == [3]
    newest = await opened.see(lambda tx: (tx.batches.newest_of(5), tx.batches.newest_of(6)))
    assert newest == (batch(4, stream=5), None)
    await opened.do(lambda tx: tx.batches.refuse(2))
    assert await opened.see(lambda tx: tx.batches.of_stream(5, 0, 1)) == [batch(2, stream=5, placing=b"")]
    assert await opened.see(lambda tx: tx.batches.deferred()) == {}


async def test_quarantine_is_kept_as_it_began_until_it_is_lifted(opened: OpenedStore) -> None:
    first, second = QuarantinedAgent("b", 1, "commit", "why", 0), QuarantinedAgent("a", 2, "recovery", "why", 7)

    def quarantine(tx: Transaction) -> None:
        streams = [tx.checkpoints.stream(agent) for agent in ("a", "c")]
        tx.batches.add([batch(number, stream=streams[number % 2]) for number in range(6)])
        tx.checkpoints.save([SavedCheckpoint(streams[0], 2, 9, b"state")])
        tx.quarantine.put([second, first])

    await opened.do(quarantine)
    await opened.do(lambda tx: tx.quarantine.put([first._replace(since=5)]))
    await opened.reopen()
    assert await opened.see(lambda tx: tx.quarantine.all()) == [first, second]
    assert await opened.do(lambda tx: tx.batches.prune(9, 2**60, 9)) == 3
    assert [row.id for row in await opened.see(lambda tx: tx.batches.after(-1, 9))] == [0, 2, 4]
    released = await opened.do(lambda tx: (tx.quarantine.release("a"), tx.quarantine.release("a")))
    assert released == (True, False)
    assert await opened.see(lambda tx: tx.quarantine.all()) == [first]
    assert await opened.do(lambda tx: tx.batches.prune(9, 2**60, 9)) == 3
    await opened.do(lambda tx: tx.checkpoints.forget(tx.checkpoints.stream("a")))
    assert [(one.agent, one.batch, one.body) for one in await opened.see(lambda tx: tx.checkpoints.all())] == [
        ("a", 2, None),
        ("c", 0, None),
    ]


async def test_streams_are_for_life_and_checkpoints_are_replaced(opened: OpenedStore) -> None:
    first = await opened.do(lambda tx: tx.checkpoints.stream("a"))
    second = await opened.do(lambda tx: tx.checkpoints.stream("b"))
    assert first != second == await opened.do(lambda tx: tx.checkpoints.stream("b"))
    assert await opened.see(lambda tx: tx.checkpoints.all()) == [(first, "a", 0, None), (second, "b", 0, None)]
    for number in (3, 4):
        await opened.do(lambda tx, n=number: tx.checkpoints.save([SavedCheckpoint(second, n, 8, b"state %d" % n)]))
    assert (await opened.see(lambda tx: tx.checkpoints.all()))[1] == (second, "b", 4, b"state 4")
    assert await opened.see(lambda tx: tx.checkpoints.body(first)) is None
    await opened.do(lambda tx: tx.checkpoints.replace_body(second, b"anew"))
    assert await opened.see(lambda tx: tx.checkpoints.all()) == [(first, "a", 0, None), (second, "b", 4, b"anew")]
    assert await opened.see(lambda tx: tx.checkpoints.replay_after()) == 0
    await opened.do(lambda tx: tx.checkpoints.set_replay_after(4))
    assert await opened.see(lambda tx: tx.checkpoints.replay_after()) == 4


async def test_spans_are_read_by_check_window_and_order_of_commit(opened: OpenedStore) -> None:
    assert await opened.see(lambda tx: (tx.spans.last(), tx.spans.first_start(1))) == (0, None)
    first = [(1, span(UP, 0, 10)), (2, span(DEGRADED, 5, 15, "slow")), (1, span(DOWN, 10, 20, "no answer"))]
    second = [(1, span(UP, 20, 30)), (2, span(UNKNOWN, 15, 99)), (1, span(DEGRADED, 30, 40))]
    await opened.do(lambda tx: tx.spans.add(first))
    await opened.do(lambda tx: tx.spans.add(second))
    of_one = [one for row, one in first + second if row == 1]
    assert await opened.see(lambda tx: tx.spans.closed([1, 3], *WHOLE)) == {1: of_one, 3: []}
    assert await opened.see(lambda tx: tx.spans.closed([1], 10, 20)) == {1: of_one[1:2]}
    assert await opened.see(lambda tx: tx.spans.last()) == 6
    problems, at = await opened.see(lambda tx: tx.spans.problems_after(0, 2))
    assert [(one.id, one.check, one.span) for one in problems] == [(2, *first[1]), (3, *first[2])] and at == 3
    rest, end = await opened.see(lambda tx: tx.spans.problems_after(at, 2))
    assert [one.id for one in rest] == [6] and end == 6  # what is not known is no problem, and is passed over
    assert await opened.see(lambda tx: tx.spans.problems_after(end, 2)) == ([], 6)
    assert [one.span.end for one in await opened.see(lambda tx: tx.spans.not_up(2, 2**60))] == [99, 40]
    assert [one.span.end for one in await opened.see(lambda tx: tx.spans.not_up(9, 99))] == [40, 20, 15]
    assert await opened.see(lambda tx: tx.spans.with_state([1, 2, 3], DOWN, 0)) == {1}
    assert await opened.see(lambda tx: tx.spans.with_state([1], DOWN, 20)) == set()
    assert await opened.see(lambda tx: tx.spans.first_start(2)) == 5


async def test_sums_add_up_to_hours_and_nothing_counts_twice(opened: OpenedStore) -> None:
    late, other = sums(1, 0, 50), sums(2, 0, 9, stream=2)
    await opened.do(lambda tx: tx.sums.add([sums(1, FIVE_MINUTES, 7), sums(1, 0, 5), late, sums(1, HOUR, 1), other]))

    async def values(width: int, *, whole: bool = True) -> list[tuple[int, int, int, int]]:
        def read(tx: Transaction) -> list[Any]:
            return (tx.sums.of_check if whole else tx.sums.history)(1, 1, *WHOLE, width)

        return [(one.start, one.width, *one.measures[0][:2]) for one in await opened.see(read)]

    fine = [(0, FIVE_MINUTES, 1, 5), (0, FIVE_MINUTES, 1, 50), (FIVE_MINUTES, FIVE_MINUTES, 1, 7)]
    last = (HOUR, FIVE_MINUTES, 1, 1)
    assert await values(FIVE_MINUTES) == [*fine, last] == await values(HOUR, whole=False)
    assert [one.start for one in await opened.see(lambda tx: tx.sums.of_check(1, 1, 1, HOUR, FIVE_MINUTES))] == [
        300_000
    ]
    assert await opened.do(lambda tx: tx.sums.roll_up(HOUR, 3)) == 3
    assert await opened.do(lambda tx: tx.sums.roll_up(HOUR, 9)) == 1
    assert await opened.do(lambda tx: tx.sums.roll_up(HOUR, 9)) == 0
    assert sum(one[2] for one in await values(HOUR)) == 3 and sum(one[3] for one in await values(HOUR)) == 62
    assert sorted(await values(HOUR, whole=False))[-1] == last  # not added up yet
    assert await opened.see(lambda tx: tx.sums.history(1, 1, *WHOLE, FIVE_MINUTES)) == await opened.see(
        lambda tx: tx.sums.of_check(1, 1, *WHOLE, FIVE_MINUTES)
    )
    assert await opened.do(lambda tx: tx.sums.prune(FIVE_MINUTES, 2 * HOUR, 2)) == 2
    assert await opened.do(lambda tx: tx.sums.prune(FIVE_MINUTES, 2 * HOUR, 9)) == 2
    assert await values(FIVE_MINUTES) == [last], "it is not added up yet, and stays"
    assert await opened.do(lambda tx: tx.sums.prune(HOUR, HOUR, 9)) >= 2 and await values(HOUR) == []


async def test_events_are_the_evaluators_in_order_and_peoples_newest_first(opened: OpenedStore) -> None:
    assert await opened.see(lambda tx: tx.events.last()) == 0
    kept = [event(50), event(40, "conflict", agent="b"), event(60, "agent stop", finding=False), event(70, "disk")]
    await opened.do(lambda tx: tx.events.add(kept[:2]))
    await opened.do(lambda tx: tx.events.add(kept[2:]))
    newest = await opened.see(lambda tx: tx.events.newest())
    assert [(one.id, one.at, one.kind) for one in newest] == [
        (4, 70, "disk"), (3, 60, "agent stop"), (1, 50, "agent start"), (2, 40, "conflict"),
    ]  # fmt: skip
    assert newest[0].data == {"at": 70} and newest[0].check is None and not newest[1].finding
    assert [one.at for one in await opened.see(lambda tx: tx.events.newest(agent="a", end=70, limit=1))] == [60]
    assert [one.at for one in await opened.see(lambda tx: tx.events.newest(begin=50, end=60))] == [50]
    findings = await opened.see(lambda tx: tx.events.findings_after(0, 2))
    assert [(row, one.at, one.agent) for row, one in findings] == [(1, 50, "a"), (2, 40, "b")]
    assert [row for row, _ in await opened.see(lambda tx: tx.events.findings_after(2))] == [4]
    assert [one.at for one in await opened.see(lambda tx: tx.events.findings_since(50))] == [50, 70]
    life = await opened.see(lambda tx: tx.events.agent_life("a", 50))
    assert life == [(50, "agent start", {"at": 50}), (60, "agent stop", {"at": 60})]
    assert await opened.do(lambda tx: tx.events.prune(55, 1)) == 1
    assert await opened.do(lambda tx: tx.events.prune(55, 9)) == 1
    assert await opened.see(lambda tx: (tx.events.last(), len(tx.events.newest()))) == (4, 2)


async def test_dead_letters_are_bounded_by_age_and_number(opened: OpenedStore) -> None:
    letters = [AddedDeadLetter(number, "ab"[number % 2], "why", number + 1, b"GET") for number in range(6)]
    await opened.do(lambda tx: tx.dead_letters.add(letters))
    newest = await opened.see(lambda tx: tx.dead_letters.newest(limit=2))
    assert [(one.id, one.at, one.count, one.body) for one in newest] == [(6, 5, 6, b"GET"), (5, 4, 5, b"GET")]
    assert [one.at for one in await opened.see(lambda tx: tx.dead_letters.newest(agent="a"))] == [4, 2, 0]
    assert await opened.do(lambda tx: tx.dead_letters.prune(1, 9, 9)) == 1
    assert await opened.do(lambda tx: tx.dead_letters.prune(1, 2, 9)) == 3
    assert [one.at for one in await opened.see(lambda tx: tx.dead_letters.newest())] == [5, 4]


async def test_a_plan_is_kept_once_and_a_check_keeps_its_row(opened: OpenedStore) -> None:
    for body in (b"first", b"again"):
        await opened.do(lambda tx, body=body: tx.plans.add(b"digest", "a", body, 1))
    assert await opened.see(lambda tx: tx.plans.all()) == [(b"digest", b"first")]
    one = await opened.do(lambda tx: tx.checks.save(check("u")))
    other = await opened.do(lambda tx: tx.checks.save(check("v", born=5)))
    assert (one.id, other.id) == (1, 2)
    renamed = msgspec.structs.replace(other, name="new name", ended=9)
    assert await opened.do(lambda tx: tx.checks.save(renamed)) == renamed
    await opened.do(lambda tx: tx.checks.begin_earlier([(7, 1), (4, 2)]))
    await opened.do(lambda tx: tx.checks.begin_earlier([(8, 1), (6, 2)]))  # later: no news
    assert await opened.see(lambda tx: [(c.id, c.name, c.born, c.ended) for c in tx.checks.all()]) == [
        (1, "a/u", 7, None), (2, "new name", 4, 9),
    ]  # fmt: skip


# -- alerting


async def test_incidents_are_replaced_by_key_and_found_open_or_closed(opened: OpenedStore) -> None:
    await opened.do(lambda tx: tx.incidents.put([incident("b", 2), incident("a", 1), incident("c", 3)]))
    closed = [incident("a", 1, 50, why="recovered"), incident("c", 3, 60)]
    await opened.do(lambda tx: tx.incidents.put([*closed, incident("d", 4, 60)]))
    assert await opened.see(lambda tx: tx.incidents.open()) == [incident("b", 2)]
    assert await opened.see(lambda tx: [one.key for one in tx.incidents.closed(9)]) == ["c", "d", "a"]
    assert await opened.see(lambda tx: [one.key for one in tx.incidents.closed(1)]) == ["c"]
    assert await opened.see(lambda tx: tx.incidents.closed(9, before=60)) == closed[:1]
    assert await opened.see(lambda tx: [one.key for one in tx.incidents.closed(9, since=60)]) == ["c", "d"]
    assert await opened.see(lambda tx: (tx.incidents.find("a"), tx.incidents.find("z"))) == (closed[0], None)


async def test_the_evaluators_cursor_is_one(opened: OpenedStore) -> None:
    assert await opened.see(lambda tx: tx.cursor.load()) is None
    for cursor in (EvaluatorCursor(1, 2, 3, b"book"), EvaluatorCursor(4, 5, 6)):
        await opened.do(lambda tx, cursor=cursor: tx.cursor.save(cursor))
        assert await opened.see(lambda tx: tx.cursor.load()) == cursor


async def test_a_mail_is_put_once_and_ends_once(opened: OpenedStore) -> None:
    mails = [
        outgoing_mail("info", severity="info", made=1),
        outgoing_mail("late", made=9),
        outgoing_mail("early", made=2),
        outgoing_mail("warning", severity="warning", made=0),
    ]
    await opened.do(lambda tx: tx.outbox.put(mails))
    await opened.do(lambda tx: tx.outbox.put([outgoing_mail("early", made=3, subject="decided again")]))

    async def due(now: int, limit: int = 9) -> list[str]:
        return [one.ident for one in await opened.see(lambda tx: tx.outbox.due(now, limit))]

    assert await due(99) == ["early", "late", "warning", "info"]
    assert await due(99, 1) == ["early"] and await due(1) == ["warning", "info"]
    assert await opened.see(lambda tx: tx.outbox.waiting()) == (4, 0)
    numbers = {one.ident: one.id for one in await opened.see(lambda tx: tx.outbox.due(99, 9))}
    await opened.do(lambda tx: tx.outbox.sent(numbers["early"], 100, "relay"))
    await opened.do(lambda tx: tx.outbox.later(numbers["early"], 200, "too late to say so"))
    await opened.do(lambda tx: tx.outbox.failed(numbers["warning"], 100, "no such address"))
    await opened.do(lambda tx: tx.outbox.later(numbers["late"], 150, "busy"))
    await opened.do(lambda tx: tx.outbox.hooked(numbers["late"], 100))
    assert await due(149) == ["info"] and await due(250) == ["late", "info"]
    [late, info] = await opened.see(lambda tx: tx.outbox.due(250, 9))
    assert (late.tries, late.last_error, late.hooked) == (1, "busy", True) and (info.tries, info.hooked) == (0, False)
    assert await opened.see(lambda tx: tx.outbox.waiting()) == (2, 1)


async def test_who_wants_no_digest_is_kept_once(opened: OpenedStore) -> None:
    for contact in ("an", "binh", "an"):
        await opened.do(lambda tx, contact=contact: tx.unsubscribed.add(contact, 1))
    assert await opened.see(lambda tx: tx.unsubscribed.all()) == {"an", "binh"}


async def test_time_down_adds_up_and_is_cleared(opened: OpenedStore) -> None:
    await opened.do(lambda tx: tx.circuits.add({("l", "p", "wan"): 5, ("l", "q", "wan"): 1}, {"l": 10, "m": 3}))
    await opened.do(lambda tx: tx.circuits.add({("l", "p", "wan"): 7}, {"l": 20}))
    assert await opened.see(lambda tx: tx.circuits.down()) == {("l", "p", "wan"): 12, ("l", "q", "wan"): 1}
    assert await opened.see(lambda tx: tx.circuits.settled()) == {"l": 20, "m": 3}
    await opened.do(lambda tx: tx.circuits.clear())
    assert await opened.see(lambda tx: (tx.circuits.down(), tx.circuits.settled())) == ({}, {})


async def test_power_is_of_one_incarnation(opened: OpenedStore) -> None:
    old, new = {"so": PowerCounter(5, (1, 2, 3, 4)), "xa": PowerCounter(6)}, {"so": PowerCounter(9, (9, 0, 0, 0))}
    await opened.do(lambda tx: tx.power.put(old, "first"))
    assert await opened.see(lambda tx: tx.power.counters("first")) == old
    await opened.do(lambda tx: tx.power.put(new, "second"))
    assert await opened.see(lambda tx: tx.power.counters("second")) == new


# -- people


async def test_an_unused_code_ends_and_a_used_one_is_remembered_and_over(opened: OpenedStore) -> None:
    used, unused, other = (EnrolmentCode(name, agent, 1, 9) for name, agent in ((b"u", "a"), (b"v", "a"), (b"w", "b")))
    for code in (used, unused, other):
        await opened.do(lambda tx, code=code: tx.codes.add(code))
    await opened.do(lambda tx: tx.codes.use(b"u", 5, b"key"))
    await opened.do(lambda tx: tx.codes.end("a"))
    assert await opened.see(lambda tx: [tx.codes.find(name) for name in (b"u", b"v", b"w")]) == [
        msgspec.structs.replace(used, used_key=b"key", used_at=5, expires_at=0), None, other,
    ]  # fmt: skip
    assert await opened.do(lambda tx: tx.codes.prune(9, 5)) == 1
    assert [await opened.do(lambda tx: tx.codes.prune(10, 1)) for _ in range(2)] == [1, 0]


async def test_certificates_and_revocations_are_kept(opened: OpenedStore) -> None:
    for serial, agent, at, ends in (("0a", "a", 3, 7), ("0c", "a", 2, 9), ("0b", "a", 4, 8), ("01", "b", 1, 5)):
        issued = IssuedCertificate(serial, agent, at, ends, "renewed")
        await opened.do(lambda tx, issued=issued: tx.certificates.add(issued))
    newest = {"a": RegisteredCertificate(12, 9), "b": RegisteredCertificate(1, 5)}
    assert await opened.see(lambda tx: tx.certificates.newest()) == newest
    assert await opened.see(lambda tx: [tx.certificates.highest_serial(agent) for agent in "abc"]) == ["0c", "01", None]
    assert await opened.see(lambda tx: [tx.certificates.first_issued(agent) for agent in "abc"]) == [2, 1, None]
    revoked = [Revocation("b", "0f", 2, "an", "lost"), Revocation("a", "0e", 1, "an", "new", "replaced")]
    for revocation in revoked:
        await opened.do(lambda tx, revocation=revocation: tx.revocations.add(revocation))
    assert await opened.see(lambda tx: tx.revocations.all()) == revoked


async def test_certificates_tell_where_a_machine_began_and_old_ones_go(opened: OpenedStore) -> None:
    for serial, agent, at, ends, how in (
        ("0a", "a", 1, 5, "enrolled"), ("0b", "a", 2, 6, "renewed"), ("0d", "a", 3, 7, "enrolled"),
        ("0e", "a", 4, 4, "renewed"), ("01", "b", 1, 2, "enrolled"), ("02", "b", 1, 2, "renewed"),
        ("03", "c", 1, 2, "renewed"), ("04", "c", 1, 2, "kept"),
    ):  # fmt: skip
        issued = IssuedCertificate(serial, agent, at, ends, how)
        await opened.do(lambda tx, issued=issued: tx.certificates.add(issued))
    assert await opened.see(lambda tx: tx.certificates.replacing()) == [("c", "04"), ("a", "0d")]
    after = [("a", "0a"), ("a", "0c"), ("a", "0d"), ("b", "01"), ("c", "03")]
    assert await opened.see(lambda tx: [tx.certificates.next_enrolment(*of) for of in after]) == [
        "0d", "0d", None, None, "04",
    ]  # fmt: skip
    assert await opened.see(lambda tx: [tx.certificates.issued("a", "renewed", *of) for of in ((2, 4), (2, 5))]) == [
        1,
        2,
    ]
    assert await opened.do(lambda tx: tx.certificates.prune(6, 2)) == 2
    assert await opened.do(lambda tx: tx.certificates.prune(6, 9)) == 1
    assert await opened.see(lambda tx: tx.certificates.newest()) == {
        "a": RegisteredCertificate(14, 4), "b": RegisteredCertificate(2, 2), "c": RegisteredCertificate(4, 2),
    }  # fmt: skip


async def test_a_kept_machine_is_remembered_until_it_came(opened: OpenedStore) -> None:
    mine, other = (AgentMachine("b" * 16, start, "pc", "192.0.2.1", "0a", 1, 2) for start in ("aa", "bb"))
    first, second = (
        KeptMachine("a", "0f", mine, (other,), 3, "an"),
        KeptMachine("a", "0e", other, (mine, mine), 4, "an"),
    )
    for kept in (first, second, KeptMachine("b", "01", mine, (), 5, "an")):
        await opened.do(lambda tx, kept=kept: tx.kept_machines.put(kept))
    assert (await opened.see(lambda tx: tx.kept_machines.all()))[0] == second
    await opened.do(lambda tx: tx.kept_machines.remove("a"))
    assert [kept.agent for kept in await opened.see(lambda tx: tx.kept_machines.all())] == ["b"]


async def test_the_audit_is_in_order(opened: OpenedStore) -> None:
    await opened.do(lambda tx: tx.audit.add(2, "an", "code", {"agent": "a"}))
    await opened.do(lambda tx: tx.audit.add(1, "bình", "revoke", {}))
    assert await opened.see(lambda tx: tx.audit.all()) == [(2, "an", "code", {"agent": "a"}), (1, "bình", "revoke", {})]


async def test_the_audit_is_chosen_from_and_paged(opened: OpenedStore) -> None:
    for number in range(1, 8):
        who, what = ("an", "code") if number % 2 else ("agent a", "renewed")
        data = {"agent": "b"} if number > 5 else {}
        await opened.do(lambda tx, row=(number * 10, who, what, data): tx.audit.add(*row))

    async def numbers(limit: int = 99, before: int = 99, **chosen: Any) -> list[int]:
        return await opened.see(
            lambda tx: [one.number for one in tx.audit.newest(AuditFilter(**chosen), limit, before)]
        )

    assert await numbers() == [7, 6, 5, 4, 3, 2, 1]
    assert await numbers(limit=2) == [7, 6]
    assert await numbers(limit=2, before=6) == [5, 4]
    assert await numbers(who="an") == [7, 5, 3, 1]
    assert await numbers(what="renewed", before=6) == [4, 2]
    assert await numbers(agent="a") == [6, 4, 2]
    assert await numbers(agent="b") == [7, 6]
    assert await numbers(agent="b", who="an") == [7]
    assert await numbers(begin=20, end=40) == [3, 2]
    assert await numbers(who="' OR 1=1 --") == []
    assert await opened.see(lambda tx: [one.number for one in tx.audit.after(4, 2)]) == [5, 6]


async def test_the_audit_is_a_chain_that_anybody_can_follow(opened: OpenedStore) -> None:
    """With what the documents say of it, and nothing else of ours."""
    assert await opened.see(lambda tx: tx.audit.head()) == AuditHead(0, bytes(32))
    for row in (
        (5, "an", "code", {"agent": "tỉnh \u202e \x00"}),
        (2**62, "x" * 1000, "", {}),
        (-1, "\udc80", "é", {"a": [1.5]}),
    ):
        await opened.do(lambda tx, row=row: tx.audit.add(*row))
    held = bytes(32)
    for one in await opened.see(lambda tx: tx.audit.after(0, 99)):
        text = json.dumps([one.number, one.at, one.who, one.what, one.data], ensure_ascii=False, separators=(",", ":"))
        held = hashlib.sha256(held + text.encode()).digest()
        assert one.hash == held
    assert await opened.see(lambda tx: tx.audit.head()) == AuditHead(3, held)
    assert await opened.see(lambda tx: tx.audit.first_broken()) is None


async def test_sessions_are_kept(opened: OpenedStore) -> None:
    one, two = StoredSession(b"1", "an", b"m", 5, 5), StoredSession(b"2", "bình", b"m", 6, 6)
    for session in (one, two):
        await opened.do(lambda tx, session=session: tx.sessions.add(session))
    await opened.do(lambda tx: tx.sessions.touch(b"1", 9))
    await opened.reopen()
    assert sorted(await opened.see(lambda tx: tx.sessions.all())) == [one._replace(seen=9), two]
    await opened.do(lambda tx: tx.sessions.end([b"1", b"none"]))
    assert await opened.see(lambda tx: tx.sessions.all()) == [two]
    await opened.do(lambda tx: tx.sessions.end_all())
    assert await opened.see(lambda tx: tx.sessions.all()) == []


async def test_an_exclusion_is_withdrawn_once(opened: OpenedStore) -> None:
    select = Selector(checks=("u",))
    one = await opened.do(lambda tx: tx.exclusions.add(select, 1, 2, "works", "an", 3))
    two = await opened.do(lambda tx: tx.exclusions.add(Selector(), 5, 6, "a mistake", "an", 3))
    [first, second] = await opened.see(lambda tx: tx.exclusions.in_force())
    assert (first.id, first.select, first.begins, first.ends, first.reason, first.who, first.at) == (
        one, select, 1, 2, "works", "an", 3,
    )  # fmt: skip
    assert (second.id, second.select) == (two, Selector())
    assert [await opened.do(lambda tx: tx.exclusions.withdraw(two, "an", 4)) for _ in range(2)] == [True, False]
    assert await opened.see(lambda tx: tx.exclusions.in_force()) == [first]


async def test_the_collectors_life_is_recorded_by_a_believed_clock(opened: OpenedStore) -> None:
    assert await opened.see(lambda tx: (tx.life.last_alive(), tx.life.boot_offset(b"one"))) == (0, None)
    doubted = await opened.do(lambda tx: tx.life.begin(b"one", 10, 1_000, False))
    assert await opened.see(lambda tx: (tx.life.last_alive(), tx.life.boot_offset(b"one"))) == (0, None)
    await opened.do(lambda tx: tx.life.record(doubted, 20, 5_000, 4_990, None))  # now it is believed: the start too
    later = await opened.do(lambda tx: tx.life.begin(b"two", 1, 6_000, True))
    await opened.do(lambda tx: tx.life.record(later, 500, 7_000, 6_001, 7_000))
    runs = await opened.see(lambda tx: tx.life.runs(*WHOLE))
    assert [(run.started, run.alive, run.stopped, run.trusted) for run in runs] == [
        (4_990, 5_000, None, True), (6_000, 7_000, 7_000, True),
    ]  # fmt: skip
    assert await opened.see(lambda tx: tx.life.runs(5_000, 6_000)) == []
    assert await opened.see(lambda tx: (tx.life.last_alive(), tx.life.boot_offset(b"one"))) == (7_000, 4_980)


async def test_another_incarnation_is_the_one_that_a_restart_finds(opened: OpenedStore) -> None:
    first = opened.store.incarnation
    current = await opened.see(lambda tx: tx.incarnations.current())
    assert (current.id, current.count_from) == (first, opened.store.count_from)
    new = await opened.do(lambda tx: tx.incarnations.begin("restored", 123))
    assert new != first == opened.store.incarnation  # the store that is open goes on as it was
    await opened.reopen()
    assert (opened.store.incarnation, opened.store.count_from) == (new, 123)
