"""What is said at the moment itself, of checks that are down and of agents that are silent."""

from functools import cache

from alerts.incident.problem import Cause
from collector.causes.present import (
    AgentContact,
    PresentCause,
    PresentCauses,
    PresentView,
    present_causes,
)
from collector.ledger.state_step import Span
from inventory.model.entities import Check
from inventory.protocol.states import CheckStatus
from tests.collector.causes.test_stories import fault
from tests.collector.causes.test_truth import topology
from tests.support.histories import (
    AGENT_OF,
    DEGRADED,
    DOWN,
    HOUR,
    LINES,
    MINUTE,
    SECOND,
    T0,
    UNKNOWN,
    EstateFault,
    EstateHistory,
    covers,
    published,
    random_world,
)

PUSH = 30 * SECOND


class Now:
    """A world as the collector, in the centre, has it at one moment: what pushes have brought until then."""

    def __init__(
        self, world: EstateHistory, minute: float, *, started: float = -600, deaf: tuple[float, float] | None = None
    ):
        self.world, self.at = world, T0 + round(minute * MINUTE)
        self.started, self.deaf = T0 + round(started * MINUTE), deaf
        self.present = self.of()

    def of(self, at: int | None = None) -> PresentCauses:
        now = self.at if at is None else at
        view = PresentView(status=self.seen, contact=self.contact, now=now, started=self.started, push_every=PUSH)
        return present_causes(topology(), view)

    def heard(self, place: str) -> int:
        """The last moment at which it could push."""
        moments = range(self.at - self.at % PUSH, self.world.begin, -PUSH)
        return next((at for at in moments if self.reaches(place, at)), self.world.begin)

    def reaches(self, place: str, at: int) -> bool:
        if self.deaf is not None and T0 + self.deaf[0] * MINUTE <= at < T0 + self.deaf[1] * MINUTE:
            return False
        there = not any(one.begin <= at < one.end for one in self.world.outages[place])
        if place == "hub":
            return there
        lines = any(not covers(self.world.times("line", line), at) for line in LINES[place])
        broken = any(covers(one.times, at) for end in (place, "hub") for one in self.world.router(end))
        return there and lines and not broken

    def place(self, agent: str) -> str:
        return next(place for place, name in AGENT_OF.items() if name == agent)

    @cache  # noqa: B019  # one moment, asked often
    def spans(self, uid: str) -> list[Span]:
        agent = self.world.inventory.checks[uid].agent
        return self.world.spans(uid, self.heard(self.place(agent)))

    def seen(self, uid: str) -> CheckStatus | None:
        spans = self.spans(uid)
        if not spans:
            return None
        last, hold = spans[-1], self.world.inventory.checks[uid].hold
        state = last.state if self.at <= last.sure_to + hold else UNKNOWN
        return published(state, last.start, last.sure_from, last.sure_to, last.state)

    def contact(self, agent: str) -> AgentContact | None:
        if agent not in self.world.received:
            return None
        heard = self.heard(self.place(agent))
        events = [event for event in self.world.received[agent].events if event[0] <= self.at]
        stopped = events[-1][0] if events and events[-1][1] == "agent stop" else None
        return AgentContact(heard, stopped)

    def check(self, agent: str, name: str) -> Check:
        return next(check for check in self.world.checks if (check.agent, check.name) == (agent, name))

    def cause(self, agent: str, name: str) -> PresentCause:
        return self.present.cause(self.check(agent, name).uid)


def world(*faults: EstateFault) -> EstateHistory:
    return EstateHistory(list(faults), HOUR, 1)


def told(cause: Cause) -> str:
    return " / ".join(said.text.format(**said.values) for said in cause.because)


def roots(answer: PresentCause) -> tuple[str, str]:
    return answer.cause.root, answer.cause.cause


