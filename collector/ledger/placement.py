"""Places an agent's boot-time ms in the collector's time, with a stated error. Agents' wall clocks decide nothing.

Every exchange bounds the offset (collector's time = boot time + offset): the push was sent before it was received,
and the last ack was sent before it arrived. A contact keeps these bounds, narrowed by the contacts before it, which
have widened meanwhile by what two quartz clocks can drift apart. Between two contacts a time is bounded by both, and
the offset is interpolated, so a week's backlog is not placed by today's offset.

A machine that stands still as a whole (a suspended virtual machine) stops its boot clock, and the offset leaps up.
Until the next ack has come back that looks like a push that took long: so what a push proves by itself, without the
contacts before it, is kept as its ``reach``, and the stated error goes that far. Where the bounds of two contacts
contradict each other the clocks parted between them: what lies there may be placed by either, and its error says so.

What is stored with a batch is its Placing: a replay places it again exactly so.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from inventory.protocol.wire import Echo, Reading

# Quartz in computers is good to 100 ppm over temperature and age; two clocks part by at most twice that. Time
# daemons slew faster for moments only, by less than an exchange resolves, or else the bounds contradict each other.
DRIFT_PPM = 200
LONGEST_REQUEST = 120_000  # ms a push may have been on its way; all that bounds an offset before the first echo
MAX_SAMPLES = 16
STEADY_TOLERANCE = (
    50  # ms: offsets at both ends of a batch closer than this count as one, so that its deltas stay as they are
)
WALL_TOLERANCE = 60_000  # ms a wall clock may be off and still be called right
MAX_BRACKET = 60_000  # ms: a bracket this tight places a boot without any clock
MAX_BRIEF_SPAN = 120_000  # ms between contacts within which an offset need not be interpolated
ROUNDING = 2  # ms: all clocks are read in whole ms


class OffsetSample(msgspec.Struct, array_like=True, frozen=True):
    """At boot ms ``at`` the offset lay in [low, high] if the clock never stood still; ``offset`` is the one used.

    ``reach``: what it cannot have exceeded in any case. ``heard``: when the ack came that ``low`` rests on; before
    that it proves nothing. ``parted``: the bounds contradict those of the contact before.
    """

    at: int
    low: int
    high: int
    offset: int
    reach: int
    heard: int
    parted: bool = False


class ClockMapping(msgspec.Struct, array_like=True, frozen=True):
    """What is known of one boot's clock. ``contacts`` in order, at most MAX_CONTACTS.

    ``echoed``: an ack came back in this boot; before that the error is LONGEST_REQUEST, and asking the agent to push
    again (verdict "reposition") is better than placing. ``wall_error``: agent's wall clock minus collector's time.
    """

    boot: bytes
    samples: tuple[OffsetSample, ...]
    echoed: bool = False
    wall_error: int = 0


class Placement(msgspec.Struct, array_like=True, frozen=True):
    """How boot ms [first, last] are placed: offsets in ms at both ends, linear between. ``error``: ms either way."""

    boot: bytes
    first: int
    last: int
    offset_first: int
    offset_last: int
    error: int

    @property
    def steady(self) -> bool:
        return self.offset_first == self.offset_last

    @property
    def end(self) -> int:
        """The last boot ms, placed."""
        return self.last + self.offset_last

    def at(self, boot_ms: int) -> int:
        """The collector's time of a boot ms; never decreasing, and beyond both ends by the offset there."""
        if boot_ms <= self.first or self.steady:
            return boot_ms + self.offset_first
        if boot_ms >= self.last:
            return boot_ms + self.offset_last
        part = (self.offset_last - self.offset_first) * (boot_ms - self.first)
        return boot_ms + self.offset_first + part // (self.last - self.first)

    def place_slice(self, boot_ms: int, deltas: Sequence[int]) -> tuple[int, Sequence[int]]:
        """A check's first look and ms between its looks, placed: what ``take`` wants as base and deltas."""
        base = self.at(boot_ms)
        if self.steady or not deltas:
            return base, deltas
        placed, before = [], base
        for delta in deltas:
            boot_ms += delta
            now = self.at(boot_ms)
            placed.append(now - before)
            before = now
        return base, placed


