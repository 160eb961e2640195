"""What is in the way to a collector, said in words."""

import asyncio

import pytest

from agent.uplink.connection import Unreachable, Uplink, tls_context
from tests.support.fake_collector import FakeAuthority


@pytest.fixture
def authority() -> FakeAuthority:
    return FakeAuthority.sample()


@pytest.mark.parametrize(
    ("url", "kind"),
    [("https://nonesuch.invalid:8443", "dns"), ("https://127.0.0.1:1", "refused"), ("https://[::1", "url")],
)
async def test_what_is_not_reached_is_said_in_words(authority: FakeAuthority, url: str, kind: str) -> None:
    uplink = Uplink(url, tls_context([authority.pem], None))
    with pytest.raises(Unreachable) as found:
        await uplink.request("GET", "/v1/plan")
    assert found.value.kind == kind
    assert url in str(found.value)


async def test_plain_http_in_the_collectors_place_is_said_in_words(authority: FakeAuthority) -> None:
    async def portal(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(portal, "127.0.0.1", 0)
    uplink = Uplink(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", tls_context([authority.pem], None))
    with pytest.raises(Unreachable, match="no TLS with") as found:
        await uplink.request("GET", "/v1/plan")
    assert found.value.kind == "tls"
    server.close()
    await server.wait_closed()
