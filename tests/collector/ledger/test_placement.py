"""Placement in worlds whose true time is known: the stated error always holds, whatever wall clocks and networks do."""

import random
from bisect import bisect_right

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.ledger.batch_step import apply_slice
from collector.ledger.counted import count
from collector.ledger.figures import figure, history
from collector.ledger.placement import (
    DRIFT_PPM,
    MAX_SAMPLES,
    ClockMapping,
    Placement,
    bracket,
    exchange,
    place,
    starts_before,
    wall_right,
)
from inventory.protocol.wire import Echo, Reading

BOOT = b"boot-one"
EPOCH = 1_700_000_000_000.0
HOUR = 3_600_000
WORST_PPM = DRIFT_PPM * 0.999  # the promise is in boot ms, the world's in true ms


class Agent:
    """A machine whose boot clock runs off true time by up to DRIFT_PPM, differently from hour to hour.

    ``pauses``: (boot ms, ms) at which the whole machine was stopped and its boot clock with it. Its wall clock shows
    whatever it likes. True time is the collector's clock.
    """

    def __init__(self, random_: random.Random, started: float, hours: int, pauses: list[tuple[int, int]]) -> None:
        self.random = random_
        self.knots = [(0.0, started)]  # (boot ms, true ms)
        base, wander = random_.choice([0, 50, -120, WORST_PPM, -WORST_PPM]), random_.choice([0, 100])
        for hour in range(hours):
            ppm = max(-WORST_PPM, min(WORST_PPM, base + random_.uniform(-wander, wander)))
            boot, true = self.knots[-1]
            for at, pause in sorted(pauses):
                if hour * HOUR <= at < (hour + 1) * HOUR:
                    true += (at - boot) * (1 + ppm / 1e6)
                    self.knots += [(at, true), (at, true + pause)]
                    boot, true = at, true + pause
            self.knots.append(((hour + 1) * HOUR, true + ((hour + 1) * HOUR - boot) * (1 + ppm / 1e6)))

    def true(self, boot_ms: float) -> float:
        """When the boot clock showed this (after the pause, if there was one just then)."""
        i = min(bisect_right(self.knots, boot_ms, key=lambda knot: knot[0]), len(self.knots) - 1)
        (b0, t0), (b1, t1) = self.knots[i - 1], self.knots[i]
        return t0 + (t1 - t0) * (boot_ms - b0) / (b1 - b0)

    def reading(self, boot_ms: float) -> Reading:
        wall = self.random.choice([0, 1_000, int(self.true(boot_ms)) + HOUR, int(self.true(boot_ms)) - HOUR])
        return Reading(BOOT, int(boot_ms), wall)


class Line:
    """The network and the acks that came over it: each way takes its own time, mostly short."""

    def __init__(self, agent: Agent, worst: float) -> None:
        self.agent, self.worst = agent, worst
        self.mapping: ClockMapping | None = None
        self.echo: Echo | None = None

    def delay(self) -> float:
        return self.agent.random.choice([0.0, 0.0, 20.0, self.worst]) * self.agent.random.random()

    def push(self, boot_ms: int) -> int:
        """A push at that boot ms and its ack; the boot ms at which the agent is done."""
        agent = self.agent
        sent = agent.reading(boot_ms)
        received = agent.true(boot_ms) + self.delay()
        self.mapping = exchange(self.mapping, sent, int(received), self.echo)
        answered = received + agent.random.random() * 5
        arrives = answered + self.delay()
        done = boot_ms
        while agent.true(done) < arrives:  # whole ms of the boot clock, as the agent reads it
            done += max(1, int(arrives - agent.true(done)))
        self.echo = Echo(int(answered), done)
        return done

    def known(self) -> ClockMapping:
        assert self.mapping is not None
        return self.mapping


