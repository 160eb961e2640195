"""The kind ``lan``: how many hosts of a local network are on, against the number of PCs on the register."""

import asyncio
import hashlib
import ipaddress
import os
import random
import time
from collections import Counter
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Final

from msgspec import Meta

from agent.clients.icmp.pinger import IcmpPinger
from agent.clients.icmp.platform import open_pinger
from agent.clients.net.neighbours import ANSWERED, PENDING, Neighbour, NetworkTables
from agent.clients.net.ping_result import PingResult
from agent.failure import ProbeFailed
from agent.first_steps import CALL
from agent.probe import Limits, Measure, Outcome, Probe, ProbeContext
from inventory.protocol.mail_words import MailWords
from inventory.protocol.reasons import Why, sentence
from inventory.protocol.states import DOWN, UNKNOWN, UP

LARGEST: Final = 20  # prefix length: 4,094 hosts
PATIENCE: Final = 2.0  # seconds that a ping waits for its reply
# Seconds after the last ping in which the kernel hears from those it asks: it doubts an old neighbour for 5 first.
SETTLE: Final = 6.5
SETTLE_BLIND: Final = 9.0  # where it does not say how old an entry is: by then it has struck out who is gone
SLACK: Final = 1.1  # a busy machine is not quite on time
_MARGIN: Final = 0.2  # seconds before the look's end
_TICK: Final = 0.25  # seconds between two looks at the kernel's table once all pings are sent
_SAMPLE: Final = 64  # pings between two looks at it before: a full table forgets
PROXY: Final = 16  # addresses with one hardware address beyond which it is one device that answers for others
MOST_KNOWN: Final = 16_384  # hosts remembered


class Lan(Probe, frozen=True, kw_only=True):
    """Counts the hosts of an IPv4 network that are on: each address is pinged once, at a gentle rate, in random order.

    A host is there if it answers the ping, or if it answers the kernel's question for its hardware address (ARP): so
    one whose firewall drops pings counts too. A neighbour that proved itself within ``recent`` seconds counts without
    a new answer. A device that answers ARP for more than 16 addresses (proxy ARP) is one host. Not counted: this
    machine, the gateways (unless asked for) and the addresses in ``leave_out`` (printers, servers).

    Up when anything was counted: what share is enough is for a threshold on ``share_ratio`` to say, and when PCs are
    expected to be off for the inventory's calendar. Down when nobody is there. Unknown when it could not be swept
    whole.
    The network is at most a /20. It must lie inside the agent's allowed networks; an agent that names none sweeps
    private address space only. A /24 takes 17 s at the default rate: give the check a timeout of 30 s and an interval
    of some minutes. Hardware addresses stay in this process, hashed with a key made when it starts.
    """

    kind = "lan"
    title = "PCs on the LAN"
    target = ("network",)
    looks_at = "network"
    needs = ("ping",)
    measures = (
        Measure("hosts_seen", "count", "Hosts that were there, less those not to be counted"),
        Measure("share_ratio", "ratio", "Hosts seen to PCs on the register; above 1 when there are more"),
        Measure("hosts_pinged", "count", "Of them, those that answered a ping"),
        Measure("hosts_new", "count", "Of them, those not seen since this agent started; left out in its first look"),
        Measure("sweep_seconds", "seconds", "How long the look took"),
    )
    down_mail = MailWords(
        steps=(
            "Not one PC answers. Look at the main switch: is it on, and do its lights blink?",
            "Try a web page on two PCs in different rooms.",
            "Switch the main switch off, wait 30 seconds, switch it on again, and wait 5 minutes.",
            CALL,
        ),
    )
    degraded_mail = MailWords(
        headline="Few PCs are on",
        explains=True,
        steps=(
            "Fewer PCs are on than the register says. Is it a holiday, a conference or a power cut in one room?",
            "Go through the rooms: is a whole room without network? Then look at that room's switch and cable.",
            "If PCs were moved, replaced or scrapped, have the register changed.",
        ),
    )
    example = "{network: 192.0.2.0/24, register: 40}"

    network: Annotated[
        str, Meta(max_length=18, description="The IPv4 network to sweep, such as 192.168.1.0/24; at most a /20")
    ]
    register: Annotated[int, Meta(ge=1, le=1_000_000, description="PCs on the register for this network")]
    rate: Annotated[float, Meta(ge=1, le=50, description="Pings per second")] = 25.0
    recent: Annotated[
        float, Meta(ge=60, le=3600, description="Seconds for which a neighbour's last proof of being there counts")
    ] = 120.0
    count_gateway: Annotated[bool, Meta(description="Count this machine's gateways too")] = False
    count_self: Annotated[bool, Meta(description="Count this machine too")] = False
    leave_out: Annotated[
        tuple[str, ...], Meta(description="Addresses not to count: printers, servers", max_length=4096)
    ] = ()

    def __post_init__(self) -> None:
        network_of(self.network)
        for address in self.leave_out:
            try:
                IPv4Address(address)
            except ValueError:
                raise ValueError(
                    sentence("leave_out: {address} is not an IPv4 address", address=repr(address))
                ) from None

    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        network = network_of(self.network)
        return ((str(network[0]), None), (str(network[-1]), None))

    async def run(self, context: ProbeContext) -> Outcome:
        network = network_of(self.network)
        try:
            if forbidden := why_outside(network, context.limits):
                raise ProbeFailed(forbidden, UNKNOWN)
            sweep = _Sweep(self, network, context)
            await sweep.run()
            return self._outcome(network, sweep, context)
        except ProbeFailed as failure:
            return Outcome(failure.state, failure.reason)

    def _outcome(self, network: IPv4Network, sweep: "_Sweep", context: ProbeContext) -> Outcome:
        counted = sweep.counted()
        groups = Counter(counted.values())
        host_count = sum(1 if size > PROXY else size for size in groups.values())
        measures: dict[str, float] = {
            "hosts_seen": host_count,
            "share_ratio": host_count / self.register,
            "hosts_pinged": len(counted.keys() & sweep.pinged),
            "sweep_seconds": sweep.seconds,
        }
        new = context.client(SeenHosts, SeenHosts).count_new(network, set(groups))
        if new is not None:
            measures["hosts_new"] = new
        if host_count:
            return Outcome(UP, "", None, measures)
        nobody = sentence("nobody on {network} answered", network=network)
        if sweep.present:
            nobody = sentence("{so} but those not to be counted", so=nobody)
        return Outcome(
            DOWN,
            sentence("{nobody}: none of {register} PCs", nobody=nobody, register=self.register),
            None,
            measures,
        )


