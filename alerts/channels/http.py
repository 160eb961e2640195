"""A small HTTP client for webhooks, pings and Alertmanagers: each request on a connection of its own."""

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aiohttp

from alerts.channels.smtp import one_line, tls_context

USER_AGENT: Final = "haidang-alerts"
MAX_BODY: Final = 1 << 20  # bytes of an answer that are read


class DeliveryFailed(Exception):
    """Why a web address did not take what it was sent; never with the address, which may be a secret."""


class HttpClient:
    """``timeout``: ms for all of a request. ``ca``: PEM file to trust instead of the machine's authorities."""

    def __init__(
        self,
        url: str,
        timeout: int,
        ca: Path | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.url = url
        self._timeout = timeout / 1000
        self._ca = ca
        self._headers = {"User-Agent": USER_AGENT, **(headers or {})}
        self._context: ssl.SSLContext | None = None

    async def request(self, method: str, path: str = "", data: bytes | None = None) -> bytes:
        """What a 2xx answer says. Redirections are not followed: they would take a secret to whoever they name.
        Raises NotTaken."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._request(method, self.url + path, data)
        except TimeoutError:
            raise DeliveryFailed(f"no answer within {self._timeout:g} s") from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise DeliveryFailed(f"its certificate is not to be trusted: {_certificate_error(error)}") from None
        except aiohttp.ClientConnectorError as error:
            raise DeliveryFailed(f"no connection: {one_line(error.os_error.strerror or str(error.os_error))}") from None
        except aiohttp.ClientError as error:
            raise DeliveryFailed(f"the connection broke off ({type(error).__name__})") from None
        except OSError as error:
            raise DeliveryFailed(one_line(error.strerror or str(error))) from None
        except ValueError:
            raise DeliveryFailed("its address cannot be used") from None

    async def _request(self, method: str, url: str, data: bytes | None) -> bytes:
        connector = aiohttp.TCPConnector(ssl=await self._tls_context(), force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, url, data=data, headers=self._headers, allow_redirects=False) as response,
        ):
            body = await response.content.read(MAX_BODY)
            if 200 <= response.status < 300:
                return body
            raise DeliveryFailed(f"answered {response.status} {one_line(body.decode('utf-8', 'replace'))}".rstrip())

    async def _tls_context(self) -> ssl.SSLContext | bool:
        if not self.url.startswith("https:"):
            return True
        if self._context is None:
            self._context = await asyncio.to_thread(tls_context, self._ca)
        return self._context


def _certificate_error(error: aiohttp.ClientConnectorCertificateError) -> str:
    inner = error.certificate_error
    return one_line(inner.verify_message if isinstance(inner, ssl.SSLCertVerificationError) else str(inner))
