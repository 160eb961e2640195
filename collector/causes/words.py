"""Messages that say what the evidence is. Each says one thing that was seen; those that name the cause come first."""

from collections.abc import Iterable, Mapping, Sequence

from alerts.incident.message import TranslatableMessage, message
from collector.causes.elements import Root
from collector.causes.paths import CheckPath
from collector.causes.topology import Topology
from inventory.protocol.causes import LAN, POWER, SERVICE, WAN

MAX_SENTENCES = 6  # sentences for one cause
OWN_MACHINE_ELEMENTS = 3  # elements on the way of a check that looks at the agent's own machine: agent, power, itself


def evidence_messages(
    topology: Topology, root: Root, down: Iterable[str], working: Mapping[Root, str]
) -> tuple[TranslatableMessage, ...]:
    """What is down and names the root, then what works beside it (by root, with a check that proves it)."""
    sentences: list[TranslatableMessage | None] = [_down(topology, uid) for uid in dict.fromkeys(down)]
    sentences += [_works(topology, other, uid) for other, uid in working.items()]
    distinct: list[TranslatableMessage] = []
    for sentence in sentences:
        if sentence is not None and sentence not in distinct:
            distinct.append(sentence)
    return tuple(distinct[:MAX_SENTENCES])


def _down(topology: Topology, uid: str) -> TranslatableMessage:
    path = topology.path(uid)
    kind = path.own.kind
    if kind == "wan" and path.vantage == topology.inventory.links[path.link].site:
        return message("Over {link} the hub does not answer as it should to {site}", link=path.link, site=path.vantage)
    if kind == "wan":
        return message("Over {link} {site} does not answer the hub as it should", link=path.link, site=path.target)
    if kind == "gateway" and path.vantage == path.target:
        return message("The gateway of {site} does not answer there as it should", site=path.target)
    if kind == "gateway":
        return message(
            "From {agent} the gateway of {site} does not answer as it should", agent=path.agent, site=path.target
        )
    if kind == "feed":
        return message("The UPS that {check} asks gives no power", check=uid)
    if len(path.on) <= OWN_MACHINE_ELEMENTS and not path.maybe:
        return message("{check} is not as it should be", check=uid)
    return message("{check} does not answer as it should to {agent}", check=uid, agent=path.agent)


def _works(topology: Topology, root: Root, uid: str) -> TranslatableMessage | None:
    ident = root.ref.id
    if root.cause == LAN:
        return message("The network of {site} works: {check} is up", site=ident, check=uid)
    if root.cause == WAN:
        return message("{link} works: {check} is up", link=ident, check=uid)
    if root.cause == POWER:
        return message("{site} has power: {check} is answered or looks", site=ident, check=uid)
    if root.cause == SERVICE and root.ref.kind == "device":
        return message("{device} works: {check} is up", device=ident, check=uid)
    return None


def no_power(checks: Iterable[str]) -> tuple[TranslatableMessage, ...]:
    return tuple(message("The UPS that {check} asks gives no power", check=uid) for uid in checks)[:MAX_SENTENCES]


def on_battery(uid: str) -> tuple[TranslatableMessage, ...]:
    return (message("The UPS that {check} asks runs on its battery", check=uid),)


def lan_without_mains(uid: str, site: str) -> tuple[TranslatableMessage, ...]:
    return (
        message("The UPS that {check} asks runs on its battery", check=uid),
        message("The gateway of {site} went at the same time, and nobody said that a UPS feeds it", site=site),
    )


def rest_works(uid: str) -> tuple[TranslatableMessage, ...]:
    return (message("All that lies on the way to {check} was seen working", check=uid),)


def brief(uid: str) -> tuple[TranslatableMessage, ...]:
    return (message("{check} was down for less time than lies between the looks at what is on its way", check=uid),)


def gone_at_once(uid: str, site: str) -> TranslatableMessage:
    return message("{check} and the gateway of {site} went at the same time", check=uid, site=site)


