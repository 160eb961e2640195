"""Reasons: why a look came out as it did, as a template and its values, with the English sentence beside them.

A program says ``sentence("{host} did not answer within {timeout:n} s", host=host, timeout=timeout)``. What it gets is
text, the English sentence, that also knows what it was made of; so it can be told in another language without being
read back. The literal templates given to ``sentence`` and ``template`` are the list of all that can be said.

A field is ``{name}`` (anything: a name, words of a foreign program, another reason), ``{name:n}`` (a number) or
``{name:d}`` (a duration in words). Values are kept as the English sentence has them.

Where a reason travels it is a :class:`Phrase`. Where one text is wanted (the ledger, the store, incidents) it is that
phrase as JSON, and who shows it unpacks it. A sentence without fields is its own template, and plain text in both; so
is one of which no template is known. Whatever comes from outside passes :func:`bounded` at the agent (what a device
said) and :func:`from_wire` or :func:`unpack` at the collector (what an agent said), which bound it and clean it
(:mod:`inventory.base.text`).
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Literal

import msgspec

from inventory.base.text import clean_line, clean_text

MAX_REASON: Final = 200  # characters of a reason that is plain text
MAX_SENTENCE: Final = 800  # characters of a sentence with all that it says; a longer one is cut, and plain text then
MAX_TEMPLATE: Final = 300
MAX_VALUES: Final = 24
MAX_DEPTH: Final = 4  # a reason within a reason within ...
FIELD: Final = re.compile(r"\{(\w+)(?::(\w))?\}")
_PLAIN: Final = "{0}"  # the template of what has none


class Reason(str):
    """A sentence that knows its template and values. What is joined to it by other means is plain text again."""

    __slots__ = ("template", "values")
    template: str
    values: tuple[str, ...]  # in the order of the template's fields; a reason among them is one of these again

    def __new__(cls, template: str, values: tuple[str, ...] = ()) -> "Reason":
        texts = iter(values)
        self = super().__new__(cls, FIELD.sub(lambda field: next(texts), template))
        self.template = template
        self.values = values
        return self

    def __str__(self) -> "Reason":
        """Itself, so that an exception's text is still the reason that it was raised with."""
        return self

    def __getnewargs__(self) -> tuple[str, tuple[str, ...]]:  # type: ignore[override]
        return self.template, self.values

    @property
    def plain(self) -> bool:
        """Words of which no template is known: somebody else's, or an older program's."""
        return self.template == _PLAIN and not isinstance(self.values[0], Reason)


Why = Reason | Literal[""]  # what a look has to say for itself: nothing, or a reason


class Phrase(msgspec.Struct, array_like=True, frozen=True):
    """A reason as it travels."""

    template: str
    values: tuple["str | Phrase", ...] = ()  # in the order of the template's fields


def sentence(template: str, /, **values: object) -> Reason:
    """The reason that the template makes with these values, one for each of its fields."""
    names = [name for name, _ in FIELD.findall(template)]
    if values.keys() != set(names):
        raise TypeError(f"{template!r} has the fields {names}, the values are {list(values)}")
    return Reason(template, tuple(_text(values[name]) for name in names))


def template(words: str, /) -> str:
    """The template as it is: for tables of templates, whose values come later."""
    return words


def plain(text: str) -> Reason:
    """Words that have no template, as a reason. A reason stays what it is."""
    return text if isinstance(text, Reason) else Reason(_PLAIN, (text,)) if text else Reason("")


def joined(reasons: Iterable[str], separator: str = "; ") -> Reason:
    """Several reasons as one; empty of none."""
    several = tuple(reasons)
    if len(several) == 1:
        return plain(several[0])
    return Reason(separator.join(f"{{{place}}}" for place in range(len(several))), several)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else str(value)


def bounded(reason: str) -> Reason:
    """The reason as it may be recorded: one line, of bounded size; what is too large is plain text, cut."""
    if isinstance(reason, Reason) and not reason.plain and len(reason) <= MAX_SENTENCE and _fits(reason):
        cleaned = _cleaned(reason, MAX_DEPTH)
        return Reason(cleaned.template.strip(), cleaned.values)
    return plain(_cut(reason))


