"""The timing of an agent's clocks, boot by boot, and how its batches are placed by that."""

from typing import Any

import msgspec

from collector.ledger import placement
from collector.ledger.placement import ClockMapping, Placement
from inventory.protocol.wire import Echo, Reading

MIN_EXCHANGE_GAP = 1_000  # ms between two exchanges that are worth a look
MAX_BOOTS = 8  # remembered; what is older and still comes is bracketed


class Timing(msgspec.Struct, array_like=True, frozen=True):
    """What is known of an agent's clocks, and where its last placed batch lies."""

    mappings: dict[bytes, ClockMapping] = {}  # by boot, in the order in which the boots were met
    current: bytes = b""  # the boot that pushes
    boot: bytes = b""  # the boot of the batch placed last
    end: int | None = None  # what that boot had surely reached (collector's ms)
    floor: int | None = None  # the same of the boot before it
    walls: dict[bytes, int] = {}  # by boot: the agent's wall clock less boot time, as its start said, until a step
    asked: bytes = b""  # the boot that was asked to push again, so that an echo comes

    def with_exchange(self, sent: Reading, received_ms: int, echo: Echo | None) -> "Timing":
        """After a push received at ``received_ms`` of a clock that is trusted."""
        previous = self.mappings.get(sent.boot)
        if previous is not None and previous.echoed and 0 <= sent.boot_ms - previous.samples[-1].at < MIN_EXCHANGE_GAP:
            return self  # a backlog's pushes, many a second, tell nothing new about clocks
        if echo is not None and echo.sent_ms <= 0:  # given while the collector did not trust its own clock
            echo = None
        mapping = placement.exchange(previous, sent, received_ms, echo)
        mappings = {**self.mappings, sent.boot: mapping}
        if len(mappings) > MAX_BOOTS:
            mappings = dict(list(mappings.items())[-MAX_BOOTS:])
        return msgspec.structs.replace(self, mappings=mappings, current=sent.boot)

    def requesting_echo(self) -> "Timing | None":
        """With the note that the current boot was asked to push again, if it has to be: no ack came back to it yet."""
        mapping = self.mappings.get(self.current)
        if mapping is None or mapping.echoed or self.asked == self.current:
            return None
        return msgspec.structs.replace(self, asked=self.current)

    def with_record(self, boot: bytes, kind: str, at: int, data: dict[str, Any]) -> "Timing":
        """After a record of the agent's life: its start says what its wall clock showed, a step makes that void."""
        wall = data.get("wall_ms")
        walls = {other: offset for other, offset in self.walls.items() if other != boot}
        if kind == "start" and isinstance(wall, int):
            walls[boot] = wall - at
        elif kind != "clock":
            return self
        return msgspec.structs.replace(self, walls=dict(list(walls.items())[-MAX_BOOTS:]))

    def place(self, boot: bytes, first: int, last: int) -> Placement | None:
        """How boot ms [first, last] of a batch are placed; None: they cannot be."""
        after = self.end if boot != self.boot else self.floor
        mapping = self.mappings.get(boot)
        current = self.mappings.get(self.current)
        before = placement.starts_before(current) if current is not None and boot != self.current else None
        if mapping is None:
            mappings = list(self.mappings.values())
            mapping = placement.bracket(
                boot,
                last,
                after=after,
                before=before,
                wall_offset=self.walls.get(boot),
                walls_right=len(mappings) > 1 and all(placement.wall_right(each) for each in mappings[-2:]),
            )
        if mapping is None or not mapping.samples:
            return None
        return placement.place(mapping, first, last, after=after, before=before)

    def with_placement(self, placing: Placement) -> "Timing":
        """After a batch was placed so."""
        end = placing.end - placing.error
        if placing.boot == self.boot:
            return msgspec.structs.replace(self, end=end if self.end is None else max(end, self.end))
        return msgspec.structs.replace(self, boot=placing.boot, end=end, floor=self.end)

    @property
    def wall_error_ms(self) -> int | None:
        """The agent's wall clock minus the collector's, at the last contact."""
        mapping = self.mappings.get(self.current)
        return None if mapping is None else mapping.wall_error
