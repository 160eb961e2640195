"""Guessing is slow: every wrong answer of an account or address doubles the time that the next wrong answer takes.

A right password is never made to wait for that, so an attack locks nobody out. How many wrong answers wait at once
is bounded, which bounds the guesses; what comes above is sent away unread. An address from which a person has logged
in already has places of its own, which an attack from elsewhere cannot fill.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")

FREE: Final = 3  # wrong answers that cost nothing: people mistype
FIRST_DELAY: Final = 0.5  # seconds
LONGEST_DELAY: Final = 30.0
HALF_LIFE: Final = 300.0  # seconds after which half of the wrong answers is forgotten
MAX_OF_ADDRESS: Final = 32  # attempts of an address under way at once, those that wait for their answer too
MAX_OF_ACCOUNT: Final = 128
MAX_OF_KNOWN: Final = 4  # beside those, of an account from an address where it proved itself
MAX_AT_ONCE: Final = 512
MAX_REMEMBERED: Final = 10_000  # accounts and addresses
_ALL: Final = ("all", "")
_MOST: Final = {"known": MAX_OF_KNOWN, "address": MAX_OF_ADDRESS, "account": MAX_OF_ACCOUNT, "all": MAX_AT_ONCE}


class TooManyAttempts(Exception):
    """Sent away unread. ``retry_after``: seconds."""

    retry_after = int(LONGEST_DELAY)


class LoginThrottle:
    """Counts in memory. ``clock``: seconds that never go back."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._wrong: dict[tuple[str, str], tuple[float, float]] = {}  # (sort, name): how many, as of when
        self._known: dict[tuple[str, str], None] = {}  # (account, address) that proved itself
        self._under_way: Counter[tuple[str, str]] = Counter()
        self._hashing = asyncio.Semaphore(2)  # guessing must not take the machine
        self._hashing_known = asyncio.Semaphore(1)

    async def attempt(
        self, account: str, address: str, verify: Callable[[], bool], wrong: Callable[[], None] = lambda: None
    ) -> bool:
        """Whether ``verify`` (run in a thread) says yes; a no calls ``wrong`` and takes its time.

        Raises TooManyAttempts.
        """
        known = ("known", f"{account}\0{address}")
        if (account, address) in self._known and self._under_way[known] < MAX_OF_KNOWN:
            places, counted, hashing = [known], [known], self._hashing_known
        else:
            places, hashing = [("address", address), ("account", account)], self._hashing
            counted = [*places, _ALL]
        if any(self._under_way[place] >= _MOST[place[0]] for place in counted):
            raise TooManyAttempts
        self._under_way.update(counted)
        try:
            async with hashing:
                right = await asyncio.to_thread(verify)
            if right:
                _remember(self._known, (account, address), None)
                return True
            wrong()
            delay = max(self._delay_after_one_more(place) for place in places)
            if delay:
                await self._sleep(delay)
            return False
        finally:
            self._under_way.subtract(counted)
            for place in counted:
                if self._under_way[place] <= 0:
                    del self._under_way[place]

    def _delay_after_one_more(self, place: tuple[str, str]) -> float:
        now = self._clock()
        count, at = self._wrong.get(place, (0.0, now))
        count = count * 0.5 ** ((now - at) / HALF_LIFE) + 1
        _remember(self._wrong, place, (count, now))
        return 0.0 if count <= FREE else min(FIRST_DELAY * 2 ** min(count - FREE - 1, 30), LONGEST_DELAY)


def _remember(held: dict[K, V], key: K, value: V) -> None:
    """As the newest; of too many the oldest goes."""
    held.pop(key, None)
    held[key] = value
    if len(held) > MAX_REMEMBERED:
        del held[next(iter(held))]
