"""The operators' listener: pages, API, metrics, health. Loopback, or whoever can say who they are."""

import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from aiohttp import hdrs, web

from collector.config import ListenAddress, OperatorsConfig, parse_address
from collector.queries.reader import LedgerReader
from collector.store.errors import StoreError
from collector.web.admission import Door, DoorLimits, operators_limits
from collector.web.api.openapi import describe
from collector.web.api.routes import WHO, ApiPost, ApiRoute
from collector.web.auth import Guard
from collector.web.pages import PageGroup
from collector.web.query_params import BadRequest, check_parameters, json_error, json_response, one_of

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
STATIC = Path(__file__).parent / "static"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
PUBLIC_PATHS = frozenset({"/-/healthy", "/-/ready", "/static/haidang.css"})  # for probes and links; they tell nothing
LINKS = "/links/"  # from mails: the token says who may do what, to whom it was sent is who does it


class ApiGroup(Protocol):
    """A part of the API."""

    @property
    def routes(self) -> Sequence[ApiRoute]: ...
    @property
    def posts(self) -> Sequence[ApiPost]: ...


def application(
    operators: OperatorsConfig,
    reader: LedgerReader,
    parts: Sequence[ApiGroup],
    pages: Sequence[PageGroup],
    metrics: Handler,
    ready: Callable[[], str],
) -> web.Application:
    """All routes. ``ready`` says why it is not, or ""."""
    guard = Guard(operators)

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        who = await guard.identify(request.headers)
        if who is None and request.path not in PUBLIC_PATHS and not request.path.startswith(LINKS):
            response: web.StreamResponse = json_error("say who you are", 401)
            response.headers[hdrs.WWW_AUTHENTICATE] = 'Basic realm="Hai Dang", charset="UTF-8"'
            return response
        request[WHO] = who or ""
        return await handler(request)

    app = web.Application(middlewares=[_errors_as_json, guarded], client_max_size=1 << 16)
    app.on_response_prepare.append(_headers)
    routes = [route for part in parts for route in part.routes]
    posts = [post for part in parts for post in part.posts]
    description = describe(routes, posts, operators.guarded)

    async def described(request: web.Request) -> web.Response:
        return json_response(description)

    async def healthy(request: web.Request) -> web.Response:
        return web.Response(text="healthy\n")

    async def is_ready(request: web.Request) -> web.Response:
        why = ready()
        return web.Response(text=f"{why or 'ready'}\n", status=503 if why else 200)

    async def discovery(request: web.Request) -> web.Response:
        check_parameters(request.query, "role")
        role = one_of(request.query, "role", ("collector", "devices")) or "collector"
        if role == "collector":
            return json_response([{"targets": [request.host], "labels": {"job": "haidang"}}])
        return json_response(discovered_devices(reader))

    for route in routes:
        app.router.add_get(route.path, route.handler)
    for post in posts:
        app.router.add_post(post.path, post.handler)
    for part in pages:
        for path, handler in part.routes().items():
            app.router.add_get(path, handler)
        for path, handler in part.posts().items():
            app.router.add_post(path, handler)
    app.router.add_get("/api/v1/openapi.json", described)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/-/healthy", healthy)
    app.router.add_get("/-/ready", is_ready)
    app.router.add_get("/sd/prometheus", discovery)
    app.router.add_static("/static", STATIC)
    return app


def discovered_devices(reader: LedgerReader) -> list[dict[str, Any]]:
    """The inventory's devices, for Prometheus to reach through its exporters with the same labels as ours."""
    inventory = reader.inventory
    return [
        {
            "targets": [device.address],
            "labels": {
                "agency": inventory.sites[device.site].agency,
                "site": device.site,
                "__meta_haidang_device": device.id,
                "__meta_haidang_device_kind": device.kind,
            },
        }
        for device in inventory.devices.values()
        if device.address
    ]


class _DoorSite(web.BaseSite):
    """A site of aiohttp's whose connections come in by a door."""

    def __init__(
        self, runner: web.AppRunner, address: ListenAddress, context: ssl.SSLContext | None, limits: DoorLimits
    ) -> None:
        super().__init__(runner, ssl_context=context)
        self._address = address
        self._limits = limits

    @property
    def name(self) -> str:
        return str(self._address)

    async def start(self) -> None:
        await super().start()
        assert self._runner.server is not None
        door = Door("operators", self._runner.server, self._limits)
        await door.listen(self._address.host, self._address.port, self._ssl_context)
        self._server = door  # type: ignore[assignment]  # what is asked of it: its sockets, to be closed


async def start(app: web.Application, operators: OperatorsConfig, limits: DoorLimits | None = None) -> web.AppRunner:
    """Listen. Raises OSError when the port cannot be had, ssl.SSLError when the certificate does not fit."""
    address = parse_address(operators.listen)
    context = None
    if operators.certificate is not None and operators.key is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(operators.certificate, operators.key)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=75.0, handle_signals=False, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await _DoorSite(runner, address, context, limits or operators_limits(128)).start()
    except BaseException:
        await runner.cleanup()
        raise
    return runner


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error leaves as JSON with a plain sentence."""
    try:
        return await handler(request)
    except BadRequest as bad_request:
        return json_error(str(bad_request), bad_request.status)
    except web.HTTPNotFound:
        return json_error("nothing is here", 404)
    except web.HTTPMethodNotAllowed:
        return json_error("this can only be read", 405)
    except web.HTTPException as other:
        return json_error(other.reason, other.status)
    except StoreError as error:
        log.warning("%s cannot be answered: %s", request.path, error)
        return json_error("the store cannot be read at the moment", 503)
    except (ConnectionError, TimeoutError):
        raise
    except Exception:
        log.exception("%s cannot be answered", request.path)
        return json_error("this went wrong here; the collector's log says more", 500)


async def _headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
