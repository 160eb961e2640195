"""Follow the plain bytes of a copy: a tar archive's structure, an SQL dump's closing line, or nothing."""

import re
from typing import Any, Final, Protocol

from agent.backup.integrity.meter import BrokenCopy, State
from inventory.protocol.reasons import sentence

SNIFF: Final = 1024  # bytes by which a content is told
TAIL: Final = 4096  # bytes in which a dump's closing line must stand
_DUMPS: Final = (
    # what it begins with, what it ends with, its name
    (rb"-- PostgreSQL database dump\b", rb"-- PostgreSQL database dump complete", sentence("PostgreSQL dump")),
    (
        rb"-- PostgreSQL database cluster dump\b",
        rb"-- PostgreSQL database cluster dump complete",
        sentence("PostgreSQL dump"),
    ),
    (rb"(?:/\*.{0,80}\*/\s*)?-- (?:MySQL|MariaDB) dump\b", rb"-- Dump completed", sentence("MySQL dump")),
    (rb"PRAGMA foreign_keys=OFF;\s+BEGIN TRANSACTION;", rb"(?:COMMIT|ROLLBACK);\s*\Z", sentence("SQLite dump")),
)


class Sink(Protocol):
    """Follows bytes in order. ``finish`` and ``feed`` raise Broken."""

    def feed(self, data: bytes) -> None: ...
    def finish(self) -> None: ...
    def state(self) -> State: ...
    def restore(self, state: State) -> None: ...
    def description(self) -> str:
        """What the bytes were, "" for anything."""

    def content(self) -> int:
        """Bytes of content so far: of a tar archive its members'."""


class UnknownContent:
    """Any bytes at all."""

    def __init__(self) -> None:
        self._count = 0

    def feed(self, data: bytes) -> None:
        self._count += len(data)

    def finish(self) -> None: ...
    def state(self) -> State:
        return {"count": self._count}

    def restore(self, state: State) -> None:
        self._count = state["count"]

    def description(self) -> str:
        return ""

    def content(self) -> int:
        return self._count


class SqlDump:
    """SQL as text: it must end with the line by which its program says that it was through."""

    def __init__(self, place: int) -> None:
        self._place = place
        self._tail = b""
        self._count = 0

    def feed(self, data: bytes) -> None:
        self._count += len(data)
        self._tail = (self._tail + data[-TAIL:])[-TAIL:]

    def finish(self) -> None:
        _, ending, name = _DUMPS[self._place]
        if not re.search(ending, self._tail):
            raise BrokenCopy(sentence("the {name} is not complete: its closing line is missing", name=name))

    def state(self) -> State:
        return {"tail": self._tail, "count": self._count}

    def restore(self, state: State) -> None:
        self._tail, self._count = state["tail"], state["count"]

    def content(self) -> int:
        return self._count

    def description(self) -> str:
        return _DUMPS[self._place][2]


class ContentSniffer:
    """Tells by the first bytes what follows. ``named_tar``: it says so itself, and has to be one."""

    def __init__(self, named_tar: bool) -> None:
        self._named_tar = named_tar
        self._first = b""
        self._inner: Sink | None = None

    def feed(self, data: bytes) -> None:
        if self._inner is None:
            self._first += data
            if len(self._first) < SNIFF:
                return
            data = self._choose_sink()
        assert self._inner is not None
        self._inner.feed(data)

    def _choose_sink(self) -> bytes:
        self._inner, first, self._first = _sink_for(self._first, self._named_tar), self._first, b""
        return first

    def finish(self) -> None:
        if self._inner is None:
            first = self._choose_sink()
            assert self._inner is not None
            self._inner.feed(first)
        self._inner.finish()

    def state(self) -> State:
        within: Any = None if self._inner is None else [_code_of(self._inner), self._inner.state()]
        return {"first": self._first, "within": within}

    def restore(self, state: State) -> None:
        self._first = state["first"]
        if state["within"] is not None:
            code, inner = state["within"]
            self._inner = _sink_by_code(code)
            self._inner.restore(inner)

    def description(self) -> str:
        return "" if self._inner is None else self._inner.description()

    def content(self) -> int:
        return len(self._first) if self._inner is None else self._inner.content()


def _sink_for(first: bytes, named_tar: bool) -> Sink:
    from agent.backup.integrity.tar import Tar, begins_as_tar

    if begins_as_tar(first) or (named_tar and first and not first.strip(b"\0")):
        return Tar()  # the latter of no members
    if named_tar:
        raise BrokenCopy(sentence("it is named a tar archive, but does not begin like one"))
    for place, (beginning, _, _) in enumerate(_DUMPS):
        if re.match(rb"\s*(?:--\s*)?" + beginning, first, re.DOTALL):
            return SqlDump(place)
    return UnknownContent()


def _code_of(sink: Sink) -> int:
    return sink.code if hasattr(sink, "code") else -1


def _sink_by_code(code: int) -> Sink:
    from agent.backup.integrity.tar import Tar

    return Tar() if code == Tar.code else SqlDump(code) if code >= 0 else UnknownContent()
