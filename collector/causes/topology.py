"""The path of each check: from the agent that looks, over what lies between, to its target.

A check that is up proves everything on its way; one that is down says that something on it is broken. Which checks
speak of an element is worked out for one site at a time, when it is first asked for, so that ten thousand sites cost no
more than an index at the start.
"""

from collections.abc import Iterable

from collector.causes import elements
from collector.causes.elements import Root
from collector.causes.paths import CheckPath, PathBuilder
from inventory.model.entities import Check, Inventory, Link
from inventory.protocol import kinds
from inventory.protocol.refs import Ref

PROVERS = 6  # checks asked about one element: more only cost time
WITNESSES = 6  # sites whose lines tell whether a hub as a whole is reached
MAX_HOLD_RATIO = 3  # a check proves an element only if its hold is at most so many times that of the quickest


class Topology:
    """What lies between lookers and targets. Made by :meth:`of`; to read only, from any thread: it fills its caches as
    it is asked, and an entry that two threads make at once comes out the same."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self.hub = inventory.province.hub
        self._builder = PathBuilder(inventory)
        self._paths: dict[str, CheckPath] = {}
        self._near: dict[str, tuple[str, ...]] = {}
        self._provers: dict[Ref, tuple[str, ...]] = {}
        self._heartbeats: dict[str, tuple[str, ...]] = {}
        self._by_agent: dict[str, list[str]] = {}
        self._by_site: dict[str, list[str]] = {}
        self._agents_at: dict[str, list[str]] = {}
        self._hosts: dict[Ref, Root] = {}
        self._housed: dict[Ref, list[str]] | None = None
        self._related: dict[str, tuple[str, ...]] = {}
        for agent in inventory.agents.values():
            self._agents_at.setdefault(agent.site, []).append(agent.id)
        for check in inventory.checks.values():
            self._by_agent.setdefault(check.agent, []).append(check.uid)
            self._by_site.setdefault(check.site, []).append(check.uid)
        self._witness_sites = _spread_over_providers(inventory.links.values(), WITNESSES)

    @classmethod
    def of(cls, inventory: Inventory) -> "Topology":
        return cls(inventory)

    # -- ways

    def check(self, uid: str) -> Check | None:
        return self.inventory.checks.get(uid)

    def path(self, uid: str) -> CheckPath:
        """Raises KeyError for a check that the inventory does not have."""
        path = self._paths.get(uid)
        if path is None:
            check = self.inventory.checks[uid]
            path = self._paths[uid] = self._builder.build(check, self.site_of(check.agent))
        return path

    def agents_at(self, site: str) -> tuple[str, ...]:
        return tuple(self._agents_at.get(site, ()))

    def site_of(self, agent: str) -> str:
        definition = self.inventory.agents.get(agent)
        return definition.site if definition is not None else ""

    # -- roots

    def root(self, element: Ref) -> Root:
        """What an element is told under."""
        kind, ident = element.kind, element.id
        cause = elements.CAUSE_OF[kind]
        if kind in elements.LAN_PARTS:
            return Root(elements.lan(ident), cause)
        if kind == "wans":
            return Root(elements.wan(self.inventory.sites[ident].links[0]), cause)
        if kind == "feed":
            return Root(elements.power(self.path(ident).vantage), cause)
        if kind == "host":
            return self._host_root(element)
        return Root(element, cause)

    def _host_root(self, element: Ref) -> Root:
        """A device of the inventory; else the first check of those that share the address stands for it."""
        root = self._hosts.get(element)
        if root is None:
            _, what = elements.host_parts(element)
            cause = elements.CAUSE_OF["host"]
            if what in self.inventory.devices:
                root = Root(elements.device(what), cause)
            else:
                sharing = self._checks_of_host(element)
                root = Root(elements.service(min(sharing)), cause) if sharing else Root(element, cause)
            self._hosts[element] = root
        return root

    def _checks_of_host(self, element: Ref) -> list[str]:
        """The checks that look at one host. A hub also houses what other sites' checks are about."""
        site, _ = elements.host_parts(element)
        if site != self.hub:
            return [uid for uid in self.checks_near(site) if self.path(uid).host == element]
        if self._housed is None:
            housed: dict[Ref, list[str]] = {}
            for agent in self.agents_at(site):
                for uid in self.checks_of(agent):
                    if host := self.path(uid).host:
                        housed.setdefault(host, []).append(uid)
            self._housed = housed  # whole at once: another thread may be asking
        return self._housed.get(element, [])

    # -- who speaks of what

    def checks_near(self, site: str) -> tuple[str, ...]:
        """The checks that tell of a site: its agents', and others' about it. Of a hub: its own about itself, and
        those of both ends of some lines."""
        near = self._near.get(site)
        if near is None:
            about = self._by_site.get(site, ())
            from_here = [uid for agent in self.agents_at(site) for uid in self._by_agent.get(agent, ())]
            if site == self.hub:
                checks = self.inventory.checks
                from_here = [uid for uid in from_here if checks[uid].site == site]
                from_here += [uid for other in self._witness_sites for uid in self.site_link_checks(other)]
            near = self._near[site] = tuple(dict.fromkeys((*from_here, *about)))
        return near

    def site_link_checks(self, site: str) -> tuple[str, ...]:
        """The checks of both sides that prove one of the site's circuits."""
        checks = self.inventory.checks
        return tuple(uid for uid in self._by_site.get(site, ()) if checks[uid].link)

    def link_checks(self, link: str) -> tuple[str, ...]:
        """The checks of both sides that prove this circuit."""
        checks = self.inventory.checks
        return tuple(uid for uid in self.site_link_checks(self.inventory.links[link].site) if checks[uid].link == link)

    def heartbeat_checks(self, agent: str) -> tuple[str, ...]:
        """The quickest checks of an agent: whether it looks at all is told by these.

        Not by power checks: into their ledger ingest writes what a boot tells, which nobody looked at.
        """
        if agent not in self._heartbeats:
            checks, site = self.inventory.checks, self.site_of(agent)
            looking = [uid for uid in self._by_agent.get(agent, ()) if checks[uid].kind not in kinds.about("power")]
            self._heartbeats[agent] = self._quickest([uid for uid in looking if checks[uid].site == site] or looking)
        return self._heartbeats[agent]

    def checks_of(self, agent: str) -> tuple[str, ...]:
        return tuple(self._by_agent.get(agent, ()))

    def provers(self, element: Ref) -> tuple[str, ...]:
        """The checks that prove the element when they are up; quick ones only, those that name it first."""
        provers = self._provers.get(element)
        if provers is None:
            kind = element.kind
            if kind == "edge":
                provers = tuple(uid for site in self._witness_sites for uid in self.site_link_checks(site))
            else:
                near = self._checks_of_host(element) if kind == "host" else self.checks_near(self._site_of(element))
                provers = self._quickest((uid for uid in near if self._proves(uid, element)), element)
            self._provers[element] = provers
        return provers

    def namers(self, element: Ref) -> tuple[str, ...]:
        """The checks that are about the element."""
        return tuple(uid for uid in self.provers(element) if self.path(uid).own == element)

    def outside_checks(self, site: str) -> tuple[str, ...]:
        """Checks by agents elsewhere that need the site's power: whether anything is alive there."""
        own = set(self.agents_at(site))
        return tuple(uid for uid in self.provers(elements.power(site)) if self.path(uid).agent not in own)

    def power_checks(self, site: str) -> tuple[str, ...]:
        checks, about_power = self.inventory.checks, kinds.about("power")
        here = (uid for uid in self.checks_near(site) if checks[uid].site == site)
        return tuple(uid for uid in here if checks[uid].kind in about_power)

    def ups_of(self, uid: str) -> str:
        """The UPS (a device's id, or "") that a power check asks."""
        return self.path(uid).device

    def related(self, uid: str) -> tuple[str, ...]:
        """All checks whose states may decide why this one is not up."""
        related = self._related.get(uid)
        if related is None:
            path = self.path(uid)
            uids: dict[str, None] = {uid: None}
            for element in (*path.on, *path.maybe):
                uids.update(dict.fromkeys(self.provers(element)))
            for site in {path.vantage, path.target}:
                uids.update(dict.fromkeys(self.power_checks(site)))
            related = self._related[uid] = tuple(uids)
        return related

    def _proves(self, uid: str, element: Ref) -> bool:
        on = self.path(uid).on
        if element in on:
            return True
        if element.kind != "wans":
            return False
        links = self.inventory.sites[element.id].links
        return any(elements.wan(link) in on for link in links)

    def _site_of(self, element: Ref) -> str:
        kind, ident = element.kind, element.id
        if kind == "wan":
            return self.inventory.links[ident].site
        if kind == "agent":
            return self.site_of(ident)
        if kind in ("service", "feed"):
            return self.path(ident).vantage
        return elements.host_parts(element)[0] if kind == "host" else ident

    def _quickest(self, uids: Iterable[str], element: Ref | None = None) -> tuple[str, ...]:
        """The quickest to see a change, those of other agents not crowded out by the many of one."""
        checks = self.inventory.checks
        ordered = sorted(uids, key=lambda uid: (self.path(uid).own != element, checks[uid].hold, uid))
        quickest = min((checks[uid].hold for uid in ordered), default=0)
        quick = [uid for uid in ordered if checks[uid].hold <= MAX_HOLD_RATIO * quickest]
        own = element.id if element is not None and element.kind in ("power", "gateway") else ""
        there = [uid for uid in quick if not own or self.path(uid).vantage == own]
        elsewhere = [uid for uid in quick if own and self.path(uid).vantage != own]
        return (*there[:PROVERS], *elsewhere[:PROVERS])


def _spread_over_providers(links: Iterable[Link], most: int) -> tuple[str, ...]:
    """Sites of some links, of as many providers as there are and from all over the inventory."""
    by_provider: dict[str, list[str]] = {}
    for link in links:
        by_provider.setdefault(link.provider, []).append(link.site)
    groups = [list(dict.fromkeys(sites)) for _, sites in sorted(by_provider.items())]
    share = -(-most // max(len(groups), 1))
    apart = [
        sites if len(sites) <= share else [sites[i * len(sites) // share] for i in range(share)] for sites in groups
    ]
    interleaved = (sites[index] for index in range(share) for sites in apart if index < len(sites))
    return tuple(dict.fromkeys(interleaved))[:most]
