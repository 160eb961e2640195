"""Locates the target of a check: the site and device where it stands, as far as the inventory tells it.

By the address among its parameters: a device's, a site's router (``gateway`` inside, ``wan`` outside), or inside a
site's ``lan``. Many sites may use the same private network, so the site that looks is asked first, then the one that
the check is about, then the hub, and any other only if no second one fits. What nothing tells stays unknown.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from inventory.model.entities import Check, Device, Inventory, Site
from inventory.protocol import kinds

Where = Literal["machine", "network", "router", "inside", "unknown"]
GATEWAY: Final = "gateway"  # the key of a check of the site's own router, where no fact tells its address
HUB_ITSELF: Final = "hub"  # throughput's word for the collector


class TargetLocation(msgspec.Struct, frozen=True):
    """Where the target of a check stands."""

    where: Where  # on the agent's own machine, the network as a whole, a site's router, inside a site, or unknown
    site: str = ""
    what: str = ""  # the device's id or the address; "" for none
    device: str = ""


UNKNOWN_LOCATION: Final = TargetLocation("unknown")


def target(check: Check) -> str:
    """The address that the check looks at, "" if it has none."""
    for name in kinds.of(check.kind).addressed_by:
        if isinstance(value := check.params.get(name), str) and value:
            return _host_of(value) or "" if "://" in value else value
    return ""


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


class Locator:
    """Looks places up; made once for an inventory."""

    def __init__(self, inventory: Inventory) -> None:
        self._sites = inventory.sites
        self._hub = inventory.province.hub
        self._devices: dict[str, list[Device]] = {}
        for device in inventory.devices.values():
            if device.address:
                self._devices.setdefault(device.address, []).append(device)
        self._routers: dict[str, list[str]] = {}
        self._lans: dict[str, list[str]] = {}
        for site in inventory.sites.values():
            for fact in ("gateway", "wan"):
                address = site.facts.get(fact)
                if address and site.id not in self._routers.setdefault(address, []):
                    self._routers[address].append(site.id)
            if lan := site.facts.get("lan"):
                self._lans.setdefault(lan, []).append(site.id)

    def locate(self, check: Check, vantage: str) -> TargetLocation:
        """``vantage``: the site of the agent that looks."""
        kind = kinds.of(check.kind)
        if kind.on_own_machine:
            return TargetLocation("machine", vantage)
        if kind.looks_at == "network":
            return TargetLocation("network", vantage)
        address = target(check)
        if not address:
            return UNKNOWN_LOCATION
        if address == HUB_ITSELF:
            return TargetLocation("router", self._hub) if self._hub else UNKNOWN_LOCATION
        prefer = tuple(dict.fromkeys((vantage, check.site, self._hub)))
        device = self._device(check, address, prefer)
        if device is not None:
            return TargetLocation("inside", device.site, device.id, device.id)
        router = _preferred(self._routers.get(address, ()), prefer)
        if router is not None:
            return TargetLocation("router", router, address)
        if check.key == GATEWAY and check.site == vantage:
            return TargetLocation("router", vantage, address)
        inside = self._inside(address, prefer)
        if inside is not None:
            return TargetLocation("inside", inside, address)
        if check.site == vantage and _loopback(address):
            return TargetLocation("machine", vantage)
        return UNKNOWN_LOCATION

    def _device(self, check: Check, address: str, prefer: tuple[str, ...]) -> Device | None:
        """Of several devices behind one address (a UPS on a server), the one that the check is named after."""
        candidates = self._devices.get(address, ())
        site = _preferred([device.site for device in candidates], prefer)
        here = [device for device in candidates if device.site == site]
        named = [device for device in here if check.key.endswith(device.id.removeprefix(f"{device.site}-"))]
        return next(iter(named or here), None)

    def _inside(self, address: str, prefer: tuple[str, ...]) -> str | None:
        parsed = _address(address)
        if parsed is None:
            return None
        for ident in prefer:
            site = self._sites.get(ident)
            if site is not None and _holds(site, parsed):
                return ident
        fitting = [sites for lan, sites in self._lans.items() if (net := _network(lan)) is not None and parsed in net]
        return fitting[0][0] if len(fitting) == 1 and len(fitting[0]) == 1 else None


def _preferred(sites: Iterable[str], prefer: tuple[str, ...]) -> str | None:
    """The preferred one of these sites; without such the only one."""
    candidates = list(dict.fromkeys(sites))
    preferred = next((site for site in prefer if site in candidates), None)
    return preferred if preferred is not None else (candidates[0] if len(candidates) == 1 else None)


def _holds(site: Site, address: IPv4Address | IPv6Address) -> bool:
    network = _network(site.facts.get("lan", ""))
    return network is not None and address in network


def _loopback(address: str) -> bool:
    parsed = _address(address)
    return parsed.is_loopback if parsed is not None else address == "localhost"


@lru_cache(maxsize=65_536)
def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


@lru_cache(maxsize=65_536)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
