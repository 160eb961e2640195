"""What numbers that travel may be, by what they mean: the one place that says it.

The types below bound what a message may be at all, so that its decoder refuses the rest. What may differ result by
result (a look's latency, a run's count) is decoded as it came and set aside one by one, by the same limits, so that one
bad number of an honest agent blocks nothing. After that sums are :func:`saturated`: nothing comes to be that the
store, msgpack, JSON or a float could not hold.
"""

from typing import Annotated, Final, NamedTuple

from msgspec import Meta


class NumberLimits(NamedTuple):
    """The least and the most that a number of one meaning may be."""

    least: int
    most: int

    def hold(self, value: int) -> bool:
        return self.least <= value <= self.most

    def clamped(self, value: int) -> int:
        return min(max(value, self.least), self.most)


MOST: Final = 2**53  # integers up to here are the same in JSON, in floats and in every language
BOOT_BYTES: Final = 8  # that name a boot
BOOT_MS: Final = NumberLimits(0, 2**41)  # ms since a machine's start: no machine has run for 70 years
WALL_MS: Final = NumberLimits(-9_223_372_036_854, 9_223_372_036_854)  # ms: what 64 bits of ns can say, 1677 to 2262
MOMENT_MS: Final = NumberLimits(946_684_800_000, WALL_MS.most)  # ms of the collector: none lies before 2000
SEQ: Final = NumberLimits(0, MOST)  # of frames within an epoch; 0: before the first
EPOCH: Final = NumberLimits(0, 2**63 - 1)  # random
COUNT: Final = NumberLimits(0, MOST)
LATENCY_US: Final = NumberLimits(0, 2**42)  # µs: 50 days
VALUE: Final = NumberLimits(-MOST, MOST)  # a measure in the scale of its plan's column
SCALE: Final = NumberLimits(1, 10**12)  # of a column: what a measure is multiplied by
STEP_MS: Final = NumberLimits(
    WALL_MS.least - WALL_MS.most, WALL_MS.most - WALL_MS.least
)  # of a wall clock that was set
PAUSE_MS: Final = NumberLimits(0, 3_600_000)  # for which an agent is told to wait
LOOKS: Final = NumberLimits(0, 2**31)  # consecutive ones in a state

BootMs = Annotated[int, Meta(ge=BOOT_MS.least, le=BOOT_MS.most)]
WallMs = Annotated[int, Meta(ge=WALL_MS.least, le=WALL_MS.most)]
StepMs = Annotated[int, Meta(ge=STEP_MS.least, le=STEP_MS.most)]
Seq = Annotated[int, Meta(ge=SEQ.least, le=SEQ.most)]
Epoch = Annotated[int, Meta(ge=EPOCH.least, le=EPOCH.most)]
Count = Annotated[int, Meta(ge=COUNT.least, le=COUNT.most)]
PauseMs = Annotated[int, Meta(ge=PAUSE_MS.least, le=PAUSE_MS.most)]
Scale = Annotated[int, Meta(ge=SCALE.least, le=SCALE.most)]
BootId = Annotated[bytes, Meta(min_length=BOOT_BYTES, max_length=BOOT_BYTES)]
Digest = Annotated[bytes, Meta(min_length=8, max_length=8)]  # of a plan


def saturated(total: int) -> int:
    """A sum as it may be kept: it stands still at the most that every place can hold."""
    return VALUE.clamped(total)
