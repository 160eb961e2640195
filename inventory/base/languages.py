"""The languages of mails: one entry each, and a catalogue below alerts/locale."""

from typing import Final

import msgspec


class Language(msgspec.Struct, frozen=True, kw_only=True):
    """How a language writes numbers and days; its words are in its catalogue."""

    code: str  # as gettext and HTML name it
    decimal_comma: bool = False
    day: str = "{day} {month_name} {year}"  # month_name: as English has it; also {month}
    report_day: str = "{year:04}-{month:02}-{day:02}"  # of a daily report


LANGUAGES: Final[dict[str, Language]] = {
    one.code: one
    for one in (
        Language(
            code="vi",
            decimal_comma=True,
            day="{day:02}/{month:02}/{year:04}",
            report_day="{day:02}/{month:02}/{year:04}",
        ),
        Language(code="en"),
    )
}


def language_codes() -> tuple[str, ...]:
    return tuple(LANGUAGES)
