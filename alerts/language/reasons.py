"""Tell reasons in a language: the translated template, with the values written in that language's way.

The catalogue ``reasons`` has every template that a program gives (see :mod:`inventory.protocol.reasons`). What a field
is called is the program's affair: a template is looked up by its words, and its fields by their places.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from itertools import starmap
from typing import Final

from alerts.language import english_reasons, mo, quantities
from alerts.language.catalogue import LOCALE, REASONS, SOURCE, nfc
from inventory.protocol.reasons import FIELD, Reason, english, pack, unpack

_QUANTITIES: Final = {"n": quantities.number, "d": quantities.duration}


def translate(reason: str, language: str) -> str:
    """The reason, packed or not, in the language. Any text is taken, and none raises."""
    if language == SOURCE or not reason:
        return english(unpack(reason))
    return _translated(pack(reason), language)


@lru_cache(maxsize=8192)
def _translated(packed: str, language: str) -> str:
    return nfc(_in_language(unpack(packed), language))


@cache
def translations(language: str) -> Mapping[str, str]:
    """By a template's shape, its translation, with the places of the fields in the template for names.

    Raises OSError when an installation lost its catalogue.
    """
    return dict(starmap(_entry, mo.entries(LOCALE / language / "LC_MESSAGES" / f"{REASONS}.mo")))


def _entry(template: str, translation: str) -> tuple[str, str]:
    places = {name: place for place, (name, _) in enumerate(FIELD.findall(template))}
    return shape(template), FIELD.sub(lambda field: f"{{{places[field[1]]}}}", translation)


def shape(template: str) -> str:
    """The template, whatever its fields are called."""
    return FIELD.sub(lambda field: f"{{:{field[2] or ''}}}", template)


def _in_language(reason: str, language: str) -> str:
    """A value that is only words may still be a sentence without fields, such as the system's errors."""
    catalogue = translations(language)
    if not isinstance(reason, Reason):
        return quantities.anything(reason, language) or catalogue.get(reason, reason)
    if reason.plain:
        words = english(reason)
        return catalogue.get(words) or english_reasons.translate_text(words, language)
    values = [
        (_QUANTITIES[kind](value, language) if kind in _QUANTITIES else None) or _in_language(value, language)
        for (_, kind), value in zip(FIELD.findall(reason.template), reason.values, strict=True)
    ]
    translation = catalogue.get(shape(reason.template))
    if translation is None:  # a newer program's, or one that only joins
        return english(Reason(reason.template, tuple(values)))
    return FIELD.sub(lambda field: values[int(field[1])], translation)
