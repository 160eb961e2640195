"""The fleet's series, written from the published states: 100,000 checks in a second, beside ingest.

A check's identity labels are written once and kept. The text is made piece by piece in a thread, agent by agent,
each family whole before the next as the format asks; between pieces the thread lets go of the interpreter.
"""

import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Final, TypeVar

import msgspec

from collector.ingest.fleet import Fleet
from collector.ingest.quarantine import SCRAPE
from collector.ingest.states.state import AgentState, check_tail
from collector.ledger.timeline import EXCLUDED
from collector.metrics.exposition import head
from collector.metrics.negotiation import Format
from inventory.base.families import Family
from inventory.protocol.states import DOWN, NAMES, UNKNOWN

T = TypeVar("T")

PIECE: Final = 1 << 18  # characters handed over at once
SLICE_CHECKS: Final = 300  # checks between two breaths, about a millisecond
YIELD_SECONDS: Final = 0.0002  # seconds: long enough that a waiting thread gets the interpreter
PATIENCE: Final = 90_000  # ms without a push after which an agent is silent, at the usual pace

CHECK_LABELS: Final = ("agency", "site", "agent", "check", "kind", "backup")  # backup: of a backup's evidence only

UP = Family("haidang_check_up", "gauge", "1 while up or degraded, 0 while down, absent while unknown.", CHECK_LABELS)
STATE = Family(
    "haidang_check_state",
    "gauge",
    "What the check is now: 0 up, 1 degraded, 2 down, 3 unknown, 4 excluded (its time does not count now).",
    CHECK_LABELS,
)
INFO = Family(
    "haidang_check_info",
    "info",
    "What people call the check, and the leased circuit that it proves.",
    (*CHECK_LABELS, "name", "name_en", "link"),
)
SECONDS = Family(
    "haidang_check_seconds_total",
    "counter",
    "Settled time in each state since this incarnation of the collector's store began.",
    (*CHECK_LABELS, "state"),
)
LATENCY = Family(
    "haidang_check_latency_seconds", "gauge", "Latency of the newest result, while that speaks.", CHECK_LABELS
)
LAST = Family(
    "haidang_check_last_result_timestamp_seconds", "gauge", "When the newest look taken was made.", CHECK_LABELS
)
SETTLED = Family(
    "haidang_check_settled_timestamp_seconds",
    "gauge",
    "Up to when no later evidence can change the ledger.",
    CHECK_LABELS,
)


class LabelledAgent(msgspec.Struct, frozen=True):
    """An agent of the inventory with the series that are its. Identity labels are written out."""

    agent: str
    labels: str  # its own
    checks: Sequence[tuple[int, str]]  # that are exported: row, identity labels
    # checks of which no agent was told yet, so that they have no row: whether excluded is asked by uid
    pending: Sequence[tuple[str, str]] = ()
    infos: str = ""  # the samples of their names, which change with the inventory alone
    agencies: Sequence[str] = ()  # of all checks, in the order of ``checks`` and ``pending``


class ScrapedAgent(msgspec.Struct, frozen=True):
    """An agent as it is at the scrape."""

    labelled: LabelledAgent
    state: AgentState
    fleet: Fleet
    patience: int = PATIENCE
    excluded: Set[int] = frozenset()  # rows of checks whose time does not count now
    excluded_pending: Set[str] = frozenset()  # and uids

    def known_state(self, row: int, now: int) -> int | None:
        """What a check is; None while it is not known."""
        if self.state.overlay is None:  # nearly all: what the ledger says
            tail = self.state.tails.get(row)
            if tail is not None:
                check_tail(tail)
            return tail.state if tail is not None and tail.speaks(now) else None
        status = self.fleet.status(self.fleet.checks[row], now)
        return status.state if status is not None and status.state != UNKNOWN else None

    def codes(self, now: int) -> Iterator[int]:
        """What each check is, as haidang_check_state has it: the checks with a row, then the pending ones."""
        for row, _ in self.labelled.checks:
            try:
                yield self.code(row, now)
            except Exception:
                yield UNKNOWN  # the check's own series says so to the quarantine
        for uid, _ in self.labelled.pending:
            yield self.pending_code(uid)

    def code(self, row: int, now: int) -> int:
        """What a check is, or that its time does not count."""
        if row in self.excluded:
            return EXCLUDED
        state = self.known_state(row, now)
        return UNKNOWN if state is None else state

    def pending_code(self, uid: str) -> int:
        return EXCLUDED if uid in self.excluded_pending else UNKNOWN

    def alone(self, items: Iterable[T], make: Callable[[T], str]) -> str:
        """What is made of each, without what cannot be."""
        return "".join(self.fleet.quarantine.rows(SCRAPE, items, lambda item: self.state.agent, make))

    def heard(self, now: int) -> bool:
        """Whether the agent pushes: what it said of itself is of the present."""
        return now - self.state.contact <= self.patience