def drift(elapsed: int) -> int:
    """How far two clocks may part in ``elapsed`` ms, rounded up."""
    return -(-abs(elapsed) * DRIFT_PPM // 1_000_000)


def exchange(mapping: ClockMapping | None, sent: Reading, received_ms: int, echo: Echo | None) -> ClockMapping:
    """What is known after a push sent at ``sent`` was received at ``received_ms`` with the ``echo`` of an ack.

    Another boot starts anew; a push older than the last contact adds nothing.
    """
    samples = mapping.samples if mapping is not None and mapping.boot == sent.boot else ()
    if mapping is not None and samples and sent.boot_ms < samples[-1].at:
        return mapping
    had_echo = mapping is not None and bool(samples) and mapping.echoed
    high = received_ms - sent.boot_ms + 1
    low, heard, echoed = high - LONGEST_REQUEST, sent.boot_ms, False
    likely = high  # without an echo: most pushes take no time worth speaking of
    if echo is not None and 0 <= echo.boot_ms <= sent.boot_ms:
        then = echo.sent_ms - echo.boot_ms
        bound = then - 1 - drift(sent.boot_ms - echo.boot_ms)
        if bound <= high:  # else this collector's clock was stepped back since that ack
            low, heard, echoed = max(low, bound), echo.boot_ms, True
            likely = max(low, (then + received_ms - sent.boot_ms) // 2)  # both ways took the same time, as NTP has it
    if echoed and not had_echo:
        samples = ()  # what was known without an echo is no more than this says
    sample = _narrowed(samples[-1] if samples else None, OffsetSample(sent.boot_ms, low, high, likely, high, heard))
    return ClockMapping(
        sent.boot,
        _thinned((*_with_reach(samples, sample), sample)),
        echoed or had_echo,
        sent.wall_ms - (sent.boot_ms + sample.offset),
    )


def _narrowed(before: OffsetSample | None, alone: OffsetSample) -> OffsetSample:
    """One exchange, narrowed by the contact before if they agree; the offset moves no further than it must."""
    if before is None:
        return alone
    widening = drift(alone.at - before.at)
    low, high = max(alone.low, before.low - widening), min(alone.high, before.high + widening)
    if low > high:
        return msgspec.structs.replace(alone, parted=True)
    return OffsetSample(alone.at, low, high, min(max(before.offset, low), high), alone.reach, alone.heard)


def _with_reach(samples: tuple[OffsetSample, ...], after: OffsetSample) -> tuple[OffsetSample, ...]:
    """The contacts, with what the one after the last says of that: its reach, as offsets leap up only, and its offset.

    The first push after a silence knows the past by an echo from before it; only the next tells how far clocks drifted.
    """
    if not samples:
        return samples
    last, widening = samples[-1], drift(after.at - samples[-1].at)
    reach = min(last.reach, after.reach + widening)
    if reach < last.low:  # the collector's clock was stepped back between them
        return samples
    offset = min(max(last.offset, after.low - widening), reach)
    if (reach, offset) == (last.reach, last.offset):
        return samples
    return (*samples[:-1], msgspec.structs.replace(last, reach=reach, high=min(last.high, reach), offset=offset))


def _thinned(samples: tuple[OffsetSample, ...]) -> tuple[OffsetSample, ...]:
    """Without the contact that is missed least: close neighbours, long ago. Both sides of a silence stay."""
    if len(samples) <= MAX_SAMPLES:
        return samples
    now = samples[-1].at + 1
    least = min(
        range(1, len(samples) - 1),
        key=lambda i: (samples[i + 1].at - samples[i - 1].at) / (now - samples[i].at),
    )
    after = samples[least + 1]
    if samples[least].parted and not after.parted:
        after = msgspec.structs.replace(after, parted=True)
    return (*samples[:least], after, *samples[least + 2 :])


def bounds(mapping: ClockMapping, boot_ms: int) -> tuple[int, int, int]:
    """(low, offset, high) of the offset at a boot ms."""
    samples = mapping.samples
    i = bisect_left(samples, boot_ms, key=lambda sample: sample.at)
    if i == 0 or i == len(samples):
        sample = samples[0 if i == 0 else -1]
        widening = drift(boot_ms - sample.at)
        return sample.low - widening, sample.offset, sample.reach + widening
    left, right = samples[i - 1], samples[i]
    forth, back = drift(boot_ms - left.at), drift(right.at - boot_ms)
    lows, high = (left.low - forth, right.low - back), right.reach + back
    low = max(lows) if boot_ms >= right.heard else lows[0]
    if low > high:  # the collector's clock was stepped back between them
        low, high = min(lows), max(left.high + forth, high)
    offset = left.offset + (right.offset - left.offset) * (boot_ms - left.at) // (right.at - left.at)
    return low, min(max(offset, low), high), high


def place(
    mapping: ClockMapping, first: int, last: int, *, after: int | None = None, before: int | None = None
) -> Placement:
    """Place boot ms [first, last] of the mapping's boot.

    ``after`` and ``before``, in the collector's time, where known: the boot began after the one (what the boot before
    had last seen, less its error), ``last`` was before the other (the latest at which the next boot can have begun).
    They narrow what is extrapolated past the contacts of a boot; one that contradicts these (a cloned disk) is ignored.
    """
    brief = _place_brief(mapping, first, last) if before is None else None
    if brief is not None and (after is None or brief.offset_first >= after):
        return brief
    limits = {at: bounds(mapping, at) for at in (first, last, *_bound_changes(mapping.samples, first, last))}
    floor = None if after is None else after - drift(last)
    if floor is not None and floor > min(limits[first][2], limits[last][2]):
        floor = None
    ceiling = None if before is None else before - last + drift(last - first)
    if ceiling is not None and (
        ceiling < max(limits[first][0], limits[last][0]) or (floor is not None and ceiling < floor)
    ):
        ceiling = None
    offset_first = _between(limits[first][1], floor, ceiling)
    offset_last = _between(limits[last][1], floor, None if ceiling is None else ceiling - drift(last - first))
    if abs(offset_first - offset_last) <= STEADY_TOLERANCE:
        offset_first = offset_last
    offset_last = max(offset_last, offset_first + first - last)  # time does not run backwards
    placement = Placement(mapping.boot, first, last, offset_first, offset_last, 0)
    below = max(placement.at(at) - at - low for at, (low, _, _) in limits.items())
    above = max(high - placement.at(at) + at for at, (_, _, high) in limits.items())
    if floor is not None:
        below = min(below, max(offset_first, offset_last) - floor)
    if ceiling is not None:
        above = min(above, ceiling - min(offset_first, offset_last))
    return Placement(mapping.boot, first, last, offset_first, offset_last, max(below, above, 0) + ROUNDING)


def _place_brief(mapping: ClockMapping, first: int, last: int) -> Placement | None:
    """The same for a batch between contacts a minute or two apart, as nearly all are; coarser by some ms, and quick."""
    samples = mapping.samples
    i = len(samples) - 1
    right = samples[i]
    while i and not samples[i].parted:
        i -= 1
        left = samples[i]
        if left.at <= first:
            span = right.at - left.at
            if span > MAX_BRIEF_SPAN or last > right.at:
                return None
            offset, widening = right.offset, drift(span)
            error = max(right.reach + widening - offset, offset - left.low + widening)
            return Placement(mapping.boot, first, last, offset, offset, error + ROUNDING)
    return None


def _between(offset: int, floor: int | None, ceiling: int | None) -> int:
    if floor is not None:
        offset = max(offset, floor)
    return offset if ceiling is None else min(offset, ceiling)


def _bound_changes(samples: tuple[OffsetSample, ...], first: int, last: int) -> list[int]:
    """Where in (first, last) bounds turn or leap: beside contacts, where an ack came, where one low passes another."""
    moments: list[int] = []
    begin = max(bisect_right(samples, first, key=lambda contact: contact.at), 1)
    for left, right in pairwise(samples[begin - 1 :]):
        if left.at >= last:
            break
        crossing = (left.at + right.at + (left.low - right.low) * 1_000_000 // DRIFT_PPM) // 2
        moments += (left.at + 1, right.heard - 1, right.heard, right.at)
        moments += (crossing, crossing + 1) if left.at < crossing < right.at else ()
    return [crossing for crossing in moments if first < crossing < last]


def starts_before(mapping: ClockMapping) -> int:
    """The latest moment, in the collector's time, at which this boot can have begun."""
    return bounds(mapping, 0)[2]


def wall_right(mapping: ClockMapping) -> bool:
    """Whether the agent's wall clock was right at the last contact."""
    return mapping.echoed and abs(mapping.wall_error) <= WALL_TOLERANCE


def bracket(
    boot: bytes, last: int, *, after: int | None, before: int | None, wall_offset: int | None, walls_right: bool
) -> ClockMapping | None:
    """What can be said of a boot that never met a trusted clock, from its neighbours; None: its looks are unplaceable.

    ``last``: its last boot ms. ``after``: the earliest that the boot before it can have ended, ``before``: the latest
    that the one after can have begun (:func:`starts_before`), collector's ms. ``wall_offset``: its own wall clock
    minus its boot time; it is used only if ``walls_right``, the wall clock was right (:func:`wall_right`) at both
    neighbours, and if it fits between them. Even then the stated error is all the room there is: a wall clock is
    where the figure comes from, never its proof.
    """
    if after is None or before is None:
        return None
    low, high = after - drift(last), before - last + drift(last)
    if low > high:
        return None
    if wall_offset is not None and walls_right and low <= wall_offset <= high:
        offset = wall_offset
    elif high - low <= MAX_BRACKET:
        offset = (low + high) // 2
    else:
        return None
    return ClockMapping(boot, (OffsetSample(last, low, high, offset, high, last),))