def off_by(agent: Agent, placing: Placement) -> float:
    """The largest error of the placing over what it places, by its own account and the truth."""
    span = placing.last - placing.first
    points = [placing.first + span * i // 50 for i in range(51)]
    return max(abs(placing.at(at) - agent.true(at)) for at in points)


seeds = st.integers(0, 1 << 32).map(random.Random)


@settings(max_examples=300, deadline=None)
@given(seeds, st.sampled_from([0.0, 30.0, 3_000.0, 50_000.0]), st.lists(st.integers(0, 60_000), max_size=2))
def test_the_stated_error_holds_whatever_happens(chance: random.Random, worst: float, pauses: list[int]) -> None:
    """Contacts now and then, batches of any extent, at once or late, machines that stand still."""
    began = chance.choice([1_000, HOUR, 7 * HOUR])
    stops = [(chance.randrange(began, 60 * HOUR), pause) for pause in pauses]
    agent = Agent(chance, EPOCH, 80, stops)
    line = Line(agent, worst)
    at = line.push(line.push(began) + 1_000)
    last, ends, before = chance.choice([1_000, began]), 0, 0
    while at < 70 * HOUR:
        sent = at + chance.choice([500, 5_000, 30_000, 30_000, 200_000, HOUR, 9 * HOUR])
        at = line.push(sent)
        if chance.random() < 0.3:
            continue  # these go with a later push
        while last < sent:
            first = max(last - chance.choice([0, 0, 7_000]), 1_000)  # a slow look of an earlier batch's time
            until = min(sent, last + chance.choice([20_000, 400_000, 4 * HOUR]))
            bound = chance.choice([None, int(agent.true(until)) + 1 + chance.randrange(200)])
            placing = place(line.known(), first, until, before=bound)
            assert off_by(agent, placing) <= placing.error
            assert placing.end >= ends - before - placing.error  # in order, as far as times are known
            ends, before, last = placing.end, placing.error, until
    assert len(line.known().samples) <= MAX_SAMPLES


@pytest.mark.parametrize("ppm", [-WORST_PPM, 0, WORST_PPM])
@pytest.mark.parametrize("turns", [False, True])
def test_the_stated_error_holds_for_a_backlog_over_the_worst_drift(ppm: float, turns: bool) -> None:
    """One way all the time, or one way for ten hours and back for ten: as far off as two clocks can come."""
    agent = Agent(random.Random(1), EPOCH, 20, [])
    back = -ppm if turns else ppm
    agent.knots = [(0.0, EPOCH), (10 * HOUR, EPOCH + 10 * HOUR * (1 + ppm / 1e6))]
    agent.knots.append((20 * HOUR, agent.knots[1][1] + 10 * HOUR * (1 + back / 1e6)))
    line = Line(agent, 0.0)
    for at in (1_000, 2_000, 20 * HOUR - 2_000, 20 * HOUR - 1_000):
        line.push(at)
    assert not any(contact.parted for contact in line.known().samples)
    for first, last in (
        (2_000, 20 * HOUR - 2_000),
        (9 * HOUR, 11 * HOUR),
        (2_000, HOUR),
        (19 * HOUR, 20 * HOUR - 2_000),
    ):
        placing = place(line.known(), first, last)
        assert off_by(agent, placing) <= placing.error
    # halfway it may be off by half of what the clocks can have parted, at the ends no more than by all of it
    assert place(line.known(), 10 * HOUR - 1_000, 10 * HOUR).error < 10 * HOUR * DRIFT_PPM / 1e6 + abs(ppm) * 40 + 100
    # and past the last one the error grows with the time
    past = place(line.known(), 20 * HOUR - 1_000, 21 * HOUR)
    assert HOUR * DRIFT_PPM / 1e6 <= past.error <= HOUR * DRIFT_PPM / 1e6 + 100


def test_a_push_in_flight_while_the_machine_stood_still() -> None:
    """The push was sent, the machine stopped for five seconds, the ack was sent meanwhile and read afterwards."""
    mapping = None
    for at in (0, 50_000, 100_000):  # each push takes six seconds, so that five more are nothing special
        echo = Echo(int(EPOCH) + at - 44_000, at - 43_990) if at else None
        mapping = exchange(mapping, Reading(BOOT, at, 0), int(EPOCH) + at + 6_000, echo)
    # stopped at boot ms 100,010; the ack was sent at true 106,001 and came at boot ms 101,012, true 106,012
    mapping = exchange(mapping, Reading(BOOT, 300_000, 0), int(EPOCH) + 305_005, Echo(int(EPOCH) + 106_001, 101_012))
    before, after = place(mapping, 100_002, 100_008), place(mapping, 101_100, 300_000)
    assert abs(before.at(100_005) - (int(EPOCH) + 100_005)) <= before.error
    assert abs(after.at(200_000) - (int(EPOCH) + 205_000)) <= after.error < 150


def test_a_push_that_took_long_is_told_from_a_machine_that_stood_still_by_the_next() -> None:
    """Until then the stated error covers both; after it, it is small again."""
    mapping, sent, every = None, 0, 600_000
    for at in range(0, 4 * every, every):
        late = 5_000 if at == 3 * every else 4  # the last one hung in the network
        echo = Echo(int(EPOCH) + sent + 4, sent + 8) if at else None
        mapping = exchange(mapping, Reading(BOOT, at, 0), int(EPOCH) + at + late, echo)
        sent = at
    assert mapping is not None
    first, last = 3 * every - 20_000, 3 * every
    unsure = place(mapping, first, last)
    assert 4_500 < unsure.error < 5_100
    echo = Echo(int(EPOCH) + last + 5_000, last + 5_004)
    mapping = exchange(mapping, Reading(BOOT, 4 * every, 0), int(EPOCH) + 4 * every + 4, echo)
    sure = place(mapping, first, last)
    assert sure.error < 300  # what two clocks may part in ten minutes
    for placing in (unsure, sure):
        assert abs(placing.at(last) - int(EPOCH) - last) <= placing.error


def test_steady_contact_over_a_good_network_places_to_within_its_delays() -> None:
    line = Line(Agent(random.Random(5), EPOCH, 3, []), 30.0)
    at = 1_000
    for _ in range(200):
        at = line.push(at + 30_000)
    assert place(line.known(), at - 30_000, at - 1_000).error < 100


def test_a_weeks_backlog_is_interpolated_not_placed_by_todays_offset() -> None:
    """A clock 100 ppm fast or slow all the time: both contacts are known, so what lies between is nearly exact."""
    for ppm in (100, -100):

        def true(boot_ms: int, ppm: int = ppm) -> int:
            return round(EPOCH + boot_ms * (1 + ppm / 1e6))

        mapping = None
        week = 7 * 24 * HOUR
        for at, acked in ((0, -500), (30_000, 500), (week, 30_500), (week + 1_000, week + 500)):
            echo = Echo(true(acked), acked) if at else None  # after the silence it is one from before it
            mapping = exchange(mapping, Reading(BOOT, at, 0), true(at) + 5, echo)
        assert mapping is not None
        middle = week // 2
        placing = place(mapping, middle, middle + 60_000)
        assert abs(placing.at(middle) - true(middle)) < 1_000  # a clock at today's offset would be 30 s off
        whole = place(mapping, 30_000, week)
        assert max(abs(whole.at(at) - true(at)) for at in range(30_000, week, HOUR)) < 1_000
        assert whole.error <= 1.6 * week * DRIFT_PPM / 1e6


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(0, 100_000), st.integers(40, 200), st.sampled_from([30.0, 3_000.0]))
def test_a_machine_stopped_as_a_whole_is_noticed_and_the_error_says_so(
    chance: random.Random, pause: int, when: int, worst: float
) -> None:
    """A suspended virtual machine: the boot clock stands still and nobody inside knows."""
    stopped = when * 30_000 + chance.randrange(30_000)
    agent = Agent(chance, EPOCH, 3, [(stopped, pause)])
    line = Line(agent, worst)
    last = at = line.push(1_000)
    while at < 2 * HOUR:
        sent = at + chance.choice([1_000, 30_000, 300_000])
        at = line.push(sent)
        placing = place(line.known(), last, sent)
        assert off_by(agent, placing) <= placing.error
        last = sent
    if worst == 30.0:
        assert placing.error < 300  # and it is over once the clocks agree again


