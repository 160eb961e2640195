"""What a check is like at this moment: the ledger's end while it holds, else what the agent says beside its backlog."""

from typing import NamedTuple

from collector.ingest.state import AgentState
from inventory.states import UNKNOWN


class Now(NamedTuple):
    """``since``: ms of the collector's time, None when nothing was ever known. ``reason``: of the ledger's state."""

    state: int
    since: int | None
    reason: str = ""


NEVER = Now(UNKNOWN, None, "no look yet")


def state_now(agent: AgentState, row: int, now: int) -> Now:
    """The state of a check (row) at ``now``. Silence is unknown once the last look's hold has passed."""
    tail = agent.tails.get(row)
    overlay = agent.overlay
    if overlay is not None and (tail is None or overlay.at > tail.last):
        told = overlay.checks.get(row)
        hold = tail.hold if tail is not None else 0
        if told is not None and now <= overlay.at + hold:
            return Now(told[0], told[1])
    if tail is None:
        return NEVER
    if tail.state == UNKNOWN:
        return Now(UNKNOWN, tail.start, tail.reason)
    if now <= tail.last + tail.hold:
        return Now(tail.state, tail.start, tail.reason)
    return Now(UNKNOWN, tail.last + tail.hold, "no results since")
