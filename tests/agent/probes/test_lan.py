"""The LAN probe on real networks: a bridge with hosts in namespaces of their own, some of which drop pings."""

import asyncio
import ctypes
import os
import struct
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import probes
from agent.clients.icmp.pinger import IcmpPinger
from agent.clients.net.neighbours import NetworkTables, parse_attributes
from agent.clients.net.ping_result import PingResult
from agent.failure import ProbeFailed
from agent.probe import Address, Limits, Outcome, ProbeContext
from agent.probes.lan import PROXY, Lan, SeenHosts, _NetworkTablesClient, why_outside
from inventory.protocol.states import DOWN, UNKNOWN, UP

NEW_NETWORK = 0x40000000  # CLONE_NEWNET

# A bridge of which this machine is 10.77.0.1. The kernel gives up faster than by default: 0.3 s instead of 3.
BRIDGE = """
ip link add br0 type bridge
echo 100 > /proc/sys/net/ipv4/neigh/br0/retrans_time_ms
echo 1 > /proc/sys/net/ipv4/neigh/br0/delay_first_probe_time
ip addr add 10.77.0.1/24 dev br0
ip link set br0 up
"""
NO_PINGS = "nft 'add table t; add chain t i { type filter hook input priority 0; }; add rule t i ip protocol icmp drop'"
SILENT = f"{NO_PINGS}; ip link set eth0 arp off"


def in_namespace(commands: str, work: Callable[[], Awaitable[Any]]) -> Any:
    """Run ``work`` on a loop in a thread that has a network of its own, prepared by shell commands."""
    box: list[Any] = []

    def thread() -> None:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(NEW_NETWORK) != 0:
                raise OSError(ctypes.get_errno(), "no network namespace")
            subprocess.run(["sh", "-ec", f"ip link set lo up\n{commands}"], check=True, timeout=20)
            box.append(asyncio.run(work()))  # type: ignore[arg-type]
        except BaseException as error:
            box.append(error)

    runner = threading.Thread(target=thread)
    runner.start()
    runner.join(60)
    if isinstance(box[0], BaseException):
        raise box[0]
    return box[0]


@contextmanager
def hosts(**commands: str) -> Iterator[None]:
    """Hosts on the bridge, by the last part of their addresses (``h7``), each with what it runs when it is up."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for name, command in commands.items():
            place = name.removeprefix("h")
            host = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec sleep 100"], stdout=subprocess.PIPE)
            running.append(host)
            assert host.stdout is not None
            host.stdout.readline()  # it is in its namespace
            script = (
                f"ip link add v{place} type veth peer name eth0 netns {host.pid}\nip link set v{place} master br0 up\n"
                f'exec nsenter -n -t {host.pid} sh -ec "ip addr add 10.77.0.{place}/24 dev eth0; ip link set lo up;'
                f' ip link set eth0 up; ip route add default via 10.77.0.1; {command}"'
            )
            subprocess.run(["sh", "-ec", script], check=True, timeout=20)
        yield
    finally:
        for host in running:
            host.kill()
            host.communicate()


def shell(commands: str) -> str:
    done = subprocess.run(["sh", "-ec", commands], check=True, timeout=20, capture_output=True, text=True)
    return done.stdout


def look(
    timeout: float = 12.0, limits: Limits | None = None, clients: dict[type[Any], Any] | None = None
) -> ProbeContext:
    return ProbeContext(timeout, limits or Limits(), {} if clients is None else clients)


async def closed(clients: dict[type[Any], Any]) -> None:
    for client in clients.values():
        await client.close()


async def looked(*probes_: Lan, netlink: bool = True, timeout: float = 12.0) -> list[Outcome]:
    """What the probes see at the same time, on an agent's one set of clients."""
    clients: dict[type[Any], Any] = {}
    if not netlink:
        clients[_NetworkTablesClient] = kernel = _NetworkTablesClient()
        kernel.tables = NetworkTables(netlink=False)
    outcomes = await asyncio.gather(*(probe.run(look(timeout, clients=clients)) for probe in probes_))
    await closed(clients)
    return outcomes


def lan(network: str = "10.77.0.0/28", register: int = 4, **params: Any) -> Lan:
    return Lan(network=network, register=register, **{"rate": 50.0, **params})


