"""Elements that can break between an agent and its target, and the root cause that each is reported under.

An element is a string, ``KIND:ID``:

    agent:AGENT    the program and its machine          power:SITE   what feeds the site
    switch:SITE    the site's own network               gateway:SITE its router
    edge:SITE      where a hub's lines all come in      wan:LINK     a leased circuit
    wans:SITE      all circuits of a site at once       path:SITE    a way to a site that the inventory does not tell
    host:SITE/WHAT a machine with an address            service:UID  what a check itself looks at
    feed:UID       the power that a power check sees

Several elements share a root where nobody needs to tell them apart: a dead switch and a dead router are both the LAN.
"""

from typing import Final, NamedTuple

from inventory.protocol.causes import AGENT, LAN, NOT_KNOWN, POWER, SERVICE, WAN


class Root(NamedTuple):
    """``root`` as in alerts.incident.problem.Cause, and the cause that it stands for."""

    root: str
    cause: str


CAUSE_OF: Final = {
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


def agent(ident: str) -> str:
    return f"agent:{ident}"


def power(site: str) -> str:
    return f"power:{site}"


def switch(site: str) -> str:
    return f"switch:{site}"


def gateway(site: str) -> str:
    return f"gateway:{site}"


def edge(site: str) -> str:
    return f"edge:{site}"


def wan(link: str) -> str:
    return f"wan:{link}"


def wans(site: str) -> str:
    return f"wans:{site}"


def path(site: str) -> str:
    return f"path:{site}"


def host(site: str, what: str) -> str:
    return f"host:{site}/{what}"


def service(uid: str) -> str:
    return f"service:{uid}"


def feed(uid: str) -> str:
    return f"feed:{uid}"


def kind_of(element: str) -> str:
    return element.partition(":")[0]


def ident_of(element: str) -> str:
    return element.partition(":")[2]
