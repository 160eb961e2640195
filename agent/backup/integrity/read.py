"""Read one copy through: its checksum file, then its content by the readers that its first bytes ask for."""

import os
import time
from collections.abc import Callable
from typing import Any, Final

from agent.backup import place
from agent.backup.facts import BROKEN, CANNOT, GOOD, SUSPECT, BackupCopy, BackupQuery, BackupRefused, ReadVerdict
from agent.backup.integrity import checksum, tools
from agent.backup.integrity.meter import (
    BrokenCopy,
    BrokenStructure,
    CannotVerify,
    Meter,
    MeteredFile,
    State,
    SuspectCopy,
)
from inventory.protocol.reasons import plain, sentence

MARK_FORM: Final = 2  # of a mark: who reads another begins anew
_DECODERS: Final = {".gz": "gzip", ".tgz": "gzip", ".bz2": "bzip2", ".tbz2": "bzip2", ".tbz": "bzip2", ".xz": "xz",
    ".txz": "xz", ".zst": "zstd", ".tzst": "zstd", ".zip": "zip", ".7z": "7z"}  # fmt: skip
Content = tuple[str, int | None]  # what it was, and the bytes that came out where that is told
_TARS: Final = (".tgz", ".tbz2", ".tbz", ".txz", ".tzst")


class ReadMarks:
    """Where a read stands, by stage; ``keep`` writes it down."""

    def __init__(self, write: Callable[[State], None], saved: State | None) -> None:
        self._write = write
        # one of before did not count what came out: the read begins anew
        self._saved = saved if saved is not None and saved.get("form") == MARK_FORM else {}
        self.passed: list[str] = list(self._saved.get("passed", ()))

    def state(self, stage: str) -> State | None:
        saved_state: State | None = self._saved.get("state") if self._saved.get("stage") == stage else None
        return saved_state

    def save(self, stage: str, state: State) -> None:
        self._write({"form": MARK_FORM, "stage": stage, "state": state, "passed": self.passed})


def verify_copy(query: BackupQuery, copy: BackupCopy, meter: Meter, marks: ReadMarks, stage: list[str]) -> ReadVerdict:
    """Read a copy and say what it is worth. Raises Refused (not there, changed meanwhile), Stopped.

    ``stage`` names what is being done, for the meter's marks.
    """
    started = time.monotonic()
    top = place.open_directory(query.path, query.allowed)
    try:
        inside = place.real_roots(query.allowed) if query.allowed else (place.real_path(top),)
        try:
            descriptor = place.open_file(copy.name, top, inside)
        except FileNotFoundError:
            raise BackupRefused(sentence("it is gone"), gone=True) from None
        except place.PathEscapes as error:
            raise BackupRefused(sentence("it leads to something {error}", error=error)) from None
        except OSError as error:
            raise BackupRefused(plain(place.error_text(error))) from None
        try:
            verdict = _verify(query, copy, descriptor, top, inside, meter, marks, stage)
        finally:
            os.close(descriptor)
    finally:
        os.close(top)
    state, reason, by, content = verdict
    return ReadVerdict(
        state=state,
        reason=reason,
        at=time.time(),
        seconds=time.monotonic() - started,
        read=meter.done,
        by=by,
        content=content,
    )


def _verify(
    query: BackupQuery,
    copy: BackupCopy,
    descriptor: int,
    top: int,
    inside: tuple[str, ...],
    meter: Meter,
    marks: ReadMarks,
    stage: list[str],
) -> tuple[str, str, str, int | None]:
    _require_unchanged(descriptor, copy)
    done: list[str] = []
    content: int | None = None
    try:
        checksum_entry = checksum.find_checksum(copy.name, top, inside) if query.checksum else None
        if checksum_entry is not None:
            if "checksum" not in marks.passed:
                stage[:] = ["checksum"]
                checksum.compare(MeteredFile(descriptor, meter), *checksum_entry, marks.state("checksum"))
                marks.passed.append("checksum")
            done.append(checksum_entry[0])
        stage[:] = ["content"]
        try:
            by, content = _read_content(MeteredFile(descriptor, meter), os.fsdecode(copy.name), marks.state("content"))
            done.append(by)
        except CannotVerify:
            if checksum_entry is None:
                raise
            # it is still the very file whose checksum was taken
    except BrokenCopy as error:
        _require_unchanged(descriptor, copy)
        return BROKEN, str(error), ", ".join(done), None
    except SuspectCopy as error:
        return SUSPECT, str(error), ", ".join(done), None
    except CannotVerify as error:
        return CANNOT, str(error), ", ".join(done), None
    except MemoryError:
        return CANNOT, sentence("to unpack it takes more memory than a read may have"), ", ".join(done), None
    except OSError as error:
        raise BackupRefused(sentence("it cannot be read: {error}", error=place.error_text(error))) from None
    _require_unchanged(descriptor, copy)
    return GOOD, "", ", ".join(filter(None, done)), content


