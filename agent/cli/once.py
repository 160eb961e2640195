"""``haidang-agent once``: runs every check of the plan now and prints the results. Touches no spool."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent import probes
from agent.credentials import Credentials
from agent.probe import Hub, Limits, Outcome, ProbeContext, unknown
from agent.runtime.run_once import ProbeRunner
from agent.runtime.scheduler import MIN_SLOTS, outside_limits
from agent.runtime.thresholds import state_and_reason
from inventory.base.clock import SystemClock
from inventory.protocol import states
from inventory.protocol.plan import Plan, PlannedCheck
from inventory.protocol.reasons import english, sentence


class OnceResult(msgspec.Struct, frozen=True):
    """One look. ``at`` in ms since the Unix epoch by this machine's clock, ``latency_seconds`` None if not measured."""

    check: str
    uid: str
    kind: str
    state: str
    at: int
    latency_seconds: float | None
    measures: dict[str, float]
    reason: str  # also of a look that is up, where the kind says something all the same
    notes: list[str] = []


def select_checks(plan: Plan, names: Sequence[str]) -> list[PlannedCheck]:
    """The checks named (by name or uid), or all. Raises ValueError naming what the plan does not have."""
    if not names:
        return list(plan.checks)
    missing = [name for name in names if not any(name in (check.name, check.uid) for check in plan.checks)]
    if missing:
        raise ValueError(f"there is no check {', '.join(map(repr, missing))} in the plan")
    return [check for check in plan.checks if check.name in names or check.uid in names]


async def run_checks(
    checks: Sequence[PlannedCheck],
    limits: Limits,
    credentials: Credentials | None = None,
    storage: Path | None = None,
    hub: Hub | None = None,
) -> AsyncIterator[OnceResult]:
    """Looks at all of them, at most MIN_SLOTS at once; gives each as it ends. ``storage``: the probes' directory."""
    clock = SystemClock()
    slots = asyncio.Semaphore(MIN_SLOTS)
    clients: dict[type[Any], Any] = {}
    credential_source = credentials or Credentials()

    async def one(check: PlannedCheck) -> OnceResult:
        async with slots:
            at = clock.wall_ms()
            kind_storage = storage / check.kind if storage is not None else None
            outcome = await _outcome(
                check,
                clock,
                lambda timeout: ProbeContext(timeout, limits, clients, credential_source, kind_storage, hub),
            )
        state, reason = state_and_reason(outcome, check.thresholds)
        name, measures = states.NAMES[state], dict(outcome.measures)
        if state == states.UP:
            reason = outcome.reason
        notes = [english(note) for note in outcome.notes]
        return OnceResult(check.name, check.uid, check.kind, name, at, outcome.latency, measures, reason, notes)

    tasks = [asyncio.create_task(one(check)) for check in checks]
    try:
        for done in asyncio.as_completed(tasks):
            yield await done
    finally:
        for task in tasks:
            task.cancel()
        for client in clients.values():
            await client.close()


async def _outcome(check: PlannedCheck, clock: SystemClock, make_context: Callable[[float], ProbeContext]) -> Outcome:
    try:
        probe = probes.build(check.kind, check.params)
    except Exception as error:
        return unknown(sentence("this agent cannot make it: {error}", error=error))
    context = make_context(check.timeout / 1000)
    if why := outside_limits(probe, context.limits):
        return unknown(sentence("refused: {why}", why=why))
    return await ProbeRunner(clock).run(check.name, probe, context)


async def once(
    plan: Plan,
    names: Sequence[str],
    limits: Limits,
    credentials: Credentials | None = None,
    *,
    as_json: bool,
    storage: Path | None = None,
    hub: Hub | None = None,
) -> int:
    """Prints a table, or a JSON object a line as looks end. 0: all up; 1: something is not."""
    checks = select_checks(plan, names)
    results: list[OnceResult] = []
    async for result in run_checks(checks, limits, credentials, storage, hub):
        results.append(result)
        if as_json:
            sys.stdout.write(msgspec.json.encode(result, enc_hook=english).decode() + "\n")
            sys.stdout.flush()
    if not as_json:
        place = {check.uid: number for number, check in enumerate(checks)}
        for line in table(sorted(results, key=lambda result: place[result.uid])):
            print(line)
    return 0 if all(result.state == "up" for result in results) else 1


def table(results: Sequence[OnceResult]) -> list[str]:
    """Lines of aligned columns: check, kind, state, latency, reason."""
    rows = [("CHECK", "KIND", "STATE", "LATENCY", "WHY")]
    rows += [
        (
            result.check,
            result.kind,
            result.state,
            _latency(result.latency_seconds),
            "; ".join(filter(None, (str(result.reason), *result.notes))),
        )
        for result in results
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4])).rstrip()
        for row in rows
    ]


def _latency(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.2f} ms"
