"""Users, tokens and browsers for tests of the operators' listener."""

import asyncio
import base64
import re
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from collector.config import CollectorConfig, OperatorToken, Role, Scope
from collector.web.access import passwords
from collector.web.access.users import KnownUser, write_users
from inventory.base.types import Secret

PASSWORD = "con đò sang sông"
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
SCOPES: tuple[Scope, ...] = ("metrics", "read", "write")


def quick_hash(password: str) -> str:
    """As the real ones, but cheap."""
    cost, passwords.COST = passwords.COST, 16  # type: ignore[misc]
    try:
        return passwords.hash_password(password)
    finally:
        passwords.COST = cost  # type: ignore[misc]


def guarded(config: CollectorConfig, *, password: str = PASSWORD) -> CollectorConfig:
    """With a user of each role, called as it, and a token of each scope."""
    config.state_dir.mkdir(exist_ok=True)
    held = Secret(quick_hash(password))
    write_users(config.users_file, {role: KnownUser(role=role, password=held) for role in ROLES}, config.state_dir)
    tokens = tuple(OperatorToken(name=f"t-{scope}", token=Secret(token(scope)), scope=scope) for scope in SCOPES)
    return msgspec.structs.replace(config, operators=msgspec.structs.replace(config.operators, tokens=tokens))


def token(scope: str) -> str:
    return f"{scope}-0123456789abcdefghij"


def bearer(scope: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(scope)}"}


def basic(name: str, password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


class Browser:
    """Keeps cookies, says where its forms come from."""

    def __init__(self, port: int, **more: Any) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self.session = aiohttp.ClientSession(
            self.origin, cookie_jar=aiohttp.CookieJar(unsafe=True), headers={"Accept": "text/html"}, **more
        )

    async def __aenter__(self) -> "Browser":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def get(self, path: str, **more: Any) -> tuple[int, str]:
        async with self.session.get(path, allow_redirects=False, **more) as response:
            self.last = response
            return response.status, await response.text()

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> tuple[int, str]:
        sent = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin", **headers}
        async with self.session.post(path, data=fields, headers=sent, allow_redirects=False) as response:
            self.last = response
            return response.status, await response.text()

    async def log_in(self, name: str, password: str = PASSWORD, to: str = "/") -> int:
        status, _ = await self.post("/login", {"name": name, "password": password, "next": to})
        return status

    async def form_token(self, path: str = "/?lang=en") -> str:
        _, page = await self.get(path)
        found = re.search(r'name="form_token" value="(\w+)"', page)
        assert found is not None, page[:500]
        return found[1]


async def raw(port: int, head: str, body: bytes = b"", address: str = "127.0.0.1") -> tuple[int, bytes]:
    """The status and all that comes back for these very lines."""
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(head.replace("\n", "\r\n").encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body)
    got = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return int(got.split(b" ", 2)[1]), got


def files_named(folder: Path, text: bytes) -> list[Path]:
    """Those that hold it."""
    return [path for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]
