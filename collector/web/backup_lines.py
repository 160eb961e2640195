"""Backups as lines of a list on a page."""

from typing import Any, Final

import msgspec

from collector.ingest.quarantine import PAGE
from collector.queries import backups
from collector.queries.reader import LedgerReader
from collector.web.api.backups import MONTH, BackupAnswer, backup_answer
from inventory.protocol.states import UP

MAX_LINES: Final = 100  # on a page


class BackupLine(msgspec.Struct, frozen=True):
    """A backup's line on a page."""

    backup: BackupAnswer
    reasons: list[tuple[str, str]]  # (evidence, its reason)
    figure: Any


class BackupLines(msgspec.Struct, frozen=True):
    """The lines of a page."""

    rows: list[BackupLine]  # the worst first
    hidden: int  # how many more there are


async def backup_lines(reader: LedgerReader, now: int, agency: str | None = None, *, whole: bool = True) -> BackupLines:
    """Of one agency or all; unless ``whole``, only those that are not up."""
    every = [one for one in backups.backup_statuses(reader, now) if agency in (None, one.backup.agency)]
    chosen = sorted((one for one in every if whole or one.state != UP), key=lambda one: _ORDER[one.state])[:MAX_LINES]
    histories = await backups.backup_histories(reader, chosen, (now - MONTH, now))

    def line(one: backups.BackupStatus) -> BackupLine:
        history = histories[one.backup.id]
        return BackupLine(backup_answer(one, history, now), one.reasons, history.figure)

    rows = reader.fleet.quarantine.rows(PAGE, chosen, lambda one: "", line)
    return BackupLines(rows, len(every) - len(rows))


_ORDER = {code: place for place, code in enumerate((2, 1, 3, 0))}  # down, degraded, unknown, up


def size(count: float | None, language: str) -> str:
    """Bytes in the largest unit that leaves at least 1 of it: 1.5 GiB."""
    if count is None:
        return ""
    unit, left = 0, float(count)
    while left >= 1024 and unit < 5:
        left /= 1024
        unit += 1
    text = f"{left:.1f}" if unit and left < 100 else f"{left:.0f}"
    return f"{text.replace('.', ',') if language == 'vi' else text} {('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB')[unit]}"
