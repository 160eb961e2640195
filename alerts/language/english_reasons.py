"""Read English reasons back, to tell them in Vietnamese: what agents before wire version 2 said, and evidence of then.

Only for these: what is said since has its template and values (see :mod:`alerts.language.reasons`). This module and its
test go when wire version 1 is no longer read, which is once VERSION in inventory.protocol.wire is 4.

The catalogue ``reasons`` has every sentence that could be said, with named fields: ``the newest good backup is {age:d}
old, its objective is {rpo:d}``. A reason is matched against these. ``:n`` is a number and ``:d`` a duration, written in
the other language's way; any other field may be anything, a reason too, and is then translated itself. What is in no
catalogue (a foreign program's words) stands as it is. A pattern is matched by finding its literal pieces one after the
other, never going back, so that the time is linear in the text whatever it is.

A reason may be read in several ways: ``A says: the way is closed; B`` is two reasons, or one about A. The reading
that knows most of the text wins; of two that know as much, the one with the more specific sentence.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final, NamedTuple

from alerts.language import mo, quantities
from alerts.language.catalogue import LOCALE, REASONS, SOURCE
from inventory.base.text import ELLIPSIS
from inventory.protocol.reasons import FIELD

MAX_REASON_LENGTH: Final = 2000  # characters of a reason that is looked at; the wire takes 200
_MAX_DEPTH: Final = 8  # reasons within reasons
_BUDGET: Final = 1500  # sentences tried for one reason: no text may cost more
_MIN_MATCHED: Final = 8  # literal characters that tell which sentence was cut off
_COMMA: Final = ", "  # joins what is wrong in one
_COLON: Final = ": "  # stands between what is meant and what is said of it
SEPARATOR: Final = "; "  # joins reasons
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
        _SORTS[field_type](value, SOURCE) is not None
        for field_type, value in zip(pattern.field_types, values, strict=False)
        if field_type
    )


def translate_text(text: str, language: str) -> str:
    """The English text in the language, as far as it is known. Any text is taken, and none raises."""
    return reason_catalogue(language).translate(text) if len(text) <= MAX_REASON_LENGTH else text


@cache
def reason_catalogue(language: str) -> "ReasonCatalogue":
    """The language's sentences, compiled once. Raises OSError when an installation lost its catalogue."""
    return ReasonCatalogue(mo.entries(LOCALE / language / "LC_MESSAGES" / f"{REASONS}.mo"), language)


class ReasonCatalogue:
    """Sentences and what they are in another language."""

    def __init__(self, entries: Iterable[tuple[str, str]], language: str) -> None:
        self.language = language
        patterns = sorted((compile_pattern(*entry) for entry in entries), key=lambda one: (-one.weight, len(one.names)))
        self.patterns = patterns
        self.max_separators = max((one.separators for one in patterns), default=0)
        self.exact = {one.pieces[0]: one.translation for one in patterns if not one.names}
        required_words = {place: one.required_words() for place, one in enumerate(patterns) if one.names}
        common = Counter(word for each in required_words.values() for word in each)
        self._by_word: dict[str, list[int]] = {}
        for place, each in required_words.items():
            if not each:
                raise ValueError(f"a sentence without a word of its own fits anything: {patterns[place].pieces}")
            self._by_word.setdefault(min(each, key=lambda word: (common[word], word)), []).append(place)

    def candidates(self, text: str) -> list[ReasonPattern]:
        """Those of which the rarest word is there, the most specific first."""
        places = {place for word in set(WORD.findall(text)) for place in self._by_word.get(word, ())}
        return [self.patterns[place] for place in sorted(places)]

    def translate(self, reason: str) -> str:
        """The reason in the other language, as far as it is known."""
        return _Translator(self).translate(reason, _MAX_DEPTH).text


class _Translation(NamedTuple):
    """A text in the other language, and how many characters of the original were known."""

    text: str
    matched: int


