"""Problems in files that people write: file, line, key and a plain sentence, all of them at once."""

from collections.abc import Iterable, Sequence

import msgspec


class Problem(msgspec.Struct, frozen=True, order=True):
    """One mistake. ``line`` counts from 1 (0: the whole file). ``key``: dotted path, "" for the whole file."""

    file: str
    line: int
    key: str
    message: str
    warning: bool = False

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
