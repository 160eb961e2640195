"""One story at a time, each with its known truth: what the verdicts say of it, from both sides."""

from functools import cache
from itertools import pairwise

import pytest
from msgspec.structs import replace

from collector.causes.elements import power
from collector.causes.evidence import AgentLife, AgentStart, CauseEvidence, Proofs, agent_life
from collector.causes.moments import PastMoment
from collector.causes.topology import Topology
from collector.causes.verdicts import CauseAnalysis, CauseVerdict, goal_cause
from collector.ledger.batch_step import apply_slice
from collector.ledger.figures import history
from collector.ledger.state_step import Span
from inventory.model.entities import Check
from tests.collector.causes.test_truth import evidence, topology
from tests.support import histories
from tests.support.histories import DEGRADED, DOWN, HOUR, MINUTE, SECOND, T0, UNKNOWN, UP, EstateFault, EstateHistory
from tests.support.verdicts import verdicts


def fault(what: str, where: str, begin: float, end: float) -> EstateFault:
    """Minutes from the start."""
    return EstateFault(what, where, T0 + round(begin * MINUTE), T0 + round(end * MINUTE))


class Story:
    """What is said of a world once all evidence is in."""

    def __init__(self, *faults: EstateFault, errors: dict[str, int] | None = None) -> None:
        self.world = EstateHistory(list(faults), HOUR, 1, errors)
        self.evidence = evidence(self.world)
        uids = [check.uid for check in self.world.checks]
        self.found = verdicts(topology(), self.evidence, uids, (self.world.begin, self.world.end))

    def check(self, agent: str, name: str) -> Check:
        return next(check for check in self.world.checks if (check.agent, check.name) == (agent, name))

    def of(self, agent: str, name: str) -> list[CauseVerdict]:
        return self.found[self.check(agent, name).uid]

    def at(self, agent: str, name: str, minute: float) -> tuple[int, str, str] | None:
        """(state, root, cause) of a check at a minute; None if it was up."""
        moment = T0 + round(minute * MINUTE)
        verdict = next((one for one in self.of(agent, name) if one.start <= moment < one.end), None)
        return None if verdict is None else (verdict.state, verdict.cause.root, verdict.cause.cause)

    def causes(self) -> set[tuple[str, str]]:
        return {(one.cause.root, one.cause.cause) for many in self.found.values() for one in many}

    def because(self, agent: str, name: str) -> str:
        return " / ".join(said.text.format(**said.values) for one in self.of(agent, name) for said in one.cause.because)


def test_a_line_is_cut() -> None:
    story = Story(fault("line", "b", 20, 40))
    assert story.causes() == {("wan:b", "wan")}
    for agent, name in (("b", "hub"), ("thdl", "b.from-hub")):
        assert len(story.of(agent, name)) == 1
        assert story.of(agent, name)[0].cause.certainty == "sure"
    assert "The network of b works" in story.because("b", "hub")
    assert "Over b b does not answer the hub" in story.because("thdl", "b.from-hub")
    assert story.of("b", "gateway") == []


def test_a_line_is_cut_and_the_power_fails_meanwhile() -> None:
    """With a UPS that was seen on battery the silence is power; the line stays cut all the while."""
    story = Story(fault("line", "a", 15, 50), fault("power", "a", 20, 30))
    assert {one.cause.root for one in story.of("thdl", "a.from-hub")} == {"wan:a"}
    assert story.at("a", "hub", 18) == (DOWN, "wan:a", "wan")
    assert story.at("a", "hub", 28) == (UNKNOWN, "power:a", "power")
    assert story.at("a", "gateway", 28) == (UNKNOWN, "power:a", "power")
    assert story.at("a", "hub", 45) == (DOWN, "wan:a", "wan")


def test_a_line_is_cut_and_a_site_without_ups_goes_dark_unseen() -> None:
    """Crashed or without power: nobody saw it."""
    story = Story(fault("line", "b", 15, 50), fault("power", "b", 20, 30))
    assert story.at("b", "gateway", 25) == (UNKNOWN, "agent:b", "not known")
    assert story.at("thdl", "b.from-hub", 25) == (DOWN, "wan:b", "wan")


