"""Match sentences with named fields: ``{host} did not answer within {timeout:n} s``.

A pattern is matched by finding its literal pieces one after the other, never going back, so that the time is linear in
the text whatever it is.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from alerts.language import quantities

ELLIPSIS: Final = "…"  # what ends a reason that was too long for the wire
SEPARATOR: Final = "; "  # joins reasons
FIELD: Final = re.compile(r"\{(\w+)(?::(\w))?\}")
WORD: Final = re.compile(r"\w+")
_SORTS: Final = {"n": quantities.number, "d": quantities.duration}


class ReasonPattern(NamedTuple):
    """``pieces``: the literal text around the fields, one more than these."""

    pieces: tuple[str, ...]
    names: tuple[str, ...]
    field_types: tuple[str, ...]  # n: a number, d: a duration, "": anything
    translation: str
    weight: int  # literal characters
    separators: int  # "; " in the literal text

    def required_words(self) -> set[str]:
        """Words that stand whole in every text that fits: those that no field touches."""
        whole_words = set()
        for place, piece in enumerate(self.pieces):
            for word in WORD.finditer(piece):
                after_field = place > 0 and word.start() == 0
                before_field = place < len(self.names) and word.end() == len(piece)
                if not after_field and not before_field:
                    whole_words.add(word[0])
        return whole_words


class PartialMatch(NamedTuple):
    """How a sentence that was cut off fits. ``there``: literal characters that are there; ``values``: fields so far."""

    matched: int
    values: list[str]
    separators: int


def compile_pattern(english: str, translation: str) -> ReasonPattern:
    """A sentence of the catalogue, ready to be matched."""
    parts = FIELD.split(english)
    pieces = tuple(parts[::3])
    field_types = tuple(sort or "" for sort in parts[2::3])
    separators = sum(piece.count(SEPARATOR) for piece in pieces)
    return ReasonPattern(pieces, tuple(parts[1::3]), field_types, translation, sum(map(len, pieces)), separators)


def match(pattern: ReasonPattern, text: str) -> list[str] | None:
    """What stands in the fields, or None. Each literal piece is taken where it comes first."""
    first, *middle, last = pattern.pieces
    end = len(text) - len(last)
    at = len(first)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return None
    values = []
    for piece in middle:
        place = text.find(piece, at, end)
        if place < 0:
            return None
        values.append(text[at:place])
        at = place + len(piece)
    values.append(text[at:end])
    return values if _values_fit(pattern, values) else None


def match_start(pattern: ReasonPattern, body: str) -> PartialMatch | None:
    """How the sentence fits a text of which the end is missing; None: not, or all of it is there and more."""
    first = pattern.pieces[0]
    if not body.startswith(first):
        return PartialMatch(len(body), [], body.count(SEPARATOR)) if first.startswith(body) else None
    at, matched, separators = len(first), len(first), first.count(SEPARATOR)
    values: list[str] = []
    for piece in pattern.pieces[1:]:
        place = body.find(piece, at) if piece else -1
        if place < 0:
            overlap = _overlap(piece, body, at)
            value = body[at : len(body) - overlap]
            # a field that goes to the end was cut itself
            values.append(value if overlap else value + ELLIPSIS)
            return PartialMatch(matched + overlap, values, separators + piece[:overlap].count(SEPARATOR))
        values.append(body[at:place])
        if not _values_fit(pattern, values):
            return None
        at, matched, separators = place + len(piece), matched + len(piece), separators + piece.count(SEPARATOR)
    return None


def _overlap(piece: str, body: str, at: int) -> int:
    """How much of the piece's beginning ends the body."""
    most = min(len(piece), len(body) - at)
    return next((size for size in range(most, 0, -1) if body.endswith(piece[:size])), 0)


def _values_fit(pattern: ReasonPattern, values: Sequence[str]) -> bool:
    return all(
        _SORTS[field_type](value) is not None
        for field_type, value in zip(pattern.field_types, values, strict=False)
        if field_type
    )
