"""Attempts that failed, counted by where they came from: who guesses has to wait, others do not."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

EACH: Final = 10  # failures of one address within the window
ALL: Final = 300  # of all addresses: then one failure is enough for an address to wait
WINDOW: Final = 600.0  # seconds
MOST_ADDRESSES: Final = 4_096


class FailedAttempts:
    """``now``: seconds of a clock that is not set."""

    def __init__(self, now: Callable[[], float], *, each: int = EACH, all_of_them: int = ALL) -> None:
        self._now = now
        self._each = each
        self._all = all_of_them
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def wait(self, address: str) -> int:
        """Seconds that this address has to wait, 0 when it may try."""
        failures = self._recent(network(address))
        total = sum(len(times) for times in self._failures.values())
        if len(failures) < self._each and (total < self._all or not failures):
            return 0
        return max(1, round(failures[0] + WINDOW - self._now()))

    def failed(self, address: str) -> None:
        """One more failure from there."""
        where = network(address)
        self._failures[where] = [*self._recent(where), self._now()][-self._each :]
        self._failures.move_to_end(where)
        while len(self._failures) > MOST_ADDRESSES or (
            self._failures and next(iter(self._failures.values()))[-1] <= self._now() - WINDOW
        ):
            self._failures.popitem(last=False)

    def _recent(self, where: str) -> list[float]:
        return [at for at in self._failures.get(where, ()) if at > self._now() - WINDOW]


def network(address: str) -> str:
    """What one party has: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped is not None else str(ipaddress.ip_network((parsed, 64), strict=False))
