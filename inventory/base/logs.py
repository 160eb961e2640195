"""Logging setup: one line an event on standard error, as text or as JSON, whoever brought its words.

Texts are cleaned where they come in; this is the last line of defence, for words that came another way (an exception's
text, a library's own events). What is not printable is shown escaped; in text, the lines of a traceback follow their
event, each set off so that it cannot be taken for one.
"""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal

from inventory.base.text import printable

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


def set_up(level: str, style: Literal["text", "json"], quiet: Mapping[str, int] = {}) -> None:
    """Log to standard error from now on. ``quiet``: the lowest level that is logged, of single loggers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, lowest in {"asyncio": logging.WARNING, **quiet}.items():
        logging.getLogger(name).setLevel(lowest)
