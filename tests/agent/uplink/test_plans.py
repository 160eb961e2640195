"""The agent's plans: fetched, kept, forgotten; a bad one leaves the good one."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from agent.uplink import identity as identities
from agent.uplink import plans
from agent.uplink.connection import Uplink, tls_context
from agent.uplink.plans import BadPlan, PlanStore
from inventory.protocol.plan import Plan, PlannedCheck, Threshold
from tests.support.fake_collector import FakeAuthority, FakeCollector

PLAN = Plan(agent="site-1", agency="a", site="s")
ONE = PlannedCheck(uid="1", name="one", kind="icmp", interval=1_000, timeout=1_000, hold=3_000, recheck=1_000)
BAD_STATE = msgspec.structs.replace(ONE, thresholds=(Threshold("latency", "broken", above=1),))
BAD_UID = msgspec.structs.replace(ONE, uid="x")
HTML = b"<html><title>Welcome, please log in</title></html>"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[FakeCollector]:
    opened = await FakeCollector(FakeAuthority.sample()).open(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def uplink(desk: FakeCollector, tmp_path: Path) -> AsyncIterator[Uplink]:
    identities.store(tmp_path, desk.authority.identity(desk.url))
    made = Uplink(desk.url, tls_context([desk.authority.pem], identities.path_in(tmp_path)))
    yield made
    await made.close()


async def test_plans_are_fetched_kept_and_forgotten(uplink: Uplink, desk: FakeCollector, tmp_path: Path) -> None:
    store = PlanStore(tmp_path, "site-1")
    assert store.current() is None
    kept = await plans.fetch(uplink, "site-1", None)
    assert kept is not None
    assert kept.digest == PLAN.digest
    store.keep(kept)
    assert store.current() == kept
    assert await plans.fetch(uplink, "site-1", kept) is None
    newer = Plan(agent="site-1", agency="a", site="s", push_every=5_000)
    desk.plan = newer.encode()
    fetched = await plans.fetch(uplink, "site-1", kept)
    assert fetched is not None
    store.keep(fetched)
    store.prune({kept.digest}, fetched.digest)
    assert store.get(kept.digest) == (PLAN.encode(), b"")
    store.prune(set(), fetched.digest)
    assert store.get(kept.digest) is None
    found = store.current()
    assert found is not None
    assert found.plan.push_every == 5_000


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\xff", b"{}", b"[" * 100_000, HTML, Plan(agent="site-2", agency="a", site="s").encode(),
        Plan(agent="site-1", agency="a", site="s", checks=(BAD_UID,)).encode(),
        Plan(agent="site-1", agency="a", site="s", checks=(BAD_STATE,)).encode(),
        Plan(agent="site-1", agency="a", site="s", authorities=("no certificate",)).encode(),
        Plan(agent="site-1", agency="a", site="s", checks=(ONE, ONE)).encode(),
    ],
)  # fmt: skip
async def test_a_bad_plan_leaves_the_good_one(uplink: Uplink, desk: FakeCollector, tmp_path: Path, body: bytes) -> None:
    desk.plan = PLAN.encode()
    store = PlanStore(tmp_path, "site-1")
    good = await plans.fetch(uplink, "site-1", None)
    assert good is not None
    store.keep(good)
    with pytest.raises(BadPlan):
        plans.read(body, "site-1")
    assert store.current() == good


def test_a_damaged_kept_plan_counts_as_none(tmp_path: Path) -> None:
    store = PlanStore(tmp_path, "site-1")
    store.keep(plans.read(PLAN.encode()))
    (tmp_path / "plans" / f"{PLAN.digest.hex()}.json").write_bytes(PLAN.encode()[:-2])
    assert store.current() is None
    (tmp_path / "plans" / f"{PLAN.digest.hex()}.json").write_bytes(PLAN.encode().replace(b"site-1", b"site-2"))
    assert store.get(PLAN.digest) is None, "it is no longer what its name says"
    (tmp_path / "plans" / "current").write_bytes(b"\xff")
    assert store.current() is None


async def test_the_signature_is_kept_with_the_plan_and_goes_with_it(
    uplink: Uplink, desk: FakeCollector, tmp_path: Path
) -> None:
    store = PlanStore(tmp_path, "site-1")
    desk.plan_signature = "Zmlyc3Q="
    first = await plans.fetch(uplink, "site-1", None)
    assert first is not None
    store.keep(first)
    assert (store.current(), store.get(first.digest)) == (first, (PLAN.encode(), b"first"))
    assert await plans.fetch(uplink, "site-1", first) is None
    desk.plan = Plan(agent="site-1", agency="a", site="s", push_every=5_000).encode()
    desk.plan_signature = "c2Vjb25k"
    second = await plans.fetch(uplink, "site-1", first)
    assert second is not None
    store.keep(second)
    assert store.get(first.digest) == (PLAN.encode(), b"first")
    store.prune(set(), second.digest)
    assert sorted(path.suffix for path in (tmp_path / "plans").iterdir()) == ["", ".json", ".sig"]


async def test_a_plan_of_a_program_that_kept_no_signature_gets_one_with_304(
    uplink: Uplink, desk: FakeCollector, tmp_path: Path
) -> None:
    store = PlanStore(tmp_path, "site-1")
    store.keep(plans.read(PLAN.encode()))
    before = store.current()
    assert before is not None and before.signature == b""
    desk.plan_signature = "c2lnbmVk"
    same = await plans.fetch(uplink, "site-1", before)
    assert same is not None and same.signed == (PLAN.encode(), b"signed")
    store.keep(same)
    assert store.current() == same
    desk.plan_signature = ""  # a collector of before takes none away
    assert await plans.fetch(uplink, "site-1", same) is None
    desk.plan_signature = "not base64!"
    assert await plans.fetch(uplink, "site-1", same) is None