def network_of(text: str) -> IPv4Network:
    """Raises ValueError, in words, for what is no IPv4 network or a larger one than a /20."""
    try:
        interface = ipaddress.IPv4Interface(text)
    except ValueError:
        raise ValueError(
            sentence("network: {text} is not an IPv4 network such as 192.168.1.0/24", text=repr(text))
        ) from None
    network = interface.network
    if "/" not in text or interface.ip != network.network_address:
        raise ValueError(
            sentence(
                "network: {text} is a host's address; its network would be written {network}",
                text=repr(text),
                network=network,
            )
        )
    if network.prefixlen < LARGEST:
        size = sentence(
            "a /{prefixlen}, {num_addresses:n} addresses",
            prefixlen=network.prefixlen,
            num_addresses=f"{network.num_addresses:,}",
        )
        raise ValueError(
            sentence(
                "network: {network} is {size}; the largest that is swept is a /{largest}",
                network=network,
                size=size,
                largest=LARGEST,
            )
        )
    return network


def why_outside(network: IPv4Network, limits: Limits) -> Why:
    """Why this network may not be swept, or "". Without limits of its own an agent sweeps no public addresses."""
    if not limits.networks:
        if network.is_private:
            return ""
        return sentence(
            "{network} is public address space, and this agent's own limits do not name it", network=network
        )
    allowed = ipaddress.collapse_addresses(each for each in limits.networks if isinstance(each, IPv4Network))
    if any(network.subnet_of(each) for each in allowed):
        return ""
    return sentence("{network} is not within the networks this agent may probe", network=network)


