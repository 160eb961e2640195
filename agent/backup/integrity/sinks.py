"""What follows the plain bytes of a copy: nothing, a tar archive's structure, a dump's closing line."""

import re
from typing import Any, Final, Protocol

from agent.backup.integrity.meter import BrokenCopy, State

SNIFF: Final = 1024  # bytes by which a content is told
TAIL: Final = 4096  # bytes in which a dump's closing line must stand
_DUMPS: Final = (
    # what it begins with, what it ends with, its name
    (rb"-- PostgreSQL database dump\b", rb"-- PostgreSQL database dump complete", "PostgreSQL dump"),
    (rb"-- PostgreSQL database cluster dump\b", rb"-- PostgreSQL database cluster dump complete", "PostgreSQL dump"),
    (rb"(?:/\*.{0,80}\*/\s*)?-- (?:MySQL|MariaDB) dump\b", rb"-- Dump completed", "MySQL dump"),
    (rb"PRAGMA foreign_keys=OFF;\s+BEGIN TRANSACTION;", rb"(?:COMMIT|ROLLBACK);\s*\Z", "SQLite dump"),
)


class Sink(Protocol):
    """Follows bytes in order. ``finish`` and ``feed`` raise Broken."""

    def feed(self, data: bytes) -> None: ...
    def finish(self) -> None: ...
    def state(self) -> State: ...
    def restore(self, state: State) -> None: ...
    def words(self) -> str:
        """What the bytes were, "" for anything."""


class UnknownContent:
    """Any bytes at all."""

    def feed(self, data: bytes) -> None: ...
    def finish(self) -> None: ...
    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None: ...
    def words(self) -> str:
        return ""


class SqlDump:
    """SQL as text: it must end with the line by which its program says that it was through."""

    def __init__(self, place: int) -> None:
        self._place = place
        self._tail = b""

    def feed(self, data: bytes) -> None:
        self._tail = (self._tail + data[-TAIL:])[-TAIL:]

    def finish(self) -> None:
        _, ending, name = _DUMPS[self._place]
        if not re.search(ending, self._tail):
            raise BrokenCopy(f"the {name} is not complete: its closing line is missing")

    def state(self) -> State:
        return {"tail": self._tail}

    def restore(self, state: State) -> None:
        self._tail = state["tail"]

    def words(self) -> str:
        return _DUMPS[self._place][2]


class ContentSniffer:
    """Tells by the first bytes what follows. ``named_tar``: it says so itself, and has to be one."""

    def __init__(self, named_tar: bool) -> None:
        self._named_tar = named_tar
        self._first = b""
        self._within: Sink | None = None

    def feed(self, data: bytes) -> None:
        if self._within is None:
            self._first += data
            if len(self._first) < SNIFF:
                return
            data = self._settle()
        assert self._within is not None
        self._within.feed(data)

    def _settle(self) -> bytes:
        self._within, first, self._first = _sink_for(self._first, self._named_tar), self._first, b""
        return first

    def finish(self) -> None:
        if self._within is None:
            first = self._settle()
            assert self._within is not None
            self._within.feed(first)
        self._within.finish()

    def state(self) -> State:
        within: Any = None if self._within is None else [_code_of(self._within), self._within.state()]
        return {"first": self._first, "within": within}

    def restore(self, state: State) -> None:
        self._first = state["first"]
        if state["within"] is not None:
            code, inner = state["within"]
            self._within = _sink_by_code(code)
            self._within.restore(inner)

    def words(self) -> str:
        return "" if self._within is None else self._within.words()


def _sink_for(first: bytes, named_tar: bool) -> Sink:
    from agent.backup.integrity.tar import Tar, begins_as_tar

    if begins_as_tar(first):
        return Tar()
    if named_tar:
        raise BrokenCopy("it is named a tar archive, but does not begin like one")
    for place, (beginning, _, _) in enumerate(_DUMPS):
        if re.match(rb"\s*(?:--\s*)?" + beginning, first, re.DOTALL):
            return SqlDump(place)
    return UnknownContent()


def _code_of(sink: Sink) -> int:
    return sink.code if hasattr(sink, "code") else -1


def _sink_by_code(code: int) -> Sink:
    from agent.backup.integrity.tar import Tar

    return Tar() if code == Tar.code else SqlDump(code) if code >= 0 else UnknownContent()