STATE_NAMES: Final = (*NAMES, "excluded")

Lines = Callable[[ScrapedAgent, Sequence[tuple[int, str]], int], Iterable[str]]


def _up(agent: ScrapedAgent, checks: Sequence[tuple[int, str]], now: int) -> Iterable[str]:
    for row, who in checks:
        state = agent.known_state(row, now)
        if state is not None:
            yield f"haidang_check_up{{{who}}} {int(state != DOWN)}\n"


NOTHING_SETTLED: Final = (0, 0, 0, 0)


def _seconds(agent: ScrapedAgent, checks: Sequence[tuple[int, str]], now: int) -> Iterable[str]:
    tails = agent.state.tails
    for row, who in checks:
        tail = tails.get(row)
        yield _seconds_of(who, tail.settled if tail is not None else NOTHING_SETTLED)


def _seconds_of(who: str, settled: Sequence[int]) -> str:
    up, degraded, down, unknown = NAMES
    name = SECONDS.name
    a, b, c, d = settled
    return (
        f'{name}{{{who},state="{up}"}} {a / 1000}\n{name}{{{who},state="{degraded}"}} {b / 1000}\n'
        f'{name}{{{who},state="{down}"}} {c / 1000}\n{name}{{{who},state="{unknown}"}} {d / 1000}\n'
    )


def _latency(agent: ScrapedAgent, checks: Sequence[tuple[int, str]], now: int) -> Iterable[str]:
    latest, tails = agent.state.latest, agent.state.tails
    for row, who in checks:
        newest = latest.get(row)
        if newest is not None and newest.latency is not None and (tail := tails.get(row)) and tail.speaks(now):
            yield f"haidang_check_latency_seconds{{{who}}} {newest.latency / 1e6}\n"


def _last(agent: ScrapedAgent, checks: Sequence[tuple[int, str]], now: int) -> Iterable[str]:
    latest = agent.state.latest
    for row, who in checks:
        newest = latest.get(row)
        if newest is not None:
            yield f"haidang_check_last_result_timestamp_seconds{{{who}}} {newest.at / 1000}\n"


def _settled(agent: ScrapedAgent, checks: Sequence[tuple[int, str]], now: int) -> Iterable[str]:
    tails = agent.state.tails
    for row, who in checks:
        tail = tails.get(row)
        if tail is not None:
            yield f"haidang_check_settled_timestamp_seconds{{{who}}} {tail.last / 1000}\n"


def _state(agent: ScrapedAgent, checks: Sequence[tuple[int, str]], now: int) -> Iterable[str]:
    for row, who in checks:
        yield f"haidang_check_state{{{who}}} {agent.code(row, now)}\n"


CHECK_FAMILIES: tuple[tuple[Family, Lines], ...] = (
    (UP, _up),
    (STATE, _state),
    (SECONDS, _seconds),
    (LATENCY, _latency),
    (LAST, _last),
    (SETTLED, _settled),
)


def text(agents: Sequence[ScrapedAgent], now: int, openmetrics: bool) -> Iterator[str]:
    """The checks' families, without an end mark, in small strings."""
    for family, lines in CHECK_FAMILIES:
        yield head(family, openmetrics)
        for one in agents:
            checks = one.labelled.checks
            for at in range(0, len(checks), SLICE_CHECKS):
                yield _slice(lines, one, checks[at : at + SLICE_CHECKS], now)
            if family is SECONDS:
                yield "".join(_seconds_of(who, NOTHING_SETTLED) for _, who in one.labelled.pending)
            elif family is STATE:
                yield "".join(
                    f"haidang_check_state{{{who}}} {one.pending_code(uid)}\n" for uid, who in one.labelled.pending
                )
    yield head(INFO, openmetrics)
    for one in agents:
        yield one.labelled.infos


def _slice(lines: Lines, one: ScrapedAgent, checks: Sequence[tuple[int, str]], now: int) -> str:
    """Lines of some checks; where that fails, each by itself, without those that cannot be made."""
    try:
        return "".join(lines(one, checks, now))
    except Exception:
        return one.alone(checks, lambda check: "".join(lines(one, [check], now)))


def pieces(parts: Iterable[str], form: Format, *, breathe: Callable[[float], None] = time.sleep) -> Iterator[bytes]:
    """The parts, joined into pieces of some size, compressed if asked. For a thread: it takes breaths."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31) if form.gzip else None
    held: list[str] = []
    size = work = 0
    for part in parts:
        held.append(part)
        size += len(part)
        work += len(part)
        if work > PIECE // 4:
            work = 0
            breathe(YIELD_SECONDS)
        if size >= PIECE:
            yield _pack("".join(held), packer)
            held, size = [], 0
    rest = _pack("".join(held), packer)
    yield rest + packer.flush() if packer else rest


def _pack(part: str, packer: "zlib._Compress | None") -> bytes:
    raw = part.encode()
    return packer.compress(raw) if packer else raw