def test_a_line_that_was_cut_is_not_charged_for_the_dark_that_follows() -> None:
    """The line is whole again while the site is without power, unseen: of that time nothing tells."""
    story = Story(fault("line", "b", 15, 25), fault("power", "b", 20, 45))
    assert story.at("thdl", "b.from-hub", 18) == (DOWN, "wan:b", "wan")
    assert story.at("thdl", "b.from-hub", 40) == (DOWN, "wan:b", "not known")


def test_on_battery_then_silent_then_booted() -> None:
    story = Story(fault("power", "a", 20, 40))
    assert story.at("a", "power", 22) == (DEGRADED, "power:a", "power")
    assert story.at("a", "power", 38) == (DOWN, "power:a", "power")
    assert story.at("a", "gateway", 35) == (UNKNOWN, "power:a", "power")
    assert story.at("thdl", "a.from-hub", 35) == (DOWN, "power:a", "power")
    assert story.causes() == {("power:a", "power")}
    assert "on battery when it was last seen" in story.because("a", "gateway")


def test_power_lost_without_a_ups_is_told_from_outside() -> None:
    story = Story(fault("power", "b", 20, 40))
    assert story.at("b", "gateway", 35) == (UNKNOWN, "power:b", "power")
    assert story.at("thdl", "b.from-hub", 35) == (DOWN, "power:b", "power")
    assert {one.cause.certainty for one in story.of("b", "host")} == {"probable"}
    assert "stopped answering from outside at the same time" in story.because("b", "host")


def test_a_clean_stop() -> None:
    story = Story(fault("stop", "b", 20, 30))
    assert story.causes() == {("agent:b", "agent")}
    assert {one.cause.certainty for many in story.found.values() for one in many} == {"sure"}
    assert "stopped on purpose" in story.because("b", "gateway")
    assert story.of("thdl", "b.from-hub") == []


def test_an_agent_is_killed() -> None:
    story = Story(fault("kill", "b", 20, 25))
    assert story.causes() == {("agent:b", "agent")}
    assert "on a machine that had run on" in story.because("b", "gateway")


@pytest.mark.parametrize("what", ["kill", "stop"])
def test_an_agent_that_is_gone_for_less_than_others_looks_are_held(what: str) -> None:
    story = Story(fault(what, "b", 20.3, 21.5))
    held = CauseAnalysis(topology(), story.evidence).agent_gaps.gaps("b")
    assert held == () or what == "stop"
    assert story.causes() == {("agent:b", "agent")}
    assert story.of("b", "gateway")


def test_the_power_is_back_and_the_machine_stays_off() -> None:
    """The router answers again at half an hour; somebody switches the agent's machine on a quarter of an hour later."""
    story = Story(fault("power", "b", 20, 30), fault("machine", "b", 20, 45))
    assert story.at("b", "host", 27) == (UNKNOWN, "power:b", "power")
    assert story.at("b", "host", 40) == (UNKNOWN, "agent:b", "agent")


def test_only_the_machine_of_the_agent_dies() -> None:
    story = Story(fault("machine", "b", 20, 30))
    assert story.causes() == {("agent:b", "agent")}
    assert "answered from outside meanwhile" in story.because("b", "gateway")


def test_the_gateway_dies() -> None:
    story = Story(fault("router", "b", 20, 30))
    assert story.causes() == {("lan:b", "lan")}
    for agent, name in (("b", "gateway"), ("b", "hub"), ("thdl", "b.from-hub")):
        assert story.at(agent, name, 25) == (DOWN, "lan:b", "lan")
    assert story.of("b", "files") == []


def test_the_whole_network_of_a_site_dies() -> None:
    story = Story(fault("switch", "b", 20, 30))
    assert story.causes() == {("lan:b", "lan")}
    assert story.at("b", "files", 25) == (DOWN, "lan:b", "lan")


def test_the_hub_is_cut_off_and_no_line_is_charged() -> None:
    story = Story(fault("router", "hub", 20, 30))
    assert story.causes() == {("lan:so-hub", "lan")}
    for place in ("a", "b", "c"):
        assert story.at(place, "hub", 25) == (DOWN, "lan:so-hub", "lan")
        assert story.at("thdl", f"{place}.from-hub", 25) == (DOWN, "lan:so-hub", "lan")


def test_the_hub_is_without_power() -> None:
    story = Story(fault("power", "hub", 20, 40))
    assert story.causes() == {("power:so-hub", "power")}
    assert story.at("b", "hub", 35) == (DOWN, "power:so-hub", "power")


