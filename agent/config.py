"""The agent's own file, ``/etc/haidang/agent.yaml``. All of it is optional; none of it can come from a plan."""

import ipaddress
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from agent import credentials
from agent.credentials import Credentials
from agent.probe import Limits
from inventory.problems import NOWHERE, Invalid, Place, Problem
from inventory.words import Secret, Size

DEFAULT_FILE: Final = Path("/etc/haidang/agent.yaml")

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
    """Where backup jobs tell how they went. Nothing listens there yet."""

    listen: str = "127.0.0.1:8441"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``agent.yaml``. ``credentials``: what checks name to be let in, see agent.credentials."""

    state_dir: Path = Path("/var/lib/haidang-agent")
    limits: LimitsSettings = LimitsSettings()
    log: LogSettings = LogSettings()
    spool: SpoolSettings = SpoolSettings()
    pings: PingSettings = PingSettings()
    credentials: dict[str, dict[str, Secret]] = {}
    at: Place = NOWHERE

    def known_credentials(self) -> Credentials:
        return Credentials(self.credentials, self.at.file or str(DEFAULT_FILE))


def load(path: Path | None, state_dir: Path | None = None) -> Settings:
    """The settings; ``state_dir`` overrides the file's. Without a path, the default file if there is one.

    Raises inventory.problems.Invalid with all that is wrong.
    """
    settings = Settings()
    if path is not None or (state_dir is None and DEFAULT_FILE.exists()):
        settings = _read(path or DEFAULT_FILE)
    return msgspec.structs.replace(settings, state_dir=state_dir) if state_dir is not None else settings


def _read(path: Path) -> Settings:
    # YAML is loaded for this alone: an agent without a file of its own does without
    from inventory import settings

    try:
        found = settings.read(path, Settings)
    except Invalid as error:
        raise Invalid(map(_hushed, error.problems)) from None
    try:
        found.limits.parsed()
    except ValueError:
        raise Invalid(_bad_networks(path)) from None
    named, problems = credentials.resolved(found.credentials, found.at)
    if problems:
        raise Invalid(problems)
    return msgspec.structs.replace(found, credentials=named)


def _hushed(problem: Problem) -> Problem:
    """A mistake among the credentials is told without what stands there."""
    if not problem.key.startswith("credentials") or "found" not in problem.message:
        return problem
    message = "ought to be a mapping of names, each to a mapping such as {community_file: PATH}"
    return msgspec.structs.replace(problem, message=message)


def _bad_networks(path: Path) -> list[Problem]:
    from inventory import tree

    problems: list[Problem] = []
    root = tree.read(path, str(path), problems)
    limits = root.items.get("limits") if isinstance(root, tree.Mapping) else None
    networks = limits.items.get("networks") if isinstance(limits, tree.Mapping) else None
    for place, node in enumerate(networks.items if isinstance(networks, tree.List) else ()):
        try:
            ipaddress.ip_network(node.text if isinstance(node, tree.Scalar) else "")
        except ValueError as error:
            problems.append(Problem(str(path), node.line, f"limits.networks[{place}]", str(error)))
    return problems