def _require_unchanged(descriptor: int, copy: BackupCopy) -> None:
    status = os.fstat(descriptor)
    if (status.st_size, status.st_mtime_ns, status.st_ino) != (copy.size, copy.mtime_ns, copy.inode):
        raise BackupRefused(sentence("it was changed while it was read"), gone=True)


def _read_content(source: MeteredFile, name: str, state: State | None) -> Content:
    """Read the content; what it was. Raises Broken, Cannot, Suspect, Stopped."""
    first = os.pread(source.descriptor, 512, 0)
    if not first:
        raise BrokenCopy(sentence("it is empty"))
    lowered = name.lower()
    named = next((kind for ending, kind in _DECODERS.items() if lowered.endswith(ending)), "")
    actual = _content_kind(first)
    if named == "zip" and actual == "plain":
        actual = "zip"  # a program that unpacks itself may stand before it
    other = sentence("it is named {named}, but does not begin as {named2} does", named=named, named2=named)
    if named and actual == "plain" and not _begins_as_tar(first):
        raise BrokenCopy(other)
    try:
        by, content = _readers()[actual](source, lowered, state)
    except BrokenStructure as broken:
        if reader := tools.second_opinion(source, "zip" if actual == "zip" else "tar"):
            raise SuspectCopy(
                sentence("{broken}; {program} unpacks it all the same", broken=broken, program=reader)
            ) from None
        raise
    if named and actual != named:
        raise SuspectCopy(sentence("{other}: it is {by}", other=other, by=by))
    return by, content


def _begins_as_tar(first: bytes) -> bool:
    from agent.backup.integrity.tar import begins_as_tar

    return begins_as_tar(first)


def _content_kind(first: bytes) -> str:
    from agent.backup.integrity import sqlite

    for magic, kind in ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"PK\x03\x04", "zip"), (b"PK\x05\x06", "zip"), (tools.SEVENZIP, "7z"), (tools.POSTGRES, "pg_dump"),
        (sqlite.MAGIC, "sqlite")):  # fmt: skip
        if first.startswith(magic):
            return kind
    # skippable frames may stand first: pzstd writes them
    return "zstd" if first[1:4] == b"\x2a\x4d\x18" and first[0] & 0xF0 == 0x50 else "plain"


def _readers() -> dict[str, Callable[[MeteredFile, str, State | None], Content]]:
    return {
        "gzip": _stream,
        "bzip2": _stream,
        "xz": _stream,
        "zstd": _stream,
        "plain": _plain,
        "zip": _zip,
        "7z": _seven_zip,
        "pg_dump": _postgres_dump,
        "sqlite": _sqlite,
    }


def _stream(source: MeteredFile, name: str, state: State | None) -> Content:
    from agent.backup.integrity import bz, gz, sinks, xz, zst

    kinds: dict[str, Any] = {"gzip": gz.Gzip, "bzip2": bz.Bzip2, "xz": xz.Xz, "zstd": zst.Zstd}
    kind = _content_kind(os.pread(source.descriptor, 512, 0))
    stem = name.rpartition(".")[0]
    sink = sinks.ContentSniffer(stem.endswith(".tar") or name.endswith(_TARS))
    kinds[kind](source, sink, state).run()
    return ", ".join(filter(None, (kind, sink.description()))), sink.content()


def _plain(source: MeteredFile, name: str, state: State | None) -> Content:
    """Not packed: a tar archive, a dump as text; anything else says nothing about itself."""
    from agent.backup.integrity import sinks

    sink = sinks.ContentSniffer(name.endswith(".tar"))
    if state is not None:
        source.offset = state["offset"]
        sink.restore(state["sink"])
    while piece := source.read():
        sink.feed(piece)
        if source.meter.mark_due:
            source.meter.save_mark({"offset": source.offset, "sink": sink.state()})
    sink.finish()
    if not sink.description():
        raise CannotVerify(sentence("it is of a kind that says nothing about its own integrity"))
    return sink.description(), sink.content()


def _zip(source: MeteredFile, name: str, state: State | None) -> Content:
    from agent.backup.integrity.zip import Zip

    reader = Zip(source, state)
    reader.run()
    return f"zip of {reader.members} members", reader.content


def _seven_zip(source: MeteredFile, name: str, state: State | None) -> Content:
    return "7z", tools.seven_zip(source)


def _postgres_dump(source: MeteredFile, name: str, state: State | None) -> Content:
    tools.postgres_dump(source)
    return "pg_restore", None


def _sqlite(source: MeteredFile, name: str, state: State | None) -> Content:
    from agent.backup.integrity import sqlite

    return "sqlite", source.size if sqlite.check(source) else 0
