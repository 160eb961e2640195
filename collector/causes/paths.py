"""Paths of checks: from the agent that looks, over what lies between, to where the target stands."""

from collections.abc import Callable, Iterable

import msgspec

from collector.causes import elements
from collector.causes.locate import GATEWAY, Locator, TargetLocation
from inventory.model.entities import Check, Inventory
from inventory.protocol import kinds
from inventory.protocol.refs import Ref


class CheckPath(msgspec.Struct, frozen=True, kw_only=True):
    """The way of a check from its agent to its target."""

    uid: str
    agent: str
    vantage: str  # the agent's site
    target: str  # the site where the target stands, "" where it is not known
    on: tuple[Ref, ...]  # what has to work for the check to be up, from the looker outward
    maybe: tuple[Ref, ...] = ()  # what may lie on the way
    own: Ref  # the element that the check is about and names when it is down
    last: Ref  # what is left to blame when all on the way is proven by others
    host: Ref | None = None  # the machine with an address that it looks at
    device: str = ""  # the inventory's, that it looks at
    link: str = ""  # the circuit that it is about


class PathBuilder:
    """Builds the path of each check of an inventory."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._hub = inventory.province.hub
        self._locator = Locator(inventory)

    def build(self, check: Check, vantage: str) -> CheckPath:
        """``vantage``: the site of its agent."""
        place = self._locator.locate(check, vantage)
        last = elements.service(check.uid)
        start = (elements.agent(check.agent), elements.power(vantage))

        def build(
            target: str,
            between: Iterable[Ref],
            own: Ref,
            maybe: tuple[Ref, ...] = (),
            host: Ref | None = None,
            link: str = "",
        ) -> CheckPath:
            on = tuple(dict.fromkeys((*start, *between, own)))
            return CheckPath(
                uid=check.uid,
                agent=check.agent,
                vantage=vantage,
                target=target,
                on=on,
                maybe=maybe,
                own=own,
                last=last,
                host=host,
                device=place.device,
                link=link,
            )

        if check.kind in kinds.about("power"):
            return build(vantage, (), elements.feed(check.uid))
        if check.link:
            return self._link_path(check, vantage, place, build)
        if place.where == "machine":
            return build(vantage, (), last)
        if place.where == "network":
            return build(vantage, (elements.switch(vantage),), last)
        if place.where == "unknown":
            local = (elements.switch(vantage), elements.gateway(vantage)) if vantage else ()
            return build("", (), last, maybe=(*local, *self._circuits_of(vantage, "")))
        between = self._between(vantage, place.site)
        if place.where == "router":
            between = (*between, elements.gateway(place.site))
            own = elements.gateway(place.site) if self._is_ping(check) else last
            return build(place.site, between, own)
        host = elements.host(place.site, place.what)
        between = (*between, *((elements.switch(place.site),) if place.site != vantage else ()), host)
        return build(place.site, between, host if check.kind in kinds.about("host") else last, host=host)

    @staticmethod
    def _is_ping(check: Check) -> bool:
        """Whether nothing but the router itself has to answer."""
        return check.kind in kinds.about("host") or check.key == GATEWAY

    def _link_path(
        self, check: Check, vantage: str, place: TargetLocation, build: Callable[..., CheckPath]
    ) -> CheckPath:
        """Over one circuit, whose other end may be another site than the province's hub."""
        link = self._inventory.links[check.link]
        here = link.site == vantage
        far = self._hub if here and place.site in ("", vantage) else (place.site if here else link.site)
        if not here and vantage != self._hub and self._circuits_of(vantage, ""):
            between = self._between(vantage, far, check.link)  # its own circuit comes first
        else:
            hub = self._hub if self._hub in (vantage, far) else ""
            between = (
                *(elements.switch(vantage), elements.gateway(vantage), elements.wan(check.link)),
                *((elements.edge(hub),) if hub else ()),
                *((elements.gateway(far), elements.power(far)) if far else ()),
            )
        return build(far, between, elements.wan(check.link), link=check.link)

    def _between(self, vantage: str, target: str, link: str = "") -> tuple[Ref, ...]:
        """What lies between a looker at one site and the router of another; ``link``: the circuit that it takes."""
        if vantage == target:
            return (elements.switch(vantage),)
        hops = [elements.switch(vantage), elements.gateway(vantage), *self._circuits_of(vantage, link)]
        if self._hub and self._hub not in (vantage, target):
            hops += [elements.gateway(self._hub), elements.power(self._hub)]
        if self._hub:
            hops.append(elements.edge(self._hub))
        hops += [*self._circuits_of(target, link), elements.gateway(target), elements.power(target)]
        return tuple(hops)

    def _circuits_of(self, site: str, link: str) -> tuple[Ref, ...]:
        """The circuits of a site as one element; none for the hub, where they all end."""
        definition = self._inventory.sites.get(site)
        if definition is None or site == self._hub:
            return ()
        if link in definition.links:
            return (elements.wan(link),)
        if len(definition.links) > 1:
            return (elements.wans(site),)
        return (elements.wan(definition.links[0]),) if definition.links else (elements.path(site),)
