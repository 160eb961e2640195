"""The placement of a batch: what of its boot time there is to place, and how a placement is stored."""

from typing import Final

import msgspec

from collector.ledger.placement import Placement
from inventory.protocol.bounds import MOMENT_MS
from inventory.protocol.wire import Batch

REFUSED_PLACING: Final = b""  # stored of a batch that could not be read
OLDEST: Final = 10 * 366 * 86_400_000  # ms before its receipt that a look is placed at most: no spool keeps a year
AHEAD: Final = 86_400_000  # ms past its receipt: a boot that is bracketed is placed to within less

encode_placement = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Placement)


def decode_placement(stored: bytes | None) -> Placement | None:
    """As it was placed before; None: it could not be placed, or read."""
    return _decoder.decode(stored) if stored else None


def is_placeable(placement: Placement, received: int) -> bool:
    """Whether the moments that a batch was placed at can be: what an uptime that cannot be comes to is not placed."""
    first = placement.at(placement.first)
    return MOMENT_MS.hold(first) and received - OLDEST <= first and placement.end <= received + AHEAD


def extent(batch: Batch) -> tuple[int, int]:
    """The first and the last boot ms that a (clean) batch speaks of."""
    base, least, most = batch.base, [], []
    if batch.states:
        if len(batch.counts) == len(batch.states):
            least.append(base + min(batch.at))
            most.append(base + max(batch.at))
        else:
            begin = 0
            for n in batch.counts:
                least.append(base + batch.at[begin])
                most.append(base + sum(batch.at[begin : begin + n]))
                begin += n
    for run in batch.runs:
        least.append(run.first)
        most.append(run.last)
    for record in batch.records:
        least.append(record.at)
        most.append(record.at)
    return min(least, default=base), max(most, default=base)
