"""Text from outside made fit to be shown: one line, nothing unseen in it, composed letters, a bounded length.

Names come from files that many hands write, reasons from agents, banners from whatever stands at the far end, wrong
user names from strangers. What passes here cannot begin a line of its own, end a header, turn the direction of writing
around, hide a part of itself, or fill a page. It is called once, where the text comes in; :func:`printable` is for
logs, which show what was there.
"""

import re
import unicodedata
from typing import Final

ELLIPSIS: Final = "…"
MAX_MARKS: Final = 3  # combining marks on one letter; Vietnamese needs two, and composed none
_MAX_INPUT: Final = 20_000  # characters: of a text that is longer, the rest is not even read

_SPACE: Final = re.compile(r"\s+")
_MARK: Final = r"[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_PILED: Final = re.compile(f"({_MARK}{{{MAX_MARKS}}}){_MARK}+")
# Letters and marks that show nothing. What else is unseen is of the categories C (controls, formats such as bidi and
# zero width, halves, private use, unassigned) and Zl, Zp: not printable in Python's sense. Joiners among them change
# how Indic and Arabic letters and some emoji look; Vietnamese and English need none.
_BLANK: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def clean_line(text: str) -> str:
    """One line of the text, whatever its length; each run of spaces and line breaks is one space.

    Half a character (a lone surrogate) becomes a question mark, everything else that is not seen goes.
    """
    if not text.isprintable():
        text = "".join(character if character.isprintable() else _instead(character) for character in text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", _PILED.sub(r"\1", unicodedata.normalize("NFC", _BLANK.sub("", text))))
    return _SPACE.sub(" ", text)


def clean_text(text: str, limit: int) -> str:
    """As :func:`clean_line`, without spaces around it, of at most ``limit`` characters: an ellipsis is for the rest."""
    line = clean_line(text[:_MAX_INPUT]).strip()
    if len(line) <= limit and len(text) <= _MAX_INPUT:
        return line
    return line[: limit - 1].rstrip() + ELLIPSIS


def _instead(character: str) -> str:
    if character.isspace():
        return " "
    return "?" if "\ud800" <= character <= "\udfff" else ""


def printable(text: str, limit: int) -> str:
    """The text for a log: what is not printable is written as Python writes it (``\\x1b``, ``\\n``, ``\\u202e``)."""
    shown = text[:limit]
    if not shown.isprintable():
        shown = "".join(
            character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
            for character in shown
        )
    return shown + ELLIPSIS if len(text) > limit else shown


def quoted(text: str, limit: int = 60) -> str:
    """Words that somebody wrote, for a sentence about them: quoted, printable, short."""
    return repr(text) if len(text) <= limit else f"{text[: limit - 1]!r}{ELLIPSIS}"