class _Translator:
    """One reason being read."""

    def __init__(self, catalogue: ReasonCatalogue) -> None:
        self._catalogue = catalogue
        self._budget = _BUDGET
        self._cache: dict[tuple[str, int], _Translation] = {}

    def translate(self, text: str, depth: int) -> _Translation:
        """The reading that knows most."""
        cached = self._cache.get((text, depth))
        if cached is None:
            cached = self._cache[text, depth] = self._translate(text, depth)
        return cached

    def _translate(self, text: str, depth: int) -> _Translation:
        if not text or depth < 0 or self._budget <= 0:
            return _Translation(text, 0)
        quantity = quantities.anything(text, self._catalogue.language)
        whole = self._catalogue.exact.get(text) if quantity is None else quantity
        if whole is not None:
            return _Translation(whole, len(text))
        translation = self._joined(text, depth) if SEPARATOR in text else _Translation(text, 0)
        translation = max(translation, self._by_pattern(text, depth, None), key=_matched)
        if translation.matched < len(text) and _COMMA in text:
            translation = max(translation, self._listed(text, depth), key=_matched)
        if translation.matched < len(text) and _COLON in text:
            before, after = text.split(_COLON, 1)
            left, right = self.translate(before, depth - 1), self.translate(after, depth - 1)
            translation = max(
                translation, _Translation(left.text + _COLON + right.text, left.matched + right.matched), key=_matched
            )
        if translation.matched < len(text) and text.endswith(ELLIPSIS) and SEPARATOR not in text:
            translation = max(translation, self._truncated(text, depth, 0), key=_matched)
        return translation

    def _joined(self, text: str, depth: int) -> _Translation:
        """Several reasons; one that has the joint in its own words is taken as a whole."""
        parts = text.split(SEPARATOR)
        translations: list[_Translation] = []
        at = 0
        while at < len(parts):
            for end in range(min(len(parts), at + self._catalogue.max_separators + 1), at + 1, -1):
                translation = self._by_pattern(SEPARATOR.join(parts[at:end]), depth, end - at - 1)
                if not translation.matched and end == len(parts) and text.endswith(ELLIPSIS):
                    translation = self._truncated(SEPARATOR.join(parts[at:]), depth, end - at - 1)
                if translation.matched:
                    break
            else:
                end, translation = at + 1, self.translate(parts[at], depth - 1)
            translations.append(translation)
            at = end
        return _Translation(SEPARATOR.join(one.text for one in translations), sum(one.matched for one in translations))

    def _listed(self, text: str, depth: int) -> _Translation:
        """A list of what is wrong in one, each of which has to be known."""
        each = [self.translate(part, depth - 1) for part in text.split(_COMMA)]
        if not all(one.matched for one in each):
            return _Translation(text, 0)
        return _Translation(_COMMA.join(one.text for one in each), sum(one.matched for one in each))

    def _by_pattern(self, text: str, depth: int, separators: int | None) -> _Translation:
        """By the sentence with which most is known. ``joints``: only one that has so many in its own words."""
        best = _Translation(text, 0)
        for pattern in self._catalogue.candidates(text):
            if separators is not None and pattern.separators != separators:
                continue
            self._budget -= 1
            values = match(pattern, text) if self._budget > 0 else None
            if values is not None:
                best = max(best, self._fill_in(pattern, values, pattern.weight, depth), key=_matched)
                if best.matched >= len(text):
                    break
        return best

    def _truncated(self, text: str, depth: int, separators: int) -> _Translation:
        """By the sentence of which most is there; three dots for what is not. Where two begin alike, by none."""
        body = text.removesuffix(ELLIPSIS)
        best: tuple[int, ReasonPattern, list[str]] | None = None
        rivals = 0
        for pattern in self._catalogue.patterns:
            partial = match_start(pattern, body)
            if partial is None or partial.matched < _MIN_MATCHED or partial.separators != separators:
                continue
            if best is None or partial.matched > best[0]:
                best, rivals = (partial.matched, pattern, partial.values), 0
            elif partial.matched == best[0]:
                rivals += 1
        self._budget -= len(self._catalogue.patterns) // 4
        if best is None or rivals:
            return _Translation(text, 0)
        matched, pattern, values = best
        translation = self._fill_in(
            pattern, [*values, *[ELLIPSIS] * (len(pattern.names) - len(values))], matched, depth
        )
        return (
            translation
            if translation.text.endswith(ELLIPSIS)
            else _Translation(translation.text + ELLIPSIS, translation.matched)
        )

    def _fill_in(self, pattern: ReasonPattern, values: Sequence[str], matched: int, depth: int) -> _Translation:
        translations = {}
        for name, sort, value in zip(pattern.names, pattern.field_types, values, strict=True):
            field = _SORTS[sort](value, self._catalogue.language) if sort else None
            translations[name] = self.translate(value, depth - 1) if field is None else _Translation(field, len(value))
        text = FIELD.sub(lambda field: translations[field[1]].text, pattern.translation)
        return _Translation(text, matched + sum(each.matched for each in translations.values()))


def _matched(translation: _Translation) -> int:
    return translation.matched
