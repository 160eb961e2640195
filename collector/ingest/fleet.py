"""The published states of all agents: the reading side of ingest, for pages, metrics and the evaluator.

Every state is replaced whole after its commit, so a thread may read while ingest goes on; take ``list(...)`` of the
mappings before walking them elsewhere than on the loop.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from collector.ingest.plans import Plans
from collector.ingest.quarantine import EVALUATION, AgentQuarantine
from collector.ingest.states.fast_path import LatestResult
from collector.ingest.states.state import AgentState, check_latest, check_sound, check_tail
from collector.ledger.state_step import LedgerTail
from collector.store.records import RegisteredCheck
from inventory.protocol.bounds import MOMENT_MS
from inventory.protocol.plan import Column
from inventory.protocol.reasons import template
from inventory.protocol.states import UNKNOWN, CheckStatus

T = TypeVar("T")

NOTHING_HEARD: Final = template("nothing heard")
OVERLAY_HOLD: Final = 120_000  # ms that an overlay speaks for at least: pushes come every 30 s


class Fleet:
    def __init__(self, plans: Plans, quarantine: AgentQuarantine | None = None) -> None:
        self.quarantine = quarantine or AgentQuarantine()
        self._plans = plans
        self.agents: dict[str, AgentState] = {}

    @property
    def checks(self) -> dict[int, RegisteredCheck]:
        """All checks ever registered, by row."""
        return self._plans.checks

    def publish(self, state: AgentState) -> None:
        """Raises ValueError or TypeError for a state that cannot be, and publishes nothing."""
        check_sound(state)
        self.agents[state.agent] = state

    def tail(self, check: RegisteredCheck) -> LedgerTail | None:
        """The open end of a check's ledger; read, never change."""
        return self._read(check, lambda state: _tail(state, check.id))

    def reached(self, agent: str) -> int:
        """The newest look of an agent's checks (ms), 0 while there is none."""
        return max((tail.last for check in self._checks_of(agent) if (tail := self.tail(check)) is not None), default=0)

    def _checks_of(self, agent: str) -> list[RegisteredCheck]:
        state = self.agents.get(agent)
        return [] if state is None else [self.checks[row] for row in state.ledger.tails if row in self.checks]

    def latest(self, check: RegisteredCheck) -> LatestResult | None:
        return self._read(check, lambda state: _latest(state, check.id))

    def measures(self, check: RegisteredCheck) -> dict[str, float]:
        """The newest values by name, in their units; latency in seconds as ``latency``."""
        return self._read(check, lambda state: self._measures(_latest(state, check.id), check)) or {}

    def _measures(self, newest: LatestResult | None, check: RegisteredCheck) -> dict[str, float]:
        if newest is None:
            return {}
        columns = self._plans.columns(check.agent, newest.plan, check.kind)
        values = {
            column.name: value / column.per
            for column, value in zip(columns, newest.values, strict=False)
            if value is not None
        }
        if newest.latency is not None:
            values["latency"] = newest.latency / 1e6
        return values

    def columns(self, agent: str, plan: bytes, kind: str) -> tuple[Column, ...]:
        """The value columns of a kind under an agent's plan."""
        return self._plans.columns(agent, plan, kind)

    def status(self, check: RegisteredCheck, now: int) -> CheckStatus | None:
        """What a page shows of a check; None before its first look. The overlay counts while it is newer."""
        return self._read(check, lambda state: _status(state, check, now))

    def _read(self, check: RegisteredCheck, find: Callable[[AgentState], T | None]) -> T | None:
        """What is found in the state of a check's agent; None where there is none, and where that fails."""
        state = self.agents.get(check.agent)
        if state is None:
            return None
        try:
            return find(state)
        except Exception as error:
            self.quarantine.row_failed(EVALUATION, check.agent, error)
            return None


def _tail(state: AgentState, row: int) -> LedgerTail | None:
    tail = state.tails.get(row)
    return None if tail is None else check_tail(tail)


def _latest(state: AgentState, row: int) -> LatestResult | None:
    newest = state.latest.get(row)
    return None if newest is None else check_latest(newest)


def _status(state: AgentState, check: RegisteredCheck, now: int) -> CheckStatus | None:
    tail = _tail(state, check.id)
    overlay = state.overlay
    if overlay is not None and check.id in overlay.checks and (tail is None or tail.last < overlay.at):
        code, since, looks = overlay.checks[check.id]
        hold = tail.hold if tail is not None else 0
        if now <= overlay.at + max(hold, OVERLAY_HOLD):
            return CheckStatus(
                state=code,
                since=since,
                first_look=since,
                last_look=overlay.at,
                last_state=code,
                looks=looks,
                reason="",
                source="overlay",
            )
    if tail is None:
        return None
    newest = _latest(state, check.id)
    reason = newest.reason if newest is not None and newest.at == tail.last else ""
    expired = tail.state != UNKNOWN and now > tail.last + tail.hold
    return CheckStatus(
        state=UNKNOWN if expired else tail.state,
        since=MOMENT_MS.clamped(tail.last + tail.hold if expired else tail.start),
        first_look=MOMENT_MS.clamped(tail.sure_from),
        last_look=MOMENT_MS.clamped(tail.last),
        last_state=tail.state,
        looks=tail.looks,
        reason=NOTHING_HEARD if expired else reason or tail.reason,
    )
