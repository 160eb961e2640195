"""The one form of Unicode in which texts and names are compared."""

import unicodedata


def one_form(text: str) -> str:
    """In NFC: a Mac writes ế to a share as e with two marks, and who looks for it writes one letter."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)