def test_the_hubs_agent_is_stopped_and_the_lines_are_told_by_the_other_sites() -> None:
    story = Story(fault("stop", "hub", 15, 45), fault("line", "b", 20, 30))
    assert story.at("b", "hub", 25) == (DOWN, "wan:b", "wan")
    assert story.at("thdl", "gateway", 30) == (UNKNOWN, "agent:thdl", "agent")


def test_the_collector_is_down_and_nothing_is() -> None:
    """All agents kept looking: when their backlog is in, there is nothing to explain."""
    assert Story().causes() == set()


def test_one_service_is_down() -> None:
    story = Story(fault("service", "web-web", 20, 30))
    uid = story.check("thdl", "web-web").uid
    assert story.causes() == {(f"service:{uid}", "service")}
    assert "so-hub-web works" in story.because("thdl", "web-web")


def test_one_device_behind_several_services() -> None:
    story = Story(fault("device", "web", 20, 30))
    assert story.causes() == {("device:so-hub-web", "service")}
    assert story.at("thdl", "ping-web", 25) == story.at("thdl", "web-web", 25)


def test_a_device_seen_over_the_lines_is_told_from_its_service() -> None:
    story = Story(fault("device", "mail", 20, 30))
    assert story.at("c", "mail", 25) == (DOWN, "device:so-hub-mail", "service")
    story = Story(fault("service", "smtp", 20, 30))
    assert story.at("c", "mail", 25) == (DOWN, "service:" + story.check("c", "mail").uid, "service")


def test_a_line_that_flaps() -> None:
    story = Story(*(fault("line", "b", at, at + 1) for at in range(20, 40, 2)))
    assert story.causes() == {("wan:b", "wan")}
    assert len(story.of("b", "hub")) >= 5


def test_one_of_two_lines_is_cut() -> None:
    story = Story(fault("line", "c-two", 20, 30))
    assert story.causes() == {("wan:c-two", "wan")}
    assert story.of("c", "mail") == [] and story.of("c", "hub") == []


def test_both_lines_are_cut() -> None:
    story = Story(fault("line", "c-one", 15, 40), fault("line", "c-two", 20, 30))
    assert story.at("c", "mail", 25) == (DOWN, "wan:c-one", "wan")
    assert story.at("c", "hub-two", 25) == (DOWN, "wan:c-two", "wan")
    assert story.at("c", "mail", 35) is None


def test_two_causes_overlap() -> None:
    story = Story(fault("line", "b", 15, 35), fault("router", "b", 25, 45))
    assert story.at("b", "hub", 20) == (DOWN, "wan:b", "wan")
    assert story.at("thdl", "b.from-hub", 20) == (DOWN, "wan:b", "wan")
    assert story.at("b", "gateway", 30) == (DOWN, "lan:b", "lan")
    assert story.at("thdl", "b.from-hub", 40) == (DOWN, "lan:b", "lan")


def test_a_bad_line_and_what_is_slow_over_it() -> None:
    story = Story(fault("noise", "b", 20, 30))
    assert story.causes() == {("wan:b", "wan")}
    assert story.at("b", "hub", 25) == (DEGRADED, "wan:b", "wan")


def test_a_wrong_clock_makes_no_false_certainty() -> None:
    """The hub's router is dead for four minutes. An agent whose times may be off by ten minutes saw it, as it seems,
    while the hub was well: taken at its word it would be the line."""
    story = Story(fault("router", "hub", 25, 29), errors={"b": 10 * MINUTE})
    said = story.of("b", "hub")
    hub = next(span for span in story.world.spans(story.check("thdl", "gateway").uid) if span.state == DOWN)
    assert said and not any(one.start < hub.end and hub.start < one.end for one in said), "it is not placed badly"
    assert {(one.cause.cause, one.cause.certainty) for one in said} == {("not known", "probable")}
    assert story.at("a", "hub", 27) == (DOWN, "lan:so-hub", "lan")


def test_what_one_agent_saw_together_was_together_whatever_its_clock() -> None:
    """Four minutes without a router, seen by an agent whose times may be off by ten minutes: its own looks still tell
    that its router took the way to the hub with it. To the centre's looks they tell nothing."""
    story = Story(fault("router", "b", 25, 29), errors={"b": 10 * MINUTE})
    assert {one.cause.root for one in story.of("b", "hub")} == {"lan:b"}
    assert {one.cause.cause for one in story.of("thdl", "b.from-hub")} == {"not known"}


