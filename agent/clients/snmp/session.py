"""One probe's conversation with one device: GETs in pieces that the device can take, walks that always end.

What a device turned out to bear (how many objects at once) is remembered from look to look as its ``DeviceLimits``.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from agent.clients.snmp.ber import (
    END_OF_MIB,
    GET,
    GETBULK,
    GETNEXT,
    MalformedMessage,
    Value,
    decode_oid,
    encode_oid,
    oid_text,
)
from agent.failure import ProbeFailed
from inventory.protocol.reasons import Reason, Why, sentence
from inventory.protocol.states import UNKNOWN

OBJECTS: Final = 36  # asked for at once: some 650 bytes out, 900 back, within one packet of the smallest links
MOST_OBJECTS: Final = 60_000  # of one look
MOST_EXCHANGES: Final = 4_000
MOST_ROWS: Final = 4_096  # of one walk's column
_TOO_BIG, _NO_SUCH_NAME, _NOT_AUTHORIZED = 1, 2, 16
_ERRORS: Final = {
    1: "tooBig", 2: "noSuchName", 3: "badValue", 4: "readOnly", 5: "genErr", 6: "noAccess", 13: "resourceUnavailable",
    16: "authorizationError",
}  # fmt: skip


class SnmpReply(msgspec.Struct, gc=False):
    """An answer, whatever the version. ``seconds``: its time; ``ignored``: packets that came and were none."""

    status: int
    index: int
    varbinds: list[tuple[bytes, Value | None]]
    seconds: float
    ignored: int = 0


class SnmpNoResponse(ProbeFailed):
    """No answer came in its time."""


class SnmpTooMuchData(ProbeFailed):
    """The device has more to tell than one look may hear."""


class SnmpExchange(Protocol):
    """One question and its answer, by any version. Raises Trouble, Silence when nothing comes in ``seconds``."""

    bulk: bool  # GETBULK may be used

    async def __call__(self, pdu: int, oids: Sequence[bytes], repetitions: int, seconds: float) -> SnmpReply: ...


class DeviceLimits(msgspec.Struct):
    """What one device can take. ``answered``: it has answered this credential before."""

    objects: int = OBJECTS
    answered: bool = False


class TableWalk(msgspec.Struct, frozen=True):
    """Columns of a table, each index -> value. ``cut``: why it was ended before its end, or ""."""

    columns: tuple[dict[str, Value], ...]
    cut: str = ""


class SnmpSession:
    """``latency``: of the first answer, in seconds. ``ignored``: packets that came and were no answer."""

    def __init__(self, exchange: SnmpExchange, who: str, seconds: float, device_limits: DeviceLimits) -> None:
        self._exchange = exchange
        self._who = who
        self._device_limits = device_limits
        self._now: Callable[[], float] = asyncio.get_running_loop().time
        self._deadline = self._now() + seconds
        self._seconds = seconds
        self._objects = 0
        self._exchanges = 0
        self._batch_before = 0  # objects at once before silence made us ask for less
        self.latency: float | None = None
        self.ignored = 0

    async def get(self, oids: Sequence[str]) -> dict[str, Value]:
        """The values of these objects; those that the device does not have are left out. Raises Trouble."""
        values: dict[str, Value] = {}
        names = {encode_oid(oid): oid for oid in oids}
        remaining = list(names)
        while remaining:
            piece = remaining[: self._device_limits.objects]
            try:
                reply = await self._exchange_once(GET, piece, 0)
            except SnmpNoResponse:
                if not self._reduce_batch(len(piece)):
                    raise
                continue
            if reply.status:
                remaining = self._after_error(reply, piece) + remaining[len(piece) :]
                continue
            answered = False
            for name, value in reply.varbinds:
                if name in names:
                    answered = True
                    if value is not None and value is not END_OF_MIB:
                        values[names[name]] = value
            if not answered:
                raise ProbeFailed(sentence("{who} answered with other objects than were asked for", who=self._who))
            remaining = remaining[len(piece) :]
        return values

    def _after_error(self, reply: SnmpReply, piece: list[bytes]) -> list[bytes]:
        """What of a piece that met an error is to be asked again."""
        if reply.status == _NOT_AUTHORIZED:
            raise ProbeFailed(
                sentence("{who} does not let this credential read what it is asked", who=self._who), UNKNOWN
            )
        if reply.status == _TOO_BIG or not 1 <= reply.index <= len(piece):
            if len(piece) == 1:
                if reply.status == _TOO_BIG:
                    raise ProbeFailed(sentence("{who} has an object too big for its own answers", who=self._who))
                return []  # an error about one object: the device does not have it for us
            self._device_limits.objects = max(1, len(piece) // 2)
            return piece
        return piece[: reply.index - 1] + piece[reply.index :]

    def _reduce_batch(self, size: int) -> bool:
        """After silence, ask for less at once: answers in several fragments may be lost on the way."""
        if self.latency is None or size <= 4 or self._now() >= self._deadline:
            return False
        self._batch_before = self._batch_before or self._device_limits.objects
        self._device_limits.objects = max(4, size // 3)
        return True

    async def walk(self, *roots: str, rows: int = MOST_ROWS) -> TableWalk:
        """The columns below these roots, read side by side, by index (what follows the root, dotted).

        Ends at the columns' ends, or is cut: after ``rows`` rows, when answers go round in circles, or with the
        look's time. Raises Trouble only when the device did not answer at all.
        """
        columns = [_Column(root) for root in roots]
        while active := [column for column in columns if not column.ended]:
            repetitions = max(1, self._device_limits.objects // len(active)) if self._exchange.bulk else 0
            pdu = GETBULK if self._exchange.bulk else GETNEXT
            names = [column.last for column in active]
            try:
                reply = await self._exchange_once(pdu, names, repetitions)
            except ProbeFailed as failure:
                if (
                    isinstance(failure, SnmpNoResponse)
                    and repetitions > 1
                    and self._reduce_batch(self._device_limits.objects)
                ):
                    continue
                if self.latency is None:
                    raise
                return _walk_of(columns, failure.reason)
            if reply.status and not self._recover(reply, active):
                return _walk_of(
                    columns,
                    sentence(
                        "{who} answered {status} in the middle of a table",
                        who=self._who,
                        status=error_name(reply.status),
                    ),
                )
            if not reply.status and (cut := self._store_values(reply, active, rows)):
                return _walk_of(columns, cut)
        return _walk_of(columns, "")

    def _recover(self, reply: SnmpReply, active: "list[_Column]") -> bool:
        """Whether an error in a walk can be worked around."""
        if reply.status == _NO_SUCH_NAME and not self._exchange.bulk:  # version 1: the end of the MIB
            if not 1 <= reply.index <= len(active):
                return False
            active[reply.index - 1].ended = True
            return True
        if reply.status == _TOO_BIG and self._device_limits.objects > len(active):
            self._device_limits.objects = max(1, self._device_limits.objects // 2)
            return True
        return False

    def _store_values(self, reply: SnmpReply, active: "list[_Column]", rows: int) -> Why:
        """Put the values of an answer into their columns; why the walk must be cut, or ""."""
        if not reply.varbinds:
            return sentence("{who} answered with nothing in the middle of a table", who=self._who)
        for place, (name, value) in enumerate(reply.varbinds):
            column = active[place % len(active)]
            try:
                if not column.ended and not column.append(name, value):
                    return sentence("{who} goes round in circles at {name}", who=self._who, name=oid_text(name))
            except MalformedMessage as error:
                return sentence("{who} answered garbled: {error}", who=self._who, error=error)
            if len(column.values) >= rows:
                return sentence("{who} has more than {rows} rows in one table", who=self._who, rows=rows)
        return ""

    async def _exchange_once(self, pdu: int, oids: Sequence[bytes], repetitions: int) -> SnmpReply:
        remaining = self._deadline - self._now()
        if remaining <= 0:
            raise SnmpNoResponse(self._timeout_text())
        if self._objects > MOST_OBJECTS or self._exchanges > MOST_EXCHANGES:
            raise SnmpTooMuchData(
                sentence(
                    "{who} has too much to tell for one look ({objects} objects so far)",
                    who=self._who,
                    objects=self._objects,
                ),
                UNKNOWN,
            )
        # once it has answered, silence may mean that the answer was too large: leave time to ask for less
        wait = remaining if self.latency is None or len(oids) * max(1, repetitions) <= 4 else max(remaining / 3, 0.05)
        try:
            reply = await self._exchange(pdu, oids, repetitions, min(remaining, wait))
        except SnmpNoResponse as no_response:
            if self._batch_before and self._now() >= self._deadline:
                self._device_limits.objects = self._batch_before  # less did not help: it was not that
            if self.latency is not None:
                raise SnmpNoResponse(self._timeout_text()) from None
            raise no_response from None
        self._batch_before = 0
        self._exchanges += 1
        self._objects += len(reply.varbinds)
        self.ignored += reply.ignored
        self._device_limits.answered = True
        if self.latency is None:
            self.latency = reply.seconds
        return reply

    def _timeout_text(self) -> Reason:
        return sentence(
            "{who} answered at first, but not all questions within {seconds:n} s", who=self._who, seconds=self._seconds
        )


class _Column:
    """One column while it is walked."""

    __slots__ = ("_numbers", "_root", "ended", "last", "values")

    def __init__(self, root: str) -> None:
        self.last = encode_oid(root)  # where to go on from
        self._root = self._numbers = decode_oid(self.last)
        self.values: dict[str, Value] = {}
        self.ended = False

    def append(self, name: bytes, value: Value | None) -> bool:
        """Note the next object. False if it does not come after the last one. Raises Garbled."""
        numbers = decode_oid(name)
        if value is END_OF_MIB or numbers[: len(self._root)] != self._root:
            self.ended = True
            return True
        if numbers <= self._numbers:
            return False
        self.last, self._numbers = name, numbers
        if value is not None:
            self.values[".".join(map(str, numbers[len(self._root) :]))] = value
        return True


def _walk_of(columns: Sequence[_Column], cut: str) -> TableWalk:
    return TableWalk(tuple(column.values for column in columns), cut)


def error_name(status: int) -> str:
    return _ERRORS.get(status, sentence("error {status}", status=status))
