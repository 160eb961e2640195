"""Sanitise text from outside: one line, no control or bidi characters, composed letters, a bounded length.

Reasons come from agents, names from files that many hands write. What passes here is one line that cannot end a header,
turn the line's direction around, hide a part of itself, or fill a mailbox.
"""

import re
import unicodedata
from typing import Final

MAX_NAME: Final = 100  # characters of a name
MAX_SENTENCE: Final = 400  # of a reason, a comment, a piece of evidence
MAX_MARKS: Final = 3  # combining marks on one letter; Vietnamese needs two, and composed none
_MAX_INPUT: Final = 20_000  # of a text that is longer, the rest is not even read

_SPACE = re.compile(r"\s+")
_MARK: Final = r"[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_PILED = re.compile(f"({_MARK}{{{MAX_MARKS}}}){_MARK}+")
# what is there and not seen, or seen and not there: controls, formats (bidi, zero width, tags), halves, private use
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_BREAKS: Final = frozenset({"Zl", "Zp"})
_BLANK: Final = frozenset("\u115f\u1160\u3164\uffa0\u2800")  # letters that show nothing


def clean(text: object, max_length: int = MAX_SENTENCE) -> str:
    """One line of the text, at most so many characters; an ellipsis stands for what was cut off."""
    normalized = unicodedata.normalize("NFC", str(text)[:_MAX_INPUT])
    visible = "".join(_visible(mail) for mail in normalized)
    line = unicodedata.normalize("NFC", _PILED.sub(r"\1", _SPACE.sub(" ", visible))).strip()
    if len(line) <= max_length:
        return line
    return line[: max_length - 1].rstrip() + "…"


def name(text: object) -> str:
    return clean(text, MAX_NAME)


def _visible(mail: str) -> str:
    if mail in "\t\n\r\v\f":
        return " "
    category = unicodedata.category(mail)
    if category in _BREAKS:
        return " "
    return "" if category in _UNSEEN or mail in _BLANK else mail