def _fits(reason: Reason) -> bool:
    return len(reason.template) <= MAX_TEMPLATE and len(reason.values) <= MAX_VALUES


def _cleaned(reason: Reason, depth: int) -> Reason:
    template = clean_line(reason.template)
    if len(FIELD.findall(template)) != len(reason.values):
        return Reason(_PLAIN, (clean_line(reason),))  # what went, or was composed, made a field or broke one
    return Reason(template, tuple(_cleaned_value(value, depth) for value in reason.values))


def _cleaned_value(value: str, depth: int) -> str:
    return _cleaned(value, depth - 1) if isinstance(value, Reason) and depth > 0 and _fits(value) else clean_line(value)


def _cut(text: str) -> str:
    return clean_text(text, MAX_REASON)


def to_wire(reason: str) -> str | Phrase:
    """The reason for who knows phrases, and for the spool."""
    if not isinstance(reason, Reason) or not reason.template:
        return clean_line(reason)
    if reason.template == _PLAIN:
        return to_wire(reason.values[0])
    if not reason.values:
        return clean_line(reason)  # whose template is known by its words
    return Phrase(reason.template, tuple(map(_value_to_wire, reason.values)))


def _value_to_wire(value: str) -> str | Phrase:
    """Words of which no template is known stay a reason among the values: an older program's may be read back."""
    return Phrase(_PLAIN, (clean_line(value),)) if isinstance(value, Reason) and value.plain else to_wire(value)


def from_wire(received: str | Phrase) -> Reason:
    """What came, from whomever: bounded, as :func:`bounded` does it."""
    return _from_wire(received) if _is_small(received, MAX_DEPTH + 1) else plain(in_english(received))


@lru_cache(maxsize=4096)  # a check that is down says the same every time
def _from_wire(received: str | Phrase) -> Reason:
    return bounded(_built(received, MAX_DEPTH + 1))


def _is_small(received: str | Phrase, depth: int) -> bool:
    if isinstance(received, str):
        return len(received) <= MAX_SENTENCE
    return (
        depth > 0
        and len(received.template) <= MAX_TEMPLATE
        and len(received.values) <= MAX_VALUES
        and all(_is_small(value, depth - 1) for value in received.values)
    )


def _built(received: str | Phrase, depth: int) -> str:
    """A phrase without a value for each field, or nested too deeply, is no more than its template's words."""
    if isinstance(received, str):
        return received
    words, values = received.template, received.values
    if not depth or len(FIELD.findall(words)) != len(values):
        return words
    return Reason(words, tuple(_built(value, depth - 1) for value in values))


def in_english(received: str | Phrase) -> str:
    """Plain text of at most MAX_REASON characters, for who knows no phrases (wire version 1)."""
    return _cut(_built(received, MAX_DEPTH + 1))


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Phrase).decode


def pack(reason: str) -> str:
    """The reason as one text that :func:`unpack` reads; plain words are that text themselves."""
    phrase = to_wire(reason)
    return phrase if isinstance(phrase, str) else _packed(phrase)


@lru_cache(maxsize=4096)
def _packed(phrase: Phrase) -> str:
    return _encode(phrase).decode()


def english(value: object) -> str:
    """The sentence and no more; for msgspec's ``enc_hook`` too, where people read what is encoded."""
    if isinstance(value, str):
        return "".join(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be encoded")


def received(reason: str | Phrase) -> str:
    """What came, from whomever, as the bounded text that may be kept."""
    return pack(from_wire(reason))


def packed(value: object) -> str:
    """For msgspec's ``enc_hook``: reasons among what is encoded are packed."""
    if isinstance(value, Reason):
        return pack(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be encoded")


def unpack(text: str) -> Reason:
    """The reason that was packed. What is no packed reason is plain words, as they are but for what is not seen."""
    if isinstance(text, Reason):
        return text
    return _unpacked(text) if text.startswith('["') else _plain_words(text)


@lru_cache(maxsize=4096)
def _unpacked(text: str) -> Reason:
    try:
        return from_wire(_decode(text))
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return _plain_words(text)


def _plain_words(text: str) -> Reason:
    """A store of before may hold what came in uncleaned."""
    return plain(text if text.isprintable() else clean_line(text))
