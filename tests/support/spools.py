"""Ends a spool as the agent does."""

from agent.spool import Spool
from inventory.protocol.wire import Record


def stop(spool: Spool, boot_ms: int) -> None:
    """The clean end: a "stop" record, everything synced, the lock given back."""
    try:
        spool.append(Record(boot_ms, "stop", {"why": "test"}))
        spool.sync()
    finally:
        spool.close()
