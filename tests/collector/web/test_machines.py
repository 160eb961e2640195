"""Two machines with one identity: what tells them apart, what does not, and which of them is the one that is kept."""

import pytest

from collector.store.records import AgentMachine, KeptMachine
from collector.web.machines import HOUR, MachineWatch, Sender, is_kept
from inventory.protocol.machine import SendingMachine

NOW = 1_790_000_000_000


class Register:
    """What the watch asks of the registry."""

    def __init__(self) -> None:
        self.reported: list[list[AgentMachine]] = []
        self.decision: KeptMachine | None = None

    async def report_machines(self, agent: str, machines: list[AgentMachine]) -> None:
        self.reported.append(machines)

    async def load_kept(self) -> None:
        pass

    def kept(self, agent: str, serial: int) -> KeptMachine | None:
        return self.decision


class Watched:
    def __init__(self) -> None:
        self.now = NOW
        self.register = Register()
        self.watch = MachineWatch(self.register, lambda: self.now)  # type: ignore[arg-type]

    async def comes(self, *turns: str, every: int = 1_000, verdict: str = "taken") -> None:
        """Each turn is START@ADDRESS/SERIAL."""
        for turn in turns:
            start, _, rest = turn.partition("@")
            address, _, serial = rest.partition("/")
            self.now += every
            said = SendingMachine(f"boot{start}" if start else "", start, "pc")
            await self.watch.note(Sender("a", int(serial or "1"), address or "192.0.2.1", said), verdict)

    @property
    def named(self) -> set[tuple[str, str]]:
        return (
            {(machine.start, machine.address) for machine in self.register.reported[-1]}
            if self.register.reported
            else set()
        )


@pytest.mark.parametrize(
    ("turns", "named"),
    [
        ("a b a b", {("a", "192.0.2.1"), ("b", "192.0.2.1")}),
        ("a b c a b c", {("a", "192.0.2.1"), ("b", "192.0.2.1"), ("c", "192.0.2.1")}),
        ("a@192.0.2.1 b@192.0.2.2 b@192.0.2.2 a@192.0.2.1 b@192.0.2.2", {("a", "192.0.2.1"), ("b", "192.0.2.2")}),
        ("a@1/1 a@1/2 a@1/1 a@1/2", {("a", "1")}),  # one of two copies has renewed, with its memory copied too
        ("@1/1 @2/2 @1/1 @2/2", {("", "1"), ("", "2")}),  # agents of before
        ("a b c d e f g h i j", set()),  # restarts
        ("a b a", set()),  # once may be a push that was long under way
        ("a@1/1 a@1/2 a@1/3", set()),  # renewals
        ("a@1 a@2 a@1 a@2 a@1 a@2 a@1 a@2", set()),  # a site that goes out by two addresses
        ("@1 @2 @1 @2 @1 @2", set()),  # the same, an agent of before
    ],
)  # fmt: skip
async def test_what_tells_machines_apart(turns: str, named: set[tuple[str, str]]) -> None:
    watched = Watched()
    await watched.comes(*turns.split())
    assert watched.named == named


async def test_copied_memory_is_told_by_the_addresses_once_results_conflict() -> None:
    watched = Watched()
    await watched.comes("a@1", "a@2", "a@1", "a@2", "a@1", "a@2")
    assert watched.named == set()
    await watched.comes("a@1", verdict="conflict")
    assert watched.named == {("a", "1"), ("a", "2")}


async def test_it_is_said_again_every_half_hour_while_it_lasts_and_for_a_new_machine_at_once() -> None:
    watched = Watched()
    await watched.comes(*"abababab")
    assert len(watched.register.reported) == 1
    await watched.comes(*"cac")
    assert len(watched.register.reported) == 2
    await watched.comes(*"ab" * 35, every=60_000)
    assert len(watched.register.reported) == 4
    watched.now += HOUR
    await watched.comes(*"aaaaaaaa", every=60_000)
    assert len(watched.register.reported) == 4
    assert watched.watch.several("a") == []


async def test_a_machine_that_says_ever_new_things_costs_little() -> None:
    watched = Watched()
    for number in range(500):
        await watched.comes(f"{number:x}", "a", every=10)
    assert len(watched.watch._seen["a"].machines) <= 8
    assert len(watched.watch._seen["a"].turns) <= 64
    assert 1 <= len(watched.register.reported) <= 11


def machine(start: str, boot: str, address: str, serial: int = 1) -> AgentMachine:
    return AgentMachine(boot, start, "pc", address, f"{serial:040x}", NOW, NOW)


@pytest.mark.parametrize(
    ("comes", "kept"),
    [
        (("a", "A", "1"), True),
        (("b", "B", "2"), False),
        (("a", "A", "3"), True),  # its address changed
        (("c", "A", "1"), True),  # restarted
        (("c", "B", "2"), False),  # the other one, restarted
        (("c", "C", "1"), True),  # rebooted
        (("c", "C", "2"), False),  # the other one, rebooted
        (("c", "C", "3"), False),  # nobody knows
        (("", "", "1"), True),
        (("", "", "2"), False),
    ],
)
def test_the_one_that_is_kept_is_known_by_what_it_alone_had(comes: tuple[str, str, str], kept: bool) -> None:
    decision = KeptMachine("a", "f" * 40, machine("a", "A", "1"), (machine("b", "B", "2"),), NOW, "an")
    start, boot, address = comes
    assert is_kept(Sender("a", 1, address, SendingMachine(boot, start, "pc")), decision) is kept


def test_on_one_host_behind_one_address_the_start_alone_tells() -> None:
    decision = KeptMachine("a", "f" * 40, machine("a", "A", "1"), (machine("b", "A", "1"),), NOW, "an")
    for start, kept in (("a", True), ("b", False), ("c", False)):
        assert is_kept(Sender("a", 1, "1", SendingMachine("A", start, "pc")), decision) is kept


def test_agents_of_before_are_known_by_their_certificates() -> None:
    decision = KeptMachine("a", "f" * 40, machine("", "", "1", 1), (machine("", "", "1", 2),), NOW, "an")
    for serial, kept in ((1, True), (2, False)):
        assert is_kept(Sender("a", serial, "1", SendingMachine()), decision) is kept
