"""Problems of this moment, from what is published: checks, silent agents, clocks, findings of the last hour."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

from msgspec.structs import replace

from alerts.incident.entities import Incident, IncidentMember
from alerts.incident.finding import IngestFinding
from alerts.incident.problem import ActiveProblem, Cause, Subject
from alerts.notify.conditions import condition_for, condition_of, condition_state
from collector.causes.present import PresentCause, PresentCauses
from collector.evaluator.agents import CLOCK_EVIDENCE_FOR, MISSED_PUSHES, AgentProblems
from collector.evaluator.findings import finding_message
from collector.evaluator.recent import RecentLooks
from collector.evaluator.watch import StatusWatch
from collector.queries.exclusions import Exclusions
from collector.queries.reader import CheckEntry, LedgerReader
from inventory.model.alerting import HOUR
from inventory.model.entities import Check, Inventory
from inventory.protocol.causes import AGENT
from inventory.protocol.refs import Ref
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, CheckStatus

ON: Final[Mapping[int, Literal["down", "degraded"]]] = {DOWN: "down", DEGRADED: "degraded"}
STATE: Final = {"down": DOWN, "degraded": DEGRADED}
FINDING_FOR: Final = HOUR  # how long a finding is a trouble


class CurrentProblems:
    """``began``: when this collector began to listen (ms): nobody was silent before that."""

    def __init__(self, reader: LedgerReader, listening_since: int) -> None:
        self.listening_since = listening_since
        self._reader = reader
        self._watch = StatusWatch(reader.fleet)
        self._agent_problems = AgentProblems(reader.fleet)
        self._recent = RecentLooks()
        self._met_since: dict[str, int] = {}  # by trouble's key: when its condition was first met
        self._findings: dict[str, tuple[IngestFinding, int]] = {}  # by trouble's key: the latest, and when it was first

    def refresh(self, now: int) -> None:
        """Take in what was published since the last turn."""
        self._watch.refresh(now)

    def add_findings(self, findings: Iterable[IngestFinding]) -> None:
        """Remember findings; an older one of the same kind and agent gives its place to the newer."""
        for finding in findings:
            key = str(Ref("finding", f"{finding.kind}:{finding.agent}"))
            first = self._findings[key][1] if key in self._findings else finding.at
            self._findings[key] = (finding, first)

    def current(
        self, now: int, causes: PresentCauses, exclusions: Exclusions, incidents: Iterable[Incident]
    ) -> list[ActiveProblem]:
        """All of them. ``incidents``: the open ones, whose members are judged until they are clear."""
        inventory = self._reader.inventory
        problems = [
            *self._check_problems(now, causes, exclusions, incidents, inventory),
            *self._agent_problems.current(now, self.listening_since, causes, inventory, self._confirmed),
            *self._finding_problems(now, inventory),
        ]
        keys = {problem.key for problem in problems}
        self._met_since = {key: at for key, at in self._met_since.items() if key in keys}
        return problems

    # -- checks

    def _check_problems(
        self,
        now: int,
        causes: PresentCauses,
        exclusions: Exclusions,
        incidents: Iterable[Incident],
        inventory: Inventory,
    ) -> Iterator[ActiveProblem]:
        members, covered = _ongoing_members(incidents), set[tuple[str, int]]()
        self._note_recovered(now)
        for row, status in [one for unhealthy in self._watch.unhealthy.values() for one in unhealthy.items()]:
            entry = self._entry(row)
            if entry is not None:
                covered.add((entry.uid, status.state))
                diagnosis = causes.cause(entry.uid)
                yield from self._against_condition(entry, status, status.state, now, diagnosis, exclusions, inventory)
        for (uid, state), (cause, member) in members.items():
            entry = self._reader.by_uid(uid)
            if (uid, state) in covered or entry is None or (current := self._status(entry, now)) is None:
                continue
            # it is not in that state any more, or was seen better too seldom: what it was is what the incident says
            for problem in self._against_condition(
                entry, current, state, now, PresentCause(cause), exclusions, inventory
            ):
                yield replace(problem, since=member.since, reason=member.reason, message=member.message)

    def _note_recovered(self, now: int) -> None:
        """Looks at checks that were wrong of late and are not now: they count among their latest looks."""
        unhealthy_rows = {row for unhealthy in self._watch.unhealthy.values() for row in unhealthy}
        for row in self._recent.rows:
            entry = self._entry(row)
            status = self._status(entry, now) if entry is not None and row not in unhealthy_rows else None
            if status is not None:
                self._recent.add(row, status)
            elif entry is None:
                self._recent.forget(row)

    def _against_condition(
        self,
        entry: CheckEntry,
        status: CheckStatus,
        state: int,
        now: int,
        diagnosis: PresentCause,
        exclusions: Exclusions,
        inventory: Inventory,
    ) -> Iterator[ActiveProblem]:
        """How the check stands to the condition on ``state``, whatever state it is in now."""
        check = entry.check
        condition = condition_of(inventory, check, ON[state]) if check is not None else None
        if check is None or condition is None or status.state == UNKNOWN:
            return
        standing = condition_state(condition, status, self._recent.add(entry.row, status))
        if standing == "clear":
            return
        key = str(Ref(ON[state], check.uid))
        excluded = bool(exclusions.of(check, (now - 1, now)))
        yield ActiveProblem(
            key=key,
            condition=condition.id,
            subject=subject_of(check),
            severity=condition.severity,
            since=status.since,
            evidence=status.last_look,
            cause=diagnosis.cause,
            confirmed=self._is_fresh(entry, status, now, inventory)
            and self._confirmed(key, standing == "met", diagnosis.pending, now, inventory),
            excluded=excluded,
            state=status.state,
            reason=status.reason,
            recover_ms=condition.quiet_ms,
        )

    def _is_fresh(self, entry: CheckEntry, status: CheckStatus, now: int, inventory: Inventory) -> bool:
        """Whether it is so now: somebody who is there says it, or the evidence is fresh. What is old pages nobody."""
        agent = self._reader.fleet.agents.get(entry.agent)
        heard = agent is not None and now - agent.contact <= inventory.province.push_every * MISSED_PUSHES
        return heard or now - status.last_look <= inventory.alerting.late_ms

    def _confirmed(self, key: str, met: bool, pending: bool, now: int, inventory: Inventory) -> bool:
        """Met, and what lies on its way was looked at since it began, or was waited for long enough."""
        if not met:
            return False
        since = self._met_since.setdefault(key, now)
        return not pending or now - since >= inventory.alerting.wait_ms

    def _entry(self, row: int) -> CheckEntry | None:
        registered = self._reader.fleet.checks.get(row)
        entry = self._reader.by_uid(registered.uid) if registered is not None else None
        return entry if entry is not None and entry.check is not None else None

    def _status(self, entry: CheckEntry, now: int) -> CheckStatus | None:
        """A check as it is, if anything is known of it."""
        registered = self._reader.registered(entry)
        return self._reader.fleet.status(registered, now) if registered.ended is None else None

    # -- findings

    def _finding_problems(self, now: int, inventory: Inventory) -> Iterator[ActiveProblem]:
        self._findings = {key: one for key, one in self._findings.items() if now - one[0].at < FINDING_FOR}
        for key, (finding, first) in self._findings.items():
            agent = inventory.agents.get(finding.agent)
            subject = Subject(
                agency=agent.agency if agent is not None else "",
                site=agent.site if agent is not None else "",
                agent=finding.agent,
            )
            condition = condition_for(inventory, "finding", subject, finding.kind)
            if condition is None:
                continue
            yield ActiveProblem(
                key=key,
                condition=condition.id,
                subject=subject,
                severity=condition.severity,
                since=first,
                evidence=finding.at,
                cause=Cause(root=key, cause=AGENT),
                message=finding_message(finding),
                recover_ms=condition.quiet_ms,
                once=True,
            )

    # -- what is not known, what is gone

    def is_unknown(self, key: str, now: int) -> bool:
        """Whether nothing is known now of what a trouble of this key is about."""
        kind, what = Ref.parse(key)
        if kind in STATE:
            entry = self._reader.by_uid(what)
            return entry is None or self._reader.status(entry, now).state == UNKNOWN
        if kind == "clock":
            state = self._reader.fleet.agents.get(what)
            return state is None or now - state.contact > CLOCK_EVIDENCE_FOR
        return False

    def is_gone(self, key: str) -> bool:
        """Whether what a trouble of this key is about left the inventory."""
        inventory = self._reader.inventory
        kind, what = Ref.parse(key)
        if kind in STATE:
            entry = self._reader.by_uid(what)
            return entry is None or entry.check is None or self._reader.registered(entry).ended is not None
        if kind in ("silent", "clock"):
            agent = inventory.agents.get(what)
            return agent is None or agent.revoked
        if kind in ("risk", "missed"):
            return Ref.parse(what).kind not in inventory.goals  # GOAL:WINDOW
        return False


def _ongoing_members(incidents: Iterable[Incident]) -> dict[tuple[str, int], tuple[Cause, IncidentMember]]:
    """(uid, state) of the checks that open incidents are about and that are not over, with the incident's cause."""
    members = {}
    for incident in incidents:
        for member in incident.members.values():
            kind, uid = member.ref
            if member.until is None and kind in STATE:
                members[uid, STATE[kind]] = incident.cause, member
    return members


def subject_of(check: Check) -> Subject:
    return Subject(
        agency=check.agency, site=check.site, agent=check.agent, check=check.uid, kind=check.kind, link=check.link
    )
