"""Logging setup: one line an event on standard error, as text or as JSON."""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal


class JsonLines(logging.Formatter):
    """time (UTC), level, logger, message; error: the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["error"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False)


def set_up(level: str, style: Literal["text", "json"], quiet: Mapping[str, int] = {}) -> None:
    """Log to standard error from now on. ``quiet``: the lowest level that is logged, of single loggers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonLines() if style == "json" else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, lowest in {"asyncio": logging.WARNING, **quiet}.items():
        logging.getLogger(name).setLevel(lowest)