@pytest.mark.root
def test_who_answers_pings_or_only_for_its_hardware_address_is_there() -> None:
    """Two answer pings (one of them the gateway), two only ARP, one nothing at all, the others do not exist."""

    async def work() -> list[Outcome]:
        with hosts(h2="true", h3="true", h4=NO_PINGS, h5=SILENT, h6=NO_PINGS):
            shell("ip route add default via 10.77.0.2")
            return await looked(lan(), lan(count_gateway=True), lan(count_self=True, leave_out=("10.77.0.3",)))

    plain, with_gateway, with_self = in_namespace(BRIDGE, work)
    assert (plain.state, plain.reason) == (UP, "")
    assert plain.measures["hosts_seen"] == 3
    assert plain.measures["hosts_pinged"] == 1
    assert plain.measures["share_ratio"] == 0.75
    assert 14 / 50 < plain.measures["sweep_seconds"] < 5
    assert (with_gateway.measures["hosts_seen"], with_gateway.measures["hosts_pinged"]) == (4, 2)
    assert with_self.measures["hosts_seen"] == 3  # itself and the two that answer ARP


@pytest.mark.root
@pytest.mark.parametrize("netlink", [True, False], ids=["netlink", "proc"])
def test_what_the_kernel_remembers_is_no_proof(netlink: bool) -> None:
    """Old entries of a host that is gone (9) and of one that is there and drops pings (4): only the latter counts."""

    async def work() -> list[Outcome]:
        with hosts(h4=f"ip link set eth0 address 02:00:00:00:00:04; {NO_PINGS}", h3="true"):
            for place in (4, 9):
                shell(f"ip neigh replace 10.77.0.{place} lladdr 02:00:00:00:00:0{place} dev br0 nud stale")
            assert shell("ip neigh").count("STALE") == 2
            return await looked(lan(recent=60.0), netlink=netlink)

    # base_reachable_time is 30 s: a new entry's last proof is dated twice that back, beyond ``recent``
    (outcome,) = in_namespace(BRIDGE, work)
    assert (outcome.state, outcome.measures["hosts_seen"], outcome.measures["hosts_pinged"]) == (UP, 2, 1)


@pytest.mark.root
def test_a_recent_proof_counts_without_a_new_answer() -> None:
    """The host spoke a moment ago; it is cut off and within ``recent`` still counted, and it is not new."""

    async def work() -> list[Outcome]:
        clients: dict[type[Any], Any] = {}
        with hosts(h2="true", h3=NO_PINGS):  # one keeps the bridge's carrier
            first = await lan().run(look(clients=clients))
            shell("ip link set v3 down")
            second = await lan().run(look(clients=clients))
        await closed(clients)
        return [first, second]

    first, second = in_namespace(BRIDGE, work)
    assert (first.state, first.measures["hosts_seen"], "hosts_new" in first.measures) == (UP, 2, False)
    assert (second.state, second.measures["hosts_seen"], second.measures["hosts_new"]) == (UP, 2, 0)


@pytest.mark.root
def test_one_device_that_answers_for_many_addresses_is_one() -> None:
    few = "for n in 8 9; do ip addr add 10.77.0.\\$n/24 dev eth0; done"
    many = f"for n in \\$(seq 11 {10 + PROXY}); do ip addr add 10.77.0.\\$n/24 dev eth0; done"

    async def work() -> list[Outcome]:
        with hosts(h3="true", h7=few, h10=many):
            return await looked(lan("10.77.0.0/27"))

    (outcome,) = in_namespace(BRIDGE, work)
    assert outcome.measures["hosts_pinged"] == 1 + 3 + PROXY + 1
    assert outcome.measures["hosts_seen"] == 1 + 3 + 1


@pytest.mark.root
def test_a_network_behind_a_router_is_counted_by_its_pings() -> None:
    async def work() -> list[Outcome]:
        with hosts(h2="for n in 1 5 6; do ip addr add 10.78.0.\\$n/32 dev lo; done"):
            shell("ip route add 10.78.0.0/28 via 10.77.0.2")
            begun = time.monotonic()
            outcomes = await looked(lan("10.78.0.0/28"), timeout=3.0)
            assert time.monotonic() - begun < 3.0
            return outcomes

    (outcome,) = in_namespace(BRIDGE, work)
    assert (outcome.state, outcome.measures["hosts_seen"], outcome.measures["share_ratio"]) == (UP, 3, 0.75)


@pytest.mark.root
def test_nobody_there_is_down() -> None:
    async def work() -> list[Outcome]:
        with hosts(h5="true"):
            return await looked(lan("10.77.0.8/29"), lan("10.77.0.4/30", leave_out=("10.77.0.5",)))

    nobody, only_left_out = in_namespace(BRIDGE, work)
    assert (nobody.state, nobody.reason) == (DOWN, "nobody on 10.77.0.8/29 answered: none of 4 PCs")
    assert nobody.measures["hosts_seen"] == nobody.measures["share_ratio"] == 0
    assert only_left_out.reason == "nobody on 10.77.0.4/30 answered but those not to be counted: none of 4 PCs"


