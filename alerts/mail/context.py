"""The input of a mail besides the notice and its incidents, and the finished mail. Times are collector ms."""

from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

import msgspec

from alerts.mail.signed_urls import LinkClaim
from inventory.model.entities import Inventory

SignLink = Callable[[LinkClaim], str]


class DurationBounds(msgspec.Struct, frozen=True, kw_only=True):
    """How exactly an incident's time is known (ms)."""

    begin_error: int | None = None  # how far its beginning may be off, either way
    least: int | None = None  # how long it was, at least and at most
    most: int | None = None


class GoalFigure(msgspec.Struct, frozen=True, kw_only=True):
    """A goal over a window so far, as collector.goals.evaluate judges it."""

    goal: str  # its id
    window: str
    best: float | None  # ratios, None without evidence
    lower: float | None
    objective: float
    verdict: str


class Downtime(msgspec.Struct, frozen=True, kw_only=True):
    """How long a link was down (ms) in the digest's day."""

    link: str
    provider: str
    down_ms: int


class DigestFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The digest's own figures. ``goals``: the worst first.

    ``begins`` and ``ends``: the time that the digest covers.
    """

    begins: int
    ends: int
    goals: tuple[GoalFigure, ...] = ()
    links: tuple[Downtime, ...] = ()


class MailContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail is rendered with, beside the notice and its incidents."""

    inventory: Inventory
    now: int  # the moment that the mail is about (not a clock's)
    domain: str  # of Message-IDs
    sender: str  # the mails' From address
    zone: ZoneInfo | None = None
    base_url: str = ""  # of the operators' pages; "" leaves links out
    sign: SignLink | None = None  # makes a token of what a link may do; None leaves the links that act out
    bounds: Mapping[str, DurationBounds] = {}  # by incident key, where the ledger knows them
    day: DigestFigures | None = None  # of a digest

    @property
    def time_zone(self) -> ZoneInfo:
        """The zone that times are shown in: the province's unless another was given."""
        return self.zone or self.inventory.province.zone


class RenderedMail(msgspec.Struct, frozen=True, kw_only=True):
    """A mail as it is read (``text``, ``html``) and as it is sent (``message``, RFC 5322 with CRLF)."""

    subject: str
    text: str
    html: str
    message: bytes
