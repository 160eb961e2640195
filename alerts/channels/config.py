"""Settings of the notification channels: mail relays, webhook, dead-man's ping, Alertmanagers.

Section ``alerts`` of the collector's file. Any secret may be given as ``KEY_file``; every mistake names its line.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from inventory.base.problems import Invalid, Problem
from inventory.base.types import Duration, Secret
from inventory.model.alerting import DAY, MINUTE
from inventory.yaml import nodes, reader
from inventory.yaml.scalars import Source

ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,253}", re.ASCII)
DEFAULT_PORTS = {"starttls": 587, "tls": 465, "none": 25}


class RelaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """A mail server that takes mail for others. ``tls``: starttls (port 587 by default), tls from the first byte (465)
    or none (25). ``ca``: PEM file with the authorities, or the very certificate, to trust instead of the machine's.
    ``verify``: false takes any certificate, and then no password is given to it. ``timeout``: for the way up to the
    login, and again for each mail. ``helo``: the name to greet with."""

    host: Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^\S+$")]
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: Secret = Secret("")
    ca: Path | None = None
    verify: bool = True
    timeout: Duration = 30_000
    helo: Annotated[str, Meta(max_length=253, pattern=r"^[A-Za-z0-9.-]+$")] = ""

    def __post_init__(self) -> None:
        if bool(self.user) != bool(self.password):
            raise ValueError("user and password go together")
        if self.user and self.tls == "none":
            raise ValueError("a password goes only over TLS: tls ought to be starttls or tls")
        if self.user and not self.verify:
            raise ValueError("a password goes only to a verified server: give its certificate as ca, not verify: false")
        if self.tls == "none" and self.ca is not None:
            raise ValueError("ca is of no use with tls: none")
        _check_between("timeout", self.timeout, 1_000, 10 * MINUTE)

    @property
    def effective_port(self) -> int:
        """The port."""
        return self.port or DEFAULT_PORTS[self.tls]

    @property
    def name(self) -> str:
        return f"[{self.host}]:{self.effective_port}" if ":" in self.host else f"{self.host}:{self.effective_port}"


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where critical alerts go when mail has failed for ``after``; see :mod:`alerts.channels.webhook` for what is
    posted.

    ``header`` with ``value``: one header more, for a token. ``url`` may hold a secret itself: ``url_file``."""

    url: Secret
    header: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]+$", max_length=100)] = ""
    value: Secret = Secret("")
    after: Duration = 5 * MINUTE
    ca: Path | None = None
    timeout: Duration = 10_000

    def __post_init__(self) -> None:
        if bool(self.header) != bool(self.value):
            raise ValueError("header and value go together")
        if "\n" in self.value or "\r" in self.value:
            raise ValueError("value is more than one line")
        _check_web_address("url", self.url, secret=bool(self.value))
        _check_between("timeout", self.timeout, 1_000, MINUTE)


class DeadmanSettings(msgspec.Struct, frozen=True, kw_only=True):
    """An address outside of the house that is asked for every ``every`` while all is well, and that alarms somebody
    when it is not (healthchecks.io and its like)."""

    url: Secret
    every: Duration = MINUTE
    ca: Path | None = None
    timeout: Duration = 10_000

    def __post_init__(self) -> None:
        _check_web_address("url", self.url, secret=False)
        _check_between("every", self.every, 5_000, DAY)
        _check_between("timeout", self.timeout, 1_000, MINUTE)


class AlertmanagerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One Alertmanager, by its base address. ``user`` and ``password``: basic authentication; or ``token``: bearer."""

    url: Annotated[str, Meta(max_length=500)]
    user: str = ""
    password: Secret = Secret("")
    token: Secret = Secret("")
    ca: Path | None = None
    every: Duration = MINUTE
    timeout: Duration = 10_000

    def __post_init__(self) -> None:
        if bool(self.user) != bool(self.password):
            raise ValueError("user and password go together")
        if ":" in self.user:
            raise ValueError("a user with a colon cannot be told from the password")
        if self.user and self.token:
            raise ValueError("give user and password, or token, not both")
        _check_web_address("url", self.url, secret=bool(self.password or self.token))
        _check_between("every", self.every, 1_000, 10 * MINUTE)
        _check_between("timeout", self.timeout, 1_000, MINUTE)


class ChannelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. Without relays no mail goes out, and the webhook gets what is critical.

    ``from``: the address that mails come from. ``domain``: the right side of Message-IDs and the name to greet relays
    with (that of ``from`` unless given). ``bounce``: the envelope's sender; unless given it is empty, so that nothing
    answers. ``url``: base address of the operators' pages, for links in mails. ``instead_of_mail``: incidents go to the
    Alertmanagers alone. ``standby_of``: the primary collector's ``/-/ready``; while that answers, this one is mute.
    ``give_up_after``: how long a mail is tried; ``keep_days``: days of the notification log.
    """

    from_: Annotated[str, Meta(max_length=318)] = msgspec.field(default="", name="from")
    domain: Annotated[str, Meta(pattern=r"^[A-Za-z0-9.-]+$", max_length=253)] = ""
    bounce: Annotated[str, Meta(max_length=318)] = ""
    relays: tuple[RelaySettings, ...] = ()
    webhook: WebhookSettings | None = None
    deadman: DeadmanSettings | None = None
    alertmanagers: tuple[AlertmanagerSettings, ...] = ()
    instead_of_mail: bool = False
    standby_of: Annotated[str, Meta(max_length=500)] = ""
    url: Annotated[str, Meta(max_length=500)] = ""
    give_up_after: Duration = 5 * DAY
    keep_days: Annotated[int, Meta(ge=7, le=3650)] = 30

    def __post_init__(self) -> None:
        for key, address in (("from", self.from_), ("bounce", self.bounce)):
            if address and not ADDRESS.fullmatch(address):
                raise ValueError(f"{key}: {address!r} is not a mail address; write it like haidang@province.example")
        if self.relays and not self.from_:
            raise ValueError("needs the key from: the address that mails come from")
        if self.instead_of_mail and not self.alertmanagers:
            raise ValueError("instead_of_mail needs alertmanagers")
        if self.instead_of_mail and self.webhook is not None:
            raise ValueError("webhook: it stands in for mail, and with instead_of_mail there is none")
        for key, names in (
            ("relays", [relay.name for relay in self.relays]),
            ("alertmanagers", [manager.url.rstrip("/") for manager in self.alertmanagers]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"{key}: the same one is named twice")
        if self.standby_of:
            _check_web_address("standby_of", self.standby_of, secret=False)
        if self.url:
            _check_web_address("url", self.url, secret=False)
        _check_between("give_up_after", self.give_up_after, 60 * MINUTE, 30 * DAY)
        if self.give_up_after > self.keep_days * DAY:
            raise ValueError("keep_days is less than give_up_after: a mail could be sent twice after a restore")

    @property
    def message_id_domain(self) -> str:
        """The right side of Message-IDs."""
        return self.domain or self.from_.rpartition("@")[2] or "haidang.invalid"

    @property
    def sends_mail(self) -> bool:
        """Whether incidents go out as mails: mailed, or posted to the webhook where no relay takes them."""
        return bool(self.relays or self.webhook) and not self.instead_of_mail

    def page_url(self, path: str) -> str:
        """A link to one of the operators' pages, "" where nobody said where they are."""
        return f"{self.url.rstrip('/')}{path}" if self.url else ""


def read_settings(path: Path) -> ChannelSettings:
    """The section ``alerts`` of a collector's file; other sections are not looked at. Raises Invalid."""
    problems: list[Problem] = []
    node = nodes.read(path, str(path), problems)
    section = node.items.get("alerts") if isinstance(node, nodes.MappingNode) else None
    settings: ChannelSettings | None = ChannelSettings() if not problems else None
    if section is not None:
        settings = reader.read(section, ChannelSettings, Source(str(path), problems, path.parent), "alerts")
    elif node is not None and not isinstance(node, nodes.MappingNode):
        problems.append(Problem(str(path), node.line, "", "ought to be a mapping"))
    if problems or settings is None:
        raise Invalid(problems)
    return settings


def _check_web_address(key: str, url: str, *, secret: bool) -> None:
    """Raises ValueError, without the address where that may be a secret."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or any(char.isspace() for char in url):
        raise ValueError(f"{key} is not a web address; write it like https://host.example/path")
    if parts.username or parts.password:
        raise ValueError(f"{key} has a user or password in it: give those by their own keys")
    if secret and parts.scheme == "http" and not _loopback(parts.hostname or ""):
        raise ValueError(f"{key}: a secret goes only over https")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_between(key: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{key} ought to be between {least // 1000} s and {most // 1000} s")
