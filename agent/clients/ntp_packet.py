"""NTP packets (RFC 5905): build a request, parse a reply, compute offset and delay from the two."""

import os
import struct
from typing import Final

import msgspec

from inventory.protocol.reasons import sentence

CLIENT: Final = 3  # modes
SERVER: Final = 4
UNSYNCHRONISED: Final = 3  # the leap indicator's alarm
MAX_STRATUM: Final = 15
EPOCH: Final = 2_208_988_800  # seconds from 1900 to 1970
ERA: Final = 1 << 32  # seconds
_PACKET: Final = struct.Struct("!BBbbII4sQQQQ")
_FRACTION: Final = float(1 << 32)

# RFC 5905, 7.4: what a server says instead of the time
KISS_CODES: Final = {
    "ACST": sentence("it belongs to an anycast server"),
    "AUTH": sentence("the server's authentication failed"),
    "AUTO": sentence("autokey failed"),
    "BCST": sentence("it belongs to a broadcast server"),
    "CRYP": sentence("its cryptographic identification failed"),
    "DENY": sentence("this machine is not allowed to ask"),
    "DROP": sentence("it has lost its peer"),
    "RSTR": sentence("this machine is not allowed to ask, by the server's policy"),
    "INIT": sentence("it has just started and does not know the time yet"),
    "MCST": sentence("it belongs to a multicast server"),
    "NKEY": sentence("there is no key for this question"),
    "NTSN": sentence("network time security failed"),
    "RATE": sentence("it is asked too often"),
    "RMOT": sentence("somebody else is changing its configuration"),
    "STEP": sentence("it has just stepped its clock and is not sure of it yet"),
}


class NtpReply(msgspec.Struct, frozen=True):
    """An answer to our question. Times are NTP's 64-bit ones; delay and dispersion, to the root, in seconds."""

    leap: int
    stratum: int
    root_delay: float
    root_dispersion: float
    reference: bytes
    received: int
    sent: int

    @property
    def kiss(self) -> str:
        """The four letters with which a server of stratum 0 refuses, or ""."""
        letters = self.reference.rstrip(b"\0")
        if self.stratum == 0 and len(letters) >= 3 and letters.isalnum() and letters.isascii():
            return letters.decode()
        return ""


def build_request() -> tuple[bytes, int]:
    """A question of version 4, and the random number in it that its answer repeats.

    The number stands where the client's clock would: a server has no use for it, and a stranger cannot guess it.
    """
    nonce = int.from_bytes(os.urandom(8), "big") | 1
    return _PACKET.pack(4 << 3 | CLIENT, 0, 0, 0, 0, 0, b"", 0, 0, 0, nonce), nonce


def parse_reply(packet: bytes, *, nonce: int) -> NtpReply | None:
    """The packet as a server's answer to the question with this number, or None."""
    if len(packet) < _PACKET.size:
        return None
    first, stratum, _, _, delay, dispersion, reference, _, origin, received, sent = _PACKET.unpack_from(packet)
    if origin != nonce or first & 7 != SERVER or not 1 <= first >> 3 & 7 <= 4:
        return None
    return NtpReply(first >> 6, stratum, delay / 65536, dispersion / 65536, reference, received, sent)


def offset_and_delay(reply: NtpReply, sent_ns: int, seconds: float, floor: int) -> tuple[float, float]:
    """(offset, delay) in seconds: how far the server's clock is ahead of ours, and the way there and back.

    RFC 5905, 8. ``sent_ns``: our wall clock when we asked, ns since 1970. ``seconds``: until the answer came.
    ``floor``: the time (since 1970) before which our clock cannot be right: NTP's seconds repeat every 136 years, and
    the server's are read as those nearest to our clock, or to ``floor``, whichever is later.
    """
    near = max(sent_ns, floor * 1_000_000_000)
    received, sent = _nanoseconds(reply.received, near), _nanoseconds(reply.sent, near)
    arrived_ns = sent_ns + round(seconds * 1e9)
    offset = ((received - sent_ns) + (sent - arrived_ns)) / 2e9
    return offset, seconds - (sent - received) / 1e9


def _nanoseconds(stamp: int, near_ns: int) -> int:
    """An NTP time as ns since 1970, in the era in which it is nearest to ``near_ns``."""
    seconds, fraction = stamp >> 32, stamp & 0xFFFFFFFF
    expected = near_ns // 1_000_000_000 + EPOCH
    era = (expected - seconds + ERA // 2) // ERA
    return (seconds + era * ERA - EPOCH) * 1_000_000_000 + round(fraction * 1e9 / _FRACTION)
