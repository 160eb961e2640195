"""Logging setup: one line an event on standard error, as text or as JSON, whoever brought its words.

Texts are cleaned where they come in; this is the last line of defence, for words that came another way (an exception's
text, a library's own events). What is not printable is shown escaped; in text, the lines of a traceback follow their
event, each set off so that it cannot be taken for one.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Literal

from inventory.base.text import printable

OTHERS_LOGGERS: Final = ("asyncio", "aiohttp", "collector.web", "collector.ingest.steps")  # others cause it
MAX_MESSAGE: Final = 4_000  # characters of an event; the rest is cut
MAX_TRACEBACK_LINE: Final = 500
TRACEBACK_LINES: Final = 200  # the last ones
_SET_OFF: Final = "    | "


def _traceback_lines(text: str) -> list[str]:
    lines = text.split("\n")
    dropped = len(lines) - TRACEBACK_LINES
    if dropped > 0:
        lines = [f"... {dropped} lines before", *lines[dropped:]]
    return [printable(line, MAX_TRACEBACK_LINE) for line in lines]


class TextLines(logging.Formatter):
    """``time LEVEL logger: message``; a traceback's lines below it, set off."""

    def format(self, record: logging.LogRecord) -> str:
        event = f"{self.formatTime(record)} {record.levelname} {record.name}: {record.getMessage()}"
        lines = [printable(event, MAX_MESSAGE)]
        for trace in (self.formatException(record.exc_info) if record.exc_info else "", record.stack_info):
            lines += [_SET_OFF + line for line in _traceback_lines(trace)] if trace else []
        return "\n".join(lines)


class JsonLines(logging.Formatter):
    """time (UTC), level, logger, message; error: the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": printable(record.getMessage(), MAX_MESSAGE),
        }
        if record.exc_info:
            event["error"] = "\n".join(_traceback_lines(self.formatException(record.exc_info)))
        return json.dumps(event, ensure_ascii=False)


class RateLimit(logging.Filter):
    """Of each kind of warning from these loggers (and those below them) at most a line a second; the next line of the
    kind says how many were left out. A kind is a logger and a message before its values are filled in."""

    def __init__(
        self,
        loggers: tuple[str, ...] = OTHERS_LOGGERS,
        *,
        every: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._loggers = loggers
        self._every = every
        self._monotonic = monotonic
        self._last: dict[tuple[str, str], tuple[float, int]] = {}  # by kind: when a line went out, how many not since

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or not any(
            record.name == name or record.name.startswith(f"{name}.") for name in self._loggers
        ):
            return True
        now, kind = self._monotonic(), (record.name, str(record.msg)[:200])
        last, left_out = self._last.get(kind, (-self._every, 0))
        if now - last < self._every:
            self._last[kind] = (last, left_out + 1)
            return False
        if len(self._last) >= 1_000:
            self._last.clear()  # kinds without end are no kinds
        self._last[kind] = (now, 0)
        if left_out:
            record.msg, record.args = f"{record.getMessage()} (and {left_out} more like it)", ()
        return True


def set_up(level: str, style: Literal["text", "json"], quiet: Mapping[str, int] = {}) -> None:
    """Log to standard error from now on. ``quiet``: the lowest level that is logged, of single loggers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    handler.addFilter(RateLimit())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, lowest in {"asyncio": logging.WARNING, **quiet}.items():
        logging.getLogger(name).setLevel(lowest)
