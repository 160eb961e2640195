"""What is wrong at this moment, from what is published: checks, silent agents, clocks, findings of the last hour."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final, Literal

from alerts.conditions import Seen as Judged
from alerts.conditions import condition_for, condition_of, met, met_by
from alerts.finding import Finding
from alerts.incident import Incident
from alerts.said import say
from alerts.trouble import Cause, Subject, Trouble
from collector.causes.present import Answer, Present
from collector.evaluator.findings import said
from collector.evaluator.watch import Seen, Watch
from collector.exclusions import Exclusions
from collector.ingest.state import AgentState
from collector.reading import Known, Reader
from inventory.alerting import HOUR, MINUTE, Condition
from inventory.causes import AGENT
from inventory.model import Check, Inventory
from inventory.states import DEGRADED, DOWN, UNKNOWN

ON: Final[Mapping[int, Literal["down", "degraded"]]] = {DOWN: "down", DEGRADED: "degraded"}
STATE: Final = {"down": DOWN, "degraded": DEGRADED}
RECENT: Final = HOUR  # how long a finding is a trouble
HEARD: Final = 5 * MINUTE  # what an agent's clock showed longer ago says nothing of it now
PUSHES: Final = 3  # pushes that may stay away before an agent with a slow rhythm is silent


class Troubles:
    """``began``: when this collector began to listen (ms): nobody was silent before that."""

    def __init__(self, reader: Reader, began: int) -> None:
        self.began = began
        self._reader = reader
        self._watch = Watch(reader.fleet)
        self._met: dict[str, int] = {}  # by trouble's key: when its condition was first met
        self._findings: dict[str, tuple[Finding, int]] = {}  # by trouble's key: the latest, and when it was first

    def look(self, now: int) -> None:
        """Take in what was published since the last turn."""
        self._watch.look(now)

    def found(self, findings: Iterable[Finding]) -> None:
        """Remember findings; an older one of the same kind and agent gives its place to the newer."""
        for finding in findings:
            key = f"finding:{finding.kind}:{finding.agent}"
            first = self._findings[key][1] if key in self._findings else finding.at
            self._findings[key] = (finding, first)

    def now(self, now: int, why: Present, exclusions: Exclusions, incidents: Iterable[Incident]) -> list[Trouble]:
        """All of them. ``incidents``: the open ones, whose members are judged until they are clear."""
        inventory = self._reader.inventory
        made = [
            *self._of_checks(now, why, exclusions, incidents, inventory),
            *self._of_agents(now, why, inventory),
            *self._of_findings(now, inventory),
        ]
        keys = {trouble.key for trouble in made}
        self._met = {key: at for key, at in self._met.items() if key in keys}
        return made

    # -- checks

    def _of_checks(
        self, now: int, why: Present, exclusions: Exclusions, incidents: Iterable[Incident], inventory: Inventory
    ) -> Iterator[Trouble]:
        members, asked = _members(incidents), set[tuple[str, int]]()
        for seen in (one for wrong in list(self._watch.wrong.values()) for one in wrong):
            known = self._known(seen.row)
            if known is not None:
                asked.add((known.uid, seen.state))
                answer = why.cause(known.uid)
                yield from self._judged(known, seen, seen.state, now, answer, exclusions, inventory)
        for (uid, state), cause in members.items():
            known = self._reader.by_uid(uid)
            if (uid, state) in asked or known is None or (now_seen := self._seen(known, now)) is None:
                continue
            # it is not in that state any more, or was seen better too seldom: why it was is what the incident says
            yield from self._judged(known, now_seen, state, now, Answer(cause), exclusions, inventory)

    def _judged(
        self,
        known: Known,
        seen: Seen,
        state: int,
        now: int,
        answer: Answer,
        exclusions: Exclusions,
        inventory: Inventory,
    ) -> Iterator[Trouble]:
        """How the check stands to the condition on ``state``, whatever state it is in now."""
        check = known.check
        condition = condition_of(inventory, check, ON[state]) if check is not None else None
        if check is None or condition is None or seen.state == UNKNOWN:
            return
        judged = Judged(state=seen.state, since=seen.since, looks=seen.looks, last=seen.at)
        standing = met(condition, judged)
        if standing == "clear":
            return
        key = f"{ON[state]}:{check.uid}"
        excluded = bool(exclusions.of(check, (now - 1, now)))
        yield Trouble(
            key=key,
            condition=condition.id,
            subject=subject_of(check),
            severity=condition.severity,
            since=seen.since,
            evidence=seen.at,
            cause=answer.cause,
            confirmed=self._confirmed(key, standing == "met", answer.pending, now, inventory),
            excluded=excluded,
            state=seen.state,
            reason=seen.reason,
            recover_ms=condition.quiet_ms,
        )

    def _confirmed(self, key: str, met: bool, pending: bool, now: int, inventory: Inventory) -> bool:
        """Met, and what lies on its way was looked at since it began, or was waited for long enough."""
        if not met:
            return False
        since = self._met.setdefault(key, now)
        return not pending or now - since >= inventory.alerting.wait_ms

    def _known(self, row: int) -> Known | None:
        registered = self._reader.fleet.checks.get(row)
        known = self._reader.by_uid(registered.uid) if registered is not None else None
        return known if known is not None and known.check is not None else None

    def _seen(self, known: Known, now: int) -> Seen | None:
        """A check as it is, if anything is known of it."""
        registered = self._reader.registered(known)
        state = self._reader.fleet.now(registered, now)
        if state is None or registered.ended is not None:
            return None
        agent = self._reader.fleet.agents[registered.agent]
        overlay, tail = agent.overlay, agent.tails.get(known.row)
        if state.provisional and overlay is not None:
            looks = overlay.checks[known.row][2]
        else:
            looks = tail.looks if tail is not None else 0
        return Seen(
            row=known.row,
            state=state.state,
            since=state.since,
            at=state.at,
            looks=looks,
            reason=state.reason,
            provisional=state.provisional,
        )

    # -- agents

    def _of_agents(self, now: int, why: Present, inventory: Inventory) -> Iterator[Trouble]:
        push_every = inventory.province.push_every
        today = datetime.fromtimestamp(now / 1000, inventory.province.zone).date()
        for agent in inventory.agents.values():
            state = self._reader.fleet.agents.get(agent.id)
            if state is None or not state.contact or agent.revoked or not agent.on(today):
                continue  # never heard: it is still to be installed
            subject = Subject(agency=agent.agency, site=agent.site, agent=agent.id)
            silence = now - max(state.contact, self.began)
            if silence > push_every * PUSHES:
                condition = condition_for(inventory, "silent", subject)
                if condition is not None and met_by(condition, silence) == "met":
                    yield self._silent(agent.id, subject, condition, state, now, why)
            elif (trouble := self._clock(subject, state, now, inventory)) is not None:
                yield trouble

    def _silent(
        self, agent: str, subject: Subject, condition: Condition, state: AgentState, now: int, why: Present
    ) -> Trouble:
        key, answer = f"silent:{agent}", why.silent(agent)
        return Trouble(
            key=key,
            condition=condition.id,
            subject=subject,
            severity=condition.severity,
            since=state.contact,
            evidence=now,
            cause=answer.cause,
            confirmed=self._confirmed(key, True, answer.pending, now, why.topology.inventory),
            said=say("{agent} has not been heard since {heard_at}", agent=agent, heard_at=state.contact),
            recover_ms=condition.quiet_ms,
        )

    def _clock(self, subject: Subject, state: AgentState, now: int, inventory: Inventory) -> Trouble | None:
        """An agent's own wall clock that is off. Its results are placed right all the same."""
        error = state.timing.wall_error_ms
        condition = condition_for(inventory, "clock", subject) if error is not None else None
        if error is None or condition is None or now - state.contact > HEARD:
            return None
        standing = met_by(condition, abs(error))
        if standing == "clear":
            return None
        off = abs(error) // MINUTE * MINUTE  # not another sentence at every push
        text = (
            say("the clock of {agent} is ahead by {off_for}", agent=subject.agent, off_for=off)
            if error > 0
            else say("the clock of {agent} is behind by {off_for}", agent=subject.agent, off_for=off)
        )
        key = f"clock:{subject.agent}"
        return Trouble(
            key=key,
            condition=condition.id,
            subject=subject,
            severity=condition.severity,
            since=self._met.setdefault(key, state.contact),
            evidence=state.contact,
            cause=Cause(root=key, cause=AGENT),
            confirmed=standing == "met",
            said=text,
            recover_ms=condition.quiet_ms,
        )

    # -- findings

    def _of_findings(self, now: int, inventory: Inventory) -> Iterator[Trouble]:
        self._findings = {key: one for key, one in self._findings.items() if now - one[0].at < RECENT}
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
            yield Trouble(
                key=key,
                condition=condition.id,
                subject=subject,
                severity=condition.severity,
                since=first,
                evidence=finding.at,
                cause=Cause(root=key, cause=AGENT),
                said=said(finding),
                recover_ms=condition.quiet_ms,
                once=True,
            )

    # -- what is not known, what is gone

    def unknown(self, key: str, now: int) -> bool:
        """Whether nothing is known now of what a trouble of this key is about."""
        kind, _, what = key.partition(":")
        if kind in STATE:
            known = self._reader.by_uid(what)
            return known is None or self._reader.now(known, now).state == UNKNOWN
        if kind == "clock":
            state = self._reader.fleet.agents.get(what)
            return state is None or now - state.contact > HEARD
        return False

    def gone(self, key: str) -> bool:
        """Whether what a trouble of this key is about left the inventory."""
        inventory = self._reader.inventory
        kind, _, what = key.partition(":")
        if kind in STATE:
            known = self._reader.by_uid(what)
            return known is None or known.check is None or self._reader.registered(known).ended is not None
        if kind in ("silent", "clock"):
            agent = inventory.agents.get(what)
            return agent is None or agent.revoked
        if kind in ("risk", "missed"):
            return what.partition(":")[0] not in inventory.goals
        return False


def _members(incidents: Iterable[Incident]) -> dict[tuple[str, int], Cause]:
    """(uid, state) of the checks that open incidents are about and that are not over, with the incident's cause."""
    found = {}
    for incident in incidents:
        for key, member in incident.members.items():
            kind, _, uid = key.partition(":")
            if member.until is None and kind in STATE:
                found[uid, STATE[kind]] = incident.cause
    return found


def subject_of(check: Check) -> Subject:
    return Subject(
        agency=check.agency, site=check.site, agent=check.agent, check=check.uid, kind=check.kind, link=check.link
    )
