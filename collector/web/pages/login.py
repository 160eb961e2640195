"""Logging in and out."""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from aiohttp import web

from collector.web.access.guard import cookie_name
from collector.web.access.origin import RemoteClient
from collector.web.access.roles import PRINCIPAL
from collector.web.layout import see_other
from collector.web.pages import PageContext, PageRoute
from collector.web.query_params import BadRequest, check_parameters, form_fields

MAX_NEXT: Final = 1_000
_OWN_PATH: Final = re.compile(r"/(?![/\\])[!-\[\]-~]*")  # no host, no backslash, nothing that a browser leaves out


def pages(context: PageContext) -> "LoginPages":
    return LoginPages(context)


class LoginPages:
    """The form, what it does, and the way out."""

    menu = ()

    def __init__(self, context: PageContext) -> None:
        self._guard = context.guard
        self._draw = context.layout.render

    def routes(self) -> Sequence[PageRoute]:
        return (PageRoute("/login", "public", self.form),)

    def posts(self) -> Sequence[PageRoute]:
        return (
            PageRoute("/login", "public", self.log_in),
            PageRoute("/logout", "viewer", self.log_out),
        )

    async def form(self, request: web.Request) -> web.StreamResponse:
        check_parameters(request.query, "lang", "next")
        to = own_path(request.query.get("next", "/"))
        if request[PRINCIPAL].may("viewer"):
            return see_other(to)
        client = self._guard.client(request)
        return self._page(request, to, status=200, wrong="" if client.private else "clear")

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        check_parameters(request.query, "lang", "next")
        form = await form_fields(request)
        name, password = (form.get(field, "") for field in ("name", "password"))
        to = own_path(form.get("next", "/"))
        client = self._guard.client(request)
        if not client.private:
            return self._page(request, to, status=403, wrong="clear")
        try:
            secret = await self._guard.log_in(name[:200], password, client)
        except BadRequest as refused:
            if refused.status != 429:
                raise
            page = self._page(request, to, status=429, wrong="many", name=name[:100])
            page.headers["Retry-After"] = str(refused.retry_after)
            return page
        if secret is None:
            return self._page(request, to, status=401, wrong="wrong", name=name[:100])
        if former := request.cookies.get(cookie_name(client)):
            await self._guard.sessions.end(former)
        response = see_other(to)
        _set_cookie(response, client, secret, self._guard.session_seconds)
        return response

    async def log_out(self, request: web.Request) -> web.StreamResponse:
        principal, client = request[PRINCIPAL], self._guard.client(request)
        response = see_other("/login")
        if (secret := request.cookies.get(cookie_name(client))) and principal.by == "session":
            await self._guard.log_out(secret, principal.name, client)
            _set_cookie(response, client, "", 0)
        return response

    def _page(self, request: web.Request, to: str, *, status: int, wrong: str = "", name: str = "") -> web.Response:
        keep = f"&next={quote(to, safe='')}" if to != "/" else ""
        return self._draw(
            request,
            "login.html",
            status=status,
            refresh=False,
            bare=True,
            next=to,
            wrong=wrong,
            name=name,
            keep=keep,
        )


def own_path(text: str) -> str:
    """Where to go after logging in: a path of ours, or the first page."""
    return text if len(text) <= MAX_NEXT and _OWN_PATH.fullmatch(text) else "/"


def _set_cookie(response: web.StreamResponse, client: RemoteClient, secret: str, seconds: int) -> None:
    response.set_cookie(
        cookie_name(client),
        secret,
        max_age=seconds,
        path="/",
        httponly=True,
        secure=client.scheme == "https",
        samesite="Lax",
    )
