"""Admission of a push: refuses what is no push and what no later step could hold; bounds an agent's health."""

import math
from typing import Final

from inventory.base.text import clean_text
from inventory.protocol.bounds import MOST
from inventory.protocol.wire import Batch, Push, WireError, decode_push

MAX_RESULTS: Final = 20_000  # in one push: some 20 ms of everybody's time
MAX_HEALTH: Final = 64  # numbers that an agent tells about itself
MAX_NAME: Final = 64  # characters of the name of one


def decode_admitted(body: bytes) -> Push:
    """The message in a body, its numbers bounded by their types. Raises WireError."""
    push = decode_push(body)
    if push.batch is not None:
        _admit_batch(push.batch)
    return push


def _admit_batch(batch: Batch) -> None:
    if not 1 <= batch.start <= batch.last:
        raise WireError(f"a batch of frames {batch.start} to {batch.last}")
    if len(batch.states) > MAX_RESULTS or len(batch.runs) > MAX_RESULTS or len(batch.records) > MAX_RESULTS:
        raise WireError(f"more than {MAX_RESULTS} results; send fewer at once")
    previous = batch.previous
    if previous is not None and previous.epoch == batch.epoch and batch.start <= previous.seq:
        raise WireError("a batch that begins before the position that it continues")


def bounded_health(health: dict[str, float]) -> dict[str, float]:
    """Numbers that can be, a bounded number of them, under bounded names."""
    kept = {
        clean_text(name, MAX_NAME): value
        for name, value in health.items()
        if math.isfinite(value) and -MOST <= value <= MOST
    }
    return dict(list(kept.items())[:MAX_HEALTH])
