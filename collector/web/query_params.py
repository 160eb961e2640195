"""What may stand in a query: every input is bounded, and what is wrong is said in a plain sentence."""

from collections.abc import Mapping

import msgspec
from aiohttp import web

from inventory.base.types import duration_ms

MOST = 10_000  # items of one answer
LONGEST = 3660 * 86_400_000  # ms of a window
LATEST = 1 << 43  # ms since the epoch: some 280 years


class Wrong(Exception):
    """A question that cannot be answered; ``status`` is HTTP's."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def known(query: Mapping[str, str], *names: str) -> None:
    """Refuse parameters that mean nothing here: a typo must not look like an answer."""
    for name in query:
        if name not in names:
            raise Wrong(f"there is no parameter {name[:60]!r} here; known are: {', '.join(names) or 'none'}")


def number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number from 0 to ``most``."""
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 16 or int(text) > most:
        raise Wrong(f"{name} ought to be a whole number from 0 to {most}")
    return int(text)


def window(query: Mapping[str, str], now: int) -> tuple[int, int]:
    """``from`` and ``to``, ms; the last 24 hours when not given."""
    end = number(query, "to", now, LATEST)
    begin = number(query, "from", max(end - 86_400_000, 0), LATEST)
    if not begin < end:
        raise Wrong("from ought to be before to")
    if end - begin > LONGEST:
        raise Wrong("a window may be ten years long")
    return begin, end


def rolling(query: Mapping[str, str], now: int) -> tuple[int, int] | None:
    """``window=24h`` or ``30d``: the time up to now; None when it is not asked for."""
    text = query.get("window")
    if text is None:
        return None
    try:
        length = duration_ms(text[:20])
    except ValueError as error:
        raise Wrong(f"window: {error}") from None
    if not 0 < length <= LONGEST:
        raise Wrong("window ought to be more than nothing and at most ten years")
    return now - length, now


def one_of(query: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str | None:
    text = query.get(name)
    if text is not None and text not in choices:
        raise Wrong(f"{name} ought to be one of {', '.join(choices)}")
    return text


_encode = msgspec.json.Encoder().encode


def answer(content: object, status: int = 200) -> web.Response:
    """As JSON."""
    return web.Response(body=_encode(content), status=status, content_type="application/json")


def problem(message: str, status: int) -> web.Response:
    return answer({"error": message}, status)
