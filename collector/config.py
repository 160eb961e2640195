"""The collector's configuration, ``/etc/haidang/collector.yaml``: read by the inventory's rules, mistakes named."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from alerts.channels.config import ChannelSettings
from collector.budgets import BudgetsConfig
from inventory.base.problems import Invalid, Problem
from inventory.base.text import clean_line
from inventory.base.types import Duration, Secret
from inventory.yaml import settings

USER_NAME = r"^[^:\s\x00-\x1f\x7f]([^:\x00-\x1f\x7f]*[^:\s\x00-\x1f\x7f])?$"
PROGRAMS = ("agent ", "the ", "an unknown ")  # so begin the names that the audit gives to who is no person
DEFAULT = Path("/etc/haidang/collector.yaml")
DAY = 86_400_000
HOUR = 3_600_000
Port = int
Role = Literal["viewer", "operator", "admin"]
Scope = Literal["metrics", "read", "write"]


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
    ``trusted_authorities``: PEM files with the CAs of other collectors (``STATE/pki/ca.pem`` there, which is public).
    Who holds a certificate of one of them is an agent here too, and plans that were served there count here: for a
    standby, and for a collector whose own CA had to be made anew.
    ``renewals_per_day``: how often an agent's certificate is renewed in a day at the most.
    """

    listen: str = "0.0.0.0:8443"
    url: str = ""
    names: tuple[str, ...] = ()
    certificate_life: Duration = 90 * DAY
    trusted_authorities: tuple[Path, ...] = ()
    renewals_per_day: Annotated[int, msgspec.Meta(ge=1)] = 4


class OperatorUser(msgspec.Struct, frozen=True, kw_only=True):
    """A person. ``password``: a hash made by ``haidang-collector password``, never the password.

    ``role``: viewer looks; operator also acknowledges, snoozes, comments and closes; admin also reads the audit. Who
    stands in this file without a role is admin, as before there were roles.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=USER_NAME)]
    password: Secret
    role: Role = "admin"


class OperatorToken(msgspec.Struct, frozen=True, kw_only=True):
    """A program. ``token``: at least 20 characters, best as ``token_file``.

    ``scope``: metrics reads /metrics and nothing else; read reads everything that a viewer does; write does what an
    operator does.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    token: Secret
    scope: Scope = "read"


class ProxyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A reverse proxy in front of the operators' listener. Nothing that it says counts from elsewhere.

    ``addresses``: from where it connects, addresses or networks: whoever can connect from there is believed, so on a
    machine with other users let it not be the loopback. From there ``X-Forwarded-For``, ``-Proto`` and ``-Host`` are
    taken. ``user_header``: the header in which it says who logged in there; it has to remove that header from what
    clients send. Such a person has the role of the user of that name, else ``role``; without one, nobody else gets in.
    """

    addresses: tuple[str, ...] = ()
    user_header: str = ""
    role: Role | None = None


class OperatorsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The operators' listener: pages, API, metrics. Off loopback only with users or tokens, people by TLS or a proxy.

    ``users_file``: what ``haidang-collector user`` writes (``users.yaml`` in ``state_dir``). ``certificate`` and
    ``key`` (PEM files) make it HTTPS. ``names``: host names and addresses by which browsers and programs ask for it,
    besides the address it is reached at, ``localhost`` on loopback and the name in ``alerts.url``. ``session_idle``,
    ``session_life``: how long a login lasts unused, and at all.
    """

    listen: str = "127.0.0.1:8440"
    users: tuple[OperatorUser, ...] = ()
    users_file: Path | None = None
    tokens: tuple[OperatorToken, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    names: tuple[str, ...] = ()
    proxy: ProxyConfig = ProxyConfig()
    session_idle: Duration = 12 * HOUR
    session_life: Duration = 7 * DAY


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
    def users_file(self) -> Path:
        """Where the users are whom ``haidang-collector user`` knows."""
        return self.operators.users_file or self.state_dir / "users.yaml"

    @property
    def operators_names(self) -> tuple[str, ...]:
        """Names of the operators' listener: those given, and the one that links in mails have."""
        host = urlsplit(self.alerts.url).hostname if self.alerts.url else None
        return (*self.operators.names, host) if host else self.operators.names

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


def why_nobodys_name(name: str) -> str:
    """Why the audit and the pages could not name a person so, as the end of a sentence; or ""."""
    if clean_line(name) != name:
        return "holds what cannot be seen"
    return "is how the audit names programs" if name.startswith(PROGRAMS) else ""


def _semantic_mistakes(config: CollectorConfig) -> list[tuple[str, str]]:
    """What single values cannot show."""
    mistakes: list[tuple[str, str]] = []
    for key, text in (("agents.listen", config.agents.listen), ("operators.listen", config.operators.listen)):
        try:
            address = parse_address(text)
        except ValueError as error:
            mistakes.append((key, str(error)))
            continue
        if key == "operators.listen" and not address.loopback:
            mistakes += [(key, f"{text} {why}") for why in _exposed(config)]
    mistakes += _operators_mistakes(config.operators)
    mistakes += ((f"budgets{key}", message) for key, message in config.budgets.mistakes())
    if config.agents.certificate_life < DAY:
        mistakes.append(("agents.certificate_life", "is less than a day"))
    return mistakes


def _exposed(config: CollectorConfig) -> list[str]:
    """Why the operators' listener may not listen off loopback as it is."""
    operators = config.operators
    people = bool(operators.users or operators.proxy.user_header or _may_exist(config.users_file))
    if not people and not operators.tokens:
        return ["is not this machine's loopback: give users or tokens first, so that not everybody may look"]
    if operators.certificate is not None or operators.proxy.addresses:
        return []
    way_out = (
        "give operators.certificate and key, or listen on loopback behind a reverse proxy and name it in "
        "operators.proxy.addresses"
    )
    if people:
        return [f"is not this machine's loopback, and passwords would cross the network in clear: {way_out}"]
    if any(token.scope == "write" for token in operators.tokens):
        return [f"is not this machine's loopback, and a token that may write would cross it in clear: {way_out}"]
    return []


def _may_exist(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:  # who reads this may not look there: the service may
        return True


def _operators_mistakes(operators: OperatorsConfig) -> list[tuple[str, str]]:
    mistakes: list[tuple[str, str]] = []
    for user in operators.users:
        if not user.password.startswith("scrypt:"):
            words = f"the password of {user.name} is not a hash; make one with haidang-collector password"
            mistakes.append(("operators.users", words))
    for token in operators.tokens:
        if len(token.token) < 20:
            mistakes.append(("operators.tokens", f"the token of {token.name} is shorter than 20 characters"))
    names = [*(user.name for user in operators.users), *(token.name for token in operators.tokens)]
    mistakes += (("operators", f"the name {name!r} {why}") for name in names if (why := why_nobodys_name(name)))
    for name in sorted({name for name in names if names.count(name) > 1}):
        mistakes.append(("operators", f"two of the users and tokens are called {name}: the audit could not tell them"))
    if (operators.certificate is None) != (operators.key is None):
        mistakes.append(("operators", "certificate and key go together"))
    for text in operators.proxy.addresses:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            mistakes.append(("operators.proxy.addresses", f"{text!r} is not an address or a network"))
    if operators.proxy.user_header and not operators.proxy.addresses:
        mistakes.append(("operators.proxy.user_header", "counts from the proxy alone: give its addresses"))
    if not operators.session_idle or not operators.session_life:
        mistakes.append(("operators", "a session that lasts no time lets nobody in"))
    return mistakes
