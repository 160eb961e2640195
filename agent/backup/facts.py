"""The messages between the backup probe and its worker processes: JSON on pipes; names are bytes.

Times are seconds since the Unix epoch by this machine's clock, sizes bytes.
"""

from typing import Final

import msgspec

from inventory.protocol.reasons import Reason

GOOD: Final = "good"
BROKEN: Final = "broken"
SUSPECT: Final = "suspect"  # readable so far, but not like a backup: a bomb
CANNOT: Final = "cannot"  # nothing here can tell

MAX_CLOCK_DIFFERENCE: Final = 300.0  # seconds that two machines' clocks may differ without a word
MOST_COPIES: Final = 40  # the newest, of which more is known than that they exist


class BackupQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One look's worth of work. ``secret``: a credential; it travels on a pipe, never in argv.

    ``allowed``: directories that nothing may lead out of; empty: the check's own. ``store``: a directory for what is
    to be remembered under ``key``, or "".
    """

    evidence: str
    path: str
    files: str = "*"
    zone: str = ""
    settle: float = 120.0
    hosts: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    database: str = ""
    check_share: float = 0.0  # of a repository's data that its own check reads
    secret: dict[str, str] = {}
    allowed: tuple[str, ...] = ()
    store: str = ""
    key: str = ""
    timeout: float = 30.0
    rate: int = 0  # bytes per second of a real read; 0: no limit
    most_unpacked: int = 0  # an archive may unfold to so many times its size
    checksum: bool = True  # compare with a checksum file beside it

    def __repr__(self) -> str:
        return f"Question({self.evidence} {self.path!r})"


class ReadVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a real read of a copy, or a check of a repository, came to. ``at``: when it ended."""

    state: str
    reason: str = ""
    at: float = 0.0
    seconds: float = 0.0
    read: int = 0
    by: str = ""  # what was done: "gzip, tar", "restic check"
    content: int | None = None  # bytes that came out of it, however it is wrapped; None where nobody tells


class BackupCopy(msgspec.Struct, frozen=True, kw_only=True):
    """One copy: a file, a snapshot, an archive, a job. ``at`` is when it was made; ``size`` None where not told."""

    name: bytes
    at: float
    size: int | None = None
    mtime_ns: int = 0
    inode: int = 0
    seconds: float | None = None  # how long making it took
    growing: bool = False
    future: float = 0.0  # seconds that it claims to come from the future
    wrong: str = ""  # why it is no good, as its maker recorded
    verdict: ReadVerdict | None = None

    @property
    def stamp(self) -> str:
        """Another content, another stamp."""
        return f"{self.name.hex()}:{self.size}:{self.mtime_ns}:{self.inode}"


class RepositoryLock(msgspec.Struct, frozen=True):
    """A lock that somebody holds, or has left behind, since ``at``."""

    name: str
    at: float


class BackupFacts(msgspec.Struct, kw_only=True):
    """What there is. ``failed``: the look came to nothing, why; ``gone``: there is nothing to restore from, why."""

    now: float = 0.0
    began: float = 0.0  # when this check was first looked at
    copies: list[BackupCopy] = []
    count: int = 0
    total: int = 0
    sizes: list[tuple[float, int]] = []  # (at, size) of complete copies before, oldest first
    contents: list[tuple[float, int]] = []  # (at, bytes that came out) of those that were read through, oldest first
    locks: list[RepositoryLock] = []
    missing: list[str] = []  # what ought to be among the copies and is not
    notes: list[str] = []  # what a person should know, though it is no fault
    unreadable: int = 0
    why_unreadable: str = ""
    outside: int = 0  # links that lead out of the allowed directories
    check: ReadVerdict | None = None  # of the repository as a whole
    reading: float | None = None  # share of the newest copy, or of the repository, that is read so far
    failed: str = ""
    gone: str = ""


class ReadJob(msgspec.Struct, frozen=True, kw_only=True):
    """A real read in the background: of one copy, or (no copy) of a repository."""

    question: BackupQuery
    copy: BackupCopy | None = None


class ReadGrant(msgspec.Struct, frozen=True):
    """How much of a background read may be done until the next one. 0: without limit."""

    bytes: int = 0
    seconds: float = 0.0


class ReadProgress(msgspec.Struct, frozen=True):
    """A line of a background read: so far, or with the verdict at its end."""

    done: int = 0
    of: int = 0
    paused: bool = False
    verdict: ReadVerdict | None = None
    failed: str = ""
    passing: bool = False  # it failed, but says nothing about the copy: gone, or changed meanwhile
    stamp: str = ""  # of the copy


class BackupRefused(Exception):
    """A look cannot be made; the text is the reason. ``gone``: because there is nothing there."""

    def __init__(self, reason: Reason, gone: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.gone = gone


class ListingFailed(BackupRefused):
    """A repository's own program does not say what is in it; its files can still be looked at."""
