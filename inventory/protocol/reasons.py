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
MAX_PARTS: Final = 256  # values of all of these together
MAX_CHARACTERS: Final = 4 * MAX_SENTENCE  # of all these together: what says more is cut in any case
CACHED: Final = 600  # characters of a reason that is remembered once it was read, templates and PARTs included
PART: Final = 16  # characters that a value comes to, besides its own: in memory, and in the time to read it
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


class Phrase(msgspec.Struct, array_like=True, frozen=True, gc=False):
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
    size = _size(received)
    if size is None:
        return plain(in_english(received))
    return _from_wire(received) if size <= CACHED else _from_wire.__wrapped__(received)


def is_bounded(received: str | Phrase) -> bool:
    """Whether what came may be a reason as it is: neither long nor wide nor deep. Looks at MAX_PARTS of it at most."""
    return _size(received) is not None


def text_size(received: str | Phrase) -> int:
    """What it takes to read what came: about its characters."""
    size = _size(received)
    return MAX_SENTENCE if size is None else size


def _size(received: str | Phrase) -> int | None:
    """Characters of what came, and PART for each of its values; None: it is too long, too wide or too deep."""
    level: list[str | Phrase] = [received]
    parts = characters = 0
    for depth in range(MAX_DEPTH + 2):
        parts += len(level)
        if parts > MAX_PARTS:
            return None
        phrases = []
        for one in level:
            if isinstance(one, str):
                characters += len(one)
                if len(one) > MAX_SENTENCE:
                    return None
            elif depth > MAX_DEPTH or len(one.template) > MAX_TEMPLATE or len(one.values) > MAX_VALUES:
                return None
            else:
                characters += len(one.template)
                phrases.append(one)
        if characters > MAX_CHARACTERS:
            return None
        if not phrases:
            return characters + PART * parts
        level = [value for one in phrases for value in one.values]
    return None


@lru_cache(maxsize=4096)  # a check that is down says the same every time
def _from_wire(received: str | Phrase) -> Reason:
    return bounded(_built(received, MAX_DEPTH + 1))


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
    if isinstance(received, Phrase) and not is_bounded(received):
        return _cut(received.template[:MAX_SENTENCE])
    return _cut(_built(received, MAX_DEPTH + 1))


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Phrase).decode


def pack(reason: str) -> str:
    """The reason as one text that :func:`unpack` reads; plain words are that text themselves."""
    phrase = to_wire(reason)
    if isinstance(phrase, str):
        return phrase
    return _packed(phrase) if len(reason) <= CACHED else _packed.__wrapped__(phrase)


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


def is_packed(text: str) -> bool:
    """Whether the text may be what :func:`pack` made of more than plain words."""
    return text.startswith('["')


def unpack(text: str) -> Reason:
    """The reason that was packed. What is no packed reason is plain words, as they are but for what is not seen."""
    if isinstance(text, Reason):
        return text
    if not is_packed(text):
        return _plain_words(text)
    return _unpacked(text) if len(text) <= 2 * CACHED else _unpacked.__wrapped__(text)


@lru_cache(maxsize=4096)
def _unpacked(text: str) -> Reason:
    try:
        return from_wire(_decode(text))
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return _plain_words(text)


def _plain_words(text: str) -> Reason:
    """A store of before may hold what came in uncleaned."""
    return plain(text if text.isprintable() else clean_line(text))
