"""Causes of this moment: why something is not up right now, from the published states.

What is up proves something about a trouble only if it was up at some moment between the first look that found it and
the last: what was up a moment before says nothing, nor what came back since. While something on the way has not been
looked at since it began, the answer is pending.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from alerts.incident.message import TranslatableMessage
from alerts.incident.problem import Cause, Certainty
from collector.causes import elements, words
from collector.causes.elements import Root
from collector.causes.explain import SEEN_WORKING, Explanation, Solver, cause_of
from collector.causes.paths import CheckPath
from collector.causes.topology import Topology
from collector.ledger.counted import Interval
from inventory.protocol.causes import AGENT, COLLECTOR, NOT_KNOWN, POWER
from inventory.protocol.refs import Ref
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, CheckStatus

MISSED: Final = 3  # pushes missed until an agent counts as silent
MANY: Final = 3  # agents silent at once, and
SHARE: Final = 0.5  # this share of all, are not so many faults of their own


class AgentContact(msgspec.Struct, frozen=True):
    """An agent as it is published."""

    heard: int  # when it last was
    stopped: int | None = None  # when it stopped cleanly; None: it runs


class PresentView(msgspec.Struct, frozen=True, kw_only=True):
    """What is published at one moment."""

    status: Callable[[str], CheckStatus | None]  # of a check, by uid; None: never looked at
    contact: Callable[[str], AgentContact | None]  # with an agent; None: never heard of
    now: int
    started: int = 0  # when the collector itself began to listen
    push_every: int = 30_000  # ms between an agent's pushes

    @property
    def patience(self) -> int:
        return MISSED * self.push_every


class PresentCause(msgspec.Struct, frozen=True):
    """A cause as of this moment."""

    cause: Cause
    pending: bool = False  # something on the way was not looked at since; it is worth waiting for, a bounded time


class _PublishedStates:
    """The picture of this moment."""

    def __init__(self, topology: Topology, view: PresentView) -> None:
        self._topology = topology
        self._view = view
        self._statuses: dict[str, CheckStatus | None] = {}

    def status(self, uid: str) -> CheckStatus | None:
        if uid not in self._statuses:
            self._statuses[uid] = self._view.status(uid)
        return self._statuses[uid]

    def state(self, uid: str) -> int | None:
        status = self.status(uid)
        return None if status is None or status.state == UNKNOWN else status.state

    def onset(self, uid: str) -> int:
        status = self.status(uid)
        return status.first_look if status is not None else 0

    def down_near(self, uid: str, within: int) -> bool:
        return False  # what was is not asked: what is now decides

    def is_brief(self, uid: str) -> bool:
        return False

    def silent_contact(self, agent: str) -> AgentContact | None:
        """Its last contact, if that was too long ago."""
        contact = self._view.contact(agent)
        if contact is None or self._view.now - contact.heard <= self._view.patience:
            return None
        return contact

    def known_fault(self, element: Ref) -> Cause | None:
        """On battery, then silent: probably without power."""
        if element.kind != "power":
            return None
        site = element.id
        for agent in self._topology.agents_at(site):
            contact = self.silent_contact(agent)
            if contact is None or contact.stopped is not None:
                continue
            for uid in self._topology.power_checks(site):
                status, check = self.status(uid), self._topology.check(uid)
                if status is None or check is None or check.agent != agent or status.last_state not in (DEGRADED, DOWN):
                    continue
                if status.last_look >= contact.heard - check.hold - self._view.push_every:
                    because = (words.battery_before(uid, status.last_look), words.silent(agent, contact.heard))
                    return cause_of(Root(element, POWER), "provisional", because)
        return None

    def is_alive(self, element: Ref) -> bool:
        return False


class PresentCauses(Solver):
    """Answers for one moment; make a new one for the next. All troubles of a moment share what it has worked out."""

    def __init__(self, topology: Topology, view: PresentView) -> None:
        self.view = view
        self._published = _PublishedStates(topology, view)
        super().__init__(topology, self._published)
        self._proofs: dict[Ref, tuple[tuple[int, int, str], ...]] = {}
        self._mass: tuple[int, int] | None = None

    # -- checks

    def cause(self, uid: str) -> PresentCause:
        """Of a check that is down or degraded now. One that is neither, or is not in the inventory, is not known."""
        check = self.topology.check(uid)
        finding = self.explain(uid) if check is not None else None
        if finding is None:
            root = Root(elements.service(uid), NOT_KNOWN)
            return PresentCause(cause_of(root, "provisional", words.no_evidence(uid, "")))
        path = self.topology.path(uid)
        left = self.suspects(path)
        if finding.decided:  # what is only probable may yet be ruled out by a look that is about to be made
            return PresentCause(finding.cause(), finding.certainty != "sure" and self._evidence_pending(path, left))
        return PresentCause(self._fallback(path, finding), self._evidence_pending(path, left))

    def when(self, uid: str) -> Interval:
        status = self._published.status(uid)
        return (status.first_look, status.last_look) if status is not None else (self.view.now, self.view.now)

    def _prover(self, element: Ref, when: Interval) -> str | None:
        if element not in self._proofs:
            self._proofs[element] = tuple(self._proofs_of(element))
        first, last = when
        return next((uid for start, end, uid in self._proofs[element] if end >= first and start <= last), None)

    def _proofs_of(self, element: Ref) -> Iterable[tuple[int, int, str]]:
        """From when to when it is seen to work, and by which check."""
        kind, ident = element.kind, element.id
        if kind != "agent":
            for uid in self.topology.provers(element):
                status = self._published.status(uid)
                if status is not None and status.last_state in SEEN_WORKING:
                    yield status.first_look, status.last_look, uid
        if kind in ("agent", "power"):
            agents = (ident,) if kind == "agent" else self.topology.agents_at(ident)
            for uid in (uid for agent in agents for uid in self.topology.heartbeat_checks(agent)):
                status = self._published.status(uid)
                if status is not None and status.last_state != UNKNOWN:
                    yield status.first_look, status.last_look, uid

    def _fallback(self, path: CheckPath, finding: Explanation) -> Cause:
        """What it goes by while nothing decides: what the check is about, or what else would explain others too."""
        root = finding.root
        silent = [
            words.silent(agent, contact.heard)
            for agent in self.topology.agents_at(path.target)
            if (contact := self._published.silent_contact(agent)) is not None
        ]
        because = (*self._explanation(path, root, "provisional").because, *silent)
        return cause_of(root, "provisional", because)

    def _evidence_pending(self, path: CheckPath, left: tuple[Ref, ...]) -> bool:
        """Whether a living agent is still to look at something that is left."""
        since = self.when(path.uid)[0]
        for element in left:
            if element in (path.own, path.last):
                continue
            for uid in self.topology.provers(element):
                status, agent = self._published.status(uid), self.topology.path(uid).agent
                contact = self.view.contact(agent)
                alive = (
                    contact is not None and contact.stopped is None and self._published.silent_contact(agent) is None
                )
                if uid != path.uid and alive and status is not None and status.last_look < since:
                    return True
        return False

    # -- agents

    def silence(self, agent: str) -> PresentCause:
        """Of an agent that is not heard: the agent, its site, the way to it, or the collector itself?"""
        contact = self.view.contact(agent)
        heard = contact.heard if contact is not None else 0
        silent = words.silent(agent, heard)
        root = elements.agent(agent)
        if contact is not None and contact.stopped is not None:
            return PresentCause(cause_of(Root(root, AGENT), "sure", (words.stopped(agent, contact.stopped),)))
        if self.view.now - self.view.started < self.view.patience and heard < self.view.started:
            because = (words.collector_started(self.view.started), silent)
            return PresentCause(_collector_cause("start", "provisional", because), True)
        site = self.topology.site_of(agent)
        outside = [uid for uid in self.topology.outside_checks(site) if self._published.status(uid) is not None]
        answering = next((uid for uid in outside if self._state_after(uid, heard) in SEEN_WORKING), None)
        if answering is not None:
            if (crowd := self._mass_silence()) is not None:
                because = (words.all_silent(*crowd), words.answered(site, answering))
                return PresentCause(_collector_cause("reach", "probable", because))
            outside_evidence = (words.answered(site, answering), silent)
            return PresentCause(cause_of(Root(root, AGENT), "probable", outside_evidence))
        gone = next((uid for uid in outside if self._published.state(uid) == DOWN), None)
        if gone is not None:
            answer = self.cause(gone)
            gone_evidence = (*answer.cause.because, silent)
            unsure = msgspec.structs.replace(answer.cause, certainty="provisional", because=gone_evidence)
            return PresentCause(unsure, answer.pending)
        if (fact := self._published.known_fault(elements.power(site))) is not None:
            return PresentCause(fact)
        if (crowd := self._mass_silence()) is not None:
            return PresentCause(_collector_cause("reach", "provisional", (words.all_silent(*crowd), silent)))
        waiting = any(self._published.silent_contact(self.topology.path(uid).agent) is None for uid in outside)
        return PresentCause(cause_of(Root(root, NOT_KNOWN), "provisional", (silent,)), waiting)

    def _state_after(self, uid: str, heard: int) -> int | None:
        """The state that was found later than the agent could have been heard again."""
        status = self._published.status(uid)
        return status.last_state if status is not None and status.last_look > heard + self.view.push_every else None

    def _mass_silence(self) -> tuple[int, int] | None:
        """(how many are silent, of how many), if these are too many for faults of their own."""
        if self._mass is None:
            contacts = [self.view.contact(agent) for agent in self.topology.inventory.agents]
            running = [contact for contact in contacts if contact is not None and contact.stopped is None]
            late = sum(1 for contact in running if self.view.now - contact.heard > self.view.patience)
            self._mass = late, len(running)
        late, of = self._mass
        return self._mass if late >= MANY and late >= SHARE * of else None


def _collector_cause(what: str, certainty: Certainty, because: tuple[TranslatableMessage, ...]) -> Cause:
    return cause_of(Root(elements.collector(what), COLLECTOR), certainty, because)


def present_causes(topology: Topology, view: PresentView) -> PresentCauses:
    """The causes of this moment: ``.cause(uid)`` of a check that is not up, ``.silent(agent)`` of an agent."""
    return PresentCauses(topology, view)
