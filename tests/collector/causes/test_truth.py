"""A thousand histories whose truth is known: what the evidence can decide gets its true cause, and no verdict is made
up of time in which a check was up."""

from collections import Counter
from functools import cache

import pytest

from collector.causes.evidence import AgentLife, CauseEvidence, agent_life
from collector.causes.topology import Topology
from collector.causes.verdicts import CauseVerdict
from collector.ledger.counted import FOREVER
from inventory.model.entities import Check
from tests.support import histories
from tests.support.histories import DEGRADED, DOWN, HOUR, MINUTE, UP, Decidability, EstateHistory, random_world
from tests.support.verdicts import verdicts

HISTORIES = 1_000
STEP = 10_000  # ms between the moments that are compared


@cache
def topology() -> Topology:
    return Topology.of(histories.estate())


def evidence(world: EstateHistory, told: dict[str, int] | None = None, now: int | None = None) -> CauseEvidence:
    """``told``: until when each agent has told; all of it, if not given."""

    def until(agent: str) -> int | None:
        return None if told is None else told.get(agent)

    @cache
    def spans(uid: str) -> list[histories.Span]:
        return world.spans(uid, until(world.inventory.checks[uid].agent))

    @cache
    def life(agent: str) -> AgentLife:
        if agent not in world.received:
            return AgentLife()
        limit = FOREVER if told is None else told[agent]
        events = [event for event in world.received[agent].events if event[0] <= limit]
        return agent_life(events, FOREVER if told is None else world.last_look(agent, limit) - 10_000)

    return CauseEvidence(spans=spans, life=life, now=world.end if now is None else now)


def judged(world: EstateHistory) -> dict[str, list[CauseVerdict]]:
    return verdicts(topology(), evidence(world), [check.uid for check in world.checks], (world.begin, world.end))


