"""Reads the ledger as of one moment: which checks there are, what they are now, and their spans. Every subject's
queries are functions over this reader.

What is closed is in the store, what is open in the published states. A state is taken first and the store read after,
so a span that the store has beyond the state is left out: every answer is of one moment.
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Any, Final, Protocol, TypeVar

import msgspec

from collector.ingest.fleet import Fleet
from collector.ingest.quarantine import EVALUATION
from collector.ledger.figures import history
from collector.ledger.state_step import LedgerTail, Span
from collector.store.interfaces.store import Store, Transaction
from collector.store.records import Lifespan, RegisteredCheck
from inventory.model.entities import Check, Inventory
from inventory.protocol.states import NO_STATUS_YET, CheckStatus

DAY: Final = 86_400_000
T = TypeVar("T")


class CheckEntry(msgspec.Struct, frozen=True):
    """A check that is registered."""

    row: int  # for life
    uid: str
    name: str
    kind: str
    agent: str
    check: Check | None  # the inventory's; None: it is no longer there


class InventorySource(Protocol):
    """Where the inventory comes from."""

    current: Inventory
    version: int  # grows when another comes into force


class LedgerReader:
    """The register of checks, their present states and their spans.

    ``wall``: ms of the collector's time. ``live``: the fleet's states were published by this process. Else they were
    read from a store that goes on changing, and where it is past a state, the store is right.
    """

    def __init__(
        self,
        store: Store,
        fleet: Fleet,
        inventories: InventorySource,
        wall: Callable[[], int],
        *,
        live: bool = True,
    ) -> None:
        self.wall = wall
        self.fleet = fleet
        self.live = live
        self._store = store
        self._inventories = inventories
        self._entries: tuple[Any, list[CheckEntry], dict[str, CheckEntry]] = (None, [], {})

    @property
    def inventory(self) -> Inventory:
        return self._inventories.current

    @property
    def version(self) -> int:
        """Grows when another inventory comes into force."""
        return self._inventories.version

    def today(self, now: int) -> date:
        """The day it is in the province at a moment."""
        return datetime.fromtimestamp(now / 1000, self.inventory.province.zone).date()

    # -- the register

    def all_checks(self) -> list[CheckEntry]:
        """Every check ever registered, the inventory's in its order first."""
        return self._register()[1]

    def current_checks(self) -> list[CheckEntry]:
        """The checks that the inventory has and that have not ended."""
        return [
            entry for entry in self.all_checks() if entry.check is not None and self.registered(entry).ended is None
        ]

    def by_uid(self, uid: str) -> CheckEntry | None:
        return self._register()[2].get(uid)

    def registered(self, entry: CheckEntry) -> RegisteredCheck:
        """The check's row in the register as it is now."""
        return self.fleet.checks[entry.row]

    def lifespan(self, entry: CheckEntry) -> Lifespan:
        registered = self.registered(entry)
        return registered.born, registered.ended

    # -- what checks are now

    def status(self, entry: CheckEntry, at: int) -> CheckStatus:
        """The check's state at this moment."""
        return self.fleet.status(self.registered(entry), at) or NO_STATUS_YET

    def measures(self, entry: CheckEntry) -> dict[str, float]:
        """Its newest values by name, in base units; latency among them."""
        return self.fleet.measures(self.registered(entry))

    def tails(self, of: Iterable[CheckEntry]) -> dict[int, LedgerTail]:
        """By row, the open ends of these checks' ledgers: to be taken before the store is read."""
        return {entry.row: tail for entry in of if (tail := self.fleet.tail(self.registered(entry))) is not None}

    # -- what they were

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """What a function finds in the store, in a thread, as of one moment."""
        return await self._store.read(work)

    def history(self, tx: Transaction, entry: CheckEntry, tail: LedgerTail | None, begin: int, now: int) -> list[Span]:
        """All that touches time from ``begin`` on, the open span as it stands."""
        closed = tx.spans.closed([entry.row], begin - 1, now + DAY)[entry.row]
        if tail is None:
            return closed
        if self.live:
            closed = [span for span in closed if span.sure_from < tail.sure_from]
        elif closed and closed[-1].sure_from >= tail.sure_from:
            return closed
        try:
            return history(closed, tail, now)
        except Exception as error:
            self.fleet.quarantine.row_failed(EVALUATION, entry.agent, error)
            return closed

    def _register(self) -> tuple[Any, list[CheckEntry], dict[str, CheckEntry]]:
        """Made anew when the inventory or the register of checks has changed."""
        key = (self._inventories.version, len(self.fleet.checks))
        if self._entries[0] != key:
            checks = self.inventory.checks
            order = {uid: place for place, uid in enumerate(checks)}
            registered = list(self.fleet.checks.items())  # a copy: a scrape asks from its thread
            entries = [CheckEntry(row, c.uid, c.name, c.kind, c.agent, checks.get(c.uid)) for row, c in registered]
            entries.sort(key=lambda entry: (order.get(entry.uid, len(order)), entry.row))
            self._entries = (key, entries, {entry.uid: entry for entry in reversed(entries)})
        return self._entries
