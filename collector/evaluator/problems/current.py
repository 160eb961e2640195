"""Problems of this moment, from every source: checks, agents, findings, goals, the collector itself, and conditions
that bring a detector of their own."""

from collections.abc import Iterable

from alerts.incident.entities import Incident
from alerts.incident.finding import IngestFinding
from alerts.incident.problem import ActiveProblem, Subject
from alerts.notify.conditions import condition_for
from collector.evaluator.context import EvaluationContext
from collector.evaluator.problems.agent_problems import CLOCK_EVIDENCE_FOR, AgentProblems
from collector.evaluator.problems.check_problems import STATE, CheckProblems
from collector.evaluator.problems.detectors import detected_problems
from collector.evaluator.problems.findings import FindingProblems
from collector.evaluator.problems.goal_problems import GoalProblems
from collector.evaluator.problems.self_checks import SelfChecks
from collector.queries.reader import LedgerReader
from inventory.model.alerting import Condition
from inventory.model.entities import Goal
from inventory.protocol.refs import Ref
from inventory.protocol.states import UNKNOWN


class CurrentProblems:
    """Remembers from one evaluation to the next what its sources need."""

    def __init__(self, reader: LedgerReader, goal_problems: GoalProblems, self_checks: SelfChecks) -> None:
        self.listening_since = reader.wall()
        self._reader = reader
        self._checks = CheckProblems(reader)
        self._agents = AgentProblems(reader.fleet)
        self._findings = FindingProblems()
        self._goals = goal_problems
        self._self_checks = self_checks
        self.met_since: dict[str, int] = {}  # by problem's key: when its condition was first met

    def add_findings(self, findings: Iterable[IngestFinding]) -> None:
        self._findings.add(findings)

    def refresh(self, now: int, findings: Iterable[IngestFinding]) -> None:
        """Read what was published since the last evaluation, and what ingest found."""
        self._findings.add(findings)
        self._checks.refresh(now)

    def present(self, context: EvaluationContext, incidents: Iterable[Incident]) -> list[ActiveProblem]:
        """What is wrong with checks, agents and their data. ``incidents``: the open ones."""
        problems = [
            *self._checks.current(context, incidents),
            *self._agents.current(context),
            *self._findings.current(context),
            *detected_problems(context),
        ]
        for over in self.met_since.keys() - {problem.key for problem in problems}:
            del self.met_since[over]
        return problems

    def of_goals(self, context: EvaluationContext, present: Iterable[ActiveProblem]) -> list[ActiveProblem]:
        """What is wrong with goals, beside the problems that are ``present``."""
        return self._goals.current(context.now, present, self._goal_condition)

    def of_collector(self, now: int) -> list[ActiveProblem]:
        """What keeps the collector itself from its work."""
        inventory = self._reader.inventory
        hub = inventory.sites.get(inventory.province.hub)
        return self._self_checks.current(now, self._own_condition, hub.agency if hub is not None else "")

    def is_unknown(self, key: str, now: int) -> bool:
        """Whether nothing is known now of what a problem of this key is about."""
        on, what = Ref.parse(key)
        if on in STATE:
            entry = self._reader.of_inventory(what)
            return entry is None or self._reader.status(entry, now).state == UNKNOWN
        if on == "clock":
            state = self._reader.fleet.agents.get(what)
            return state is None or now - state.contact > CLOCK_EVIDENCE_FOR
        return on in ("risk", "missed") and not self._goals.evaluated

    def is_gone(self, key: str) -> bool:
        """Whether what a problem of this key is about left the inventory."""
        inventory = self._reader.inventory
        on, what = Ref.parse(key)
        if on in STATE:
            entry = self._reader.of_inventory(what)
            return entry is None or entry.check is None or self._reader.registered(entry).ended is not None
        if on in ("silent", "clock"):
            agent = inventory.agents.get(what)
            return agent is None or agent.revoked
        if on in ("risk", "missed"):
            return Ref.parse(what).kind not in inventory.goals  # GOAL:WINDOW
        return False

    def _own_condition(self, what: str) -> Condition | None:
        return condition_for(self._reader.inventory, "collector", Subject(), what)

    def _goal_condition(self, on: str, goal: Goal) -> Condition | None:
        return condition_for(
            self._reader.inventory, "risk" if on == "risk" else "missed", Subject(goal=goal.id), goal.id
        )
