"""The evidence in words. Each sentence says one thing that was seen; those that name the cause come first."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from alerts.incident.message import Said, say
from collector.causes import elements
from collector.causes.elements import Root
from inventory.protocol.causes import LAN, POWER, SERVICE, WAN

if TYPE_CHECKING:  # topology knows nothing of words
    from collector.causes.topology import Topology, Way

MOST = 6  # sentences for one cause
ON_ITS_MACHINE = 3  # elements on the way of a check that looks at the agent's own machine: agent, power, itself


def told(topology: "Topology", root: Root, down: Iterable[str], working: Mapping[Root, str]) -> tuple[Said, ...]:
    """What is down and names the root, then what works beside it (by root, with a check that proves it)."""
    sentences: list[Said | None] = [_down(topology, uid) for uid in dict.fromkeys(down)]
    sentences += [_works(topology, other, uid) for other, uid in working.items()]
    distinct: list[Said] = []
    for sentence in sentences:
        if sentence is not None and sentence not in distinct:
            distinct.append(sentence)
    return tuple(distinct[:MOST])


def _down(topology: "Topology", uid: str) -> Said:
    path = topology.way(uid)
    kind = elements.kind_of(path.own)
    if kind == "wan" and path.vantage == topology.inventory.links[path.link].site:
        return say("Over {link} the hub does not answer as it should to {site}", link=path.link, site=path.vantage)
    if kind == "wan":
        return say("Over {link} {site} does not answer the hub as it should", link=path.link, site=path.target)
    if kind == "gateway" and path.vantage == path.target:
        return say("The gateway of {site} does not answer there as it should", site=path.target)
    if kind == "gateway":
        return say("From {agent} the gateway of {site} does not answer as it should", agent=path.agent, site=path.target)
    if kind == "feed":
        return say("The UPS that {check} asks gives no power", check=uid)
    if len(path.on) <= ON_ITS_MACHINE and not path.maybe:
        return say("{check} is not as it should be", check=uid)
    return say("{check} does not answer as it should to {agent}", check=uid, agent=path.agent)


def _works(topology: "Topology", root: Root, uid: str) -> Said | None:
    ident = root.root.partition(":")[2]
    if root.cause == LAN:
        return say("The network of {site} works: {check} is up", site=ident, check=uid)
    if root.cause == WAN:
        return say("{link} works: {check} is up", link=ident, check=uid)
    if root.cause == POWER:
        return say("{site} has power: {check} is answered or looks", site=ident, check=uid)
    if root.cause == SERVICE and root.root.startswith("device:"):
        return say("{device} works: {check} is up", device=ident, check=uid)
    return None


def no_power(checks: Iterable[str]) -> tuple[Said, ...]:
    return tuple(say("The UPS that {check} asks gives no power", check=uid) for uid in checks)[:MOST]


def on_battery(uid: str) -> tuple[Said, ...]:
    return (say("The UPS that {check} asks runs on its battery", check=uid),)


def lan_without_mains(uid: str, site: str) -> tuple[Said, ...]:
    return (
        say("The UPS that {check} asks runs on its battery", check=uid),
        say("The gateway of {site} went at the same time, and nobody said that a UPS feeds it", site=site),
    )


def rest_works(uid: str) -> tuple[Said, ...]:
    return (say("All that lies on the way to {check} was seen working", check=uid),)


def brief(uid: str) -> tuple[Said, ...]:
    return (say("{check} was down for less time than lies between the looks at what is on its way", check=uid),)


def gone_at_once(uid: str, site: str) -> Said:
    return say("{check} and the gateway of {site} went at the same time", check=uid, site=site)


def device_gone(checks: Sequence[str]) -> tuple[Said, ...]:
    return tuple(say("{check} is down, and it looks at the same device", check=uid) for uid in checks)[:MOST]


def explains_most(path: "Way", root: Root, backing: Sequence[str]) -> tuple[Said, ...]:
    first = say(
        "One fault explains most: {check} and {count} more checks depend on it", check=path.uid, count=len(backing)
    )
    return (first, *(say("{check} is down as well", check=uid) for uid in backing))[:MOST]


def undecided(path: "Way", roots: Sequence[Root]) -> tuple[Said, ...]:
    return (
        say("Nothing that was looked at tells the causes apart from which {check} may be down", check=path.uid),
        *(_possible(root) for root in roots),
    )[:MOST]


def _possible(root: Root) -> Said:
    kind, _, ident = root.root.partition(":")
    match kind:
        case "lan":
            return say("It may be the network of {site}", site=ident)
        case "wan":
            return say("It may be the line {link}", link=ident)
        case "power":
            return say("It may be the power of {site}", site=ident)
        case "agent":
            return say("It may be {agent} itself", agent=ident)
        case "device":
            return say("It may be {device}", device=ident)
        case "service":
            return say("It may be just {check}", check=ident)
    return say("It may be something that nobody looks at")


def degraded_with(topology: "Topology", uid: str, namer: str) -> tuple[Said, ...]:
    return (_down(topology, namer), say("{check} got worse at the same time", check=uid))


# -- of agents


def stopped(agent: str, at: int) -> Said:
    return say("{agent} was stopped on purpose at {stopped_at}", agent=agent, stopped_at=at)


def restarted(agent: str, at: int) -> Said:
    return say("{agent} was started again at {started_at} on a machine that had run on", agent=agent, started_at=at)


def booted(agent: str, at: int) -> Said:
    return say("The machine of {agent} booted anew at {booted_at} without a clean stop", agent=agent, booted_at=at)


def booted_after_stop(agent: str, at: int) -> Said:
    return say("The machine of {agent} was shut down and booted at {booted_at}", agent=agent, booted_at=at)


def battery_before(uid: str, at: int) -> Said:
    return say("The UPS that {check} asks was on battery when it was last seen at {seen_at}", check=uid, seen_at=at)


def answered(site: str, uid: str) -> Said:
    return say("{site} answered from outside meanwhile: {check} was up", site=site, check=uid)


def answered_from(site: str, at: int) -> Said:
    return say("{site} answered from outside again from {answered_at} on", site=site, answered_at=at)


def gone_together(site: str, uid: str) -> Said:
    return say("{site} stopped answering from outside at the same time: {check}", site=site, check=uid)


def not_looked(agent: str, since: int) -> Said:
    return say("{agent} did not look from {since_at} on, and says nothing of why", agent=agent, since_at=since)


def silent(agent: str, since: int) -> Said:
    return say("{agent} has not been heard since {since_at}", agent=agent, since_at=since)


def never_told(uid: str, reason: str) -> tuple[Said, ...]:
    if reason:
        return (say("{check} could not be looked at: {reason}", check=uid, reason=reason),)
    return (say("Nothing tells how {check} was", check=uid),)


# -- of the collector


def collector_was_off(start: int, end: int) -> Said:
    return say("The collector was off from {from_at} to {until_at}", from_at=start, until_at=end)


def collector_started(at: int) -> Said:
    return say("The collector started at {started_at} and has heard nobody yet", started_at=at)


def all_silent(count: int, of: int) -> Said:
    return say("{count} of {total} agents are silent at once", count=count, total=of)
