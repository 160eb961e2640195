"""Prunes all at once, as the collector does in small steps."""

from collector.store import prune
from collector.store.interfaces.store import Store


async def prune_all(store: Store, now: int) -> int:
    """Steps until nothing is left to let go of; how many rows went."""
    total = 0
    while deleted := await prune.step(store, now):
        total += deleted
    return total
