"""The operators' listener: pages, API, metrics, health. Every route says what one needs for it; the guard judges."""

import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from aiohttp import hdrs, web

from collector.config import ListenAddress, OperatorsConfig, parse_address
from collector.queries.reader import LedgerReader
from collector.store.errors import StoreError
from collector.web.access.guard import Guard
from collector.web.access.origin import SAFE_METHODS
from collector.web.access.roles import PRINCIPAL, Access, Principal
from collector.web.admission import Door, DoorLimits, operators_limits
from collector.web.api.openapi import describe
from collector.web.api.routes import ApiPost, ApiRoute
from collector.web.layout import see_other
from collector.web.pages import PageGroup
from collector.web.query_params import BadRequest, check_parameters, form_fields, json_error, json_response, one_of
from inventory.base.http_listener import hide_versions

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
STYLE_SHEET = Path(__file__).parent / "static" / "haidang.css"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, forms of ours would come from the origin "null"
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
HSTS = "max-age=31536000"  # only where TLS is ours: a proxy decides for its own names


class ApiGroup(Protocol):
    """A part of the API."""

    @property
    def routes(self) -> Sequence[ApiRoute]: ...
    @property
    def posts(self) -> Sequence[ApiPost]: ...


class Routes:
    """What one needs for each route: there is no other way to add one."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._needs: dict[tuple[str, str], Access] = {}

    def add(self, method: str, path: str, needs: Access, handler: Handler) -> None:
        """GET is HEAD too."""
        route = self._app.router.add_route(method, path, handler)
        assert route.resource is not None
        self._needs[method, route.resource.canonical] = needs
        if method == "GET":
            self._app.router.add_route("HEAD", path, handler)

    def needed(self, request: web.Request) -> Access:
        """What one needs for what is asked for; to be told that there is no such thing, the right to look."""
        resource = request.match_info.route.resource
        method = "GET" if request.method == "HEAD" else request.method
        return "viewer" if resource is None else self._needs[method, resource.canonical]


def application(
    guard: Guard,
    reader: LedgerReader,
    parts: Sequence[ApiGroup],
    pages: Sequence[PageGroup],
    metrics: Handler,
    ready: Callable[[], str],
) -> web.Application:
    """All routes. ``ready`` says why it is not, or ""."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        client = guard.client(request)
        needs = routes.needed(request)
        principal = await guard.identify(request, client, needs)
        if not principal.may(needs):
            return _refusal(request, principal, needs)
        request[PRINCIPAL] = principal
        return await handler(request)

    app = web.Application(middlewares=[_errors_as_json, guarded], client_max_size=1 << 16)
    app.on_response_prepare.append(_headers)
    routes = Routes(app)
    api_routes = [route for part in parts for route in part.routes]
    api_posts = [post for part in parts for post in part.posts]

    def own_form(handler: Handler) -> Handler:
        """Of what needs a right, only a form that a page of ours was given for this principal."""

        async def checked(request: web.Request) -> web.StreamResponse:
            guard.check_form(request[PRINCIPAL], (await form_fields(request)).get("form_token", ""))
            return await handler(request)

        return checked

    async def described(request: web.Request) -> web.Response:
        return json_response(describe(api_routes, api_posts, not guard.open))

    async def healthy(request: web.Request) -> web.Response:
        return web.Response(text="healthy\n")

    async def is_ready(request: web.Request) -> web.Response:
        why = ready()
        return web.Response(text=f"{why or 'ready'}\n", status=503 if why else 200)

    async def discovery(request: web.Request) -> web.Response:
        check_parameters(request.query, "role")
        role = one_of(request.query, "role", ("collector", "devices")) or "collector"
        if role == "collector":
            host = guard.client(request).host or request.host
            return json_response([{"targets": [host], "labels": {"job": "haidang"}}])
        return json_response(discovered_devices(reader))

    async def style_sheet(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STYLE_SHEET)

    for route in api_routes:
        routes.add("GET", route.path, route.needs, route.handler)
    for post in api_posts:
        routes.add("POST", post.path, post.needs, post.handler)
    for group in pages:
        for page in group.routes():
            routes.add("GET", page.path, page.needs, page.handler)
        for page in group.posts():
            routes.add(
                "POST", page.path, page.needs, page.handler if page.needs == "public" else own_form(page.handler)
            )
    routes.add("GET", "/api/v1/openapi.json", "viewer", described)
    routes.add("GET", "/metrics", "metrics", metrics)
    routes.add("GET", "/-/healthy", "public", healthy)  # for probes; these two tell nothing
    routes.add("GET", "/-/ready", "public", is_ready)
    routes.add("GET", "/sd/prometheus", "viewer", discovery)
    routes.add("GET", f"/static/{STYLE_SHEET.name}", "public", style_sheet)  # the login and mails' links wear it
    return app


def _refusal(request: web.Request, principal: Principal, needs: Access) -> web.Response:
    """Of somebody who may not: people at a browser are sent to log in."""
    if principal.access != "public":
        return json_error(f"{principal.name} may not do this: it needs the rights of {needs}", 403)
    if "text/html" in request.headers.get("Accept", "") and "Authorization" not in request.headers:
        if request.method not in SAFE_METHODS:  # a form that was open for longer than the session
            return see_other("/login")
        language = request.query.get("lang")
        asked = f"&lang={quote(language, safe='')}" if language else ""
        return see_other(f"/login?next={quote(request.path_qs, safe='')}{asked}")
    response = json_error("say who you are", 401)
    response.headers[hdrs.WWW_AUTHENTICATE] = 'Basic realm="Hai Dang", charset="UTF-8"'
    return response


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
    hide_versions()
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
        response = json_error(str(bad_request), bad_request.status)
        if bad_request.retry_after:
            response.headers[hdrs.RETRY_AFTER] = str(bad_request.retry_after)
        return response
    except web.HTTPNotFound:
        return json_error("nothing is here", 404)
    except web.HTTPMethodNotAllowed:
        return json_error("this can only be read", 405)
    except web.HTTPException as other:
        return json_error(other.reason, other.status)
    except StoreError as error:
        log.warning("%s cannot be answered: %s", request.path, error)
        return json_error("the store cannot be used at the moment", 503)
    except (ConnectionError, TimeoutError):
        raise
    except Exception:
        log.exception("%s cannot be answered", request.path)
        return json_error("this went wrong here; the collector's log says more", 500)


async def _headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.transport is not None and request.transport.get_extra_info("ssl_object") is not None:
        response.headers["Strict-Transport-Security"] = HSTS