@pytest.mark.root
@pytest.mark.parametrize(
    ("commands", "words"),
    [
        ("", "this machine has no way to 10.77.0.0: Network is unreachable"),
        (
            BRIDGE + "nft 'add table t; add chain t o { type filter hook output priority 0; };"
            " add rule t o ip protocol icmp drop'",
            "no ping could be sent: this machine's own firewall forbids the connection",
        ),
    ],
)
def test_what_this_machine_cannot_do_is_no_evidence(commands: str, words: str) -> None:
    (outcome,) = in_namespace(commands, lambda: looked(lan()))
    assert outcome == Outcome(UNKNOWN, words)


class Logged(IcmpPinger):
    """A pinger that notes when it was asked for what."""

    def __init__(self, some: int) -> None:
        super().__init__()
        self.asked: list[tuple[float, Address]] = []
        self.some = some
        self.well_begun = asyncio.Event()  # some were asked

    async def ping(self, address: Address, count: int, spacing: float, size: int, seconds: float) -> PingResult:
        self.asked.append((time.monotonic(), address))
        assert count == 1
        if len(self.asked) == self.some:
            self.well_begun.set()
        return await super().ping(address, count, spacing, size, seconds)


@pytest.mark.root
def test_the_sweep_is_gentle() -> None:
    """Each address once, in no order, at no more than the rate even after the loop was held."""

    async def work() -> Logged:
        pinger = Logged(20)
        clients: dict[type[Any], Any] = {IcmpPinger: pinger}
        looking = asyncio.create_task(lan("127.0.0.0/26", 61).run(look(10, clients=clients)))
        await pinger.well_begun.wait()
        time.sleep(0.3)  # noqa: ASYNC251  # the loop is held, as by a slow callback
        outcome = await looking
        assert (outcome.state, outcome.measures["hosts_seen"]) == (UP, 61)
        await closed(clients)
        return pinger

    pinger: Logged = in_namespace("", work)
    times, addresses = zip(*pinger.asked, strict=True)
    assert sorted(addresses) == [IPv4Address(f"127.0.0.{place}") for place in range(2, 63)]
    assert list(addresses) != sorted(addresses)
    assert times[-1] - times[0] >= 60 / 50 + 0.2
    assert max(sum(1 for other in times if 0 <= other - each < 0.2) for each in times) <= 12


async def test_a_sweep_that_cannot_end_in_time_is_not_begun() -> None:
    probe = Lan(network="127.0.0.0/24", register=10)
    outcome = await probe.run(look(10))
    words = "a sweep of 253 addresses at 25 a second takes 17.8 s; this check's timeout is 10 s"
    assert outcome == Outcome(UNKNOWN, words)


@pytest.mark.parametrize(
    ("network", "limits", "words"),
    [
        ("10.77.0.0/24", (), ""),
        ("10.77.0.0/24", ("10.0.0.0/8",), ""),
        ("10.77.0.0/24", ("10.77.0.0/25", "10.77.0.128/25", "fd00::/8"), ""),
        ("10.77.0.0/24", ("10.77.0.0/25",), "10.77.0.0/24 is not within the networks this agent may probe"),
        ("10.77.0.0/24", ("fd00::/8",), "10.77.0.0/24 is not within the networks this agent may probe"),
        # both ends are allowed, the middle is not
        ("10.77.0.0/24", ("10.77.0.0/26", "10.77.0.192/26"), "10.77.0.0/24 is not within the networks this agent may"),
        ("8.8.8.0/24", (), "8.8.8.0/24 is public address space, and this agent's own limits do not name it"),
        ("8.8.8.0/24", ("8.8.0.0/16",), ""),
    ],
)
async def test_only_the_agents_own_networks_are_swept(network: str, limits: tuple[str, ...], words: str) -> None:
    own = Limits(networks=tuple(ip_network(each) for each in limits))
    assert why_outside(IPv4Network(network), own).startswith(words)
    assert bool(why_outside(IPv4Network(network), own)) == bool(words)
    if words:
        outcome = await Lan(network=network, register=1).run(look(limits=own))
        assert (outcome.state, outcome.reason.startswith(words)) == (UNKNOWN, True)