class Score:
    def __init__(self) -> None:
        self.decidable = self.right = self.rooted = self.unknown = 0
        self.beyond = Counter[str]()
        self.wrong = Counter[tuple[int, str, int, str, str]]()

    def take(
        self, seed: int, world: EstateHistory, check: Check, verdict: CauseVerdict, knowable: Decidability
    ) -> None:
        for at in range(verdict.start + STEP // 2, verdict.end, STEP):
            truth = world.truth(check, at, verdict.state)
            causes = {cause for cause, _ in truth}
            if not causes:
                continue  # the ledger's edge lies a little off the truth's: no cause is true there
            said = verdict.cause.cause
            if knowable.decided(check, at, verdict.state):
                self.decidable += 1
                self.right += said in causes
                self.rooted += (said, verdict.cause.root) in truth
                self.unknown += said == "not known"
                if said not in causes:
                    self.wrong[seed, check.name, verdict.state, said, "/".join(sorted(causes))] += 1
            else:
                self.beyond["true" if said in causes else said] += 1

    def told(self) -> str:
        share = self.right / max(self.decidable, 1)
        lines = [
            f"{self.decidable} moments that can be decided: {share:.2%} true"
            f" ({self.rooted / max(self.decidable, 1):.2%} with the true root), {self.unknown} not known;"
            f" of the others {dict(self.beyond)}"
        ]
        lines += [f"  history {key}: {count}" for key, count in self.wrong.most_common(15)]
        return "\n".join(lines)


def test_of_the_time_that_can_be_decided_98_percent_get_the_true_cause(capsys: pytest.CaptureFixture[str]) -> None:
    score = Score()
    for seed in range(HISTORIES):
        world = random_world(seed)
        knowable = Decidability(world)
        found = judged(world)
        for check in world.checks:
            for verdict in found[check.uid]:
                score.take(seed, world, check, verdict, knowable)
    with capsys.disabled():
        print("\n" + score.told())
    assert score.decidable > 100_000
    assert score.right / score.decidable >= 0.98, score.told()
    assert score.rooted / score.decidable >= 0.97, score.told()
    beyond = sum(score.beyond.values())
    assert (score.beyond["true"] + score.beyond["not known"]) / beyond >= 0.9, score.told()


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_nothing_is_called_down_where_it_was_up(first: int) -> None:
    for seed in range(first, first + 50):
        world = random_world(seed)
        found = judged(world)
        for check in world.checks:
            slack = check.interval + check.timeout + 2 * world.errors.get(check.agent, 0)
            for verdict in found[check.uid]:
                broken = [*world.noisy[check.uid]] if verdict.state == DEGRADED else [*world.broken[check.uid]]
                broken += world.broken[check.uid] if check.kind == "power" else []  # on battery, then none
                if verdict.state in (DOWN, DEGRADED):
                    for at in (verdict.start, (verdict.start + verdict.end) // 2, verdict.end):
                        assert any(begin - slack <= at <= end + slack for begin, end in broken), (seed, check.name)


def test_every_moment_not_up_has_one_verdict_and_no_moment_up_has_any() -> None:
    for seed in range(100):
        world = random_world(seed)
        found = judged(world)
        for check in world.checks:
            spans = world.spans(check.uid)
            up = sum(min(s.end, world.end) - s.start for s in spans if s.state == UP and s.start < world.end)
            covered = sum(one.end - one.start for one in found[check.uid])
            assert up + covered == world.end - spans[0].start, (seed, check.name)
            for left, right in zip(found[check.uid], found[check.uid][1:], strict=False):
                assert left.end <= right.start
            for one in found[check.uid]:
                assert not any(s.state == UP and s.start < one.end and one.start < s.end for s in spans)


def test_the_verdicts_of_a_window_cut_in_two_are_those_of_the_whole() -> None:
    for seed in range(60):
        world = random_world(seed)
        known = evidence(world)
        uids = [check.uid for check in world.checks]
        whole = verdicts(topology(), known, uids, (world.begin, world.end))
        cut = world.begin + (seed * 7919) % 60 * MINUTE
        left = verdicts(topology(), known, uids, (world.begin, cut))
        right = verdicts(topology(), known, uids, (cut, world.end))
        for uid in uids:
            assert by_second(left[uid] + right[uid]) == by_second(whole[uid]), (seed, uid)


def by_second(found: list[CauseVerdict]) -> dict[int, tuple[int, str, str, str]]:
    return {
        at: (one.state, one.cause.root, one.cause.cause, one.cause.certainty)
        for one in found
        for at in range(-(-one.start // 1000) * 1000, one.end, 1000)
    }


def test_late_evidence_gives_exactly_what_timely_evidence_would() -> None:
    """Asked while some agents are behind, in whatever order they come: the last answer is the same."""
    for seed in range(60):
        world = random_world(seed)
        uids = [check.uid for check in world.checks]
        timely = judged(world)
        fresh = Topology.of(histories.estate())
        dice = histories.random.Random(seed)
        told = dict.fromkeys(world.received, world.begin + 10 * MINUTE)
        while any(at < world.end for at in told.values()):
            agent = dice.choice([agent for agent, at in told.items() if at < world.end])
            told[agent] = min(told[agent] + dice.randrange(HOUR), world.end)
            now = max(told.values())
            verdicts(fresh, evidence(world, told, now), uids, (world.begin, now))
        assert verdicts(fresh, evidence(world), uids, (world.begin, world.end)) == timely


def test_while_evidence_is_to_come_nothing_undecided_is_called_final() -> None:
    """What was said for sure or probable while an agent was behind, and turns out otherwise, has to be rare."""
    said = changed = 0
    for seed in range(80):
        world = random_world(seed)
        told = dict.fromkeys(world.received, world.end) | {"b": world.begin + 20 * MINUTE}
        uids = [check.uid for check in world.checks]
        early = verdicts(topology(), evidence(world, told), uids, (world.begin, world.end))
        late = judged(world)
        for uid in uids:
            last = by_second(late[uid])
            for at, (state, root, _, certainty) in by_second(early[uid]).items():
                if certainty == "sure" and state == DOWN and at in last:
                    said += 1
                    changed += last[at][1] != root
    assert said > 1_000
    assert changed / said < 0.01
