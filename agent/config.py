"""The agent's own file, ``/etc/haidang/agent.yaml``. All of it is optional; none of it can come from a plan."""

import ipaddress
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from agent.probe import Limits
from inventory.problems import Invalid, Problem
from inventory.words import Size

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
    """``agent.yaml``."""

    state_dir: Path = Path("/var/lib/haidang-agent")
    limits: LimitsSettings = LimitsSettings()
    log: LogSettings = LogSettings()
    spool: SpoolSettings = SpoolSettings()
    pings: PingSettings = PingSettings()


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

    found = settings.read(path, Settings)
    try:
        found.limits.parsed()
    except ValueError:
        raise Invalid(_bad_networks(path)) from None
    return found


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
