"""A web site on loopback that records the requests it gets and answers as a test tells it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping

import msgspec
from aiohttp import web


class ReceivedRequest(msgspec.Struct):
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class FakeWebSite:
    """``answer``: the status, or "drop" or "hang"."""

    def __init__(self) -> None:
        self.answer: int | str = 200
        self.requests: list[ReceivedRequest] = []
        self.url = ""
        self._runner: web.ServerRunner | None = None

    async def start(self, context: ssl.SSLContext | None = None) -> None:
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)  # type: ignore[arg-type]
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        port = self._runner.addresses[0][1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{port}"

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(ReceivedRequest(request.method, request.path_qs, dict(request.headers), body))
        if self.answer == "drop":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if self.answer == "hang":
            await asyncio.sleep(3600)
        assert isinstance(self.answer, int)
        headers = {"Location": "/elsewhere"} if 300 <= self.answer < 400 else {}
        return web.Response(status=self.answer, headers=headers)


@contextlib.asynccontextmanager
async def site_running(site: FakeWebSite, context: ssl.SSLContext | None = None) -> AsyncIterator[FakeWebSite]:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # refused handshakes are the point
    await site.start(context)
    try:
        yield site
    finally:
        await site.close()
