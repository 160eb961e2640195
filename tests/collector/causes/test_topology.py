"""The way of each check, from the shipped example and from an estate of ten thousand sites."""

import time
from functools import cache
from pathlib import Path

import pytest
from msgspec.structs import replace

import inventory
from collector.causes.paths import CheckPath
from collector.causes.present import AgentContact, PresentView, present_causes
from collector.causes.topology import Topology
from inventory.assembly.load import load
from inventory.base.types import Text
from inventory.model.entities import Agency, Agent, Check, Device, Inventory, Link, Province, Site
from inventory.protocol.refs import Ref
from inventory.protocol.states import CheckStatus
from tests.support import histories
from tests.support.histories import published

ref = Ref.parse
HUB = "so-thong-tin-truyen-thong-thdl"
MUSEUM = "so-van-hoa-the-thao-du-lich"


@cache
def example() -> Topology:
    return Topology.of(load(Path(inventory.__file__).parent / "examples" / "soctrang"))


def way(topology: Topology, agent: str, name: str) -> CheckPath:
    checks = topology.inventory.checks.values()
    return topology.path(next(check.uid for check in checks if (check.agent, check.name) == (agent, name)))


def test_a_gateway_is_on_the_agents_own_network() -> None:
    found = way(example(), MUSEUM, "gateway")
    assert found.on == (
        ref(f"agent:{MUSEUM}"),
        ref(f"power:{MUSEUM}"),
        ref(f"switch:{MUSEUM}"),
        ref(f"gateway:{MUSEUM}"),
    )
    assert found.own == ref(f"gateway:{MUSEUM}")


def test_a_link_from_both_sides() -> None:
    out, back = way(example(), MUSEUM, "hub"), way(example(), "thdl", f"{MUSEUM}.from-hub")
    assert out.own == back.own == ref(f"wan:{MUSEUM}")
    assert out.target == HUB and back.target == MUSEUM
    between = {ref(f"gateway:{MUSEUM}"), ref(f"wan:{MUSEUM}"), ref(f"gateway:{HUB}"), ref(f"edge:{HUB}")}
    assert between <= set(out.on) and between <= set(back.on)


def test_a_portal_stands_in_the_data_centre_whosever_it_is() -> None:
    """All agencies use one private network; the hub looks first where it stands itself."""
    found = way(example(), "thdl", f"{MUSEUM}.portal")
    assert found.target == HUB and not any(element.kind == "wan" for element in found.on)
    certificate = way(example(), "thdl", f"{MUSEUM}.portal-certificate")
    assert found.host == certificate.host
    assert example().root(found.host).ref.kind == "service"


def test_the_same_private_address_is_each_agencys_own() -> None:
    found = way(example(), MUSEUM, "dns-198-51-100-13")
    assert found.target == MUSEUM and ref(f"gateway:{MUSEUM}") in found.on


def test_devices_and_their_feeders() -> None:
    ping, web = way(example(), "thdl", "ping-cong-chinh"), way(example(), "thdl", "web-cong-chinh")
    assert ping.own == web.host == ref(f"host:{HUB}/{HUB}-cong-chinh")
    assert example().root(ping.own).ref == ref(f"device:{HUB}-cong-chinh")
    power = way(example(), "thdl", "power-ups-mang")  # its address is the backup server's
    assert example().ups_of(power.uid) == f"{HUB}-ups-mang"
    assert example().root(power.own).ref == ref(f"power:{HUB}")


def test_the_agents_own_machine_and_its_network() -> None:
    host, pcs = way(example(), MUSEUM, "host"), way(example(), MUSEUM, "pcs")
    assert host.on == (ref(f"agent:{MUSEUM}"), ref(f"power:{MUSEUM}"), host.own)
    assert ref(f"switch:{MUSEUM}") in pcs.on and ref(f"gateway:{MUSEUM}") not in pcs.on


def test_what_nothing_tells_stays_unknown() -> None:
    topology = Topology.of(histories.estate())
    check = next(one for one in topology.inventory.checks.values() if one.name == "files")
    elsewhere = replace(check, uid="f" * 16, params={"host": "files.example.org", "port": 445})
    other = Topology.of(replace(topology.inventory, checks={**topology.inventory.checks, elsewhere.uid: elsewhere}))
    found = other.path(elsewhere.uid)
    assert found.target == "" and found.on == (ref("agent:b"), ref("power:b"), found.last)
    assert found.maybe == (ref("switch:b"), ref("gateway:b"), ref("wan:b"))


def test_a_line_to_another_centre_does_not_pass_the_hub() -> None:
    """The agency's second line leads to the standby centre: the data centre has no part in it."""
    topology = Topology.of(histories.estate())
    check = way(topology, "c", "hub-two")
    known = topology.inventory.checks[check.uid]
    there = replace(topology.inventory.sites["b"], links=(), facts={"wan": "203.0.113.77"})
    other = Topology.of(
        replace(
            topology.inventory,
            sites={**topology.inventory.sites, "b": there},
            checks={**topology.inventory.checks, known.uid: replace(known, params={"host": "203.0.113.77"})},
        )
    )
    found = other.path(known.uid)
    assert found.target == "b"
    assert found.on == (
        ref("agent:c"),
        ref("power:c"),
        ref("switch:c"),
        ref("gateway:c"),
        ref("wan:c-two"),
        ref("gateway:b"),
        ref("power:b"),
    )


