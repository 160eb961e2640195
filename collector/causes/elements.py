"""Elements that can break between an agent and its target, and the root cause that each is reported under.

An element is a reference, here as its text:

    agent:AGENT    the program and its machine          power:SITE   what feeds the site
    switch:SITE    the site's own network               gateway:SITE its router
    edge:SITE      where a hub's lines all come in      wan:LINK     a leased circuit
    wans:SITE      all circuits of a site at once       path:SITE    a way to a site that the inventory does not tell
    host:SITE/WHAT a machine with an address            service:UID  what a check itself looks at
    feed:UID       the power that a power check sees

Several elements share a root where nobody needs to tell them apart: a dead switch and a dead router are both the LAN.
"""

from typing import Final, NamedTuple

from inventory.protocol.causes import AGENT, LAN, NOT_KNOWN, POWER, SERVICE, WAN, CauseKind
from inventory.protocol.refs import Ref


class Root(NamedTuple):
    """What an element is reported under."""

    ref: Ref  # as alerts.incident.problem.Cause has it
    cause: CauseKind  # that it stands for


CAUSE_OF: Final[dict[str, CauseKind]] = {
    "agent": AGENT,
    "power": POWER,
    "feed": POWER,
    "switch": LAN,
    "gateway": LAN,
    "edge": LAN,
    "lan": LAN,
    "wan": WAN,
    "wans": WAN,
    "path": NOT_KNOWN,
    "host": SERVICE,
    "device": SERVICE,
    "service": SERVICE,
}
LAN_PARTS: Final = frozenset({"switch", "gateway", "edge", "path"})


def agent(ident: str) -> Ref:
    return Ref("agent", ident)


def power(site: str) -> Ref:
    return Ref("power", site)


def switch(site: str) -> Ref:
    return Ref("switch", site)


def gateway(site: str) -> Ref:
    return Ref("gateway", site)


def edge(site: str) -> Ref:
    return Ref("edge", site)


def lan(site: str) -> Ref:
    return Ref("lan", site)


def wan(link: str) -> Ref:
    return Ref("wan", link)


def wans(site: str) -> Ref:
    return Ref("wans", site)


def path(site: str) -> Ref:
    return Ref("path", site)


def host(site: str, what: str) -> Ref:
    return Ref("host", f"{site}/{what}")


def host_parts(element: Ref) -> tuple[str, str]:
    """The site of a host, and its device or address."""
    site, _, what = element.id.partition("/")
    return site, what


def device(ident: str) -> Ref:
    return Ref("device", ident)


def service(uid: str) -> Ref:
    return Ref("service", uid)


def collector(what: str) -> Ref:
    return Ref("collector", what)


def feed(uid: str) -> Ref:
    return Ref("feed", uid)
