"""Text from outside in mails: one line, bounded, nothing unseen (:mod:`inventory.base.text`)."""

from typing import Final

from inventory.base.text import clean_text

MAX_NAME: Final = 100  # characters of a name
MAX_SENTENCE: Final = 400  # of a reason, a comment, a piece of evidence


def clean(text: object, max_length: int = MAX_SENTENCE) -> str:
    """One line of the text, at most so many characters; an ellipsis stands for what was cut off."""
    return clean_text(str(text), max_length)


def name(text: object) -> str:
    return clean(text, MAX_NAME)
