"""Compare a copy with a checksum file beside it (``db.gz.sha256``, ``SHA256SUMS``), as coreutils and BSD write it."""

import os
import re
from collections.abc import Iterator, Sequence
from typing import Final

from agent.backup import place
from agent.backup.integrity.hashes import LENGTHS, ResumableHash
from agent.backup.integrity.meter import BrokenCopy, MeteredFile, State
from inventory.base.forms import one_form
from inventory.protocol.reasons import sentence

ENDINGS: Final = (".sha512", ".sha512sum", ".sha256", ".sha256sum", ".sha1", ".sha1sum", ".md5", ".md5sum")
LISTS: Final = ("SHA512SUMS", "SHA256SUMS", "SHA1SUMS", "MD5SUMS", "sha256sum.txt", "md5sum.txt", "checksums.txt")
LARGEST: Final = 4 << 20  # bytes of a checksum file
_COREUTILS: Final = re.compile(rb"(\\?)([0-9a-fA-F]{32,128})(?: [ *](.+))?", re.DOTALL)
_BSD: Final = re.compile(rb"(?:MD5|SHA\d+) \((.+)\) = ([0-9a-fA-F]{32,128})", re.DOTALL)


def find_checksum(name: bytes, directory: int, inside: Sequence[str]) -> tuple[str, str, str] | None:
    """(kind, hex digits, which file says so) for a copy, or None. An unreadable checksum file is none."""
    folder, _, last = name.rpartition(b"/")
    prefix = folder + b"/" if folder else b""
    for ending in ENDINGS:
        checksum_file = _read_file(name + ending.encode(), directory, inside)
        if checksum_file is not None and (entry := _entry_for(checksum_file, last, alone=True)):
            return *entry, os.fsdecode(last) + ending
    for listing in LISTS:
        list_file = _read_file(prefix + listing.encode(), directory, inside)
        if list_file is not None and (entry := _entry_for(list_file, last, alone=False)):
            return *entry, listing
    return None


def _read_file(name: bytes, directory: int, inside: Sequence[str]) -> bytes | None:
    try:
        descriptor = place.open_file(name, directory, inside)
    except (OSError, place.PathEscapes):
        return None
    try:
        return os.read(descriptor, LARGEST)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _entry_for(content: bytes, name: bytes, alone: bool) -> tuple[str, str] | None:
    """(kind, hex digits) for a name. ``alone``: a file for this copy only, whose line may name none, or a path."""
    entries = list(_entries(content))
    for entry_name, digits in entries:
        if entry_name is not None and _text(entry_name.rpartition(b"/")[2]) == _text(name):
            return LENGTHS[len(digits)], digits
    if alone and len(entries) == 1 and entries[0][0] is None:
        return LENGTHS[len(entries[0][1])], entries[0][1]
    return None


def _text(name: bytes) -> str:
    return one_form(os.fsdecode(name))


def _entries(content: bytes) -> Iterator[tuple[bytes | None, str]]:
    for line in content.split(b"\n"):
        line = line.rstrip(b"\r").strip(b" \t")
        digits, entry_name = b"", None
        if matched := _COREUTILS.fullmatch(line):
            digits, entry_name = matched[2], matched[3]
            if matched[1] and entry_name is not None:  # a leading backslash: the name is escaped
                entry_name = re.sub(
                    rb"\\([\\nr])", lambda escape: {b"n": b"\n", b"r": b"\r"}.get(escape[1], b"\\"), entry_name
                )
        elif matched := _BSD.fullmatch(line):
            entry_name, digits = matched[1], matched[2]
        if len(digits) in LENGTHS:
            yield entry_name, digits.decode().lower()


def compare(source: MeteredFile, kind: str, digits: str, file: str, state: State | None) -> None:
    """Read a copy through. Raises Broken when it is not what its checksum says."""
    digest = ResumableHash(kind, state["hash"] if state is not None else None)
    source.offset = state["offset"] if state is not None else 0
    while piece := source.read():
        digest.update(piece)
        if source.meter.mark_due and (hash_state := digest.state()) is not None:
            source.meter.save_mark({"hash": hash_state, "offset": source.offset})
    if digest.hexdigest() != digits:
        raise BrokenCopy(sentence("it does not match its {kind} in {file}", kind=kind, file=file))