def test_a_badly_placed_silence_proves_nothing_of_other_agents_moments() -> None:
    """The program of b was killed on a machine that ran on, at a moment off by up to ten minutes: that its site had
    power then says nothing of the minutes in which the centre did not reach it."""
    at = hand(120)
    at.looks("thdl", "gateway", "U" * 120)
    at.looks("thdl", "b.from-hub", "U" * 50 + "D" * 6 + "U" * 64)
    for name in ("gateway", "hub"):
        at.looks("b", name, "U" * 40 + "." * 30 + "U" * 50, error=10 * MINUTE)
    at.lives["b"] = AgentLife((AgentStart(70 * at.every, -HOUR, False),))
    uid = at.uid("thdl", "b.from-hub")
    moment = PastMoment(
        CauseAnalysis(at.topology, at.evidence()), 51 * at.every, 54 * at.every, 0, uid, at.known[uid][1], False
    )
    assert not moment.is_alive(power("b"))
    for name in ("gateway", "hub"):
        at.looks("b", name, "U" * 40 + "." * 30 + "U" * 50)
    moment = PastMoment(
        CauseAnalysis(at.topology, at.evidence()), 51 * at.every, 54 * at.every, 0, uid, at.known[uid][1], False
    )
    assert moment.is_alive(power("b"))


# -- spans laid by hand, for what the estate does not have


class Hand:
    """Evidence from looks written down: a state a look, every ``every`` seconds. ``.`` is no look."""

    codes = "UGD?"

    def __init__(self, topology: Topology, now: int, every: int = 30 * SECOND) -> None:
        self.topology, self.now, self.every = topology, now, every
        self.known: dict[str, list[Span]] = {}
        self.lives: dict[str, AgentLife] = {}

    def uid(self, agent: str, name: str) -> str:
        checks = self.topology.inventory.checks.values()
        return next(check.uid for check in checks if (check.agent, check.name) == (agent, name))

    def looks(self, agent: str, name: str, pattern: str, error: int = 0) -> None:
        uid = self.uid(agent, name)
        hold = self.topology.inventory.checks[uid].hold
        looks = [(i * self.every, self.codes.index(mark)) for i, mark in enumerate(pattern) if mark != "."]
        deltas = [b - a for (a, _), (b, _) in pairwise(looks)]
        closed: list[Span] = []
        tail = apply_slice(None, closed, looks[0][0], deltas, bytes(state for _, state in looks), hold, error)
        self.known[uid] = history(closed, tail, self.now)

    def evidence(self) -> CauseEvidence:
        return CauseEvidence(
            spans=lambda uid: self.known.get(uid, []),
            life=lambda agent: self.lives.get(agent, AgentLife()),
            now=self.now,
        )

    def said(self, agent: str, name: str) -> list[tuple[int, str, str, str]]:
        uid = self.uid(agent, name)
        found = verdicts(self.topology, self.evidence(), [uid], (0, self.now))[uid]
        return [(one.state, one.cause.root, one.cause.cause, one.cause.certainty) for one in found]


@cache
def hand_topology() -> Topology:
    return Topology.of(histories.estate())


def hand(looks: int = 40) -> Hand:
    return Hand(hand_topology(), looks * 30 * SECOND)


def test_all_lines_gone_at_once_are_one_fault_of_the_hub() -> None:
    """The hub's router answers inside, and every site is gone at one moment: no provider is charged."""
    at = hand()
    at.looks("thdl", "gateway", "U" * 40)
    for place in ("a", "b", "c"):
        at.looks("thdl", f"{place}.from-hub", "U" * 10 + "D" * 10 + "U" * 20)
        at.looks(place, "gateway", "U" * 40)
        at.looks(place, "hub", "U" * 10 + "D" * 10 + "U" * 20)
    at.looks("thdl", "c.from-hub-two", "U" * 10 + "D" * 10 + "U" * 20)
    assert at.said("thdl", "b.from-hub") == [(DOWN, "lan:so-hub", "lan", "probable")]
    at.looks("thdl", "c.from-hub-two", "U" * 40)
    assert at.said("thdl", "b.from-hub") == [(DOWN, "wan:b", "wan", "sure")]


