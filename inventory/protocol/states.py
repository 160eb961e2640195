"""The four states a look can have. Codes are on the wire and in the store: never renumber them.

Plain integers, not an Enum: the ledger compares millions of them.
"""

from typing import Final

UP: Final = 0
DEGRADED: Final = 1  # works, but out of its thresholds; counts as up
DOWN: Final = 2
UNKNOWN: Final = 3  # no evidence

NAMES: Final = ("up", "degraded", "down", "unknown")
CODES: Final = {name: code for code, name in enumerate(NAMES)}
