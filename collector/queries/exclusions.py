"""Time that does not count, applied when reading: the inventory's calendars and exclusions, and those declared since.

One declared afterwards changes past figures: the bare ledger is never touched, and every declaration is in the audit.
"""

from collections.abc import Callable, Sequence

import msgspec

from collector.ledger.counted import Interval
from collector.queries.reader import LedgerReader
from collector.store.interfaces.store import Transaction
from collector.store.records import DeclaredExclusion
from inventory.model import goals
from inventory.model.entities import Check, Inventory, Selector
from inventory.times import calendars

MAX_REASON = 500


class Exclusions:
    """What does not count for a check over a window."""

    def __init__(self, inventory: Inventory, declared: Sequence[DeclaredExclusion]) -> None:
        self._inventory = inventory
        zone = inventory.province.zone
        stretches = [(goals.matcher(one.select, inventory), one.begins, one.ends) for one in declared]
        for planned in inventory.exclusions:
            begins, ends = calendars.epoch_ms(planned.begins, zone), calendars.epoch_ms(planned.ends, zone)
            stretches.append((goals.matcher(planned.select, inventory), begins, ends))
        self._stretches: list[tuple[Callable[[Check], bool], int, int]] = stretches
        self._closed: dict[tuple[str, Interval], list[Interval]] = {}

    def of(self, check: Check | None, window: Interval, calendar: str = "") -> tuple[Interval, ...]:
        """Sorted, apart, clipped to the window. A check that has left the inventory has only what it counts."""
        if check is None:
            return ()
        spans = [(a, b) for matches, a, b in self._stretches if a < window[1] and b > window[0] and matches(check)]
        for name in sorted({check.calendar, calendar} - {""}):
            spans += self._calendar(name, window)
        return tuple(calendars.merge(spans, *window)) if spans else ()

    def at(self, moment: int) -> Callable[[Check], bool]:
        """Whether a check's time does not count at a moment (ms): a quick question, to be asked of every check."""
        matching = [matches for matches, begins, ends in self._stretches if begins <= moment < ends]
        closed = {name for name in self._inventory.calendars if self._calendar(name, (moment, moment + 1))}
        return lambda check: check.calendar in closed or any(matches(check) for matches in matching)

    def _calendar(self, name: str, window: Interval) -> list[Interval]:
        """A calendar's closed time; hundreds of checks share a few calendars and windows."""
        key = (name, window)
        if key not in self._closed:
            calendar = self._inventory.calendars.get(name)
            zone, decreed = self._inventory.province.zone, self._inventory.decreed
            self._closed[key] = (
                calendars.excluded_time(calendar, *window, zone, decreed) if calendar is not None else []
            )
        return self._closed[key]


async def exclusions_in_force(reader: LedgerReader) -> Exclusions:
    """What does not count now: the inventory's and those that people declared since."""
    declared = await reader.read(lambda tx: tx.exclusions.in_force())
    return Exclusions(reader.inventory, declared)


def declare(tx: Transaction, select: Selector, begins: int, ends: int, reason: str, who: str, now: int) -> int:
    """Note an exclusion and who declared it; answers its number. Raises ValueError in words."""
    if begins >= ends:
        raise ValueError("an exclusion ends after it begins")
    if not reason.strip() or len(reason) > MAX_REASON:
        raise ValueError(f"an exclusion needs a reason, of at most {MAX_REASON} characters")
    if not who.strip():
        raise ValueError("an exclusion is declared by someone")
    number = tx.exclusions.add(select, begins, ends, reason.strip(), who, now)
    chosen = msgspec.json.encode(select).decode()
    tx.audit.add(now, who, "exclude", {"id": number, "select": chosen, "from": begins, "to": ends, "reason": reason})
    return number


def withdraw(tx: Transaction, number: int, who: str, now: int) -> bool:
    """Take an exclusion back; False when there is none in force of that number. It stays in the store."""
    withdrawn = tx.exclusions.withdraw(number, who, now)
    if withdrawn:
        tx.audit.add(now, who, "withdraw exclusion", {"id": number})
    return withdrawn
