"""Admission of a push: refuses what is no push and numbers that no later step could hold; bounds an agent's health."""

import math
from typing import Final

from collector.ingest.steps import examine
from inventory.protocol.wire import Batch, Push, WireError, decode_push

MAX_RESULTS: Final = 20_000  # in one push: some 20 ms of everybody's time
MAX_HEALTH: Final = 64  # numbers that an agent tells about itself
MAX_EPOCH: Final = 2**63


def decode_admitted(body: bytes) -> Push:
    """The message in a body, its numbers bounded. Raises WireError."""
    push = decode_push(body)
    sent = push.sent
    if not (0 <= sent.boot_ms < examine.MAX_TIME and abs(sent.wall_ms) < examine.MAX_TIME and len(sent.boot) == 8):
        raise WireError("clocks that cannot be")
    if push.echo is not None and not (
        abs(push.echo.sent_ms) < examine.MAX_TIME and 0 <= push.echo.boot_ms < examine.MAX_TIME
    ):
        raise WireError("an echo that cannot be")
    if push.batch is not None:
        _admit_batch(push.batch)
    return push


def _admit_batch(batch: Batch) -> None:
    if not 0 <= batch.epoch < MAX_EPOCH or not 1 <= batch.last < examine.MAX_SEQ or len(batch.plan) != 8:
        raise WireError("a batch whose numbers cannot be")
    if not 1 <= batch.start <= batch.last:
        raise WireError(f"a batch of frames {batch.start} to {batch.last}")
    if len(batch.states) > MAX_RESULTS or len(batch.runs) > MAX_RESULTS or len(batch.records) > MAX_RESULTS:
        raise WireError(f"more than {MAX_RESULTS} results; send fewer at once")
    previous = batch.previous
    if previous is not None and previous.epoch == batch.epoch and batch.start <= previous.seq:
        raise WireError("a batch that begins before the position that it continues")


def bounded_health(health: dict[str, float]) -> dict[str, float]:
    """Finite numbers, a bounded number of them, under bounded names."""
    kept = {name[:64]: value for name, value in health.items() if math.isfinite(value)}
    return dict(list(kept.items())[:MAX_HEALTH])
