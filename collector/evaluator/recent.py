"""The states of the latest looks of checks that were wrong of late: what "2 of the last 3 looks" is counted from.

What is published is only the present state and for how many looks it has held; the states before it are remembered
here, from one evaluation to the next. A check that has been up for long is forgotten. After a restart it begins anew.
"""

from typing import Final

from inventory.protocol.states import UNKNOWN, UP, CheckStatus

MAX_LOOKS: Final = 20  # looks remembered of a check: no condition asks for more

RecentStretch = tuple[int, int, int]  # state, since (ms), looks


class RecentLooks:
    """By check's row."""

    def __init__(self) -> None:
        self._stretches: dict[int, list[RecentStretch]] = {}

    @property
    def rows(self) -> list[int]:
        """Checks that are remembered: to be noted every evaluation, also while they are up."""
        return list(self._stretches)

    def add(self, row: int, status: CheckStatus) -> tuple[int, ...]:
        """The states of its latest looks, the newest last. A look that could not be made is none."""
        stretches = self._stretches.setdefault(row, [])
        if status.state != UNKNOWN:
            now = (status.state, status.since, min(status.looks, MAX_LOOKS))
            if stretches and stretches[-1][:2] == now[:2]:
                stretches[-1] = now
            else:
                stretches.append(now)
            del stretches[: -MAX_LOOKS - 1]
        states = tuple(state for state, _, looks in stretches for _ in range(looks))[-MAX_LOOKS:]
        if status.state == UP and status.looks >= MAX_LOOKS:
            del self._stretches[row]
        return states

    def forget(self, row: int) -> None:
        self._stretches.pop(row, None)
