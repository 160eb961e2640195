"""Whatever agent A pushes, every answer about B is byte for byte what it is without A's pushes.

Two whole collectors (tests.support.twin_worlds), of which only one hears what is made up here for A: plans of its own
making with anybody's uids and names, others' plans, old ones, one that was taken before plans were signed; batches,
present states and records under them.
"""

import asyncio
import secrets
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Final

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from collector.keys.pki import CertificateAuthority
from inventory.protocol.identity import uid
from inventory.protocol.plan import Column, Plan, PlannedCheck
from inventory.protocol.states import DOWN, UP
from inventory.protocol.wire import Present, Record
from tests.support.evaluator_world import MINUTE, PunctualAgent
from tests.support.twin_worlds import TwinWorlds

UIDS_OF_B: Final = tuple(
    uid("agent-b", name, "icmp", {"host": f"198.51.100.{number}"})
    for number, name in enumerate(("web", "mail", "power"), 1)
)
UIDS: Final = (
    *UIDS_OF_B,
    uid("agent-c", "web", "icmp", {"host": "203.0.113.1"}),
    uid("agent-a", "web", "icmp", {"host": "192.0.2.1"}),
    uid("agent-a", "old", "icmp", {"host": "192.0.2.9"}),
    "0123456789abcdef",
)
FOREIGN: Final = CertificateAuthority.create(0)


def made_up(uids: Sequence[str], name: str = "web", hold: int = 90_000, agent: str = "agent-a") -> Plan:
    checks = tuple(
        PlannedCheck(uid=one, name=name, kind="icmp", interval=30_000, timeout=5_000, hold=hold, recheck=5_000)
        for one in uids
    )
    return Plan(agent=agent, agency="agb", site="agb", checks=checks, columns={"icmp": (Column("loss_ratio", 10),)})


KEPT_FROM_BEFORE: Final = made_up(UIDS_OF_B, "mail")


class HostilePush(msgspec.Struct, frozen=True):
    """What A does next."""

    plan: str | Plan  # own, old (its first), kept (from before), b (that of B), b's (the same, as A's), or made up
    signature: str  # none, rubbish, foreign, own (of A's own plan), b (the one that B was given)
    state: int
    looks: int
    ago: int  # ms: how old the newest look is
    record: str  # "": none
    present: bool
    tries: int


PUSHES: Final = st.builds(
    HostilePush,
    st.sampled_from(["own", "old", "kept", "kept", "b", "b's"])
    | st.builds(made_up, st.lists(st.sampled_from(UIDS), min_size=1, max_size=5, unique=True),
                st.sampled_from(["web", "mail", "x"]), st.sampled_from([1, 90_000, 31 * 86_400_000])),
    st.sampled_from(["none", "rubbish", "foreign", "own", "b"]),
    st.integers(0, 3),
    st.integers(0, 8),
    st.sampled_from([0, 1_000, 10 * MINUTE]),
    st.sampled_from(["", "start", "stop", "refused", "dropped"]),
    st.booleans(),
    st.integers(1, 3),
)  # fmt: skip


# "B's checks are down, all the time": as B would say it, and under a plan that the collector once took
DOWN_BY_B: Final = HostilePush("b's", "b", DOWN, 8, 0, "start", True, 2)
DOWN_AS_OWN: Final = HostilePush("kept", "none", DOWN, 8, 0, "stop", True, 2)