def test_the_offset_does_not_jitter_while_the_bounds_allow_it() -> None:
    chance = random.Random(3)
    mapping = None
    offsets = []
    for i in range(200):
        at = 30_000 * i
        delay = chance.randrange(5, 400)
        echo = Echo(int(EPOCH) + at - 29_900, at - 29_900 + chance.randrange(5, 400)) if i else None
        mapping = exchange(mapping, Reading(BOOT, at, 0), int(EPOCH) + at + delay, echo)
        if i > 20:
            placing = place(mapping, at - 30_000, at)
            assert placing.steady
            offsets.append(placing.offset_first)
    assert len(set(offsets)) <= 3
    assert max(offsets) - min(offsets) <= 8  # while pushes and acks took up to 400 ms each


def test_an_agents_wall_clock_moves_nothing() -> None:
    """1970, an hour forward, an hour back: the same placing."""
    placings = []
    for walls in ([0, 0, 0], [int(EPOCH)] * 3, [int(EPOCH), int(EPOCH) + HOUR, int(EPOCH) - HOUR]):
        mapping = None
        for at, wall in zip((0, 30_000, 60_000), walls, strict=True):
            echo = Echo(int(EPOCH) + at - 10, at - 5)
            mapping = exchange(mapping, Reading(BOOT, at, wall), int(EPOCH) + at + 10, echo)
        assert mapping is not None
        placings.append(place(mapping, 30_000, 60_000))
    assert placings[0] == placings[1] == placings[2]
    assert placings[0].error < 40