def test_of_one_line_alone_no_fault_of_the_hub_is_made() -> None:
    at = hand()
    at.looks("thdl", "gateway", "U" * 40)
    at.looks("b", "gateway", "U" * 40)
    at.looks("b", "hub", "U" * 10 + "D" * 10 + "U" * 20)
    at.looks("thdl", "b.from-hub", "U" * 10 + "D" * 10 + "U" * 20)
    assert at.said("b", "hub") == [(DOWN, "wan:b", "wan", "sure")]


def test_a_router_and_one_machine_beside_it() -> None:
    """Gone at once it is the network between them; one after the other they may be two faults."""
    at = hand()
    at.looks("b", "gateway", "U" * 10 + "D" * 10 + "U" * 20)
    at.looks("b", "ping-server", "U" * 10 + "D" * 10 + "U" * 20)
    assert at.said("b", "ping-server") == [(DOWN, "lan:b", "lan", "probable")]
    at.looks("b", "gateway", "U" * 4 + "D" * 16 + "U" * 20)
    assert [cause for _, _, cause, _ in at.said("b", "ping-server")] == ["not known"]
    at.looks("b", "gateway", "U" * 40)
    assert at.said("b", "ping-server") == [(DOWN, "device:b-server", "service", "sure")]


def test_what_nobody_else_looks_at_is_not_known() -> None:
    at = hand()
    at.looks("thdl", "b.from-hub", "U" * 10 + "D" * 10 + "U" * 20)
    at.looks("thdl", "gateway", "U" * 40)
    assert at.said("thdl", "b.from-hub") == [(DOWN, "wan:b", "not known", "probable")]


def test_while_the_site_is_behind_it_is_provisional() -> None:
    at = hand()
    at.looks("thdl", "b.from-hub", "U" * 10 + "D" * 30)
    at.looks("thdl", "gateway", "U" * 40)
    at.looks("b", "gateway", "U" * 10)
    at.lives["b"] = AgentLife(heard=9 * at.every)
    assert at.said("thdl", "b.from-hub") == [(DOWN, "wan:b", "wan", "provisional")]
    assert at.said("b", "gateway") == [(UNKNOWN, "wan:b", "wan", "provisional")]


def test_a_router_on_the_mains_goes_with_them() -> None:
    """A UPS is watched, nobody said that it feeds the router: on battery and the router gone is power, not the LAN."""
    inventory = histories.estate()
    sites = {**inventory.sites, "a": replace(inventory.sites["a"], fed_by=())}
    at = Hand(Topology.of(replace(inventory, sites=sites)), 40 * 30 * SECOND)
    at.looks("a", "power", "U" * 10 + "G" * 10 + "U" * 20)
    at.looks("a", "gateway", "U" * 10 + "D" * 10 + "U" * 20)
    at.looks("a", "hub", "U" * 10 + "D" * 10 + "U" * 20)
    assert at.said("a", "gateway") == [(DOWN, "power:a", "power", "probable")]
    assert at.said("a", "hub") == [(DOWN, "power:a", "power", "probable")]
    fed = hand()
    fed.known = at.known
    assert fed.said("a", "gateway") == [(DOWN, "lan:a", "lan", "sure")]


def test_a_ups_that_gives_no_power_takes_with_it_what_it_feeds() -> None:
    at = hand()
    at.looks("thdl", "power-ups", "U" * 10 + "D" * 10 + "U" * 20)
    at.looks("thdl", "ping-web", "U" * 10 + "D" * 10 + "U" * 20)
    at.looks("thdl", "gateway", "U" * 40)
    assert at.said("thdl", "ping-web") == [(DOWN, "power:so-hub", "power", "sure")]


def test_degraded_with_the_line_is_the_line() -> None:
    at = hand()
    at.looks("c", "gateway", "U" * 40)
    at.looks("c", "hub", "U" * 10 + "G" * 10 + "U" * 20)
    at.looks("c", "mail", "U" * 10 + "G" * 10 + "U" * 20)
    assert at.said("c", "mail") == [(DEGRADED, "wan:c-one", "wan", "probable")]
    at.looks("c", "hub", "U" * 40)
    assert at.said("c", "mail") == [(DEGRADED, "service:" + at.uid("c", "mail"), "service", "sure")]


