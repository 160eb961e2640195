"""The agent's settings from its own file, ``/etc/haidang/agent.yaml``. All optional; none can come from a plan."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from agent import credentials
from agent.credentials import Credentials
from agent.probe import Limits
from inventory.base.problems import NOWHERE, Invalid, Place, Problem
from inventory.base.types import CredentialValue, Duration, Secret, Size
from inventory.grammars.job_names import why_not_a_job_name

DEFAULT_FILE: Final = Path("/etc/haidang/agent.yaml")

LEAST_TOKEN: Final = 16  # characters

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class LimitsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What this agent may touch, whatever its plan says. An empty list: no limit of that sort."""

    networks: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    directories: tuple[Path, ...] = ()

    def parsed(self) -> Limits:
        """Raises ValueError for a network that is none."""
        return Limits(
            tuple(ipaddress.ip_network(network) for network in self.networks),
            self.ports,
            tuple(str(directory) for directory in self.directories),
        )


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the agent logs, to standard error: one line an event."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class SpoolSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``limit``: bytes the spool may take on the disk; past it, old results are folded."""

    limit: Size = 256 << 20


class PingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where backup jobs tell how they went, while the plan has any.

    ``listen``: on the loopback, where anybody on this machine may ping. ``socket``: a Unix socket beside it; without
    one, ``pings.sock`` in ``state_dir``. ``lan``: an address for other machines of the LAN, which need the ``token``
    (at least 16 characters, best as ``token_file``). ``names``: names under which jobs ask for ``listen``, besides
    ``localhost`` and its address. ``waiting``: a directory that all users may write to (mode 1733),
    for pings of ``haidang-agent job`` while the agent is down.
    """

    listen: str = "127.0.0.1:8441"
    socket: Path | None = None
    lan: str = ""
    token: Secret = Secret()
    names: tuple[str, ...] = ()
    waiting: Path | None = None

    @staticmethod
    def address(text: str) -> tuple[str, int]:
        """Host and port of "127.0.0.1:8441" or "[::1]:8441". Raises ValueError in words."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise ValueError(f"{text!r} is not an address and a port such as 127.0.0.1:8441")
        try:
            return str(ipaddress.ip_address(host.strip("[]"))), int(port)
        except ValueError:
            raise ValueError(f"{host!r} is not an IP address") from None

    def problems(self) -> Iterator[tuple[str, str]]:
        """(key, what is wrong)."""
        for key, text in (("listen", self.listen), ("lan", self.lan)):
            try:
                host = self.address(text)[0] if text or key == "listen" else ""
            except ValueError as error:
                yield f"pings.{key}", str(error)
                continue
            if key == "listen" and not ipaddress.ip_address(host).is_loopback:
                yield "pings.listen", "anybody may ping there, so it has to be a loopback address; for the LAN: lan"
        if self.lan and len(self.token) < LEAST_TOKEN:
            yield "pings.token", f"pings from the LAN need a token of at least {LEAST_TOKEN} characters"


class DrillLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a restore drill may take: time, CPU time (all its processes), space in its scratch directory."""

    time: Duration = 3_600_000
    cpu: Duration = 3_600_000
    space: Size = 10 << 30


class DrillSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A restore drill: a command, run in an empty scratch directory into which it restores a backup.

    ``every``, ``cron`` or ``oncalendar``: when it is due (none of them: only by ``haidang-agent drill NAME run``).
    ``scratch``: where the scratch directory is made; without one, in ``state_dir``. ``least_files``: fewer files there
    in the end are a failed drill.
    """

    command: tuple[str, ...]
    every: str = ""
    cron: str = ""
    oncalendar: str = ""
    time_zone: str = ""
    limits: DrillLimits = DrillLimits()
    scratch: Path | None = None
    least_files: int = 1

    @property
    def planned(self) -> bool:
        return bool(self.every or self.cron or self.oncalendar)

    def problems(self) -> Iterator[tuple[str, str]]:
        """(key, what is wrong)."""
        if not self.command or not self.command[0]:
            yield "command", "what is to be run is missing"
        if self.least_files < 0:
            yield "least_files", "cannot be less than 0"
        for key, value in (("time", self.limits.time), ("cpu", self.limits.cpu), ("space", self.limits.space)):
            if value <= 0:
                yield f"limits.{key}", "has to be more than 0"
        if self.planned:
            from inventory.grammars.schedule import BadSchedule, ensure_possible, schedule_of

            try:
                ensure_possible(schedule_of(self.every, self.cron, self.oncalendar, self.time_zone))
            except BadSchedule as error:
                yield "every" if self.every else "cron" if self.cron else "oncalendar", str(error)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``agent.yaml``. ``credentials``: what checks name to be let in, see agent.credentials.

    ``site_networks``: the site's own networks beside those that this machine is connected to; a credential that names
    no hosts goes nowhere else.
    """

    state_dir: Path = Path("/var/lib/haidang-agent")
    limits: LimitsSettings = LimitsSettings()
    log: LogSettings = LogSettings()
    spool: SpoolSettings = SpoolSettings()
    pings: PingSettings = PingSettings()
    drills: dict[str, DrillSettings] = {}
    credentials: dict[str, dict[str, CredentialValue]] = {}
    site_networks: tuple[str, ...] = ()
    at: Place = NOWHERE

    @property
    def ping_socket(self) -> Path | None:
        return self.pings.socket or self.state_dir / "pings.sock"

    @property
    def waiting_pings(self) -> tuple[Path, ...]:
        """Where pings wait that the agent was not there to hear."""
        own = self.state_dir / "probes" / "job" / "waiting"
        return (own, self.pings.waiting) if self.pings.waiting is not None else (own,)

    def make_credentials(self) -> Credentials:
        return Credentials(
            self.credentials,
            self.at.file or str(DEFAULT_FILE),
            tuple(ipaddress.ip_network(network) for network in self.site_networks),
        )


def load(path: Path | None, state_dir: Path | None = None) -> Settings:
    """The settings; ``state_dir`` overrides the file's. Without a path, the default file if there is one.

    Raises inventory.base.problems.Invalid with all that is wrong.
    """
    settings = Settings()
    if path is not None or (state_dir is None and DEFAULT_FILE.exists()):
        settings = _read(path or DEFAULT_FILE)
    return msgspec.structs.replace(settings, state_dir=state_dir) if state_dir is not None else settings


def _read(path: Path) -> Settings:
    # YAML is loaded for this alone: an agent without a file of its own does without
    from inventory.yaml import settings

    try:
        parsed = settings.read_settings(path, Settings)
    except Invalid as error:
        raise Invalid(map(_redacted, error.problems)) from None
    if bad_networks := _bad_networks(path):
        raise Invalid(bad_networks)
    resolved, problems = credentials.resolve(parsed.credentials, parsed.at)
    problems += [parsed.at.problem(key, message) for key, message in _section_problems(parsed)]
    if problems:
        raise Invalid(problems)
    return msgspec.structs.replace(parsed, credentials=resolved)


def _section_problems(parsed: Settings) -> Iterator[tuple[str, str]]:
    yield from parsed.pings.problems()
    for name, drill in parsed.drills.items():
        if why := why_not_a_job_name(name):
            yield f"drills.{name}", why
        for key, message in drill.problems():
            yield f"drills.{name}.{key}", message


def _redacted(problem: Problem) -> Problem:
    """A mistake among the credentials is told without what stands there."""
    if not problem.key.startswith("credentials") or "found" not in problem.message:
        return problem
    message = "ought to be a mapping of names, each to a mapping such as {community_file: PATH}"
    return msgspec.structs.replace(problem, message=message)


def _bad_networks(path: Path) -> list[Problem]:
    from inventory.yaml import nodes

    problems: list[Problem] = []
    root = nodes.read(path, str(path), problems)
    top = root.items if isinstance(root, nodes.MappingNode) else {}
    limits = top.get("limits")
    lists = {
        "limits.networks": limits.items.get("networks") if isinstance(limits, nodes.MappingNode) else None,
        "site_networks": top.get("site_networks"),
    }
    for key, networks in lists.items():
        for place, node in enumerate(networks.items if isinstance(networks, nodes.ListNode) else ()):
            try:
                ipaddress.ip_network(node.text if isinstance(node, nodes.ScalarNode) else "")
            except ValueError as error:
                problems.append(Problem(str(path), node.line, f"{key}[{place}]", str(error)))
    return problems
