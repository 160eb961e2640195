"""The input of a mail besides the notice and its incidents, and the finished mail. Times are collector ms."""

from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

import msgspec

from alerts.mail.signed_urls import LinkClaim
from inventory.model.entities import Inventory

SignLink = Callable[[LinkClaim], str]


class DurationBounds(msgspec.Struct, frozen=True, kw_only=True):
    """How exactly an incident's time is known: at least and at most how long it was (ms).

    ``begin_error``: how far its beginning may be off, either way.
    """

    begin_error: int | None = None
    least: int | None = None
    most: int | None = None


class GoalFigure(msgspec.Struct, frozen=True, kw_only=True):
    """A goal over a window so far, as collector.goals.evaluate judges it: ``met``, ``missed``, ``not proven``, ``no
    evidence``.

    ``goal``: its id. ``best`` and ``lower`` are ratios, None without evidence.
    """

    goal: str
    window: str
    best: float | None
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
    """``now``: the moment that the mail is about (not a clock's). ``domain``: of Message-IDs. ``sender``: the mails'
    From address. ``base_url``: of the operators' pages; "" leaves links out. ``sign``: makes a token of what a link may
    do (:meth:`alerts.mail.signed_urls.LinkSigner.sign`); None leaves the links that act out. ``bounds``: by incident
    key, where the ledger knows them. ``day``: of a digest."""

    inventory: Inventory
    now: int
    domain: str
    sender: str
    zone: ZoneInfo | None = None
    base_url: str = ""
    sign: SignLink | None = None
    bounds: Mapping[str, DurationBounds] = {}
    day: DigestFigures | None = None

    @property
    def time_zone(self) -> ZoneInfo:
        """The zone that times are said in: the province's unless another was given."""
        return self.zone or self.inventory.province.zone


class RenderedMail(msgspec.Struct, frozen=True, kw_only=True):
    """A mail as it is read (``text``, ``html``) and as it is sent (``message``, RFC 5322 with CRLF)."""

    subject: str
    text: str
    html: str
    message: bytes
