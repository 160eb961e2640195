"""A simulated estate whose truth is known: what broke when, what the agents saw of it, what the ledger made of that.

Three agencies and a data centre. Faults are laid down first; from them follows, by this file's own knowledge of the
estate, when each check would find what; agents look in their rhythm while they live, and the looks go through the
ledger as ingest sends them. Nothing of collector.causes is used here. Times are ms.

    a     one line, a UPS that feeds all there and is watched
    b     one line, no UPS, a server with a service on it
    c     two lines that stand for each other, no UPS
    hub   a UPS that feeds all, a web server, a mail server, the agencies' portals
"""

import random
from bisect import bisect_right
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from collector.ledger.batch_step import apply_slice
from collector.ledger.figures import history
from collector.ledger.state_step import LedgerTail, Span, step
from inventory.assembly.load import load
from inventory.model.entities import Check, Inventory
from inventory.protocol.states import CheckStatus

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
T0 = 1_800_000_000_000
UP, DEGRADED, DOWN, UNKNOWN = range(4)

Interval = tuple[int, int]

ESTATE = """
province: {id: p, name: {vi: Tỉnh, en: Province}, hub: so-hub}
providers:
  p1: {name: {vi: Một, en: One}}
  p2: {name: {vi: Hai, en: Two}}
agencies:
  a:
    name: {vi: A, en: A}
    template: agency-lan
    site:
      gateway: 10.1.0.1
      wan: 203.0.113.1
      lan: 10.1.0.0/24
      link: {provider: p1}
      fed_by: [ups]
      facts: {portal: "https://192.0.2.101/", portal_name: a.example.org}
      devices:
        ups: {kind: ups, address: 10.1.0.9}
      checks:
        power: {kind: power, params: {host: 10.1.0.9, way: nut}, interval: 30s}
        video: {off: true}
  b:
    name: {vi: B, en: B}
    template: agency-lan
    site:
      gateway: 10.2.0.1
      wan: 203.0.113.2
      lan: 10.2.0.0/24
      link: {provider: p2}
      devices:
        server: {kind: server, address: 10.2.0.7}
      checks:
        ping-server: {kind: icmp, params: {host: 10.2.0.7}, interval: 30s}
        files: {kind: tcp, params: {host: 10.2.0.7, port: 445}, interval: 30s}
        video: {off: true}
  c:
    name: {vi: C, en: C}
    template: agency-lan
    site:
      gateway: 10.3.0.1
      wan: 203.0.113.3
      lan: 10.3.0.0/24
      links:
        one: {provider: p1}
        two: {provider: p2}
      checks:
        hub-two: {kind: icmp, params: {host: 192.0.2.1}, interval: 30s, link: two}
        from-hub-two: {kind: icmp, params: {host: 203.0.113.33}, agent: hub, interval: 30s, link: two}
        mail: {kind: tcp, params: {host: 192.0.2.25, port: 25}, interval: 30s}
        video: {off: true}
  so:
    name: {vi: Sở, en: Department}
    site: {}
    sites:
      hub:
        name: {vi: Trung tâm, en: Centre}
        agent: thdl
        gateway: 192.0.2.1
        wan: 192.0.2.1
        lan: 192.0.2.0/24
        fed_by: [ups]
        devices:
          ups: {kind: ups, address: 192.0.2.10}
          web: {kind: web, address: 192.0.2.80}
          mail: {kind: server, address: 192.0.2.25}
        checks:
          host: {kind: host, interval: 60s}
          gateway: {kind: icmp, params: {host: 192.0.2.1}, interval: 10s}
          power-ups: {kind: power, params: {host: 192.0.2.10, way: nut}, interval: 30s}
          ping-web: {kind: icmp, params: {host: 192.0.2.80}, interval: 30s}
          ping-mail: {kind: icmp, params: {host: 192.0.2.25}, interval: 30s}
          web-web: {kind: http, params: {url: "https://192.0.2.80/"}, interval: 30s, timeout: 10s}
          smtp: {kind: tcp, params: {host: 192.0.2.25, port: 25}, interval: 30s}
"""


@cache
def estate() -> Inventory:
    """The inventory, read as any other is."""
    with TemporaryDirectory() as name:
        (Path(name) / "estate.yaml").write_text(ESTATE, encoding="utf-8")
        return load(Path(name))


