"""Problems of agents: one that is not heard, one whose own clock is off."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from alerts.incident.message import message
from alerts.incident.problem import ActiveProblem, Cause, Subject
from alerts.notify.conditions import condition_for, duration_state
from collector.evaluator.context import EvaluationContext
from collector.ingest.fleet import Fleet
from collector.ingest.states.state import AgentState
from inventory.model.alerting import MINUTE
from inventory.model.entities import Agent, Inventory
from inventory.protocol.causes import AGENT
from inventory.protocol.refs import Ref

CLOCK_EVIDENCE_FOR: Final = 5 * MINUTE  # what an agent's clock showed longer ago says nothing of it now
MISSED_PUSHES: Final = 3  # pushes that may stay away before an agent that pushes seldom is silent
CLOCK_TOLERANCE: Final = 1_000  # ms: no condition is about less
CLOCK_ROUNDING: Final = 10_000  # ms to which a clock's error is rounded: not another message at every push


class AgentProblems:
    """Of ten thousand agents nearly all are heard and right: these cost two comparisons an evaluation."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._off_since: dict[str, int] = {}  # by agent: since when its clock is off

    def current(self, context: EvaluationContext) -> Iterator[ActiveProblem]:
        now, inventory = context.now, context.inventory
        today = datetime.fromtimestamp(now / 1000, inventory.province.zone).date()
        states, patience = self._fleet.agents, inventory.province.push_every * MISSED_PUSHES
        wrong_clocks, held = set[str](), self._fleet.quarantine.agents
        for agent in inventory.agents.values():
            state = states.get(agent.id)
            if state is None or not state.contact:
                continue  # never heard: it is still to be installed
            if agent.id in held:
                continue  # it pushes, and is refused
            silence, error = now - max(state.contact, context.listening_since), state.timing.wall_error_ms
            if silence <= patience and (error is None or abs(error) <= CLOCK_TOLERANCE):
                continue
            if agent.revoked or not agent.on(today):
                continue
            if silence > patience:
                problem = _silent(agent, state, silence, context)
            else:
                problem = self._clock(agent, state, error or 0, inventory)
                wrong_clocks.add(agent.id)
            if problem is not None:
                yield problem
        self._off_since = {agent: at for agent, at in self._off_since.items() if agent in wrong_clocks}

    def _clock(self, agent: Agent, state: AgentState, error: int, inventory: Inventory) -> ActiveProblem | None:
        """Its results are placed right all the same."""
        subject = _subject(agent)
        condition = condition_for(inventory, "clock", subject)
        standing = duration_state(condition, abs(error)) if condition is not None else "clear"
        if condition is None or standing == "clear":
            return None
        off = abs(error) // CLOCK_ROUNDING * CLOCK_ROUNDING or abs(error)
        key = str(Ref("clock", agent.id))
        return ActiveProblem(
            key=key,
            condition=condition.id,
            subject=subject,
            severity=condition.severity,
            since=self._off_since.setdefault(agent.id, state.contact),
            evidence=state.contact,
            cause=Cause(root=key, cause=AGENT),
            confirmed=standing == "met",
            message=message("the clock of {agent} is ahead by {off_for}", agent=agent.id, off_for=off)
            if error > 0
            else message("the clock of {agent} is behind by {off_for}", agent=agent.id, off_for=off),
            recover_ms=condition.quiet_ms,
        )


def _silent(agent: Agent, state: AgentState, silence: int, context: EvaluationContext) -> ActiveProblem | None:
    subject = _subject(agent)
    condition = condition_for(context.inventory, "silent", subject)
    if condition is None or duration_state(condition, silence) != "met":
        return None
    key, diagnosis = str(Ref("silent", agent.id)), context.causes.silence(agent.id)
    return ActiveProblem(
        key=key,
        condition=condition.id,
        subject=subject,
        severity=condition.severity,
        since=state.contact,
        evidence=context.now,
        cause=diagnosis.cause,
        confirmed=context.confirmed(key, True, diagnosis.pending),
        message=message("{agent} has not been heard since {heard_at}", agent=agent.id, heard_at=state.contact),
        recover_ms=condition.quiet_ms,
    )


def _subject(agent: Agent) -> Subject:
    return Subject(agency=agent.agency, site=agent.site, agent=agent.id)