def test_a_cut_line_and_its_silent_agent_have_one_root() -> None:
    now = Now(world(fault("line", "b", 20, 40)), 25)
    assert roots(now.cause("thdl", "b.from-hub")) == ("wan:b", "wan")
    assert now.cause("thdl", "b.from-hub").cause.certainty == "provisional"
    silent = now.present.silence("b")
    assert roots(silent) == ("wan:b", "wan") and silent.cause.certainty == "provisional"
    assert "has not been heard since" in told(silent.cause)


def test_the_hubs_router_is_one_root_for_everything() -> None:
    now = Now(world(fault("router", "hub", 20, 40)), 25)
    for place in ("a", "b", "c"):
        assert roots(now.cause("thdl", f"{place}.from-hub")) == ("lan:so-hub", "lan")
        assert roots(now.present.silence(place)) == ("lan:so-hub", "lan")
    assert roots(now.cause("thdl", "gateway")) == ("lan:so-hub", "lan")
    assert now.cause("thdl", "gateway").cause.certainty == "sure"


def test_what_came_back_after_the_last_look_proves_nothing() -> None:
    """The hub's router is back; the sites' last looks, from before, came with their first push after it."""
    now = Now(world(EstateFault("router", "hub", T0 + 763 * SECOND, T0 + 867 * SECOND)), 14.5)
    down = [place for place in ("a", "b", "c") if now.seen(now.check(place, "hub").uid).state == DOWN]  # type: ignore[union-attr]
    assert down
    for place in down:
        answer = now.cause(place, "hub")
        assert answer.cause.root == "lan:so-hub" or answer.cause.certainty != "sure"


def test_on_battery_and_then_silent_is_power() -> None:
    now = Now(world(fault("power", "a", 20, 45)), 30)
    assert roots(now.cause("thdl", "a.from-hub")) == ("power:a", "power")
    assert roots(now.present.silence("a")) == ("power:a", "power")
    assert "on battery when it was last seen" in told(now.present.silence("a").cause)
    before = Now(world(fault("power", "a", 20, 45)), 22)
    assert roots(before.cause("a", "power")) == ("power:a", "power")


def test_a_silent_agent_whose_site_answers_is_itself_the_root() -> None:
    now = Now(world(fault("machine", "b", 20, 40)), 26)
    assert roots(now.present.silence("b")) == ("agent:b", "agent")
    assert now.present.silence("b").cause.certainty == "probable"
    assert "answered from outside" in told(now.present.silence("b").cause)


def test_a_clean_stop_is_sure() -> None:
    now = Now(world(fault("stop", "b", 20, 40)), 26)
    answer = now.present.silence("b")
    assert roots(answer) == ("agent:b", "agent") and answer.cause.certainty == "sure"


def test_everybody_is_silent_after_the_collectors_start() -> None:
    now = Now(world(), 40.5, started=40, deaf=(20, 60))
    for agent in ("a", "b", "c", "thdl"):
        answer = now.present.silence(agent)
        assert roots(answer) == ("collector:start", "collector") and answer.pending


def test_everybody_is_silent_while_the_collector_runs() -> None:
    """Nobody can reach it, the centre's own agent neither: its network, not four sites."""
    now = Now(world(), 40, deaf=(20, 60))
    for agent in ("a", "b", "c", "thdl"):
        assert roots(now.present.silence(agent)) == ("collector:reach", "collector")


def test_many_sites_silent_that_answer_are_the_collector_too() -> None:
    quiet = Now(world(), 40)
    deaf = ("a", "b", "c")
    contacts = {
        agent: AgentContact(T0 + 20 * MINUTE) if agent in deaf else quiet.contact(agent) for agent in ("thdl", *deaf)
    }
    now = present_causes(
        topology(), PresentView(status=quiet.seen, contact=contacts.get, now=quiet.at, push_every=PUSH)
    )
    assert {roots(now.silence(agent)) for agent in deaf} == {("collector:reach", "collector")}


def test_a_dead_router_and_a_cut_line_are_the_same_from_outside() -> None:
    """Until the agent behind it is heard again it goes by the line, and says that it is provisional."""
    answer = Now(world(fault("router", "b", 20, 40)), 25).cause("thdl", "b.from-hub")
    assert roots(answer) == ("wan:b", "wan") and answer.cause.certainty == "provisional"