SITE_OF = {"a": "a", "b": "b", "c": "c", "hub": "so-hub"}
AGENT_OF = {"a": "a", "b": "b", "c": "c", "hub": "thdl"}
LINES = {"a": ("a",), "b": ("b",), "c": ("c-one", "c-two")}
UPS = {"a": 4 * MINUTE, "hub": 6 * MINUTE}  # how long a battery lasts


class EstateFault(msgspec.Struct, frozen=True):
    """``what``: line, noise (of a line), router, switch, power, machine, kill, stop, device, service. ``where``: the
    line, place, device or check's name. From ``begin`` to ``end`` the thing itself is broken."""

    what: str
    where: str
    begin: int
    end: int


class Breaker(msgspec.Struct, frozen=True):
    """Something that keeps a check from being up: its cause in words of the truth, what it is, and when."""

    cause: str
    root: str
    times: list[Interval]


class ProgramOutage(msgspec.Struct, frozen=True):
    """A program that did not run. ``booted``: when its machine came up again, None if it ran on. ``clean``: it had been
    told to stop. ``causes``: what kept it from running, each with its times."""

    begin: int
    end: int
    booted: int | None
    clean: bool
    causes: tuple[Breaker, ...]


class ReceivedEvents(msgspec.Struct):
    """What the collector has of an agent's life: (at, kind, data) as in the store's events."""

    events: list[tuple[int, str, dict[str, object]]] = []


def union(*many: Iterable[Interval]) -> list[Interval]:
    joined: list[Interval] = []
    for begin, end in sorted(one for intervals in many for one in intervals):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        elif begin < end:
            joined.append((begin, end))
    return joined


def covers(intervals: list[Interval], at: int) -> bool:
    i = bisect_right(intervals, (at, 1 << 62)) - 1
    return i >= 0 and at < intervals[i][1]


class CheckReport(msgspec.Struct, frozen=True):
    """What an agent told of one check, in order: ``looks`` (placed, state), or a clean stop or what a boot tells."""

    looks: tuple[tuple[int, int], ...] = ()
    stopped: int | None = None
    booted: int | None = None

    @property
    def at(self) -> int:
        return self.looks[0][0] if self.looks else (self.stopped or self.booted or 0)


