"""Problems of checks: those that are down or degraded, and members of open incidents until they are clear."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Final, Literal

from msgspec.structs import replace

from alerts.incident.entities import Incident, IncidentMember
from alerts.incident.problem import ActiveProblem, Cause, Subject
from alerts.notify.conditions import condition_of, condition_state
from collector.causes.present import PresentCause
from collector.evaluator.context import EvaluationContext
from collector.evaluator.problems.agent_problems import MISSED_PUSHES
from collector.evaluator.problems.unhealthy_checks import UnhealthyChecks
from collector.evaluator.recent import RecentLooks
from collector.ingest.quarantine import EVALUATION
from collector.queries.reader import CheckEntry, LedgerReader
from inventory.model.entities import Check
from inventory.protocol.refs import Ref
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, CheckStatus

ON: Final[Mapping[int, Literal["down", "degraded"]]] = {DOWN: "down", DEGRADED: "degraded"}
STATE: Final = {"down": DOWN, "degraded": DEGRADED}


class CheckProblems:
    """Remembers the latest looks at what was wrong of late."""

    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader
        self._unhealthy = UnhealthyChecks(reader.fleet)
        self._recent = RecentLooks()

    def refresh(self, now: int) -> None:
        """Read what was published since the last evaluation."""
        self._unhealthy.refresh(now)

    def current(self, context: EvaluationContext, incidents: Iterable[Incident]) -> Iterator[ActiveProblem]:
        """``incidents``: the open ones, whose members are judged until they are clear."""
        members, covered = _ongoing_members(incidents), set[tuple[str, int]]()
        self._note_recovered(context.now)
        for row, status in [one for unhealthy in self._unhealthy.by_agent.values() for one in unhealthy.items()]:
            entry = self._entry(row)
            if entry is not None:
                covered.add((entry.uid, status.state))
                yield from self._alone(entry, partial(self._wrong_now, entry, status, context))
        for (uid, state), (cause, member) in members.items():
            entry = self._reader.of_inventory(uid)
            if (uid, state) in covered or entry is None or (current := self._status(entry, context.now)) is None:
                continue
            # it is not in that state any more, or was seen better too seldom: what it was is what the incident has
            judged = partial(self._judged, entry, current, state, PresentCause(cause), context)
            for problem in self._alone(entry, judged):
                yield replace(problem, since=member.since, reason=member.reason, message=member.message)

    def _wrong_now(self, entry: CheckEntry, status: CheckStatus, context: EvaluationContext) -> Iterator[ActiveProblem]:
        return self._judged(entry, status, status.state, context.causes.cause(entry.uid), context)

    def _alone(self, entry: CheckEntry, judge: Callable[[], Iterable[ActiveProblem]]) -> list[ActiveProblem]:
        """One check's problems; where it cannot be judged, that is its agent's fault, and the others are."""
        try:
            return list(judge())
        except Exception as error:
            self._reader.fleet.quarantine.row_failed(EVALUATION, entry.agent, error)
            return []

    def _note_recovered(self, now: int) -> None:
        """Looks at checks that were wrong of late and are not now: they count among their latest looks."""
        unhealthy_rows = {row for unhealthy in self._unhealthy.by_agent.values() for row in unhealthy}
        for row in self._recent.rows:
            entry = self._entry(row)
            status = self._status(entry, now) if entry is not None and row not in unhealthy_rows else None
            if status is not None:
                self._recent.add(row, status)
            elif entry is None:
                self._recent.forget(row)

    def _judged(
        self, entry: CheckEntry, status: CheckStatus, state: int, diagnosis: PresentCause, context: EvaluationContext
    ) -> Iterator[ActiveProblem]:
        """How the check stands to the condition on ``state``, whatever state it is in now."""
        check = entry.check
        condition = condition_of(context.inventory, check, ON[state]) if check is not None else None
        if check is None or condition is None or status.state == UNKNOWN:
            return
        standing = condition_state(condition, status, self._recent.add(entry.row, status))
        if standing == "clear":
            return
        key = str(Ref(ON[state], check.uid))
        yield ActiveProblem(
            key=key,
            condition=condition.id,
            subject=subject_of(check),
            severity=condition.severity,
            since=status.since,
            evidence=status.last_look,
            cause=diagnosis.cause,
            confirmed=self._is_fresh(entry, status, context)
            and context.confirmed(key, standing == "met", diagnosis.pending),
            excluded=bool(context.exclusions.of(check, (context.now - 1, context.now))),
            state=status.state,
            reason=status.reason,
            recover_ms=condition.quiet_ms,
        )

    def _is_fresh(self, entry: CheckEntry, status: CheckStatus, context: EvaluationContext) -> bool:
        """Whether it is so now: an agent that is there reports it, or the evidence is fresh. What is old pages
        nobody."""
        agent = self._reader.fleet.agents.get(entry.agent)
        patience = context.inventory.province.push_every * MISSED_PUSHES
        heard = agent is not None and context.now - agent.contact <= patience
        return heard or context.now - status.last_look <= context.inventory.alerting.late_ms

    def _entry(self, row: int) -> CheckEntry | None:
        entry = self._reader.of_row(row)
        return entry if entry is not None and entry.check is not None else None

    def _status(self, entry: CheckEntry, now: int) -> CheckStatus | None:
        """A check as it is, if anything is known of it."""
        registered = self._reader.registered(entry)
        return self._reader.fleet.status(registered, now) if registered.ended is None else None


def _ongoing_members(incidents: Iterable[Incident]) -> dict[tuple[str, int], tuple[Cause, IncidentMember]]:
    """(uid, state) of the checks that open incidents are about and that are not over, with the incident's cause."""
    members = {}
    for incident in incidents:
        for member in incident.members.values():
            on, uid = member.ref
            if member.until is None and on in STATE:
                members[uid, STATE[on]] = incident.cause, member
    return members


def subject_of(check: Check) -> Subject:
    return Subject(
        agency=check.agency, site=check.site, agent=check.agent, check=check.uid, kind=check.kind, link=check.link
    )
