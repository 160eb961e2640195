"""Explains why a check is not up, from what is proven at one moment.

What is proven is always true, so what follows from it is sure: everything on the way of a check that is up works, and
something on the way of one that is down does not. Where only one root is left, that is it. Where several are left, one
that another check names by itself is enough; after that the one that explains most of what is down at the same time,
and then it is only probable. Where nothing decides, nothing is said.
"""

from collections.abc import Iterable
from typing import Final, Protocol

import msgspec

from alerts.incident.message import TranslatableMessage
from alerts.incident.problem import Cause, Certainty
from collector.causes import elements, words
from collector.causes.elements import Root
from collector.causes.paths import CheckPath
from collector.causes.topology import Topology
from collector.ledger.counted import Interval
from inventory.protocol import kinds
from inventory.protocol.causes import LAN, POWER, SERVICE
from inventory.protocol.refs import Ref
from inventory.protocol.states import DEGRADED, DOWN, UP

ALWAYS: Final[Interval] = (0, 0)
SEEN_WORKING: Final = (UP, DEGRADED)
MIN_OTHER_SITES: Final = 2  # other sites whose lines have to be gone as well before a hub's edge is thought of


class ProvenStates(Protocol):
    """What is proven at one moment."""

    def state(self, uid: str) -> int | None:
        """The check's state, as far as it is proven at this moment; None where it is not."""

    def onset(self, uid: str) -> int:
        """When it was first seen in that state, ms."""

    def down_near(self, uid: str, within: int) -> bool:
        """Whether it is proven to have been down at some time no farther from this moment than ``within`` (ms)."""

    def is_brief(self, uid: str) -> bool:
        """Whether it was so for a time that looks at other things may have missed."""

    def known_fault(self, element: Ref) -> Cause | None:
        """That an element is broken, where something else than checks tells (an agent's life)."""

    def is_alive(self, element: Ref) -> bool:
        """That an element works, where something else than checks tells."""


class Explanation(msgspec.Struct, frozen=True):
    """What one moment tells of a cause."""

    root: Root
    certainty: Certainty
    because: tuple[TranslatableMessage, ...] = ()
    decided: bool = True  # else ``root`` is only the first of ``roots``
    roots: tuple[Root, ...] = ()  # those that remain where nothing decides

    def cause(self) -> Cause:
        return cause_of(self.root, self.certainty, self.because)


def cause_of(root: Root, certainty: Certainty, because: tuple[TranslatableMessage, ...]) -> Cause:
    """As it leaves this package: kept, shown and mailed, its root as text."""
    return Cause(root=str(root.ref), cause=root.cause, certainty=certainty, because=because)


def explanation_of(cause: Cause) -> Explanation:
    return Explanation(Root(cause.ref, cause.cause), cause.certainty, cause.because)