def test_before_an_ack_came_back_the_error_is_a_requests_longest_life() -> None:
    first = exchange(None, Reading(BOOT, 5_000, 0), int(EPOCH) + 90_000, None)  # 85 s on its way
    assert not first.echoed
    placing = place(first, 1_000, 5_000)
    assert abs(placing.at(5_000) - (int(EPOCH) + 5_000)) <= placing.error
    then = exchange(first, Reading(BOOT, 95_000, 0), int(EPOCH) + 95_020, Echo(int(EPOCH) + 94_000, 94_010))
    assert then.echoed
    assert place(then, 1_000, 95_000).error < 100


def test_an_echo_that_contradicts_is_not_believed() -> None:
    """This collector's clock was stepped back an hour between an ack and the next push."""
    mapping = None
    for at in (0, 30_000):
        mapping = exchange(mapping, Reading(BOOT, at, 0), int(EPOCH) + at + 10, Echo(int(EPOCH) + at - 10, at))
    stepped = int(EPOCH) - HOUR
    mapping = exchange(mapping, Reading(BOOT, 60_000, 0), stepped + 60_010, Echo(int(EPOCH) + 30_011, 30_020))
    assert mapping.samples[-1].parted
    mapping = exchange(mapping, Reading(BOOT, 90_000, 0), stepped + 90_010, Echo(stepped + 60_011, 60_020))
    placing = place(mapping, 85_000, 90_000)
    assert abs(placing.at(90_000) - (stepped + 90_000)) <= placing.error
    # what lay before the step stands where it stood; what lies across it is placed by either, in order, and says so
    earlier = place(mapping, 10_000, 30_000)
    assert abs(earlier.at(20_000) - (int(EPOCH) + 20_000)) <= earlier.error < 100
    just_before = place(mapping, 40_000, 44_000)
    assert abs(just_before.at(42_000) - (int(EPOCH) + 42_000)) <= just_before.error
    across = place(mapping, 30_000, 60_000)
    assert across.error >= HOUR - 60_000
    assert across.at(60_000) >= across.at(45_000) >= across.at(30_000)


def test_a_push_that_was_overtaken_adds_nothing() -> None:
    mapping = exchange(None, Reading(BOOT, 9_000, 0), int(EPOCH) + 9_010, Echo(int(EPOCH), 5))
    assert exchange(mapping, Reading(BOOT, 8_000, 0), int(EPOCH) + 60_000, None) is mapping


def test_a_reboot_starts_another_mapping_in_order() -> None:
    mapping = exchange(None, Reading(BOOT, 9_000, 0), int(EPOCH) + 9_010, Echo(int(EPOCH), 5))
    other = exchange(mapping, Reading(b"boot-two", 100, 0), int(EPOCH) + 60_000, None)
    assert (other.boot, len(other.samples), other.echoed) == (b"boot-two", 1, False)
    # its first looks were not before what the boot before had seen
    assert place(other, 0, 100, after=int(EPOCH) + 59_500).at(0) >= int(EPOCH) + 59_500
    # a neighbour that cannot be one (a cloned disk on another machine) is not believed
    assert place(other, 0, 100, after=int(EPOCH) + HOUR) == place(other, 0, 100)


def test_what_a_dead_boot_left_behind_ends_before_the_next_begins() -> None:
    """Three days after the last contact, a slow one, the power failed; the next boot's start bounds what it can be."""
    mapping = exchange(None, Reading(BOOT, 0, 0), int(EPOCH) + 60_000, Echo(int(EPOCH) - 5, 0))
    last = 72 * HOUR
    begun = int(EPOCH) + last + 3_000  # true: the boot clock ran true, three seconds passed until the next boot
    alone, bounded = place(mapping, last - HOUR, last), place(mapping, last - HOUR, last, before=begun)
    for placing in (alone, bounded):
        assert abs(placing.at(last) - (int(EPOCH) + last)) <= placing.error
    assert bounded.end <= begun
    assert bounded.error < alone.error


