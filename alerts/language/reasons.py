"""Translate agents' English reasons into Vietnamese; they are kept in English, as evidence.

The catalogue ``reasons`` has every sentence that can be said, with named fields: ``the newest good backup is {age:d}
old, its objective is {rpo:d}``. A reason is matched against these. ``:n`` is a number and ``:d`` a duration, written in
the other language's way; any other field may be anything, a reason too, and is then translated itself. What is in no
catalogue (a foreign program's words, a newer agent's) stands as it is.

A reason may be read in several ways: ``A says: the way is closed; B`` is two reasons, or one about A. The reading
that knows most of the text wins; of two that know as much, the one with the more specific sentence.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Final, NamedTuple

from alerts.language import mo, quantities
from alerts.language.catalogue import LOCALE, REASONS, SOURCE, nfc
from alerts.language.patterns import (
    ELLIPSIS,
    FIELD,
    SEPARATOR,
    WORD,
    ReasonPattern,
    compile_pattern,
    match,
    match_start,
)

MAX_REASON_LENGTH: Final = 2000  # characters of a reason that is looked at; the wire takes 200
_MAX_DEPTH: Final = 8  # reasons within reasons
_BUDGET: Final = 1500  # sentences tried for one reason: no text may cost more
_MIN_MATCHED: Final = 8  # literal characters that tell which sentence was cut off
_COMMA: Final = ", "  # joins what is wrong in one
_COLON: Final = ": "  # stands between what is meant and what is said of it


def translate(reason: str, language: str) -> str:
    """The reason in the language; in the source's own as it is. Any text is taken, and none raises."""
    if language == SOURCE or not reason:
        return reason
    return _translated(reason, language)


@lru_cache(maxsize=8192)
def _translated(reason: str, language: str) -> str:
    return nfc(reason_catalogue(language).translate(reason)) if len(reason) <= MAX_REASON_LENGTH else reason


@cache
def reason_catalogue(language: str) -> "ReasonCatalogue":
    """The language's sentences, compiled once. Raises OSError when an installation lost its catalogue."""
    return ReasonCatalogue(mo.entries(LOCALE / language / "LC_MESSAGES" / f"{REASONS}.mo"))


class ReasonCatalogue:
    """Sentences and what they are in another language."""

    def __init__(self, entries: Iterable[tuple[str, str]]) -> None:
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
        quantity = quantities.anything(text)
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
            field = _QUANTITIES[sort](value) if sort else None
            translations[name] = self.translate(value, depth - 1) if field is None else _Translation(field, len(value))
        text = FIELD.sub(lambda field: translations[field[1]].text, pattern.translation)
        return _Translation(text, matched + sum(each.matched for each in translations.values()))


def _matched(translation: _Translation) -> int:
    return translation.matched


_QUANTITIES: Final = {"n": quantities.number, "d": quantities.duration}
