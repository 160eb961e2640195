"""The fleet's series, written from the published states: 100,000 checks in a second, beside ingest.

A check's identity labels are written once and kept. The text is made piece by piece in a thread, agent by agent,
each family whole before the next as the format asks; between pieces the thread lets go of the interpreter.
"""

import math
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from collector.ingest.fleet import Fleet
from collector.ingest.state import AgentState
from collector.metrics.exposition import Family, Format, labels
from inventory.protocol.states import DOWN, NAMES, UNKNOWN

PIECE = 1 << 18  # characters handed over at once
SLICE_CHECKS = 300  # checks between two breaths, about a millisecond
YIELD_SECONDS = 0.0002  # seconds: long enough that a waiting thread gets the interpreter

UP = Family("haidang_check_up", "gauge", "1 while up or degraded, 0 while down, absent while unknown.")
SECONDS = Family(
    "haidang_check_seconds_total",
    "counter",
    "Settled time in each state since this incarnation of the collector's store began.",
)
LATENCY = Family("haidang_check_latency_seconds", "gauge", "Latency of the newest result that has one.")
LAST = Family("haidang_check_last_result_timestamp_seconds", "gauge", "When the newest look taken was made.")
SETTLED = Family(
    "haidang_check_settled_timestamp_seconds", "gauge", "Up to when no later evidence can change the ledger."
)


class LabelledAgent(msgspec.Struct, frozen=True):
    """An agent's checks that are exported: (row, its identity labels), and the agent's own labels."""

    agent: str
    labels: str
    checks: Sequence[tuple[int, str]]


class ScrapedAgent(msgspec.Struct, frozen=True):
    """An agent as it is at the scrape."""

    labelled: LabelledAgent
    state: AgentState
    fleet: Fleet

    def up(self, row: int, now: int) -> int | None:
        """1, 0, or None while it is not known."""
        status = self.fleet.status(self.fleet.checks[row], now)
        if status is None or status.state == UNKNOWN:
            return None
        return 0 if status.state == DOWN else 1


Lines = Callable[[ScrapedAgent, Sequence[tuple[int, str]], int], Iterable[str]]


def _up(agent: ScrapedAgent, checks: Sequence[tuple[int, str]], now: int) -> Iterable[str]:
    for row, who in checks:
        up = agent.up(row, now)
        if up is not None:
            yield f"haidang_check_up{{{who}}} {up}\n"


def _seconds(agent: ScrapedAgent, checks: Sequence[tuple[int, str]], now: int) -> Iterable[str]:
    tails = agent.state.tails
    up, degraded, down, unknown = NAMES
    name = SECONDS.name
    for row, who in checks:
        tail = tails.get(row)
        if tail is not None:
            a, b, c, d = tail.settled
            yield (
                f'{name}{{{who},state="{up}"}} {a / 1000}\n{name}{{{who},state="{degraded}"}} {b / 1000}\n'
                f'{name}{{{who},state="{down}"}} {c / 1000}\n{name}{{{who},state="{unknown}"}} {d / 1000}\n'
            )


def _latency(agent: ScrapedAgent, checks: Sequence[tuple[int, str]], now: int) -> Iterable[str]:
    latest = agent.state.latest
    for row, who in checks:
        newest = latest.get(row)
        if newest is not None and newest.latency is not None:
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


CHECK_FAMILIES: tuple[tuple[Family, Lines], ...] = (
    (UP, _up),
    (SECONDS, _seconds),
    (LATENCY, _latency),
    (LAST, _last),
    (SETTLED, _settled),
)


def _number(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else "NaN"


AGENT_FAMILIES: tuple[tuple[Family, Callable[[AgentState], float | None]], ...] = (
    (
        Family("haidang_agent_last_seen_timestamp_seconds", "gauge", "When the agent was last heard."),
        lambda state: state.contact / 1000 if state.contact else None,
    ),
    (
        Family("haidang_agent_backlog_frames", "gauge", "Frames that the agent still has to send, as it last said."),
        lambda state: state.backlog,
    ),
    (
        Family("haidang_agent_results_taken_total", "counter", "Results of the agent taken into the ledger."),
        lambda state: state.results,
    ),
    (
        Family("haidang_agent_results_unplaceable_total", "counter", "Results kept that no clock could place in time."),
        lambda state: state.unplaceable,
    ),
    (
        Family("haidang_agent_dead_letters_total", "counter", "Records of the agent that could not be taken."),
        lambda state: state.dead,
    ),
    (
        Family("haidang_agent_started_timestamp_seconds", "gauge", "When the agent's process last started."),
        lambda state: state.started / 1000 if state.started is not None else None,
    ),
)
VERSION = Family("haidang_agent_info", "info", "The agent's version and platform, as it last said.")


def text(agents: Sequence[ScrapedAgent], now: int, openmetrics: bool) -> Iterator[str]:
    """The fleet's families, without an end mark, in small strings."""
    for family, lines in CHECK_FAMILIES:
        yield family.head(openmetrics)
        for one in agents:
            checks = one.labelled.checks
            for at in range(0, len(checks), SLICE_CHECKS):
                yield "".join(lines(one, checks[at : at + SLICE_CHECKS], now))
    for family, value in AGENT_FAMILIES:
        yield family.head(openmetrics)
        for one in agents:
            number = value(one.state)
            if number is not None:
                yield f"{family.name}{{{one.labelled.labels}}} {_number(number)}\n"
    yield VERSION.head(openmetrics)
    for one in agents:
        about = {name: str(one.state.about.get(name, ""))[:100] for name in ("version", "platform")}
        if any(about.values()):
            yield f"{VERSION.name}{{{one.labelled.labels},{labels(**about)}}} 1\n"
    yield from _health(agents, openmetrics)


def _health(agents: Sequence[ScrapedAgent], openmetrics: bool) -> Iterator[str]:
    """What agents say about themselves (wire.Push.health), each name a family of its own, in base units."""
    for raw_name in sorted({name for one in agents for name in one.state.health}):
        if not (
            raw_name.isascii()
            and raw_name.replace("_", "a").isalnum()
            and raw_name[0].isalpha()
            and len(raw_name) <= 64
        ):
            continue
        name, per = (f"{raw_name[:-3]}_seconds", 1000) if raw_name.endswith("_ms") else (raw_name, 1)
        family = Family(f"haidang_agent_{name}", "gauge", "As the agent last said of itself.")
        if any(family.name == existing.name for existing, _ in AGENT_FAMILIES) or family.name == VERSION.name:
            continue
        yield family.head(openmetrics)
        for one in agents:
            if raw_name in one.state.health:
                yield f"{family.name}{{{one.labelled.labels}}} {_number(one.state.health[raw_name] / per)}\n"


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