def device_gone(checks: Sequence[str]) -> tuple[TranslatableMessage, ...]:
    return tuple(message("{check} is down, and it looks at the same device", check=uid) for uid in checks)[
        :MAX_SENTENCES
    ]


def explains_most(path: CheckPath, root: Root, backing: Sequence[str]) -> tuple[TranslatableMessage, ...]:
    first = message(
        "One fault explains most: {check} and {count} more checks depend on it", check=path.uid, count=len(backing)
    )
    return (first, *(message("{check} is down as well", check=uid) for uid in backing))[:MAX_SENTENCES]


def undecided(path: CheckPath, roots: Sequence[Root]) -> tuple[TranslatableMessage, ...]:
    return (
        message("Nothing that was looked at tells the causes apart from which {check} may be down", check=path.uid),
        *(_possible(root) for root in roots),
    )[:MAX_SENTENCES]


def _possible(root: Root) -> TranslatableMessage:
    ident = root.ref.id
    match root.ref.kind:
        case "lan":
            return message("It may be the network of {site}", site=ident)
        case "wan":
            return message("It may be the line {link}", link=ident)
        case "power":
            return message("It may be the power of {site}", site=ident)
        case "agent":
            return message("It may be {agent} itself", agent=ident)
        case "device":
            return message("It may be {device}", device=ident)
        case "service":
            return message("It may be just {check}", check=ident)
    return message("It may be something that nobody looks at")


def degraded_with(topology: Topology, uid: str, namer: str) -> tuple[TranslatableMessage, ...]:
    return (_down(topology, namer), message("{check} got worse at the same time", check=uid))


# -- of agents


def stopped(agent: str, at: int) -> TranslatableMessage:
    return message("{agent} was stopped on purpose at {stopped_at}", agent=agent, stopped_at=at)


def restarted(agent: str, at: int) -> TranslatableMessage:
    return message("{agent} was started again at {started_at} on a machine that had run on", agent=agent, started_at=at)


def booted(agent: str, at: int) -> TranslatableMessage:
    return message("The machine of {agent} booted anew at {booted_at} without a clean stop", agent=agent, booted_at=at)


def booted_after_stop(agent: str, at: int) -> TranslatableMessage:
    return message("The machine of {agent} was shut down and booted at {booted_at}", agent=agent, booted_at=at)


def battery_before(uid: str, at: int) -> TranslatableMessage:
    return message("The UPS that {check} asks was on battery when it was last seen at {seen_at}", check=uid, seen_at=at)


def answered(site: str, uid: str) -> TranslatableMessage:
    return message("{site} answered from outside meanwhile: {check} was up", site=site, check=uid)


def answered_from(site: str, at: int) -> TranslatableMessage:
    return message("{site} answered from outside again from {answered_at} on", site=site, answered_at=at)


def gone_together(site: str, uid: str) -> TranslatableMessage:
    return message("{site} stopped answering from outside at the same time: {check}", site=site, check=uid)


def not_looked(agent: str, since: int) -> TranslatableMessage:
    return message("{agent} did not look from {since_at} on, and says nothing of why", agent=agent, since_at=since)


def silent(agent: str, since: int) -> TranslatableMessage:
    return message("{agent} has not been heard since {since_at}", agent=agent, since_at=since)


def no_evidence(uid: str, reason: str) -> tuple[TranslatableMessage, ...]:
    if reason:
        return (message("{check} could not be looked at: {reason}", check=uid, reason=reason),)
    return (message("Nothing tells how {check} was", check=uid),)


# -- of the collector


def collector_was_off(start: int, end: int) -> TranslatableMessage:
    return message("The collector was off from {from_at} to {until_at}", from_at=start, until_at=end)


def collector_started(at: int) -> TranslatableMessage:
    return message("The collector started at {started_at} and has heard nobody yet", started_at=at)


def all_silent(count: int, of: int) -> TranslatableMessage:
    return message("{count} of {total} agents are silent at once", count=count, total=of)