@given(seeds, st.integers(0, 100_000), st.integers(1, 5_000_000), st.integers(0, 3 * HOUR), st.booleans())
def test_a_bracketed_boot_lies_within_its_stated_error(
    chance: random.Random, off: int, length: int, room: int, right: bool
) -> None:
    """A boot without contact, somewhere in the room between its neighbours; its wall clock may lie all the same."""
    after = int(EPOCH)
    before = after + length + room
    began = after + chance.randint(0, room)
    wall = began + chance.choice([0, off, -off, 10 * HOUR])
    mapping = bracket(BOOT, length, after=after, before=before, wall_offset=wall, walls_right=right)
    if not right and room > 60_000:
        assert mapping is None
    if mapping is None:
        assert not (right and after <= wall <= before - length)
        assert room > 60_000 - 2 * (1 + length * DRIFT_PPM / 1e6)
        return
    placing = place(mapping, 0, length)
    assert abs(placing.at(0) - began) <= placing.error
    assert abs(placing.at(length) - (began + length)) <= placing.error
    if right and after <= wall <= before - length:
        assert abs(placing.at(0) - wall) <= 50


def test_a_boot_is_unplaceable_without_neighbours_or_when_it_does_not_fit() -> None:
    def asked(after: int | None, before: int | None, wall: int | None = 1_000) -> ClockMapping | None:
        return bracket(BOOT, 500_000, after=after, before=before, wall_offset=wall, walls_right=True)

    assert asked(None, 9 * HOUR) is None
    assert asked(0, None) is None
    assert asked(0, 400_000) is None  # shorter than what it has measured
    assert asked(0, 9 * HOUR, wall=10 * HOUR) is None  # the wall clock says otherwise, and there is too much room
    assert asked(0, 9 * HOUR, wall=None) is None
    assert asked(0, 9 * HOUR) is not None


def test_neighbours_say_when_they_began_and_whether_their_wall_was_right() -> None:
    def met(wall_error: int) -> ClockMapping:
        wall = int(EPOCH) + 60_000 + wall_error
        return exchange(None, Reading(BOOT, 60_000, wall), int(EPOCH) + 60_020, Echo(int(EPOCH) + 30_000, 30_010))

    assert int(EPOCH) <= starts_before(met(0)) <= int(EPOCH) + 100
    assert [wall_right(met(error)) for error in (0, 5_000, -HOUR, -int(EPOCH))] == [True, True, False, False]


@settings(max_examples=40, deadline=None)
@given(seeds, st.booleans())
def test_no_clock_fault_moves_an_outage(chance: random.Random, cut: bool) -> None:
    """An outage of ten minutes, with garbage for a wall clock and the WAN cut or not, lies inside the bounds."""
    agent = Agent(chance, EPOCH, 30, [])
    line = Line(agent, 200.0)
    begins, ends = 12 * HOUR, 12 * HOUR + 600_000  # boot ms, for the world to know
    looks = list(range(30_000, 24 * HOUR, 30_000))
    closed, tail, taken = [], None, 0
    pushes = [15_000, 16_000, *range(60_000, 24 * HOUR, 600_000)]
    for at in pushes:
        if cut and 10 * HOUR < at < 20 * HOUR:
            continue
        line.push(at)
        slice_ = [look for look in looks[taken:] if look < at]
        if not slice_:
            continue
        taken += len(slice_)
        placing = place(line.known(), slice_[0], slice_[-1])
        base, deltas = placing.place_slice(slice_[0], [30_000] * (len(slice_) - 1))
        states = bytes(2 if begins <= look < ends else 0 for look in slice_)
        tail = apply_slice(tail, closed, base, deltas, states, 75_000, placing.error)
    now = round(agent.true(24 * HOUR))
    window = round(agent.true(11 * HOUR)), round(agent.true(13 * HOUR))
    found = figure(history(closed, tail, now), count(window, now))
    true_down = agent.true(ends) - agent.true(begins)
    assert found.sure_down <= true_down <= found.total - found.sure_up
    assert abs(found.down - true_down) <= 30_000 + 2 * max(span.error_to for span in closed)
    outage = next(span for span in closed if span.state == 2)
    assert abs(outage.start - agent.true(begins)) <= 15_000 + outage.error_from + 1
    assert abs(outage.end - agent.true(ends)) <= 15_000 + outage.error_to + 1


@pytest.mark.parametrize("deltas", [[], [1, 2, 3], [0, 0, 40_000]])
def test_a_slice_is_placed_look_by_look(deltas: list[int]) -> None:
    for placing in (Placement(BOOT, 0, 60_000, 100, 100, 1), Placement(BOOT, 0, 60_000, 100, -900, 1)):
        at, wanted = 10_000, [placing.at(10_000)]
        for delta in deltas:
            at += delta
            wanted.append(placing.at(at))
        base, placed = placing.place_slice(10_000, deltas)
        assert [base + sum(placed[:i]) for i in range(len(deltas) + 1)] == wanted