class _Sweep:
    """One pass over the network. ``pinged``: who answered a ping. ``there``: all who answered, by names on the roll."""

    def __init__(self, probe: Lan, network: IPv4Network, context: ProbeContext) -> None:
        self._probe = probe
        self._network = network
        self._tables = context.client(_NetworkTablesClient, _NetworkTablesClient).tables
        self._pinger = context.client(IcmpPinger, open_pinger)
        self._seen_hosts = context.client(SeenHosts, SeenHosts)
        self._time = context.timeout - _MARGIN
        self._started = time.monotonic()
        self._own_addresses = self._tables.own_addresses(network[0])
        self._addresses = [address for address in network.hosts() if address not in self._own_addresses]
        self._blind = any(address.confirmed is None for address in self._tables.neighbours())
        self._lost = 0  # packets this machine threw away unread
        self._send_errors: list[str] = []  # why pings could not be sent
        self.pinged: set[IPv4Address] = set()
        self.present: dict[IPv4Address, bytes] = {}  # never a hardware address: its hash
        self.seconds = 0.0

    async def run(self) -> None:
        """Raises ProbeFailed (no evidence) when the network cannot be swept whole."""
        self._check_time()
        random.shuffle(self._addresses)  # every part of the network gets the same treatment
        waiting: set[asyncio.Task[None]] = set()
        try:
            await self._send(waiting)
            await self._wait_for_replies(waiting)
        finally:
            for task in waiting:
                task.cancel()
        if len(self._send_errors) == len(self._addresses) and not self.present:
            raise ProbeFailed(
                sentence("no ping could be sent: {it}", it=Counter(self._send_errors).most_common(1)[0][0]), UNKNOWN
            )
        if self._lost and not self._on_link:
            raise ProbeFailed(
                sentence("this machine threw away {lost} packets unread, maybe replies", lost=self._lost), UNKNOWN
            )
        self.seconds = time.monotonic() - self._started

    @property
    def _on_link(self) -> bool:
        """The network is this machine's own: hosts there answer for their hardware addresses too."""
        return any(address in self._network for address in self._own_addresses)

    @property
    def _reply_wait(self) -> float:
        """Seconds to wait for answers after the last ping."""
        if not self._on_link:
            return PATIENCE
        return SETTLE_BLIND if self._blind else SETTLE

    def _check_time(self) -> None:
        needed = len(self._addresses) / self._probe.rate * SLACK + self._reply_wait
        if needed > self._time:
            raise ProbeFailed(
                sentence(
                    "a sweep of {addresses} addresses at {rate:n} a second takes {needed:n} s; this "
                    "check's timeout is {time:n} s",
                    addresses=len(self._addresses),
                    rate=self._probe.rate,
                    needed=f"{needed + _MARGIN:.1f}",
                    time=self._time + _MARGIN,
                ),
                UNKNOWN,
            )

    async def _send(self, waiting: set[asyncio.Task[None]]) -> None:
        """One ping to every address, evenly in time: after a stall the pace is kept, nothing is caught up."""
        pause = 1 / self._probe.rate
        due = time.monotonic()
        for number, address in enumerate(self._addresses):
            now = time.monotonic()
            if now < due:
                await asyncio.sleep(due - now)
            due = max(due, now - pause) + pause
            if time.monotonic() - self._started > self._time - PATIENCE:
                left = len(self._addresses) - number
                raise ProbeFailed(
                    sentence("this machine is too busy: {left} addresses were left when the time was up", left=left),
                    UNKNOWN,
                )
            task = asyncio.create_task(self._ping(address))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
            if number % _SAMPLE == _SAMPLE - 1:
                self._read_table()

    async def _ping(self, address: IPv4Address) -> None:
        try:
            echoes: PingResult = await self._pinger.ping(address, 1, PATIENCE, 16, PATIENCE)
        except ProbeFailed as failure:
            self._send_errors.append(failure.reason)
            return
        if echoes.rtts:
            self.pinged.add(address)
            self.present.setdefault(address, self._seen_hosts.hash_of(address.packed))
            return
        self._lost += echoes.dropped
        if echoes.errors and echoes.state == UNKNOWN:
            self._send_errors.append(echoes.errors[0])

    async def _wait_for_replies(self, waiting: set[asyncio.Task[None]]) -> None:
        """Wait until nothing more is to be expected of pings and kernel, or the time is up."""
        end = min(time.monotonic() + self._reply_wait, self._started + self._time)
        while self._read_table() or waiting:
            if time.monotonic() >= end:
                break
            await asyncio.sleep(_TICK)
        if self._blind:
            self._read_table(struck_out=True)

    def _read_table(self, struck_out: bool = False) -> bool:
        """Note who answered for its address; True while the kernel still asks for somebody not yet seen.

        ``struck_out``: who did not answer is out of the table by now, so an entry without an age is proof.
        """
        asking = False
        for neighbour in self._tables.neighbours():
            address = neighbour.address
            if address not in self._network or address in self._own_addresses:
                continue
            blind = neighbour.confirmed is None and neighbour.state & ANSWERED
            if neighbour.hardware and (self._proves(neighbour) or address in self.pinged or (struck_out and blind)):
                self.present[address] = self._seen_hosts.hash_of(neighbour.hardware)
            elif address not in self.present and (blind or neighbour.state & PENDING):
                asking = True
        return asking

    def _proves(self, neighbour: Neighbour) -> bool:
        """Whether the entry says that somebody was there just now: unconfirmed ones stay in the table for days."""
        if not neighbour.state & ANSWERED or neighbour.confirmed is None:
            return False
        return neighbour.confirmed <= max(self._probe.recent, time.monotonic() - self._started)

    def counted(self) -> dict[IPv4Address, bytes]:
        """Who was there and is to be counted: address -> name on the roll."""
        left_out = {IPv4Address(address) for address in self._probe.leave_out}
        if not self._probe.count_gateway:
            left_out |= self._tables.gateways()
        present = {address: name for address, name in self.present.items() if address not in left_out}
        if self._probe.count_self:
            present.update(
                {own: self._seen_hosts.hash_of(own.packed) for own in self._own_addresses if own in self._network}
            )
        return present


class _NetworkTablesClient:
    """The kernel's tables as a shared client."""

    def __init__(self) -> None:
        self.tables = NetworkTables()

    async def close(self) -> None:
        pass


class SeenHosts:
    """Who was seen since the agent started (a shared client), by keyed hashes: without the key they say nothing."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._hosts: dict[IPv4Network, set[bytes]] = {}

    def hash_of(self, address: bytes) -> bytes:
        """The hash under which a hardware (or IP) address is remembered."""
        return hashlib.blake2b(address, key=self._key, digest_size=8).digest()

    def count_new(self, network: IPv4Network, names: set[bytes]) -> int | None:
        """How many of these were never seen before; None in the first look at the network."""
        hosts = self._hosts.get(network)
        if hosts is None:
            self._hosts[network] = names
            return None
        new = names - hosts
        if len(hosts) + len(new) > MOST_KNOWN:
            hosts.clear()  # hardware addresses that change all the time: begin anew
            hosts |= names
        hosts |= new
        return len(new)

    async def close(self) -> None:
        self._hosts.clear()