class Solver:
    """Answers for one picture; remembers what it has worked out."""

    def __init__(self, topology: Topology, proven: ProvenStates) -> None:
        self.topology = topology
        self.proven = proven
        self._proven: dict[tuple[Ref, Interval], str | None] = {}
        self._named: dict[Ref, tuple[str, ...]] = {}

    # -- what works

    def when(self, uid: str) -> Interval:
        """When it was found as it is, from the first look to the last: what proves something about it meets that."""
        return ALWAYS

    def prover(self, element: Ref, when: Interval) -> str | None:
        """A check that proves the element at this moment, or "" if something else than a check does."""
        key = element, when
        if key not in self._proven:
            self._proven[key] = self._prover(element, when)
        return self._proven[key]

    def _prover(self, element: Ref, when: Interval) -> str | None:
        kind = element.kind
        if self.proven.is_alive(element):
            return ""
        state = self.proven.state
        if kind == "agent":  # whatever it saw, it was there to see it
            looks = self.topology.heartbeat_checks(element.id)
            return next((uid for uid in looks if state(uid) in (UP, DEGRADED, DOWN)), None)
        proving = next((uid for uid in self.topology.provers(element) if state(uid) in SEEN_WORKING), None)
        if proving is None and kind == "power":
            agents = self.topology.agents_at(element.id)
            return next(
                (uid for agent in agents if (uid := self.prover(elements.agent(agent), when)) is not None), None
            )
        return proving

    def suspects(self, path: CheckPath) -> tuple[Ref, ...]:
        """What on the check's way is not proven to work, from the looker outward."""
        suspected, when = [], self.when(path.uid)
        there = elements.agent(path.agent), elements.power(path.vantage)  # it looked, or nothing would be down
        for element in (*path.on, *path.maybe):
            if element in there:
                continue
            if element.kind == "edge":
                if self._edge_may_be_gone(element, path):
                    suspected.append(element)
            elif element == path.last or self.prover(element, when) is None:
                suspected.append(element)
        return tuple(suspected)

    def _edge_may_be_gone(self, element: Ref, path: CheckPath) -> bool:
        """Whether no line is seen to work, and all that are seen to be gone went when this check did.

        A line of which nothing is told at this very moment, and that was seen gone soon before or after, rules nothing
        out. With one or two lines nothing could ever be told: a hub's edge is not thought of then.
        """
        if self.prover(element, self.when(path.uid)) is not None:
            return False
        sites = {path.vantage, path.target}
        hold, onset = self._hold(path.uid), self.proven.onset(path.uid)
        gone: set[str] = set()
        unproven: set[str] = set()
        for uid in self.topology.provers(element):
            other = self.topology.path(uid)
            ends = {other.vantage, other.target} - {self.topology.hub}
            state = self.proven.state(uid)
            if state is None and self.proven.down_near(uid, hold):
                unproven |= ends - sites
            if state != DOWN or ends & sites:
                continue  # what was up before says nothing of this moment
            if abs(self.proven.onset(uid) - onset) > hold:
                return False
            gone |= ends
        return len(gone | unproven) >= MIN_OTHER_SITES

    def _hold(self, uid: str) -> int:
        check = self.topology.check(uid)
        return check.hold if check is not None else 0

    # -- what does not

    def explain(self, uid: str) -> Explanation | None:
        """Why the check is degraded or down; None if it is neither at this moment, as far as that is proven."""
        state = self.proven.state(uid)
        if state == DOWN:
            return self.down(uid)
        return self.degraded(uid) if state == DEGRADED else None

    def down(self, uid: str) -> Explanation:
        path = self.topology.path(uid)
        if path.own.kind == "feed":
            return self._explanation(path, self.topology.root(path.own), "sure")
        if (unfed := self._without_power(path)) is not None:
            return unfed
        left = self.suspects(path)
        roots = tuple(dict.fromkeys(self.topology.root(element) for element in left))
        if not left:
            return self._contradicted(path)
        if len(roots) == 1:
            return self._on_battery(path, left, roots[0]) or self._explanation(path, roots[0], "sure")
        for root in roots:
            named = self._checks_naming(left, root)
            if named:
                return self._on_battery(self.topology.path(named[0]), left, root) or self._explanation(
                    path, root, "sure", named
                )
        for element in left:
            if (fact := self.proven.known_fault(element)) is not None:
                return explanation_of(fact)
        if all(root.cause == SERVICE for root in roots):
            return self._device_or_service(path, roots)
        return self._whole_network(path, left) or self._best_supported(path, left, roots)

    def named_alone(self, uid: str, root: Root) -> bool:
        """Whether this check by itself tells that the root is broken."""
        if self.proven.state(uid) != DOWN:
            return False
        left = self.suspects(self.topology.path(uid))
        return bool(left) and all(self.topology.root(element) == root for element in left)

    def _checks_naming(self, left: Iterable[Ref], root: Root) -> tuple[str, ...]:
        """Checks that name one of these elements of the root, and tell of nothing else."""
        if root.cause == SERVICE and root.ref.kind == "service":
            return ()
        uids: list[str] = []
        for element in left:
            if self.topology.root(element) != root:
                continue
            for part in self._parts(element):
                if part not in self._named:
                    named = (uid for uid in self.topology.namers(part) if self.named_alone(uid, root))
                    self._named[part] = tuple(named)
                uids += self._named[part]
        return tuple(uids)

    def _parts(self, element: Ref) -> tuple[Ref, ...]:
        """Circuits stand for each other: all of them have to be gone."""
        if element.kind != "wans":
            return (element,)
        return tuple(elements.wan(link) for link in self.topology.inventory.sites[element.id].links)

    def _without_power(self, path: CheckPath) -> Explanation | None:
        """What is fed only by UPSs that give no power has none."""
        device = self.topology.inventory.devices.get(path.device)
        site = self.topology.inventory.sites.get(path.target)
        if site is None:
            return None
        feeders = device.fed_by if device is not None and device.fed_by else site.fed_by
        if not feeders or (device is not None and device.id in feeders):
            return None
        dark = []
        for feeder in feeders:
            of_it = [uid for uid in self.topology.power_checks(site.id) if self.topology.ups_of(uid) == feeder]
            if not any(self.proven.state(uid) == DOWN for uid in of_it):
                return None
            dark += of_it
        root = Root(elements.power(site.id), POWER)
        return Explanation(root, "sure", words.no_power(dark))

    def _on_battery(self, path: CheckPath, left: Iterable[Ref], root: Root) -> Explanation | None:
        """A LAN that is gone while the UPS runs on battery and nobody said that it feeds it: its power is gone."""
        site = self.topology.inventory.sites.get(root.ref.id)
        if root.cause != LAN or site is None or site.fed_by:
            return None
        on_battery = [uid for uid in self.topology.power_checks(site.id) if self.proven.state(uid) == DEGRADED]
        if not on_battery:
            return None
        return Explanation(
            Root(elements.power(site.id), POWER), "probable", words.lan_without_mains(on_battery[0], site.id)
        )

    def _contradicted(self, path: CheckPath) -> Explanation:
        """All on its way is proven, but not at the very moment of its looks: a short one is what it names."""
        if path.own != path.last and self.proven.is_brief(path.uid):
            return Explanation(self.topology.root(path.own), "probable", words.brief(path.uid))
        return Explanation(self.topology.root(path.last), "probable", words.rest_works(path.uid))

    def _whole_network(self, path: CheckPath, left: Iterable[Ref]) -> Explanation | None:
        """A site's router and what stands beside it, gone at once: the network between them and the looker."""
        for element in left:
            if element.kind != "switch":
                continue
            site = element.id
            for uid in self.topology.namers(elements.gateway(site)):
                near = abs(self.proven.onset(uid) - self.proven.onset(path.uid)) <= self._hold(path.uid)
                if uid != path.uid and near and self.named_alone(uid, self.topology.root(element)):
                    named = words.gone_at_once(path.uid, site)
                    return Explanation(self.topology.root(element), "probable", (named, *self._down_messages(uid)))
        return None

    def _down_messages(self, uid: str) -> tuple[TranslatableMessage, ...]:
        return words.evidence_messages(self.topology, self.topology.root(self.topology.path(uid).own), (uid,), {})

    def _device_or_service(self, path: CheckPath, roots: tuple[Root, ...]) -> Explanation:
        own, host = self.topology.root(path.last), self.topology.root(path.host) if path.host else None
        if path.host is not None and host in roots:
            others = [uid for uid in self.topology.provers(path.host) if uid != path.uid]
            down = [uid for uid in others if self.proven.state(uid) == DOWN]
            if down and host is not None:
                return Explanation(host, "sure", words.device_gone((path.uid, *down)))
            if others and path.own == path.last:
                return Explanation(own, "sure", words.undecided(path, roots), decided=False, roots=roots)
        return self._explanation(path, own if own in roots else roots[0], "sure")

    def _best_supported(self, path: CheckPath, left: tuple[Ref, ...], roots: tuple[Root, ...]) -> Explanation:
        """The root that explains most of the others that are down; undecided if two explain as many."""
        support = dict.fromkeys(roots, 0)
        backing: dict[Root, list[str]] = {root: [] for root in roots}
        for uid in self.topology.related(path.uid):
            if uid == path.uid or self.proven.state(uid) != DOWN:
                continue
            other = self.suspects(self.topology.path(uid))
            possible = {self.topology.root(element) for element in other}
            if any(self._checks_naming(other, root) for root in possible):
                continue  # that one is explained
            for root in possible & support.keys():
                support[root] += 1
                backing[root].append(uid)
        ranked = sorted(roots, key=lambda root: -support[root])
        best = ranked[0]
        if support[best] and (len(ranked) == 1 or support[best] > support[ranked[1]]):
            return Explanation(best, "probable", words.explains_most(path, best, backing[best]))
        own = self.topology.root(path.own)
        first = own if own in roots and not support[best] else best
        return Explanation(first, "provisional", words.undecided(path, roots), decided=False, roots=roots)

    # -- what is out of its thresholds

    def degraded(self, uid: str) -> Explanation:
        """The first on its way that is itself out of its thresholds, or that has lost one of its circuits."""
        path = self.topology.path(uid)
        if path.own.kind == "feed":
            return Explanation(self.topology.root(path.own), "sure", words.on_battery(path.uid))
        check = self.topology.check(uid)
        if check is not None and check.kind in kinds.about("ups"):
            at_site = self.topology.power_checks(path.vantage)
            same = [u for u in at_site if self.topology.ups_of(u) == path.device and self.proven.state(u) == DEGRADED]
            if same:
                return Explanation(self.topology.root(elements.feed(same[0])), "sure", words.on_battery(same[0]))
        for element in path.on:
            for part in self._parts(element):
                if part.kind not in ("gateway", "wan", "host"):
                    continue
                for namer in self.topology.namers(part):
                    if namer != uid and self._is_degraded(namer, part):
                        return self._same_time(path, part, namer)
        return self._explanation(path, self.topology.root(path.own), "sure")

    def _is_degraded(self, namer: str, part: Ref) -> bool:
        """Whether what this check names is worse than it should be."""
        state = self.proven.state(namer)
        return state == DEGRADED or (state == DOWN and self.named_alone(namer, self.topology.root(part)))

    def _same_time(self, path: CheckPath, part: Ref, namer: str) -> Explanation:
        root = self.topology.root(part)
        if self.topology.root(path.own) == root:
            return self._explanation(path, root, "sure")
        return Explanation(root, "probable", words.degraded_with(self.topology, path.uid, namer))

    # -- in words

    def _explanation(
        self, path: CheckPath, root: Root, certainty: Certainty, named: tuple[str, ...] = ()
    ) -> Explanation:
        others = [uid for uid in (*named, path.uid) if self.proven.state(uid) in (DOWN, DEGRADED)]
        working: dict[Root, str] = {}
        when = self.when(path.uid)
        for element in (*path.on, *path.maybe):
            prover = self.prover(element, when)
            if prover and element != path.own and element.kind not in ("agent", "service"):
                other = self.topology.root(element)
                if other != root:
                    working.setdefault(other, prover)
        return Explanation(root, certainty, words.evidence_messages(self.topology, root, others, working))