def test_a_battery_and_a_clean_shutdown_is_power() -> None:
    """What a UPS's own software does when its battery runs low."""
    at = hand()
    at.looks("a", "power", "U" * 10 + "G" * 5)
    at.looks("a", "gateway", "U" * 15 + "." * 10 + "U" * 15)
    restarted = 25 * at.every
    at.lives["a"] = AgentLife((AgentStart(restarted, restarted - 15 * SECOND, True),), (15 * at.every,))
    assert at.said("a", "gateway") == [(UNKNOWN, "power:a", "power", "probable")]


def test_a_reason_why_a_look_could_not_be_made_is_told() -> None:
    at = hand()
    uid = at.uid("a", "power")
    at.looks("a", "gateway", "U" * 40)
    at.known[uid] = [
        Span(UP, 0, 300_000, 0, 270_000, 0, 0, 10),
        Span(UNKNOWN, 300_000, 600_000, 300_000, 570_000, 0, 0, 10, "upsd has lost the UPS"),
        Span(UP, 600_000, at.now, 600_000, at.now, 0, 0, 20),
    ]
    found = verdicts(at.topology, at.evidence(), [uid], (0, at.now))[uid]
    assert [(one.state, one.cause.cause) for one in found] == [(UNKNOWN, "not known")]
    assert found[0].cause.because[0].values["reason"] == "upsd has lost the UPS"


def test_goals_ask_for_the_cause_of_a_span() -> None:
    story = Story(fault("line", "b", 20, 30), fault("router", "b", 40, 45))
    uid = story.check("b", "hub").uid
    ask = goal_cause(CauseAnalysis(topology(), story.evidence))
    downs = [span for span in story.world.spans(uid) if span.state == DOWN]
    assert [ask(uid, span) for span in downs] == ["wan", "lan"]


def test_a_check_that_the_inventory_has_no_more_is_not_known() -> None:
    at = hand()
    at.known["gone"] = [Span(DOWN, 0, 60_000, 0, 50_000, 0, 0, 3)]
    found = verdicts(at.topology, at.evidence(), ["gone"], (0, 60_000))["gone"]
    assert [(one.start, one.end, one.cause.cause) for one in found] == [(0, 60_000, "not known")]


def test_between_up_and_degraded_it_was_not_down() -> None:
    proofs = Proofs([Span(UP, 0, 45, 0, 30, 0, 0, 2), Span(DEGRADED, 45, 90, 60, 90, 0, 0, 2)])
    assert proofs.state(35, 55) == UP and proofs.state(20, 80) == UP
    assert proofs.state(60, 90) == DEGRADED
    apart = Proofs([Span(UP, 0, 45, 0, 30, 0, 0, 2), Span(DOWN, 45, 90, 60, 90, 0, 0, 2)])
    assert apart.state(35, 55) is None
    placed = Proofs([Span(UP, 0, 45, 0, 30, 5, 10, 2)])
    assert placed.state(5, 20) == UP and placed.state(4, 20) is None and placed.state(5, 21) is None


def test_starts_and_stops_are_read_from_events() -> None:
    life = agent_life(
        [(500, "agent stop", {}), (900, "agent start", {"clean": True, "boot_ms": 100}), (10, "agent start", {})], 950
    )
    assert life == AgentLife((AgentStart(10, 10, None), AgentStart(900, 800, True)), (500,), 950)


@pytest.mark.parametrize("minutes", [1, 3, 8])
def test_when_the_collector_was_off_and_results_were_lost(minutes: int) -> None:
    """An agent that ran on, and yet nothing of that time came: the collector's own life tells why."""
    at = hand()
    gone = minutes * 2 + 5
    at.looks("b", "gateway", "U" * 10 + "." * gone + "U" * (30 - gone))
    told = at.evidence()
    start = 9 * at.every
    off = CauseEvidence(
        spans=told.spans, life=told.life, now=at.now, collector=((0, start), (start + gone * at.every, at.now))
    )
    uid = at.uid("b", "gateway")
    found = verdicts(at.topology, off, [uid], (0, at.now))[uid]
    assert [(one.cause.root, one.cause.cause) for one in found] == [("collector:off", "collector")]
    assert [one.cause.cause for one in verdicts(at.topology, told, [uid], (0, at.now))[uid]] == ["agent"]