def test_the_scheduler_can_judge_it_before_it_runs() -> None:
    assert lan("10.77.0.0/24").endpoints() == (("10.77.0.0", None), ("10.77.0.255", None))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            {"network": "10.0.0.0/8"},
            "lan: network: 10.0.0.0/8 is a /8, 16,777,216 addresses; the largest that is swept is a /20",
        ),
        ({"network": "10.0.0.0/19"}, "the largest that is swept is a /20"),
        ({"network": "0.0.0.0/0"}, "4,294,967,296 addresses; the largest that is swept is a /20"),
        ({"network": "192.168.1.7/24"}, "is a host's address; its network would be written 192.168.1.0/24"),
        ({"network": "192.168.1.7"}, "is a host's address; its network would be written 192.168.1.7/32"),
        ({"network": "fd00::/120"}, "'fd00::/120' is not an IPv4 network such as 192.168.1.0/24"),
        ({"network": "lan"}, "'lan' is not an IPv4 network such as 192.168.1.0/24"),
        ({"network": "10.0.0.0/24", "rate": 51}, "lan: rate: expected float <= 50.0"),
        ({"network": "10.0.0.0/24", "register": 0}, "lan: register: expected int >= 1"),
        ({"network": "10.0.0.0/24", "leave_out": ["printer"]}, "leave_out: 'printer' is not an IPv4 address"),
    ],
)
def test_parameters_that_are_wrong_are_named(params: dict[str, Any], words: str) -> None:
    with pytest.raises(probes.BadProbe) as refused:
        probes.build("lan", {"register": 5, **params})
    assert words in str(refused.value)


def test_hosts_are_remembered_by_hashes_that_only_this_process_can_make() -> None:
    roll, other = SeenHosts(), SeenHosts()
    network, mac = IPv4Network("10.77.0.0/24"), bytes.fromhex("020000000001")
    assert roll.hash_of(mac) == roll.hash_of(mac) != other.hash_of(mac)
    assert mac not in roll.hash_of(mac)
    assert roll.count_new(network, {roll.hash_of(mac)}) is None
    assert roll.count_new(network, {roll.hash_of(mac), b"x"}) == 1
    assert roll.count_new(network, {b"x"}) == 0
    assert roll.count_new(IPv4Network("10.78.0.0/24"), {b"x"}) is None
    for start in range(0, 40_000, 4_000):  # addresses that change all the time do not fill the memory
        roll.count_new(network, {str(number).encode() for number in range(start, start + 4_000)})
    assert len(roll._hosts[network]) <= 16_384


@given(st.binary(max_size=200))
def test_what_the_kernel_says_is_read_within_its_bounds(data: bytes) -> None:
    assert sum(len(value) + 4 for value in parse_attributes(data).values()) <= len(data)


@given(st.lists(st.tuples(st.integers(0, 100), st.binary(max_size=20)), unique_by=lambda pair: pair[0]))
def test_attributes_come_back_as_they_were_written(pairs: list[tuple[int, bytes]]) -> None:
    data = b"".join(struct.pack("=HH", len(v) + 4, k) + v + bytes(-len(v) % 4) for k, v in pairs)
    assert parse_attributes(data) == dict(pairs)


def test_without_netlink_and_proc_there_is_a_reason(tmp_path: Path) -> None:
    blind = NetworkTables(netlink=False, proc=tmp_path)
    with pytest.raises(ProbeFailed, match="this machine does not tell its neighbours") as told:
        blind.neighbours()
    assert told.value.state == UNKNOWN
    assert blind.gateways() == set()
    assert blind.own_addresses(IPv4Address("127.0.0.5")) == {IPv4Address("127.0.0.1")}
    (tmp_path / "arp").write_text(
        "IP address HW type Flags HW address Mask Device\n"
        "10.0.0.1 0x1 0x2 02:fc:00:00:00:05 * eth0\n"
        "10.0.0.2 0x1 0x0 00:00:00:00:00:00 * eth0\n"
        "10.0.0.3 0x1 0x6 02:fc:00:00:00:06 * eth0\n"
        "nonsense\n"
    )
    assert [(str(each.address), len(each.hardware)) for each in blind.neighbours()] == [
        ("10.0.0.1", 6),
        ("10.0.0.2", 0),
    ]


def test_both_ways_of_asking_agree() -> None:
    """On this machine as it is: same gateways, and who has a hardware address by one has it by the other."""
    netlink, proc = NetworkTables(), NetworkTables(netlink=False, proc=Path(f"/proc/{os.getpid()}/net"))
    assert netlink.gateways() == proc.gateways()
    assert proc.own_addresses(IPv4Address("127.0.0.1")) <= netlink.own_addresses(IPv4Address("127.0.0.1"))
    by_proc = {each.address: each.hardware for each in proc.neighbours() if each.hardware}
    by_netlink = {each.address: each.hardware for each in netlink.neighbours()}
    assert by_proc.items() <= by_netlink.items()
