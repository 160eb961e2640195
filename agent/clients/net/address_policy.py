"""Which of a name's addresses are asked, in what order and when: one policy for every kind of probe.

Families take turns (RFC 8305, section 4), so that a whole family that swallows packets costs one turn. The next address
is begun when the one before has failed, or after a short while without an answer (section 5; datagrams wait for a part
of the timeout). The first that answers is taken, and the wait for those before it is in no latency.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from agent.failure import ProbeFailed
from agent.probe import Address, Limits
from inventory.protocol.reasons import joined, sentence
from inventory.protocol.states import UNKNOWN

MAX_ADDRESSES: Final = 8  # of a name with many, so many are tried
STAGGER: Final = 0.25  # seconds before the next address is begun beside one that does not answer (RFC 8305, section 8)
DATAGRAM_SHARE: Final = 0.25  # of the timeout, for kinds that ask again by themselves
_SHOWN: Final = 3  # addresses in a reason

T = TypeVar("T")


class FirstAnswer(msgspec.Struct, Generic[T], frozen=True):
    """``waited``: seconds that went by before the address that answered was begun."""

    answer: T
    address: Address
    waited: float


def candidates(addresses: Sequence[Address], limits: Limits, port: int | None = None) -> list[Address]:
    """The addresses to ask, in order. Raises ProbeFailed (no evidence) when the agent's limits allow none."""
    if len(addresses) == 1 and not limits.networks and not limits.ports:
        return list(addresses)
    forbidden = [limits.forbids(address, port) for address in addresses]
    allowed = [address for address, why in zip(addresses, forbidden, strict=True) if not why]
    if not allowed:
        raise ProbeFailed(next(iter(forbidden), "") or sentence("no address to connect to"), UNKNOWN)
    return interleaved(allowed)[:MAX_ADDRESSES]


def interleaved(addresses: Sequence[Address]) -> list[Address]:
    """The families in turn, beginning with that of the first; within a family in the system's order (RFC 6724)."""
    if not addresses:
        return []
    first = [address for address in addresses if address.version == addresses[0].version]
    second = [address for address in addresses if address.version != addresses[0].version]
    merged: list[Address] = []
    for place in range(max(len(first), len(second))):
        merged += first[place : place + 1] + second[place : place + 1]
    return merged


async def first_to_answer(
    addresses: Sequence[Address],
    ask: Callable[[Address], Awaitable[T]],
    stagger: float,
    discard: Callable[[T], None] = lambda answer: None,
) -> FirstAnswer[T]:
    """Ask one address after the other, each begun when the one before failed or after ``stagger`` seconds.

    ``ask`` raises ProbeFailed. ``discard`` gets answers that came too late to be wanted. Raises ProbeFailed with what
    all of them came to; the deadline is the caller's.
    """
    if len(addresses) == 1:
        return FirstAnswer(await ask(addresses[0]), addresses[0], 0.0)
    race = _Race(ask)
    waiting = list(addresses)
    try:
        while waiting or race.running():
            if waiting:
                race.begin(waiting.pop(0))
            await asyncio.wait(
                race.running(), timeout=stagger if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            if (winner := race.winner()) is not None:
                return winner
    finally:
        race.end(discard)
    raise together(race.failures())


class _Race(Generic[T]):
    """Addresses that are being asked, in the order in which they were begun."""

    def __init__(self, ask: Callable[[Address], Awaitable[T]]) -> None:
        self._ask = ask
        self._began = time.monotonic()
        self._tasks: dict[asyncio.Task[T], tuple[Address, float]] = {}
        self._winner: asyncio.Task[T] | None = None

    def begin(self, address: Address) -> None:
        async def run() -> T:
            return await self._ask(address)

        self._tasks[asyncio.ensure_future(run())] = (
            address,
            time.monotonic() - self._began if self._tasks else 0.0,
        )

    def running(self) -> list[asyncio.Task[T]]:
        return [task for task in self._tasks if not task.done()]

    def winner(self) -> FirstAnswer[T] | None:
        """The first address that answered; of several at once the one begun first. Raises what is no ProbeFailed."""
        for task, (address, waited) in self._tasks.items():
            if task.done() and not task.cancelled():
                error = task.exception()
                if error is None:
                    self._winner = task
                    return FirstAnswer(task.result(), address, waited)
                if not isinstance(error, ProbeFailed):
                    raise error
        return None

    def failures(self) -> list[ProbeFailed]:
        errors = [task.exception() for task in self._tasks]
        return [error for error in errors if isinstance(error, ProbeFailed)]

    def end(self, discard: Callable[[T], None]) -> None:
        """Nothing is asked any more, and what nobody takes is discarded, also if it comes only now."""

        def forget(task: asyncio.Task[T]) -> None:
            if not task.cancelled() and task.exception() is None:
                discard(task.result())

        for task in self._tasks:
            if task is self._winner:
                continue
            if task.done():
                forget(task)
            else:
                task.cancel()
                task.add_done_callback(forget)


def together(failures: Sequence[ProbeFailed]) -> ProbeFailed:
    """What several addresses came to: those that say something about the target before those that do not."""
    telling = [failure for failure in failures if failure.state != UNKNOWN] or list(failures)
    reasons = list(dict.fromkeys(failure.reason for failure in telling))
    shown = reasons[:_SHOWN]
    if len(reasons) > _SHOWN:
        shown.append(sentence("and {count} addresses more", count=len(reasons) - _SHOWN))
    return ProbeFailed(joined(shown) if len(shown) > 1 else shown[0], telling[0].state)


def connection_stagger(count: int, seconds: float) -> float:
    """Seconds between attempts to connect, so that all get their turn in the first half of the time."""
    return min(STAGGER, seconds / (2 * max(count, 1)))


def datagram_stagger(count: int, seconds: float) -> float:
    """Seconds before the next address is asked by datagrams."""
    return seconds * min(DATAGRAM_SHARE, 1 / (count + 1))


def socket_address(address: Address, port: int) -> tuple[Any, ...]:
    """As the kernel wants it, a link-local address with its interface. Raises ProbeFailed when there is none such."""
    if address.version == 4:
        return str(address), port
    return socket.inet_ntop(socket.AF_INET6, address.packed), port, 0, scope_index(address)


def scope_index(address: Address) -> int:
    """The number of the interface that an IPv6 address is of, 0 for none. Raises ProbeFailed (no evidence)."""
    scope = address.scope_id if address.version == 6 else None
    if not scope:
        return 0
    try:
        return int(scope) if scope.isdigit() else socket.if_nametoindex(scope)
    except OSError:
        raise ProbeFailed(
            sentence("{address} names an interface that this machine does not have", address=address), UNKNOWN
        ) from None