class EstateHistory:
    """The truth of one history, and what was recorded of it. ``errors``: ms that an agent's times may be off by."""

    def __init__(
        self, faults: list[EstateFault], length: int, seed: int = 0, errors: dict[str, int] | None = None
    ) -> None:
        self.faults, self.begin, self.end = faults, T0, T0 + length
        self.random = random.Random(seed)
        self.errors = errors or {}
        self.inventory = estate()
        self.checks = list(self.inventory.checks.values())
        self.outages = {place: self._outages(place) for place in SITE_OF}
        self.breakers = {check.uid: self._breakers(check) for check in self.checks}
        self.broken = {uid: union(*(one.times for one in breakers)) for uid, breakers in self.breakers.items()}
        self.noisy = {check.uid: self._noisy(check) for check in self.checks}
        self.received = {agent: ReceivedEvents() for agent in AGENT_OF.values()}
        self._reports: dict[str, list[CheckReport]] = {}
        self._record()

    # -- what was broken

    def times(self, what: str, *where: str) -> list[Interval]:
        return union((fault.begin, fault.end) for fault in self.faults if fault.what == what and fault.where in where)

    def battery(self, place: str) -> list[Interval]:
        lasts = UPS.get(place, 0)
        return union((begin, min(begin + lasts, end)) for begin, end in self.times("power", place)) if lasts else []

    def without_power(self, place: str) -> list[Interval]:
        """When nothing there had power."""
        lasts = UPS.get(place, 0)
        return union((begin + lasts, end) for begin, end in self.times("power", place) if begin + lasts < end)

    def _outages(self, place: str) -> list[ProgramOutage]:
        agent = f"agent:{AGENT_OF[place]}"
        machine = [(begin, end + 60 * SECOND) for begin, end in self.times("machine", place)]
        dark = [
            (begin, end + 80 * SECOND) for begin, end in self.without_power(place)
        ]  # its machine takes longer to come up
        off = union(machine, dark)
        booting = [(begin, end + 15 * SECOND) for begin, end in off]
        killed, stopped = self.times("kill", place), self.times("stop", place)
        outages = []
        for begin, end in union(booting, killed, stopped):
            inside = [one for one in off if begin <= one[0] < end]
            first = min((fault.begin, fault.what) for fault in self.program_ends(place) if begin <= fault.begin < end)
            causes = (
                Breaker("power", f"power:{SITE_OF[place]}", [(b, e + 15 * SECOND) for b, e in dark]),
                Breaker("agent", agent, union(((b, e + 15 * SECOND) for b, e in machine), killed, stopped)),
            )
            outages.append(ProgramOutage(begin, end, inside[-1][1] if inside else None, first[1] == "stop", causes))
        return outages

    def program_ends(self, place: str) -> list[EstateFault]:
        dark = [EstateFault("dark", place, begin, end) for begin, end in self.without_power(place)]
        return [f for f in self.faults if f.where == place and f.what in ("machine", "kill", "stop")] + dark

    def router(self, place: str) -> list[Breaker]:
        site = SITE_OF[place]
        back = [(begin, end + 30 * SECOND) for begin, end in self.without_power(place)]
        return [
            Breaker("lan", f"lan:{site}", union(self.times("router", place), self.times("switch", place))),
            Breaker("power", f"power:{site}", back),
        ]

    def _line(self, *lines: str) -> Breaker:
        """Broken when all of these are."""
        gone = self.times("line", lines[0])
        for line in lines[1:]:
            other = self.times("line", line)
            gone = [(max(a, c), min(b, d)) for a, b in gone for c, d in other if max(a, c) < min(b, d)]
        return Breaker("wan", f"wan:{lines[0]}", gone)

    def _device(self, place: str, device: str, *services: str) -> list[Breaker]:
        root = f"device:{SITE_OF[place]}-{device}"
        return [
            Breaker("service", root, self.times("device", device)),
            Breaker("service", "", self.times("service", *services)),
            Breaker("power", f"power:{SITE_OF[place]}", self.without_power(place)),
            Breaker("lan", f"lan:{SITE_OF[place]}", self.times("switch", place)),
        ]

    def _breakers(self, check: Check) -> list[Breaker]:
        place = next(name for name, agent in AGENT_OF.items() if agent == check.agent)
        if check.link:
            far = check.site if place == "hub" else place
            return [*self.router(far), self._line(check.link), *self.router("hub")]
        match check.name:
            case "host":
                return []
            case "power" | "power-ups":  # nobody looks then: what the next boot tells
                times = [(begin, end + 80 * SECOND) for begin, end in self.without_power(place)]
                return [Breaker("power", f"power:{SITE_OF[place]}", times)]
            case "gateway":
                return self.router(place)
            case "ping-server" | "ping-web" | "ping-mail":
                return self._device(place, check.name.removeprefix("ping-"))
            case "files":
                return self._device(place, "server", "files")
            case "web-web":
                return self._device(place, "web", "web-web")
            case "smtp":
                return self._device(place, "mail", "smtp")
            case "mail":  # from c, over either line
                path = [*self.router(place), self._line(*LINES[place]), *self.router("hub")]
                return [*path, *self._device("hub", "mail", "smtp")]
            case _ if check.key == "portal":
                return self._device("hub", check.name, check.name)
        raise AssertionError(f"nobody said what breaks {check.name}")

    def _noisy(self, check: Check) -> list[Interval]:
        """When it worked badly."""
        if check.kind == "power":
            return self.battery("hub" if check.agent == "thdl" else check.agent)
        return self.times("noise", check.link) if check.link else []

    # -- what was seen

    def _record(self) -> None:
        for place, agent in AGENT_OF.items():
            outages = self.outages[place]
            runs: list[tuple[int, int, ProgramOutage | None]] = []
            at: int = self.begin
            before: ProgramOutage | None = None
            for outage in outages:
                runs.append((at, outage.begin, before))
                at, before = outage.end, outage
            runs.append((at, self.end, before))
            boots = self._events(agent, runs)
            for check in self.checks:
                if check.agent == agent:
                    self._report(check, runs, boots)

    def _events(self, agent: str, runs: list[tuple[int, int, ProgramOutage | None]]) -> list[tuple[int, int]]:
        """Of each run: when its machine booted, and how far off its times are placed."""
        booted, off = self.begin - HOUR, self._off(agent)
        starts = []
        events = self.received[agent].events
        for begin, end, before in runs:
            if before is not None and before.booted is not None:
                booted, off = before.booted, self._off(agent)
            if before is not None and begin < self.end:
                data: dict[str, object] = {"clean": before.clean, "boot_ms": begin - booted}
                events.append((begin + off, "agent start", data))
            starts.append((booted, off))
            after = next((one for one in self.outages[self.place(agent)] if one.begin == end), None)
            if after is not None and after.clean:
                events.append((end + off, "agent stop", {"boot_ms": end - booted}))
        return starts

    def place(self, agent: str) -> str:
        return next(place for place, name in AGENT_OF.items() if name == agent)

    def _off(self, agent: str) -> int:
        error = self.errors.get(agent, 0)
        return self.random.randint(-error, error)

    def _report(
        self, check: Check, runs: list[tuple[int, int, ProgramOutage | None]], boots: list[tuple[int, int]]
    ) -> None:
        reports = self._reports[check.uid] = []
        broken, noisy = self.broken[check.uid], self.noisy[check.uid]
        for (begin, end, before), (booted, off) in zip(runs, boots, strict=True):
            if before is not None and not before.clean and before.booted is not None and check.kind == "power":
                reports.append(CheckReport(booted=booted + off))
            looks = self._looks_of_run(check, begin, min(end, self.end), broken, noisy)
            if looks:
                reports.append(CheckReport(looks=tuple((at + off, state) for at, state in looks)))
            after = next((one for one in self.outages[self.place(check.agent)] if one.begin == end), None)
            if after is not None and after.clean:
                reports.append(CheckReport(stopped=end + off))

    def spans(self, uid: str, until: int | None = None) -> list[Span]:
        """The check's ledger, of what its agent had told ``until`` then (all, if not given)."""
        check = self.inventory.checks[uid]
        limit = self.end + HOUR if until is None else until
        error = self.errors.get(check.agent, 0)
        closed: list[Span] = []
        tail: LedgerTail | None = None
        for report in self._reports[uid]:
            if report.at > limit:
                break
            if report.booted is not None:
                _power_lost(tail, closed, report.booted, error)
            elif report.stopped is not None and tail is not None:
                at = max(report.stopped, tail.last)
                step(tail, closed, UNKNOWN, at, at, tail.hold, error, 1, "agent stopped")
            elif report.looks:
                looks = [(at, state) for at, state in report.looks if at <= limit]
                if tail is not None:
                    looks = [(max(at, tail.last), state) for at, state in looks]
                deltas = [b - a for (a, _), (b, _) in pairwise(looks)]
                tail = apply_slice(tail, closed, looks[0][0], deltas, bytes(s for _, s in looks), check.hold, error)
        return history(closed, tail, min(self.end, limit) if until is not None else self.end)

    def last_look(self, agent: str, until: int | None = None) -> int:
        """The newest look of all that an agent had told until then, as placed."""
        limit = self.end + HOUR if until is None else until
        uids = [check.uid for check in self.checks if check.agent == agent]
        looks = (at for uid in uids for report in self._reports[uid] for at, _ in report.looks if at <= limit)
        return max(looks, default=self.begin)

    def _looks_of_run(
        self, check: Check, begin: int, end: int, broken: list[Interval], noisy: list[Interval]
    ) -> list[tuple[int, int]]:
        """The looks of one run: every interval, and soon again after a change and while it is down."""
        looks: list[tuple[int, int]] = []
        at = begin + self.random.randrange(min(check.interval, 10_000))
        was, delay = -1, check.interval
        while at < end:
            state = DOWN if covers(broken, at) else DEGRADED if covers(noisy, at) else UP
            looks.append((at, state))
            if state != was and was >= 0:
                delay = check.recheck
            elif state == DOWN:
                delay = min(delay * 3 // 2, 2 * check.recheck)
            else:
                delay = min(delay * 3 // 2, check.interval)
            was = state
            at += delay
        return looks

    # -- what is true

    def truth(self, check: Check, at: int, state: int) -> set[tuple[str, str]]:
        """(cause, root) of all that keeps the check from being up (of ``state`` unknown: from being looked at)."""
        if state == UNKNOWN:
            return self.absence_causes(self.place(check.agent), at)
        if state == DEGRADED:
            if not covers(self.noisy[check.uid], at):
                return set()
            if check.kind == "power":
                return {("power", f"power:{SITE_OF[self.place(check.agent)]}")}
            return {("wan", f"wan:{check.link}")}
        causes = set()
        for one in self.breakers[check.uid]:
            if covers(one.times, at):
                causes.add((one.cause, one.root or f"service:{check.uid}"))
        return causes

    def alive(self, place: str, at: int) -> bool:
        """Whether the agent there looked, and had looked a moment before."""
        return not any(one.begin <= at < one.end + 90 * SECOND for one in self.outages[place])

    def router_silent(self, place: str, at: int) -> bool:
        """Whether the router there did not answer, or had not a moment before."""
        return any(begin <= at < end + 30 * SECOND for one in self.router(place) for begin, end in one.times)

    def router_without_power(self, place: str) -> list[Interval]:
        """When its router was without power or coming up after it."""
        return self.router(place)[1].times

    def absence_causes(self, place: str, at: int) -> set[tuple[str, str]]:
        """Why a program was not there; empty if it was."""
        for outage in self.outages[place]:
            if outage.begin <= at < outage.end:
                return {(one.cause, one.root) for one in outage.causes if covers(one.times, at)}
        return set()


def _power_lost(tail: LedgerTail | None, closed: list[Span], booted: int, error: int) -> None:
    """As ingest does when a machine that was last seen on battery boots anew without a clean stop."""
    if tail is None or tail.state != DEGRADED or tail.last >= booted:
        return
    hold, tail.hold = tail.hold, max(tail.hold, booted - tail.last)
    step(tail, closed, DOWN, booted, booted, hold, error, 1, "probably without power")


# -- what could be known


class Decidability:
    """Which moments of a world its evidence decides: those for which what was seen fits no other single story.

    Told from the truth: which agents lived to see what. Deliberately strict about what counts as seen, and it asks
    nothing of how verdicts are made.
    """

    def __init__(self, world: EstateHistory) -> None:
        self.world = world
        self._watched_cache: dict[tuple[str, int, int], bool] = {}

    def decided(self, check: Check, at: int, state: int) -> bool:
        world = self.world
        place = world.place(check.agent)
        if state == DEGRADED:
            return True  # its own measure, or the line's: both are named by what is measured
        if state == UNKNOWN:
            return self._absence_decided(place, at)
        far = check.site if place == "hub" and check.site in LINES else place
        return any(self._is_proven(check, cause, place, far, at) for cause, _ in world.truth(check, at, DOWN))

    def _is_proven(self, check: Check, cause: str, place: str, far: str, at: int) -> bool:
        """Whether something saw that it was this and no other thing on the way."""
        world = self.world
        if cause == "service":
            quiet = not world.router_silent(place, at)
            return quiet and (check.name != "mail" or (self._line_works(at) and not world.router_silent("hub", at)))
        if cause == "lan" and not check.link and check.name != "mail":
            return check.name == "gateway" or self._switch_alone(place, at)
        if cause == "lan":
            broken = [one for one in {place, far, "hub"} if world.router_silent(one, at)]
            return any(world.alive(one, at) for one in broken)
        if cause == "wan":
            ends = {place, far, "hub"}
            return all(world.alive(end, at) and not world.router_silent(end, at) for end in ends)
        dark = next((one for one in (far, place, "hub") if covers(world.router_without_power(one), at)), None)
        return dark is not None and self._power_loss_seen(dark, at)

    def _line_works(self, at: int) -> bool:
        return not all(covers(self.world.times("line", line), at) for line in LINES["c"])

    def _switch_alone(self, place: str, at: int) -> bool:
        """The router and all beside it went at one moment: two faults of their own would have to coincide."""
        begun = next((begin for begin, end in self.world.times("switch", place) if begin <= at < end), None)
        if begun is None:
            return False
        others = [*self.world.times("router", place), *self.world.times("device", "server")]
        return not any(begin - 2 * MINUTE < at and begun < end + 2 * MINUTE for begin, end in others)

    def _absence_decided(self, place: str, at: int) -> bool:
        outage = next((one for one in self.world.outages[place] if one.begin <= at < one.end), None)
        if outage is None:
            return False
        whats = {fault.what for fault in self.world.program_ends(place) if self._within(fault, outage)}
        if whats <= {"kill", "stop"}:
            return True
        if whats == {"dark"}:
            return self._power_loss_seen(place, outage.begin)
        return whats == {"machine"} and self._watched(place, outage.begin - 90 * SECOND, outage.begin + 90 * SECOND)

    @staticmethod
    def _within(fault: EstateFault, outage: ProgramOutage) -> bool:
        return outage.begin <= fault.begin < outage.end

    def _power_loss_seen(self, place: str, at: int) -> bool:
        """On battery while somebody looked; or seen from outside to go, and to be gone until its machine booted."""
        world = self.world
        outage = next((one for one in world.outages[place] if one.begin <= at < one.end), None)
        if outage is None or {f.what for f in world.program_ends(place) if self._within(f, outage)} != {"dark"}:
            return False
        if place in UPS:
            return all(world.alive(place, outage.begin - back * SECOND) for back in (90, 60, 30, 1))
        return self._watched(place, outage.begin - 90 * SECOND, outage.end + 90 * SECOND)

    def _watched(self, place: str, begin: int, end: int) -> bool:
        """Whether the centre could see the site all the time, but for the site itself."""
        key = place, begin, end
        if key not in self._watched_cache:
            self._watched_cache[key] = self._watch(place, begin, end)
        return self._watched_cache[key]

    def _watch(self, place: str, begin: int, end: int) -> bool:
        world = self.world
        if place == "hub":
            return False
        times = range(begin, end, 15 * SECOND)
        if not all(world.alive("hub", at) and not world.router_silent("hub", at) for at in times):
            return False
        faulty = union(world.times("router", place), world.times("switch", place))
        faulty = union(faulty, *(world.times("line", line) for line in LINES[place]))
        return not any(b < end and begin < e for b, e in faulty)


# -- at random


def random_faults(dice: random.Random, length: int) -> list[EstateFault]:
    """One to four faults, anywhere, overlapping as it happens; one in eight comes and goes."""
    faults: list[EstateFault] = []
    for _ in range(dice.choice((1, 1, 2, 2, 3, 4))):
        fault = _random_fault(dice, length)
        faults += (
            _flapping(dice, fault) if fault.what in ("line", "router", "service") and not dice.randrange(8) else [fault]
        )
    return faults


def _flapping(dice: random.Random, fault: EstateFault) -> list[EstateFault]:
    """Broken and whole by turns, a quarter of a minute to two minutes each."""
    turns, at = [], fault.begin
    while at < fault.end:
        end = at + dice.randrange(15 * SECOND, 2 * MINUTE)
        turns.append(msgspec.structs.replace(fault, begin=at, end=min(end, fault.end)))
        at = end + dice.randrange(15 * SECOND, 2 * MINUTE)
    return turns


def _random_fault(dice: random.Random, length: int) -> EstateFault:
    what = dice.choices(
        ("line", "noise", "router", "switch", "power", "machine", "kill", "stop", "device", "service"),
        (24, 6, 10, 4, 18, 8, 6, 6, 8, 8),
    )[0]
    begin = T0 + dice.randrange(5 * MINUTE, length - 12 * MINUTE)
    lasts = dice.choice((90 * SECOND, 4 * MINUTE, 9 * MINUTE, 20 * MINUTE))
    end = min(begin + dice.randrange(lasts // 2, lasts), T0 + length - 6 * MINUTE)
    places = ("a", "b", "c", "a", "b", "c", "hub")
    match what:
        case "line" | "noise":
            where = dice.choice(("a", "b", "c-one", "c-two"))
        case "device":
            where = dice.choice(("server", "web", "mail"))
        case "service":
            where = dice.choice(("files", "web-web", "smtp", "a.portal"))
        case "switch":
            where = dice.choice(("a", "b", "c"))
        case "kill":
            where, end = dice.choice(places), min(end, begin + 5 * MINUTE)
        case _:
            where = dice.choice(places)
    return EstateFault(what, where, begin, end)


def random_world(seed: int, length: int = HOUR) -> EstateHistory:
    """A history by its number: the same number, the same history."""
    dice = random.Random(seed)
    faults = random_faults(dice, length)
    errors = {agent: dice.choice((0, 0, 20, 20, 200, 200, 2_000, 20_000)) for agent in AGENT_OF.values()}
    return EstateHistory(faults, length, seed, errors)


def published(state: int, since: int, first: int, last: int, last_state: int) -> CheckStatus:
    """What is published of a check whose last look, at ``last``, found ``last_state`` since ``first``."""
    return CheckStatus(
        state=state, since=since, first_look=first, last_look=last, last_state=last_state, looks=1, reason=""
    )
