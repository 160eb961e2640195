"""Routes of the API, as its description and the listener read them."""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from collector.web.access.roles import Access
from collector.web.query_params import MAX_ITEMS, MAX_TIME

Handler = Callable[[web.Request], Awaitable[web.Response]]


class QueryParameter(msgspec.Struct, frozen=True):
    """A query parameter of a route, for the description."""

    name: str
    description: str
    schema: dict[str, object] = msgspec.field(default_factory=lambda: {"type": "string"})


class ApiRoute(msgspec.Struct, frozen=True):
    """A path to read: what one needs for it, who answers, with what type, to which parameters."""

    path: str
    needs: Access
    handler: Handler
    summary: str
    answer: type
    parameters: tuple[QueryParameter, ...] = ()


class ApiPost(msgspec.Struct, frozen=True):
    """A path that changes something: what one needs for it, who does it, with what type it answers, the body's."""

    path: str
    needs: Access
    handler: Handler
    summary: str
    answer: type
    body: type


MS_SCHEMA: dict[str, object] = {"type": "integer", "minimum": 0, "maximum": MAX_TIME}
LIMIT = QueryParameter(
    "limit", f"at most so many (at most {MAX_ITEMS})", {"type": "integer", "minimum": 0, "maximum": MAX_ITEMS}
)
