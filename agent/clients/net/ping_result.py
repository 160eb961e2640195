"""The result of one series of pings, whatever they are made of: ICMP echoes or UDP packets to an echo server."""

import msgspec

from inventory.protocol.states import DOWN


class PingResult(msgspec.Struct, frozen=True):
    """What came of one series of pings."""

    sent: int
    rtts: tuple[float, ...]  # seconds, one for each answered request, in the order of sending
    errors: tuple[str, ...] = ()  # reasons, one for each request that was refused, by this machine or on the way
    state: int = DOWN  # UNKNOWN when this machine refused
    duplicates: int = 0  # replies beyond the first of a request
    dropped: int = 0  # packets that this machine threw away unread meanwhile