def test_on_one_machine_each_service_is_its_own() -> None:
    """As in the demo, where everything is on loopback."""
    topology = Topology.of(histories.estate())
    check = topology.inventory.checks[way(topology, "b", "files").uid]
    here = replace(check, params={"host": "127.0.0.1", "port": 8080})
    router = replace(here, uid="e" * 16, key="gateway", name="gateway")
    checks = {**topology.inventory.checks, here.uid: here, router.uid: router}
    other = Topology.of(replace(topology.inventory, checks=checks))
    assert other.path(here.uid).on == (ref("agent:b"), ref("power:b"), ref(f"service:{here.uid}"))
    assert other.path(router.uid).own == ref("gateway:b")


def test_two_lines_are_one_element_for_what_takes_either() -> None:
    topology = Topology.of(histories.estate())
    assert ref("wans:c") in way(topology, "c", "mail").on
    assert way(topology, "c", "hub-two").own == ref("wan:c-two")
    assert set(topology.provers(ref("wans:c"))) >= {way(topology, "c", "hub").uid, way(topology, "c", "hub-two").uid}


def test_a_slow_check_proves_nothing_about_the_way() -> None:
    """A download that is tried twice a night has a hold of thirty hours: it does not say that the line is up."""
    slow = way(example(), MUSEUM, "throughput")
    assert ref(f"wan:{MUSEUM}") in slow.on
    assert slow.uid not in example().provers(ref(f"wan:{MUSEUM}"))


# -- ten thousand sites


def large(sites: int) -> Inventory:
    """``sites`` agencies of 20 checks each (two of them by the hub's agent), and a hub."""
    text = Text("", "")
    made = Inventory(
        province=Province(hub="hub"),
        agencies={"hub": Agency(id="hub", name=text)},
        sites={"hub": Site(id="hub", agency="hub", name=text, agent="hub", facts={"gateway": "10.0.0.1"})},
        agents={"hub": Agent(id="hub", site="hub", agency="hub")},
    )

    def check(uid: str, name: str, agent: str, site: str, kind: str, host: str, link: str = "") -> None:
        made.checks[uid] = Check(
            uid=uid,
            name=name,
            key=name,
            agent=agent,
            agency=site,
            site=site,
            kind=kind,
            interval=30_000,
            timeout=5_000,
            hold=65_000,
            recheck=5_000,
            params={"host": host},
            link=link,
        )

    check("hub-gateway", "gateway", "hub", "hub", "icmp", "10.0.0.1")
    for i in range(sites):
        ident, net = f"s{i}", f"10.{i // 250 + 1}.{i % 250}"
        facts = {"gateway": f"{net}.1", "wan": f"172.16.{i // 250}.{i % 250}", "lan": f"{net}.0/24"}
        made.agencies[ident] = Agency(id=ident, name=text)
        made.links[ident] = Link(id=ident, site=ident, provider=f"p{i % 3}")
        made.agents[ident] = Agent(id=ident, site=ident, agency=ident)
        made.sites[ident] = Site(id=ident, agency=ident, name=text, agent=ident, links=(ident,), facts=facts)
        made.devices[f"{ident}-d"] = Device(id=f"{ident}-d", site=ident, name=text, address=f"{net}.9")
        check(f"{ident}-gateway", "gateway", ident, ident, "icmp", facts["gateway"])
        check(f"{ident}-hub", "hub", ident, ident, "icmp", "10.0.0.1", ident)
        check(f"{ident}-from", "from-hub", "hub", ident, "icmp", facts["wan"], ident)
        check(f"{ident}-outside", "outside", "hub", ident, "tcp", facts["wan"])
        for n in range(16):
            check(f"{ident}-{n}", f"c{n}", ident, ident, "tcp", f"{net}.{n + 2}")
    return made


@cache
def province() -> Topology:
    return Topology.of(large(10_000))


def test_it_is_made_for_ten_thousand_sites_in_a_moment() -> None:
    estate = large(10_000)
    begun = time.process_time()
    topology = Topology.of(estate)
    spent = time.process_time() - begun
    assert len(estate.checks) == 200_001
    assert topology.path("s7-from").target == "s7"
    assert spent < 3, f"{spent:.1f} s"


@pytest.mark.parametrize("cut", [1, 300, 10_000])
def test_an_answer_asks_only_what_is_near(cut: int) -> None:
    """So many lines are cut, and the hub's check of each asks why: the same few checks, however large the province."""
    topology = province()
    asked: set[str] = set()
    seen_of = published(0, 0, 0, 1_000_000, 0)
    down = published(2, 900_000, 905_000, 1_000_000, 2)

    def seen(uid: str) -> CheckStatus:
        asked.add(uid)
        site = uid.split("-")[0]
        gone = site != "hub" and int(site[1:]) < cut and uid.endswith(("-hub", "-from", "-outside"))
        return down if gone else seen_of

    view = PresentView(status=seen, contact=lambda agent: AgentContact(1_000_000), now=1_000_000)
    uids = [f"s{i}-from" for i in range(min(cut, 300))]
    cold = present_causes(topology, view)
    answers = [cold.cause(uid) for uid in uids]  # fills the topology's caches
    begun = time.process_time()
    again = present_causes(topology, view)
    assert [again.cause(uid) for uid in uids] == answers
    spent = time.process_time() - begun
    assert len(asked) < 60 + 25 * len(answers)
    assert spent / len(answers) < 0.005, f"{spent / len(answers) * 1000:.2f} ms each"
    if cut < 10_000:
        assert answers[0].cause.root == "wan:s0" and answers[0].cause.certainty == "sure"
    else:  # all at once: the hub's edge, no provider
        assert {answer.cause.root for answer in answers} == {"lan:hub"}
