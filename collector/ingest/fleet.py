"""The published states of all agents: the reading side of ingest, for pages, metrics and the evaluator.

Every state is replaced whole after its commit, so a thread may read while ingest goes on; take ``list(...)`` of the
mappings before walking them elsewhere than on the loop.
"""

from collector.ingest.fast_path import LatestResult
from collector.ingest.plans import Plans
from collector.ingest.state import AgentState
from collector.ledger.state_step import LedgerTail
from collector.store.records import RegisteredCheck
from inventory.protocol.plan import Column
from inventory.protocol.reasons import template
from inventory.protocol.states import UNKNOWN, CheckStatus


class Fleet:
    def __init__(self, plans: Plans) -> None:
        self._plans = plans
        self.agents: dict[str, AgentState] = {}

    @property
    def checks(self) -> dict[int, RegisteredCheck]:
        """All checks ever registered, by row."""
        return self._plans.checks

    def publish(self, state: AgentState) -> None:
        self.agents[state.agent] = state

    def tail(self, check: RegisteredCheck) -> LedgerTail | None:
        """The open end of a check's ledger; read, never change."""
        state = self.agents.get(check.agent)
        return None if state is None else state.tails.get(check.id)

    def latest(self, check: RegisteredCheck) -> LatestResult | None:
        state = self.agents.get(check.agent)
        return None if state is None else state.latest.get(check.id)

    def measures(self, check: RegisteredCheck) -> dict[str, float]:
        """The newest values by name, in their units; latency in seconds as ``latency``."""
        newest = self.latest(check)
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
        state = self.agents.get(check.agent)
        if state is None:
            return None
        tail = state.tails.get(check.id)
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
        newest = state.latest.get(check.id)
        reason = newest.reason if newest is not None and newest.at == tail.last else ""
        expired = tail.state != UNKNOWN and now > tail.last + tail.hold
        return CheckStatus(
            state=UNKNOWN if expired else tail.state,
            since=tail.last + tail.hold if expired else tail.start,
            first_look=tail.sure_from,
            last_look=tail.last,
            last_state=tail.state,
            looks=tail.looks,
            reason=NOTHING_HEARD if expired else reason or tail.reason,
        )


NOTHING_HEARD = template("nothing heard")
OVERLAY_HOLD = 120_000  # ms that an overlay speaks for at least: pushes come every 30 s