def test_both_lines_of_a_site_gone_at_once_are_one_root_at_the_site() -> None:
    now = Now(world(fault("router", "c", 20, 40)), 25)
    for name in ("c.from-hub", "c.from-hub-two"):
        answer = now.cause("thdl", name)
        assert roots(answer) == ("lan:c", "lan") and answer.cause.certainty == "provisional"
    assert roots(now.present.silence("c")) == ("lan:c", "lan")


def test_one_of_two_lines_is_sure_at_once() -> None:
    now = Now(world(fault("line", "c-two", 20, 40)), 25)
    for agent, name in (("thdl", "c.from-hub-two"), ("c", "hub-two")):
        answer = now.cause(agent, name)
        assert roots(answer) == ("wan:c-two", "wan")
        assert answer.cause.certainty == "sure" and not answer.pending


def test_a_service_is_sure_once_its_device_and_network_were_looked_at_since() -> None:
    now = Now(world(fault("service", "web-web", 20, 40)), 25)
    answer = now.cause("thdl", "web-web")
    uid = now.check("thdl", "web-web").uid
    assert roots(answer) == (f"service:{uid}", "service")
    assert answer.cause.certainty == "sure" and not answer.pending


def test_what_was_not_looked_at_since_is_waited_for() -> None:
    """Its looks found the service gone ten seconds ago; the ping of its device was up before that, not since."""
    steady = Now(world(), 25)
    uid = steady.check("thdl", "web-web").uid
    first = steady.at - 5 * SECOND

    def seen(other: str) -> CheckStatus | None:
        was = steady.seen(other)
        if other == uid:
            return published(2, first - 10 * SECOND, first, steady.at, 2)
        return (
            published(0, was.since, was.first_look, min(was.last_look, first - SECOND), 0) if was is not None else None
        )

    early = present_causes(
        topology(), PresentView(status=seen, contact=steady.contact, now=steady.at, push_every=PUSH)
    ).cause(uid)
    assert early.pending and early.cause.certainty == "provisional"
    assert roots(early) == (f"service:{uid}", "service")

    def since(other: str) -> CheckStatus | None:
        was = seen(other)
        return was if was is None or other == uid else published(0, was.since, was.first_look, steady.at, 0)

    late = present_causes(
        topology(), PresentView(status=since, contact=steady.contact, now=steady.at, push_every=PUSH)
    ).cause(uid)
    assert not late.pending and late.cause.certainty == "sure"


def test_a_device_takes_its_services_with_it() -> None:
    now = Now(world(fault("device", "web", 20, 40)), 25)
    assert (
        roots(now.cause("thdl", "ping-web")) == roots(now.cause("thdl", "web-web")) == ("device:so-hub-web", "service")
    )


def test_a_check_that_is_up_or_gone_has_no_cause() -> None:
    now = Now(world(), 25)
    assert now.cause("thdl", "gateway").cause.cause == "not known"
    assert now.present.cause("nobody").cause.cause == "not known"


def test_what_is_called_sure_at_the_moment_is_true() -> None:
    """Over random histories, every few minutes."""
    said, wrong = 0, []
    for seed in range(100):
        past = EstateHistory(random_world(seed).faults, HOUR, seed)  # clocks that are right: a moment is a moment
        for minute in range(6, 60, 4):
            now = Now(past, minute)
            for check in past.checks:
                seen = now.seen(check.uid)
                if seen is None or seen.state not in (DEGRADED, DOWN):
                    continue
                cause = now.present.cause(check.uid).cause
                truth = past.truth(check, seen.last_look, seen.state)
                if cause.certainty == "sure" and truth:
                    said += 1
                    if cause.cause not in {true for true, _ in truth}:
                        wrong.append((seed, minute, check.name, cause.root, truth))
    assert said > 200
    assert not wrong
