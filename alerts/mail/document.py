"""A mail's content as a document, from which its text part and its HTML part are rendered."""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from alerts.language import jinja
from alerts.language.catalogue import nfc
from alerts.language.locale import Locale

Tone = Literal["critical", "warning", "info", "good"]
_MAX_LINE_BYTES: Final = 900  # bytes of a line of the text part; RFC 5322 allows 998


class Fact(msgspec.Struct, frozen=True):
    """A name and what it is, side by side."""

    label: str
    value: str


class LinkButton(msgspec.Struct, frozen=True, kw_only=True):
    """A link."""

    label: str
    url: str
    first: bool = False  # the one that most readers want


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a document: sentences, facts, points, numbered steps, links, in this order."""

    title: str = ""  # its heading; "" is none
    heads: bool = False  # it begins something larger than the sections that follow it
    tone: Tone | None = None
    tag: str = ""  # a word of state
    lines: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    points: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    actions: tuple[LinkButton, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.heads or self.lines or self.facts or self.points or self.steps or self.actions)


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """The whole mail."""

    title: str  # what and where
    tag: str  # the word of state before it
    tone: Tone
    opening: tuple[str, ...]  # what has to be known first
    sections: tuple[Section, ...]
    footer: tuple[str, ...] = ()


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(__file__.removesuffix("document.py") + "templates"),
        autoescape=select_autoescape(("html",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    jinja.install(environment)
    return environment


_TEMPLATES: Final = _environment()


def as_html(document: Document, locale: Locale) -> str:
    return _rendered("mail.html", document, locale)


def as_text(document: Document, locale: Locale) -> str:
    """Lines are not broken for a width (phones do that better), only before they are too long for SMTP."""
    rendered = _rendered("mail.txt", document, locale)
    return "".join(f"{piece}\n" for line in rendered.splitlines() for piece in _pieces(line.rstrip()))


def _rendered(template: str, document: Document, locale: Locale) -> str:
    sections = [one for one in document.sections if not one.empty]
    return nfc(_TEMPLATES.get_template(template).render(locale=locale, document=document, sections=sections))


def _pieces(line: str) -> Sequence[str]:
    """The line, broken where it is too long: at spaces, or within what has none."""
    if len(line.encode()) <= _MAX_LINE_BYTES:
        return (line,)
    max_letters = _MAX_LINE_BYTES // 4  # letters that are sure to fit
    words = [word[at : at + max_letters] for word in line.split(" ") for at in range(0, max(len(word), 1), max_letters)]
    pieces = [""]
    for word in words:
        if pieces[-1] and len(f"{pieces[-1]} {word}".encode()) > _MAX_LINE_BYTES:
            pieces.append(word)
        else:
            pieces[-1] = f"{pieces[-1]} {word}" if pieces[-1] else word
    return pieces
