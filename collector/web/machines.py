"""Which machines push as an agent: two of them with one identity are told apart, named, and one of them can be kept.

A start of the agent's program has a random number that its pushes bear. One machine's starts follow each other: an
earlier one never comes back. So when one does, and again, two machines are at work. A machine whose memory was copied
bears the same number; then the addresses tell them apart, once their results have come into conflict. What is seen here
is the connection's address and certificate; the rest is what machines say of themselves, and harms nobody but them.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from collector.store.records import AgentMachine, KeptMachine
from collector.store.registry import Registry
from inventory.protocol.machine import SendingMachine

HOUR: Final = 3_600_000
RETURNS: Final = 2  # of machines that had been followed by another, within an hour
SAME_RETURNS: Final = 4  # of addresses, where the machines' numbers are the same
SAY_AGAIN: Final = HOUR // 2
MOST_SAID: Final = 10  # times an hour that another machine is told of at once: what one says of itself may be made up
RECENT: Final = 60_000  # ms for which a machine's last push need not be noted anew
MOST_MACHINES: Final = 8  # of an agent
KEEP_HEX: Final = 40


class Sender(msgspec.Struct, frozen=True):
    """Whom a request came from: what its connection shows, and what it says of itself."""

    agent: str
    serial: int
    address: str
    said: SendingMachine

    @property
    def key(self) -> tuple[str, str]:
        """Stays the same as long as the program runs with this certificate."""
        return self.said.start, f"{self.serial:0{KEEP_HEX}x}"


class _Seen(msgspec.Struct):
    """What came as one agent. ``turns``: when a machine, or an address of one, came back after another had come."""

    machines: dict[tuple[str, str, str], AgentMachine] = {}
    now: tuple[str, str, str] = ("", "", "")
    turns: list[tuple[int, tuple[str, str, str], tuple[str, str, str]]] = []
    conflict: int = -HOUR
    said: int = -HOUR  # when it was last told
    told: frozenset[tuple[str, str, str]] = frozenset()
    mark: tuple[str, int, str] = ("", 0, "")  # of the last push that was noted, and when
    marked: int = -HOUR
    at_once: list[int] = []  # when it was told before that was due, within the last hour


class MachineWatch:
    """Sees every push. ``wall``: ms since the epoch."""

    def __init__(self, registry: Registry, wall: Callable[[], int]) -> None:
        self._registry = registry
        self._wall = wall
        self._seen: dict[str, _Seen] = {}

    async def judge(self, sender: Sender) -> str:
        """Why a request is not taken: "replaced", where a person keeps another machine; "expired", where the one that
        is kept has to renew first; else ""."""
        if self.several(sender.agent):
            await self._registry.load_kept()
        decision = self._registry.kept(sender.agent, sender.serial)
        if decision is None:
            return ""
        return "expired" if is_kept(sender, decision) else "replaced"

    async def note(self, sender: Sender, verdict: str) -> None:
        """A push was answered with this verdict. Raises StoreError when what was found cannot be kept."""
        now = self._wall()
        seen = self._seen.setdefault(sender.agent, _Seen())
        mark = (sender.said.start, sender.serial, sender.address)
        if mark == seen.mark and not seen.turns and verdict != "conflict" and now - seen.marked < RECENT:
            return  # as nearly every push: the one machine that there is, seen just now
        seen.mark, seen.marked = mark, now
        if verdict == "conflict":
            seen.conflict = now
        self._see(seen, sender, now)
        several = self.several(sender.agent)
        if len(several) < 2:
            return
        keys = frozenset(key for key, machine in seen.machines.items() if machine in several)
        seen.at_once = [at for at in seen.at_once if now - at < HOUR]
        again = now - seen.said >= SAY_AGAIN
        if again or (keys - seen.told and len(seen.at_once) < MOST_SAID):
            seen.said, seen.told = now, keys
            if not again:
                seen.at_once.append(now)
            await self._registry.report_machines(sender.agent, several)

    def several(self, agent: str) -> list[AgentMachine]:
        """The machines that came by turns within the last hour; [] when there is one."""
        seen = self._seen.get(agent)
        if seen is None or not seen.turns:
            return []
        since = self._wall() - HOUR
        seen.turns = [turn for turn in seen.turns if turn[0] > since]
        strong = [turn for turn in seen.turns if turn[1][:2] != turn[2][:2]]
        turns = strong if len(strong) >= RETURNS else seen.turns
        weak = len(strong) < RETURNS and (len(turns) < SAME_RETURNS or seen.conflict <= since)
        if not turns or weak:
            return []
        involved = dict.fromkeys(key for _, *pair in turns for key in pair)
        return [seen.machines[key] for key in involved if key in seen.machines]

    def _see(self, seen: _Seen, sender: Sender, now: int) -> None:
        key = (*sender.key, sender.address)
        said, known = sender.said, seen.machines.pop(key, None)
        since = known.since if known is not None else now
        machine = AgentMachine(said.boot, said.start, said.name, sender.address, sender.key[1], since, now)
        seen.machines[key] = machine  # the newest last
        before, seen.now = seen.now, key
        if known is not None and before != key and before in seen.machines and self._tells(before, key):
            seen.turns = [*seen.turns[-63:], (now, before, key)]
        while len(seen.machines) > MOST_MACHINES:
            del seen.machines[next(iter(seen.machines))]

    @staticmethod
    def _tells(before: tuple[str, str, str], key: tuple[str, str, str]) -> bool:
        """Whether that the later came back after the earlier one says anything.

        An agent of before bears no number: there a certificate alone does, for a site may go out by several addresses.
        """
        if before[0] and key[0]:
            return True
        return before[1] != key[1]


def is_kept(sender: Sender, decision: KeptMachine) -> bool:
    """Whether a request comes from the machine that a person keeps, as far as that can be told.

    By its program's number while it runs on, after a restart by its boot, after a reboot by its address.
    """
    kept, said = decision.kept, sender.said
    marks = (
        (said.start, kept.start, {other.start for other in decision.others}),
        (said.boot, kept.boot, {other.boot for other in decision.others}),
        (sender.address, kept.address, {other.address for other in decision.others}),
    )
    for mine, that, theirs in marks:
        if not mine or that in theirs:
            continue  # nothing was said, or it does not tell them apart
        if mine == that:
            return True
        if mine in theirs:
            return False
    return sender.serial == int(kept.serial, 16) and all(other.serial != kept.serial for other in decision.others)
