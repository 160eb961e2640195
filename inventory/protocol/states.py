"""The four states a look can have, and the state that a check is in. Codes are on the wire and in the store: never
renumber them.

Plain integers, not an Enum: the ledger compares millions of them.
"""

from typing import Final, Literal

import msgspec

from inventory.protocol.reasons import template

UP: Final = 0
DEGRADED: Final = 1  # works, but out of its thresholds; counts as up
DOWN: Final = 2
UNKNOWN: Final = 3  # no evidence

NAMES: Final = ("up", "degraded", "down", "unknown")
CODES: Final = {name: code for code, name in enumerate(NAMES)}


class CheckStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The present state of a check, for whoever shows it, judges it by a condition or asks for its cause. Times are ms
    of the collector's time, 0 before the first look."""

    state: int  # now: UNKNOWN once the last look's hold is over, or when its agent stopped
    since: int  # when it took this state
    first_look: int  # the first of the consecutive looks that found what the last one found
    last_look: int  # how fresh the evidence is
    last_state: int  # what the last look found, whether or not it still holds
    looks: int  # consecutive ones that found that
    reason: str  # the last look's own words, or why nothing is known
    source: Literal["ledger", "overlay"] = "ledger"  # overlay: what the agent says beside its backlog

    @property
    def provisional(self) -> bool:
        """Whether it is not in the ledger yet."""
        return self.source == "overlay"


NO_STATUS_YET: Final = CheckStatus(
    state=UNKNOWN, since=0, first_look=0, last_look=0, last_state=UNKNOWN, looks=0, reason=template("no look yet")
)
