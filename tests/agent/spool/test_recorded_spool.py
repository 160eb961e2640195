"""A spool of format hdspool1 is opened, written on and delivered whole, nothing lost and nothing twice."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from agent.spool import CheckResult, Position, Spool
from inventory.protocol import plan as plans
from inventory.protocol import states, wire
from inventory.protocol.reasons import Phrase, bounded, sentence
from inventory.protocol.wire import Batch
from tests.support import recorded

EVERY = recorded.exchanges()
SENT_LATER = {22: EVERY[22], 23: EVERY[23]}  # the pushes in which what waits went out


def opened(tmp_path: Path, name: str, *, boot: bytes | None = None) -> tuple[Spool, dict[str, Any]]:
    holds: Any = recorded.read_json(f"spool/{name}.json")
    state = tmp_path / "state"
    shutil.copytree(recorded.spool(name), state)
    kept = {file.stem: plans.decode(file.read_bytes()) for file in (state / "plans").glob("*.json")}

    def hold(digest: bytes) -> list[int] | None:
        plan = kept.get(digest.hex())
        return [check.hold for check in plan.checks] if plan is not None else None

    spool = Spool.open(
        state / "spool",
        boot=boot or bytes.fromhex(holds["last_boot"]),
        boot_ms=5_000 if boot else holds["last_boot_ms"] + 30_000,
        plan=bytes.fromhex(holds["current_plan"]),
        start={"wall_ms": 1, "version": "2", "platform": "test"},
        collectors=[holds["collector"]],
        holds=hold,
    )
    return spool, holds


def drain(spool: Spool, collector: str) -> list[Batch]:
    batches = []
    while (batch := spool.next_batch(collector)) is not None:
        batches.append(batch)
        spool.acknowledged(collector, Position(batch.epoch, batch.last))
    return batches


@pytest.mark.parametrize("boot", [None, b"anewboot"])
def test_what_waits_goes_out_as_it_would_have(tmp_path: Path, boot: bytes | None) -> None:
    spool, holds = opened(tmp_path, "waiting", boot=boot)
    try:
        spool.sync()
        first, second, new = drain(spool, holds["collector"])
    finally:
        spool.close()
    assert first == wire.decode_push(SENT_LATER[22].request).batch
    assert second == wire.decode_push(SENT_LATER[23].request).batch
    assert new.epoch not in (first.epoch, second.epoch)
    assert new.previous == Position(second.epoch, second.last)
    assert [(record.kind, record.data["clean"]) for record in new.records] == [("start", True)]
    waiting = sum(last - seq + 1 for _, seq, *_, last in ((*each[:2], _last(each)) for each in holds["unacknowledged"]))
    assert sum(batch.last - batch.start + 1 for batch in (first, second)) == waiting == holds["seqs_unacknowledged"]


def _last(frame: list[Any]) -> int:
    last: int = frame[3] if frame[2] == "fold" else frame[1]
    return last


def test_what_was_sent_is_not_sent_again(tmp_path: Path) -> None:
    spool, holds = opened(tmp_path, "sent")
    try:
        spool.sync()
        (new,) = drain(spool, holds["collector"])
    finally:
        spool.close()
    assert new.previous == Position(holds["cursor"]["epoch"], holds["cursor"]["seq"])
    assert not new.states and not new.runs


def test_it_is_written_on_in_the_new_format_beside_the_old(tmp_path: Path) -> None:
    spool, holds = opened(tmp_path, "waiting")
    reason = bounded(sentence("{who} refused the connection", who="192.0.2.1"))
    old = {file.name: file.read_bytes()[:8] for file in (tmp_path / "state" / "spool").glob("*.seg")}
    spool.append(CheckResult(0, holds["last_boot_ms"] + 31_000, states.DOWN, None, (), reason))
    spool.sync()
    spool.close()
    formats = {file.name: file.read_bytes()[:8] for file in (tmp_path / "state" / "spool").glob("*.seg")}
    assert {name: formats[name] for name in old} == dict.fromkeys(old, b"hdspool1")
    assert set(formats.values()) == {b"hdspool1", b"hdspool2"}
    # and once more, over both
    plan = bytes.fromhex(holds["current_plan"])
    again = Spool.open(
        tmp_path / "state" / "spool", boot=b"thirdone", boot_ms=9_000, plan=plan, start={}, holds=lambda digest: None,
        collectors=[holds["collector"]],
    )  # fmt: skip
    try:
        batches = drain(again, holds["collector"])
    finally:
        again.close()
    assert [batch.last - batch.start + 1 for batch in batches[:2]] == [131, 83]
    assert [each for batch in batches[2:] for _, each in batch.reasons] == [
        Phrase("{who} refused the connection", ("192.0.2.1",))
    ]
    assert not any(batch.missing or batch.breach for batch in batches)
