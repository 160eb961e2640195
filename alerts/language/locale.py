"""A locale: messages, numbers and times in one language, for pages, mails and the API."""

import math
from datetime import datetime
from zoneinfo import ZoneInfo

from alerts.language import names
from alerts.language.catalogue import mark, nfc, translations
from alerts.language.quantities import COMMAS
from alerts.language.reasons import translate
from inventory.base.languages import LANGUAGES

_UNITS = (mark("unit", "s"), mark("unit", "min"), mark("unit", "h"), mark("unit", "d"))
_NO_VALUE = "–"


class Locale:
    """Translates and formats for ``language``; times are the wall clock's of ``zone``.

    In templates (see :func:`alerts.language.jinja.install`) it is ``locale``, and ``_()``, ``ngettext()`` and
    ``{% trans %}`` go through it. In programs ``_ = locale`` and ``_("%(count)s left", count=3)``. As everywhere with
    gettext a per cent sign in the words is written twice.
    """

    def __init__(self, language: str, zone: ZoneInfo) -> None:
        self.language = language
        self.style = LANGUAGES[language]
        self.zone = zone
        self._translations = translations(language)

    def __call__(self, words: str, **values: object) -> str:
        """The words with the values in their places; what is not in the catalogue stands as it is."""
        return nfc(self.gettext(words) % values)

    def gettext(self, words: str) -> str:
        return self._translations.gettext(words)

    def ngettext(self, one: str, many: str, count: int) -> str:
        return self._translations.ngettext(one, many, count)

    def pgettext(self, context: str, words: str) -> str:
        return self._translations.pgettext(context, words)

    def npgettext(self, context: str, one: str, many: str, count: int) -> str:
        return self._translations.npgettext(context, one, many, count)

    def counted(self, one: str, many: str, count: int, **values: object) -> str:
        """One form or the other, with ``%(num)s`` and the values in their places."""
        return nfc(self.ngettext(one, many, count) % {"num": self.number(count), **values})

    def term(self, table: str, name: str) -> str:
        """The word for a name of the program's own: ``term("state", "down")``. Tables: see
        :mod:`alerts.language.names`.

        A name that the table does not have (of a newer agent, say) stands as it is.
        """
        words = names.TABLES[table].get(name)
        return name if words is None else self.pgettext(table, words)

    def reason(self, text: str) -> str:
        """The reason of a look, which arrives in English; what is not known of it stands as it is."""
        return translate(text, self.language)

    def number(self, value: float, digits: int = 0) -> str:
        """With so many digits after the point (or comma), and thousands set apart."""
        text = f"{value:,.{digits}f}"
        return text.translate(COMMAS) if self.style.decimal_comma else text

    def percent(self, ratio: float | None, *, up: bool = False) -> str:
        """Cut off, not rounded: 99.999% is not shown as 100%. ``up``: an upper bound, cut off upwards."""
        if ratio is None:
            return _NO_VALUE
        cut = (math.ceil(ratio * 10_000 - 1e-9) if up else math.floor(ratio * 10_000 + 1e-9)) / 100
        return ("100" if cut >= 100 else self.number(cut, 2)) + "%"

    def moment(self, ms: int | None, now: int) -> str:
        """A time in the zone; the day only when it is not today."""
        if ms is None:
            return ""
        try:
            local, today = (datetime.fromtimestamp(at / 1000, self.zone) for at in (ms, now))
        except (ValueError, OverflowError, OSError):  # no calendar has it
            return _NO_VALUE
        time_format = "%H:%M:%S" if local.date() == today.date() else "%d/%m/%Y %H:%M"
        return local.strftime(time_format)

    def length(self, ms: int) -> str:
        """A duration in its two largest units."""
        second, minute, hour, day = (self.pgettext("unit", unit) for unit in _UNITS)
        whole = max(ms, 0) // 1000
        if whole < 60:
            return f"{whole} {second}"
        if whole < 3600:
            return f"{whole // 60} {minute}"
        if whole < 86_400:
            return f"{whole // 3600} {hour} {whole % 3600 // 60:02} {minute}"
        return f"{whole // 86_400} {day} {whole % 86_400 // 3600} {hour}"

    def latency(self, seconds: float | None) -> str:
        if seconds is None:
            return ""
        text = f"{seconds * 1000:.3g}" if seconds < 0.1 else f"{seconds * 1000:.0f}"
        return f"{text.translate(COMMAS) if self.style.decimal_comma else text} ms"

    def window(self, name: str) -> str:
        """The name of a goal's window: ``month``, ``rolling-30d``."""
        if name.startswith("rolling-"):
            _ = self
            return _("last %(days)s days", days=name.removeprefix("rolling-").removesuffix("d"))
        return self.term("window", name)


def choose_language(requested: str | None, accept_language: str) -> str:
    """``lang`` of the query, else the first accepted language that we have, else Vietnamese."""
    if requested in LANGUAGES:
        return requested
    weighted = []
    for place, part in enumerate(accept_language.split(",")[:20]):
        name, _, weight = part.strip().partition(";q=")
        try:
            weighted.append((-float(weight or 1), place, name.strip().lower()[:2]))
        except ValueError:
            continue
    return next((name for weight, _, name in sorted(weighted) if name in LANGUAGES and weight < 0), "vi")
