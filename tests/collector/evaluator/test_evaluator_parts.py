"""Parts of the evaluator by themselves: findings in words, own troubles, a standby's ear, the latest looks, bounds."""

import asyncio
from pathlib import Path
from random import Random

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st

from alerts.incident.finding import IngestFinding
from alerts.incident.message import message
from collector.evaluator import standby
from collector.evaluator.bounds import bounds_from_spans
from collector.evaluator.problems import self_checks
from collector.evaluator.problems.findings import MESSAGES, finding_message
from collector.evaluator.recent import MAX_LOOKS, RecentLooks
from collector.evaluator.standby import Standby
from collector.ledger.figures import history
from collector.ledger.state_step import Span, first_tail, step
from inventory.model.alerting import FINDINGS, Condition
from inventory.protocol.states import DEGRADED, DOWN, UP, CheckStatus
from tests.support.conditions import DEFAULT_CONDITIONS

OWN = next(one for one in DEFAULT_CONDITIONS if one.on == "collector")


def test_every_finding_has_a_sentence() -> None:
    assert set(MESSAGES) == set(FINDINGS)


@pytest.mark.parametrize("kind", [*FINDINGS, "of a newer version"])
@pytest.mark.parametrize("data", [{}, {"why": "x" * 5_000, "reason": None, "count": None, "first": "a", "step_ms": []}])
def test_a_finding_is_said_whatever_its_data(kind: str, data: dict[str, object]) -> None:
    sentence = finding_message(IngestFinding(1, "a", None, kind, data))
    assert sentence.text and all(len(str(value)) <= 200 for value in sentence.values.values())
    assert all("{" + field + "}" in sentence.text for field in sentence.values)


def test_a_trouble_of_the_collector_is_as_old_as_its_first_sight() -> None:
    found: list[self_checks.SelfProblem] = [("disk", message("full"))]
    troubles = self_checks.SelfChecks([lambda: found])
    condition = lambda what: OWN  # noqa: E731
    [first] = troubles.current(1_000, condition, "so")
    [later] = troubles.current(9_000, condition, "so")
    assert (first.since, later.since, later.evidence) == (1_000, 1_000, 9_000)
    assert later.key == later.cause.root == "collector:disk" and later.subject.agency == "so"
    found.clear()
    assert troubles.current(10_000, condition, "so") == []
    found.append(("disk", message("full")))
    [again] = troubles.current(11_000, condition, "so")
    assert again.since == 11_000
    assert troubles.current(12_000, lambda what: None, "so") == []


def test_a_trouble_of_the_collector_is_told_after_the_time_that_its_condition_gives() -> None:
    patient = Condition(id="mine", on="collector", for_ms=5_000)
    troubles = self_checks.SelfChecks([lambda: [("mail", message("x"))]])
    at = [troubles.current(now, lambda what: patient, "")[0].confirmed for now in (0, 4_999, 5_000)]
    assert at == [False, False, True]


def test_the_room_for_the_store_is_looked_at_once_a_minute(tmp_path: Path) -> None:
    now = [0]
    look = self_checks.disk_check(tmp_path / "nowhere", lambda: now[0])
    [(what, _)] = look()
    assert what == "disk"
    (tmp_path / "nowhere").mkdir()
    assert look()
    now[0] = self_checks.DISK_EVERY
    assert look() == []


# -- a standby


@pytest.mark.parametrize(
    ("status", "body", "ready"),
    [(200, "ready\n", True), (503, "stopping\n", False), (200, "<html>Please log in", False), (302, "ready", False)],
)
async def test_a_standby_believes_only_its_primarys_own_word(status: int, body: str, ready: bool) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text=body, headers={"Location": "/"} if status == 302 else {})

    app = web.Application()
    app.router.add_get("/-/ready", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    one = Standby(f"http://127.0.0.1:{port}/-/ready")
    assert one.muted, "at its start the primary gets its time to answer"
    one._last_ready -= 2 * standby.READY_FOR
    assert not one.muted
    task = asyncio.create_task(one.run())
    try:
        for _ in range(100):
            await asyncio.sleep(0.01)
            if one.muted:
                break
        assert one.muted == ready
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.cleanup()


async def test_nobodys_standby_is_never_mute() -> None:
    one = Standby("")
    await asyncio.wait_for(one.run(), 1)
    assert not one.muted


# -- the latest looks


def seen(state: int, since: int, looks: int) -> CheckStatus:
    return CheckStatus(
        state=state, since=since, first_look=since, last_look=since, last_state=state, looks=looks, reason=""
    )


@given(st.lists(st.tuples(st.sampled_from([UP, DEGRADED, DOWN]), st.integers(1, 6)), max_size=12))
def test_the_latest_looks_are_those_that_were_published(stretches: list[tuple[int, int]]) -> None:
    """Against a plain list of every look; each is published as it is made."""
    recent, truth = RecentLooks(), list[int]()
    began, looks, before = 0, 0, None
    for at, state in enumerate(state for state, count in stretches for _ in range(count)):
        truth.append(state)
        if state != before:
            began, looks, before = at, 0, state
        looks += 1
        told = recent.add(7, seen(state, began, looks))
        assert list(told) == truth[-MAX_LOOKS:][-len(told) :]
        assert (7 in recent.rows) != (state == UP and looks >= MAX_LOOKS)


@example(gaps=[1, 1, 1, 75_001], first=3, downs=1, error=0, random=Random(1))  # the first look that is down, just now
@given(
    st.lists(st.integers(1, 90_000), min_size=4, max_size=60), st.integers(0, 60), st.integers(1, 60),
    st.integers(0, 5_000), st.randoms(use_true_random=False),
)  # fmt: skip
def test_the_truth_is_within_what_is_said_of_an_outage(
    gaps: list[int], first: int, downs: int, error: int, random: Random
) -> None:
    """One outage between looks at any distance, each placed wrongly by up to ``error``, in order."""
    looks = [10_000_000 + sum(gaps[: number + 1]) for number in range(len(gaps))]
    begins, ends = looks[first % len(looks)] - random.randrange(gaps[first % len(looks)]), 0
    ends = begins + sum(random.randrange(1, 60_000) for _ in range(downs))
    tail, closed, last = None, list[Span](), 0
    for look in looks:
        placed = last = max(last + 1, look + random.randint(-error, error))
        off = abs(placed - look)
        state = DOWN if begins <= look < ends else UP
        if tail is None:
            tail = first_tail(state, placed, placed, 75_000, off, 1, "")
        else:
            step(tail, closed, state, placed, placed, 75_000, off, 1, "")
    assert tail is not None
    spans = history(closed, tail, last)
    down = [one for one in spans if one.state == DOWN]
    if not down:
        return
    over = spans[-1].state != DOWN
    since, until = down[0].start, next(one.start for one in reversed(spans)) if over else None
    known = bounds_from_spans(spans, since, until)
    if known.begin_error is None:
        assert spans[0].state == DOWN, "only where no look was before"
        return
    assert abs(since - begins) <= known.begin_error
    if known.least is not None and known.most is not None:
        assert over
        assert known.least <= ends - begins <= known.most
