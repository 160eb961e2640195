"""Query parameters: every input is bounded, and a mistake is named in a plain sentence."""

from collections.abc import Mapping

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from inventory.base.types import duration_ms

MAX_ITEMS = 10_000  # items of one answer
MAX_WINDOW = 3660 * 86_400_000  # ms of a window
MAX_TIME = 1 << 43  # ms since the epoch: some 280 years


class BadRequest(Exception):
    """A question that cannot be answered; ``status`` is HTTP's, ``retry_after`` seconds or 0."""

    def __init__(self, message: str, status: int = 400, retry_after: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


def check_parameters(query: Mapping[str, str], *names: str) -> None:
    """Refuse parameters that mean nothing here: a typo must not look like an answer."""
    for name in query:
        if name not in names:
            raise BadRequest(f"there is no parameter {name[:60]!r} here; known are: {', '.join(names) or 'none'}")


def whole_number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number from 0 to ``most``."""
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 16 or int(text) > most:
        raise BadRequest(f"{name} ought to be a whole number from 0 to {most}")
    return int(text)


def window(query: Mapping[str, str], now: int) -> tuple[int, int]:
    """``from`` and ``to``, ms; the last 24 hours when not given."""
    end = whole_number(query, "to", now, MAX_TIME)
    begin = whole_number(query, "from", max(end - 86_400_000, 0), MAX_TIME)
    if not begin < end:
        raise BadRequest("from ought to be before to")
    if end - begin > MAX_WINDOW:
        raise BadRequest("a window may be ten years long")
    return begin, end


def rolling(query: Mapping[str, str], now: int) -> tuple[int, int] | None:
    """``window=24h`` or ``30d``: the time up to now; None when it is not asked for."""
    text = query.get("window")
    if text is None:
        return None
    try:
        length = duration_ms(text[:20])
    except ValueError as error:
        raise BadRequest(f"window: {error}") from None
    if not 0 < length <= MAX_WINDOW:
        raise BadRequest("window ought to be more than nothing and at most ten years")
    return now - length, now


def one_of(query: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str | None:
    text = query.get(name)
    if text is not None and text not in choices:
        raise BadRequest(f"{name} ought to be one of {', '.join(choices)}")
    return text


async def form_fields(request: web.Request) -> Mapping[str, str]:
    """What a form was sent with. Raises BadRequest for what is none: strangers may send anything."""
    try:
        return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    except (LookupError, ValueError, RuntimeError, HttpProcessingError, web.RequestPayloadError):
        raise BadRequest("this is not a form as a browser sends it") from None


_encode = msgspec.json.Encoder().encode


def json_response(content: object, status: int = 200) -> web.Response:
    """As JSON."""
    return web.Response(body=_encode(content), status=status, content_type="application/json")


def json_error(message: str, status: int) -> web.Response:
    return json_response({"error": message}, status)
