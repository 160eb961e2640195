"""Check tar archives (POSIX ustar and pax, GNU): headers walked and checked, contents passed over, the end required."""

import re
from typing import Final

from agent.backup.integrity.meter import BrokenCopy, BrokenStructure, State, SuspectCopy
from inventory.protocol.reasons import Reason, sentence

BLOCK: Final = 512
LARGEST_PAX: Final = 1 << 20
_SIZE: Final = re.compile(rb"(?:^|\n)\d+ size=(\d+)\n")
_EXTENDED, _GLOBAL, _SPARSE, _LINK = b"xX", b"g", b"S", b"1"
_FILES: Final = b"\x0007S"  # members with content: plain, plain by the old letter, contiguous, sparse
_NO_DATA: Final = frozenset(b"23456")  # links, devices, directories, pipes: a size there is not data


class Tar:
    """A tar archive, fed piece by piece."""

    code: Final = 1000

    def __init__(self) -> None:
        self._held = b""  # of a header, not yet whole
        self._skip = 0  # bytes of content still to pass over
        self._pax = 0  # bytes of an extended header still to collect
        self._size: int | None = None  # of the next member, from its extended header
        self._sparse = False  # a further block of a sparse file's map comes
        self._members = 0
        self._content = 0
        self._link = 0  # bytes that follow a hard link, unless a header does
        self._ended = False

    def feed(self, data: bytes) -> None:
        at, end = 0, len(data)
        while at < end and not self._ended:
            if self._skip and not self._pax and not self._sparse:
                step = min(self._skip, end - at)
                self._skip -= step
                at += step
                continue
            needed = (self._skip if self._pax else BLOCK) - len(self._held)
            piece = data[at : at + needed]
            self._held += piece
            at += len(piece)
            if len(piece) == needed:
                block, self._held = self._held, b""
                self._block(block)

    def _block(self, block: bytes) -> None:
        if self._pax:
            matched = _SIZE.search(block[: self._pax])
            self._size = int(matched[1]) if matched else self._size
            self._skip = self._pax = 0
        elif self._sparse:
            self._sparse = block[504] == 1
        else:
            self._header(block)

    def _header(self, block: bytes) -> None:
        if not block.strip(b"\0"):
            self._ended = True
            return
        if self._link:
            link, self._link = self._link, 0
            # else it is the first block of the link's own data, as in libarchive; a spoiled header is no data
            if not self._fits(block) and block[257:262] != b"ustar":
                self._skip = link - BLOCK
                return
        self._check(block)
        kind = block[156:157]
        size = self._number(block[124:136])
        if kind and kind in _EXTENDED:
            if size > LARGEST_PAX:
                raise BrokenCopy(sentence("an extended header after {after} is absurdly large", after=self._after()))
            self._pax = size
        elif kind != _GLOBAL:
            told = self._size is not None
            if self._size is not None and kind not in (b"L", b"K"):
                size, self._size = self._size, None
            self._members += kind not in (b"L", b"K")
            if kind == _SPARSE:
                self._sparse = block[482] == 1
            if kind[0] in _FILES:
                self._content += size
            if kind[0] in _NO_DATA:
                size = 0
            if kind == _LINK and not told:
                # GNU tar and those before ustar write the file's size there, and no data
                self._link = -(-size // BLOCK) * BLOCK if block[257:263] == b"ustar\0" else 0
                size = 0
        self._skip = -(-size // BLOCK) * BLOCK

    def _check(self, block: bytes) -> None:
        """The header's sum: of its bytes with blanks in the place of the sum, signed in very old archives."""
        checksum = self._number(block[148:156])
        blanked = block[:148] + b" " * 8 + block[156:]
        total = sum(blanked)
        if checksum != total and checksum != total - 256 * sum(byte > 127 for byte in blanked):
            raise BrokenStructure(sentence("the tar header after {after} is damaged", after=self._after()))

    def _fits(self, block: bytes) -> bool:
        try:
            self._check(block)
        except BrokenStructure:
            return False
        return True

    def _number(self, field: bytes) -> int:
        if field[0] in (0x80, 0xFF):
            return int.from_bytes(field[1:], "big")
        digits = field.strip(b" \0")
        try:
            return int(digits, 8) if digits else 0
        except ValueError:
            raise BrokenStructure(
                sentence("the tar header after {after} makes no sense", after=self._after())
            ) from None

    def _after(self) -> Reason:
        return sentence("member {members}", members=self._members) if self._members else sentence("the beginning")

    def finish(self) -> None:
        if self._skip or self._held or self._pax or self._sparse:
            raise BrokenStructure(
                sentence("the tar archive ends in the middle of member {members}", members=self._members)
            )
        if not self._ended:
            # every program reads it, and none can tell whether a member is missing
            raise SuspectCopy(
                sentence("the tar archive's end is missing after member {members}", members=self._members)
            )

    def state(self) -> State:
        return {name: getattr(self, name) for name in _STATE_FIELDS}

    def restore(self, state: State) -> None:
        for name in _STATE_FIELDS:
            setattr(self, name, state[name])

    def content(self) -> int:
        return self._content

    def description(self) -> str:
        return f"tar of {self._members} members"


_STATE_FIELDS: Final = ("_held", "_skip", "_pax", "_size", "_sparse", "_members", "_content", "_link", "_ended")


def begins_as_tar(first: bytes) -> bool:
    """ustar's magic, or a header of the time before it whose sum is right."""
    if len(first) < BLOCK:
        return False
    if first[257:262] == b"ustar":
        return True
    if not first[:BLOCK].strip(b"\0") or not re.fullmatch(rb"[ 0-7]{1,7}[ \0]{1,2}", first[148:156]):
        return False
    try:
        Tar()._check(first[:BLOCK])
    except BrokenStructure:
        return False
    return True