class HostileAgent:
    """Agent A in the world that is told of it."""

    def __init__(self, worlds: TwinWorlds) -> None:
        self.worlds = worlds
        self.agent: PunctualAgent = worlds.agents["told", "agent-a"]
        self.own = self.agent.plan
        self.authority = worlds.services["told"].authority

    def plan(self, choice: str | Plan) -> Plan:
        if isinstance(choice, Plan):
            return choice
        of_b = self.worlds.first_plans["agent-b"]
        return {
            "own": self.own,
            "old": self.worlds.first_plans["agent-a"],
            "kept": KEPT_FROM_BEFORE,
            "b": of_b,
            "b's": msgspec.structs.replace(of_b, agent="agent-a"),
        }[choice]

    def signature(self, choice: str, plan: Plan) -> bytes:
        """The best that an agent could have; one under a plan that was never served to it, it cannot."""
        of_b = self.worlds.first_plans["agent-b"].encode()
        return {
            "none": b"",
            "rubbish": secrets.token_bytes(71),
            "foreign": FOREIGN.sign_plan("agent-a", plan.encode()),
            "own": self.authority.sign_plan("agent-a", self.own.encode()),
            "b": self.authority.sign_plan("agent-b", of_b),
        }[choice]

    async def push(self, one: HostilePush) -> None:
        agent, plan = self.agent, self.plan(one.plan)
        agent.plan = Plan(agent="agent-a", agency="", site="", checks=plan.checks, columns=plan.columns)
        newest = agent.now() - one.ago
        looks = [
            (place, newest - 1_000 * back, one.state)
            for place in range(len(plan.checks))
            for back in reversed(range(one.looks))
        ]
        data = {"check": UIDS_OF_B[0], "why": "B", "clean": False, "epoch": 1, "first": 1, "last": 9, "wall_ms": 1}
        records = [Record(agent.now() - 1, one.record, data)] if one.record else []
        signatures = [self.signature(one.signature, plan)]
        for _ in range(one.tries):
            await agent.push(plans=[plan.encode()], signatures=signatures)
            if looks or records:
                batch = msgspec.structs.replace(agent.batch(looks), plan=plan.digest, records=records)
                await agent.push(msgspec.structs.replace(batch, last=batch.last + len(records) * bool(looks)))
        if one.present:
            states, since = bytes([one.state] * len(plan.checks)), [0] * len(plan.checks)
            present = Present(plan.digest, agent.boot, agent.now(), states, since, [9] * len(plan.checks))
            await agent.push(present=present, backlog=5)


async def assert_same_answers(worlds: TwinWorlds, after: object) -> None:
    told, quiet = await worlds.answers_about_b("told"), await worlds.answers_about_b("quiet")
    for where, answer in quiet.items():
        assert told[where] == answer, (where, after)


def test_every_answer_about_b_is_the_same_whatever_a_pushes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worlds = TwinWorlds(tmp_path, monkeypatch)
    worlds.made_up_before = KEPT_FROM_BEFORE
    rounds = count()
    with asyncio.Runner() as runner:
        runner.run(worlds.start())
        hostile = HostileAgent(worlds)

        async def one_round(pushes: Sequence[HostilePush]) -> None:
            for one in pushes:
                await hostile.push(one)
            web = DOWN if next(rounds) % 12 in range(3, 8) else UP
            await worlds.look(web=web)
            await assert_same_answers(worlds, pushes)

        # what was found is in the worlds for good, so it is shown as it was found: nothing is tried smaller
        @settings(
            max_examples=25,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=[HealthCheck.too_slow],
        )
        @example([DOWN_BY_B] * 3)
        @example([DOWN_AS_OWN] * 3)
        @example([DOWN_AS_OWN, msgspec.structs.replace(DOWN_AS_OWN, state=UP)])
        @given(st.lists(PUSHES, min_size=1, max_size=5))
        def rounds_of_pushes(pushes: list[HostilePush]) -> None:
            runner.run(one_round(pushes))

        try:
            rounds_of_pushes()
            said = runner.run(worlds.answers_about_b("told"))
            assert b'"state":"down"' in said["/api/v1/checks/" + UIDS_OF_B[0] + "/availability"]  # there was a trouble
            assert said["mails"]
            state = worlds.services["told"].ingest.fleet.agents["agent-a"]
            assert state.dead > 10 and state.results > 10  # some of it was refused, some was A's own to say
            hostile.agent.plan = hostile.own
            runner.run(worlds.restart())
            runner.run(worlds.look())
            runner.run(assert_same_answers(worlds, "a restart"))
        finally:
            runner.run(worlds.stop())
