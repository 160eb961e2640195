"""Prunes what has passed its retention, in small steps, so that no push waits for it.

Batches 7 days after receipt (never one that a restart would replay, or that waits for the clock), 5-minute sums after
35 days, added up to hourly ones that stay 2 years; events after 2 years; dead letters after 90 days or when they
become too many; certificates and codes 40 days after their end, when nothing can be done with them any more. Spans stay
for ever.
"""

from collections.abc import Callable
from typing import Final

from collector.store.cells import FIVE_MINUTES, HOUR
from collector.store.interfaces.store import Store, Transaction

DAY: Final = 86_400_000
BATCHES: Final = 7 * DAY
FIVE_MINUTE_SUMS: Final = 35 * DAY
HOURLY_SUMS: Final = 731 * DAY
EVENTS: Final = 731 * DAY
DEAD_LETTERS: Final = 90 * DAY
MAX_DEAD_LETTERS: Final = 20_000
IDENTITIES: Final = 40 * DAY  # after their end; a certificate can be renewed for 30 days (collector.store.registry)
STEP_ROWS: Final = 500  # rows a transaction
LATEST: Final = 6 * HOUR  # an hour is added up once it lies so far back; what comes later gets a row of its own


async def step(store: Store, now: int) -> int:
    """One small transaction of each sort. Gives how many rows went."""
    deleted = 0
    for work in _steps(now):
        deleted += await store.write(work)
    return deleted


def _steps(now: int) -> list[Callable[[Transaction], int]]:
    return [
        lambda tx: tx.batches.prune(tx.checkpoints.replay_after(), now - BATCHES, STEP_ROWS),
        lambda tx: tx.dead_letters.prune(now - DEAD_LETTERS, MAX_DEAD_LETTERS, STEP_ROWS),
        lambda tx: tx.events.prune(now - EVENTS, STEP_ROWS),
        lambda tx: tx.certificates.prune(now - IDENTITIES, STEP_ROWS) + tx.codes.prune(now - IDENTITIES, STEP_ROWS),
        lambda tx: tx.sums.roll_up((now - LATEST) // HOUR * HOUR, STEP_ROWS),
        lambda tx: (
            tx.sums.prune(FIVE_MINUTES, now - FIVE_MINUTE_SUMS, STEP_ROWS)
            + tx.sums.prune(HOUR, now - HOURLY_SUMS, STEP_ROWS)
        ),
    ]
