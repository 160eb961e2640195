"""Text from outside, cleaned once, where it comes in: one printable line of bounded length."""

import unicodedata
from typing import Final

_REMOVED: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # control, bidi and other format, half ones
_KEPT: Final = frozenset("\u200c\u200d")  # joiners, which some scripts are written with


def clean_text(text: str, limit: int) -> str:
    """Without control, bidi and other invisible characters, on one line, composed (NFC), of at most ``limit``
    characters. White space of any sort counts as a space."""
    text = text[: 4 * limit]  # what is cut off costs nothing
    if not (text.isascii() and text.isprintable()):
        text = unicodedata.normalize("NFC", printable(" ".join(text.split())))
    return text[:limit]


def printable(line: str) -> str:
    """A line without what cannot be seen."""
    if line.isprintable():
        return line
    return "".join(one for one in line if one in _KEPT or unicodedata.category(one) not in _REMOVED)
