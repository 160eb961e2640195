"""Problems in files that people write: file, line, key and a plain sentence, all of them at once."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from inventory.base.files import open_to_read
from inventory.base.text import printable

MAX_PROBLEM_KEY: Final = 300  # characters
MAX_PROBLEM_MESSAGE: Final = 1_000


class Problem(msgspec.Struct, frozen=True, order=True):
    """One mistake. ``line`` counts from 1 (0: the whole file). ``key``: dotted path, "" for the whole file.

    Keys and messages hold words of the file: what is not printable in them is escaped, what is long is cut.
    """

    file: str
    line: int
    key: str
    message: str
    warning: bool = False

    def __post_init__(self) -> None:
        for field, limit in (("key", MAX_PROBLEM_KEY), ("message", MAX_PROBLEM_MESSAGE)):
            text: str = getattr(self, field)
            if len(text) > limit or not text.isprintable():
                msgspec.structs.force_setattr(self, field, printable(text, limit))

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        key = f"{self.key}: " if self.key else ""
        return f"{where}: {'warning: ' if self.warning else ''}{key}{self.message}"


class Invalid(Exception):
    """Files that cannot be used; ``problems`` says all that is wrong with them, in order of file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Sequence[Problem] = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


class Place(msgspec.Struct, frozen=True, eq=False):
    """Where a mapping stands in a file, so that a mistake found later still names its line.

    ``lines``: the line of each key that was written.
    """

    file: str
    line: int
    path: str
    lines: dict[str, int]

    def problem(self, key: str, message: str, *, warning: bool = False) -> Problem:
        """A problem of one key of this mapping; with key "" of the mapping itself."""
        line = self.lines.get(key.partition(".")[0].partition("[")[0], self.line) if key else self.line
        path = ".".join(filter(None, (self.path, key)))
        return Problem(self.file, line, path, message, warning)


NOWHERE = Place("", 0, "", {})


def read_text(path: Path, name: str, problems: list[Problem], *, limit: int, save_as: str = "UTF-8") -> str | None:
    """The text of a file that people write; None, with its problem, when it cannot be had. ``limit``: bytes.

    Root follows no link that another user laid: what is wrong with a text is told with words of it.
    """
    try:
        with os.fdopen(open_to_read(path), "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        problems.append(Problem(name, 0, "", f"cannot be read: {error.strerror}"))
        return None
    if len(data) > limit:
        problems.append(Problem(name, 0, "", f"is larger than {limit >> 20} MiB"))
        return None
    return decode_text(data, name, problems, save_as=save_as)


def decode_text(data: bytes, name: str, problems: list[Problem], *, save_as: str = "UTF-8") -> str | None:
    """The text of a file's bytes; None, with its problem, when they are none."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.append(Problem(name, line, "", f"is not UTF-8 text; save it as {save_as}"))
        return None
