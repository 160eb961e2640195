"""The collector's configuration, ``/etc/haidang/collector.yaml``: read by the inventory's rules, mistakes named."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from alerts.channels.config import ChannelSettings
from collector.budgets import BudgetsConfig
from inventory.base.problems import Invalid, Problem
from inventory.base.types import Duration, Secret
from inventory.yaml import settings

DEFAULT = Path("/etc/haidang/collector.yaml")
DAY = 86_400_000
Port = int


class CommandFailed(Exception):
    """Why a command did not do what it was asked, in words for the person who asked."""


class ListenAddress(msgspec.Struct, frozen=True):
    """An address to listen at."""

    host: str
    port: Port

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class AgentsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The agents' listener.

    ``names``: host names and addresses, besides "haidang-collector", in its certificate (agents need none of them).
    ``url``: how agents reach it, for the enrolment command that ``haidang-collector code`` prints.
    """

    listen: str = "0.0.0.0:8443"
    url: str = ""
    names: tuple[str, ...] = ()
    certificate_life: Duration = 90 * DAY


class OperatorUser(msgspec.Struct, frozen=True, kw_only=True):
    """A person who may look. ``password``: a hash made by ``haidang-collector password``, never the password."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern="^[^:]+$")]
    password: Secret


class OperatorToken(msgspec.Struct, frozen=True, kw_only=True):
    """A program that may look, Prometheus for one. ``token``: at least 20 characters, best as ``token_file``."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    token: Secret


class OperatorsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The operators' listener: pages, API, metrics. Off loopback only with ``users`` or ``tokens``.

    ``certificate`` and ``key`` (PEM files) make it HTTPS.
    """

    listen: str = "127.0.0.1:8440"
    users: tuple[OperatorUser, ...] = ()
    tokens: tuple[OperatorToken, ...] = ()
    certificate: Path | None = None
    key: Path | None = None

    @property
    def guarded(self) -> bool:
        return bool(self.users or self.tokens)


class LogConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One line an event, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class CollectorConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. Relative paths are relative to the file."""

    state_dir: Path = Path("/var/lib/haidang-collector")
    inventory: Path = Path("/etc/haidang/inventory")
    agents: AgentsConfig = AgentsConfig()
    operators: OperatorsConfig = OperatorsConfig()
    alerts: ChannelSettings = ChannelSettings()
    budgets: BudgetsConfig = BudgetsConfig()
    log: LogConfig = LogConfig()

    @property
    def database(self) -> Path:
        return self.state_dir / "collector.db"

    @property
    def keys(self) -> Path:
        return self.state_dir / "pki"

    @property
    def notification_log(self) -> Path:
        """The journal of sent mails: beside the database, so that putting that back does not put this back."""
        return self.state_dir / "sent"

    @property
    def revocations_file(self) -> Path:
        return self.state_dir / "revoked.jsonl"


def read(path: Path) -> CollectorConfig:
    """The settings in a file. Raises inventory.base.problems.Invalid with all that is wrong with them."""
    config = settings.read_settings(path, CollectorConfig)
    problems = [Problem(str(path), 0, key, message) for key, message in _semantic_mistakes(config)]
    if problems:
        raise Invalid(problems)
    return config


def parse_address(text: str) -> ListenAddress:
    """From "HOST:PORT" or "[IPV6]:PORT". Raises ValueError in words."""
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not host or not port.isdecimal() or int(port) > 65535 or (":" in host and "[" not in text):
        raise ValueError(f"{text!r} is not an address to listen at; write it like 127.0.0.1:8440 or [::1]:8440")
    return ListenAddress(host, int(port))


def _semantic_mistakes(config: CollectorConfig) -> list[tuple[str, str]]:
    """What single values cannot show."""
    mistakes: list[tuple[str, str]] = []
    for key, text in (("agents.listen", config.agents.listen), ("operators.listen", config.operators.listen)):
        try:
            address = parse_address(text)
        except ValueError as error:
            mistakes.append((key, str(error)))
            continue
        if key == "operators.listen" and not address.loopback and not config.operators.guarded:
            message = "is not this machine's loopback: give users or tokens first, so that not everybody may look"
            mistakes.append((key, f"{text} {message}"))
    for user in config.operators.users:
        if not user.password.startswith("scrypt:"):
            mistakes.append(
                (
                    "operators.users",
                    f"the password of {user.name} is not a hash; make one with haidang-collector password",
                )
            )
    for token in config.operators.tokens:
        if len(token.token) < 20:
            mistakes.append(("operators.tokens", f"the token of {token.name} is shorter than 20 characters"))
    if (config.operators.certificate is None) != (config.operators.key is None):
        mistakes.append(("operators", "certificate and key go together"))
    mistakes += ((f"budgets{key}", message) for key, message in config.budgets.mistakes())
    if config.agents.certificate_life < DAY:
        mistakes.append(("agents.certificate_life", "is less than a day"))
    return mistakes
