"""One line an event, on standard error: text for people, JSON for programs."""

import logging
import sys
from datetime import UTC, datetime

import msgspec

from collector.config import LogConfig


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(event).decode()


def set_up(config: LogConfig) -> None:
    """Log as the configuration says from now on."""
    handler = logging.StreamHandler(sys.stderr)
    words = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(_Json() if config.format == "json" else words)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config.level.upper())
    for quiet in ("asyncio", "aiohttp.access"):
        logging.getLogger(quiet).setLevel(logging.WARNING)
    # what comes in malformed is counted and answered with 400; a line for each would fill the disk
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
