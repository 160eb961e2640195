"""Reads the ledger as of one moment: which checks there are, what they are now, and their spans. Every subject's
queries are functions over this reader.

A check is found by agent and uid, or by its row, which stands for both; nothing here is looked up by a uid alone.

What is closed is in the store, what is open in the published states. A state is taken first and the store read after,
so a span that the store has beyond the state is left out: every answer is of one moment.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Final, Protocol, TypeVar

import msgspec

from collector.ingest.fleet import Fleet
from collector.ingest.quarantine import EVALUATION
from collector.ledger.figures import history
from collector.ledger.state_step import LedgerTail, Span
from collector.store.interfaces.store import Store, Transaction
from collector.store.records import Lifespan, RegisteredCheck
from inventory.model.entities import Check, Inventory
from inventory.protocol.identity import CheckIdentity
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
    check: Check | None  # the inventory's, at the same agent; None: it is no longer there

    @property
    def identity(self) -> CheckIdentity:
        return CheckIdentity(self.agent, self.uid)


class CheckRegister(msgspec.Struct, frozen=True):
    """Every check ever registered, as the inventory in force names it."""

    key: tuple[int, int] | None = None  # of what it was made
    entries: Sequence[CheckEntry] = ()  # the inventory's in its order first
    by_identity: Mapping[CheckIdentity, CheckEntry] = {}
    by_row: Mapping[int, CheckEntry] = {}


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
        self._register = CheckRegister()

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

    def all_checks(self) -> Sequence[CheckEntry]:
        """Every check ever registered, the inventory's in its order first."""
        return self._current_register().entries

    def current_checks(self) -> list[CheckEntry]:
        """The checks that the inventory has and that have not ended."""
        return [
            entry for entry in self.all_checks() if entry.check is not None and self.registered(entry).ended is None
        ]

    def find(self, identity: CheckIdentity) -> CheckEntry | None:
        return self._current_register().by_identity.get(identity)

    def of_inventory(self, uid: str) -> CheckEntry | None:
        """The check of the inventory that has this uid there, at the agent that the inventory gives it to; None while
        that agent was never told of it."""
        check = self.inventory.checks.get(uid)
        return None if check is None else self.find(check.identity)

    def of_row(self, row: int) -> CheckEntry | None:
        return self._current_register().by_row.get(row)

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

    def _current_register(self) -> CheckRegister:
        """Made anew when the inventory or the register of checks has changed."""
        key = (self._inventories.version, len(self.fleet.checks))
        register = self._register
        if register.key != key:
            checks = {check.identity: check for check in self.inventory.checks.values()}
            order = {identity: place for place, identity in enumerate(checks)}
            registered = list(self.fleet.checks.items())  # a copy: a scrape asks from its thread
            entries = [CheckEntry(row, c.uid, c.name, c.kind, c.agent, checks.get(c.identity)) for row, c in registered]
            entries.sort(key=lambda entry: (order.get(entry.identity, len(order)), entry.row))
            register = self._register = CheckRegister(
                key, entries, {entry.identity: entry for entry in entries}, {entry.row: entry for entry in entries}
            )
        return register
