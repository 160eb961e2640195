"""Load the compiled gettext catalogues; ``scripts/words`` makes them.

``alerts/locale/LANGUAGE/LC_MESSAGES/DOMAIN.mo``: domain ``haidang`` has what templates and programs say themselves,
``reasons`` the sentences that arrive from agents (see :mod:`alerts.language.reasons`).
"""

import gettext
import unicodedata
from functools import cache
from pathlib import Path
from typing import Final

from inventory.base.languages import language_codes

LANGUAGES: Final = language_codes()  # as shipped
SOURCE: Final = "en"  # the language of the source itself: it needs no catalogue
LOCALE: Final = Path(__file__).parent.parent / "locale"
MESSAGES: Final = "haidang"
REASONS: Final = "reasons"


def mark(context: str, words: str) -> str:
    """The words as they are, marked for the catalogue: for names in tables, which ``Locale.term`` translates."""
    return words


def nfc(text: str) -> str:
    """Vietnamese is written in composed letters everywhere, so that equal words are equal strings."""
    return unicodedata.normalize("NFC", text)


@cache
def translations(language: str) -> gettext.NullTranslations:
    """Of the domain ``haidang``. Raises OSError when an installation lost its catalogue."""
    if language == SOURCE:
        return gettext.NullTranslations()
    return gettext.translation(MESSAGES, LOCALE, [language])
