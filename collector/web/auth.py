"""Authentication at the operators' listener: people by password (HTTP basic), programs by bearer token."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping

from collector.config import OperatorsConfig

COST = 1 << 14  # scrypt's n; with r=8, p=1 some 50 ms and 16 MiB
MAX_PROVEN = 1000  # proven credentials kept (hashed), so that a page's every request does not cost 50 ms


def hash_password(password: str) -> str:
    """``scrypt:N:SALT:HASH``, what the configuration holds."""
    salt = secrets.token_bytes(16)
    return f"scrypt:{COST}:{salt.hex()}:{_scrypt(password, salt, COST).hex()}"


def verify_password(password: str, held: str) -> bool:
    """Whether the password is the one that was hashed; False for a hash that is none."""
    try:
        scheme, cost, salt, expected = held.split(":")
        if scheme != "scrypt" or not 2 <= int(cost) <= 1 << 20:
            return False
        return hmac.compare_digest(_scrypt(password, bytes.fromhex(salt), int(cost)), bytes.fromhex(expected))
    except ValueError:
        return False


class Guard:
    """Judges the Authorization header."""

    def __init__(self, operators: OperatorsConfig) -> None:
        self.open = not operators.guarded
        self._users = {user.name: str(user.password) for user in operators.users}
        self._tokens = {_digest(str(token.token)): token.name for token in operators.tokens}
        self._proven: dict[bytes, str] = {}
        self._hashing = asyncio.Semaphore(2)  # guessing passwords must not take the machine
        self._nobody = f"scrypt:{COST}:{'00' * 16}:{'00' * 64}"

    async def identify(self, headers: Mapping[str, str]) -> str | None:
        """The name of who asks, None when it is not proven; "anyone" where no one need prove it."""
        if self.open:
            return "anyone"
        scheme, _, credentials = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._tokens.get(_digest(credentials.strip()))
        if scheme.lower() != "basic" or len(credentials) > 1000:
            return None
        digest = _digest(credentials)
        if digest in self._proven:
            return self._proven[digest]
        try:
            name, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        # an unknown name takes as long as a wrong password
        held = self._users.get(name, self._nobody)
        async with self._hashing:
            fits = await asyncio.to_thread(verify_password, password, held)
        if not colon or not fits or name not in self._users:
            return None
        if len(self._proven) >= MAX_PROVEN:
            self._proven.clear()
        self._proven[digest] = name
        return name


def _scrypt(password: str, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=8, p=1, maxmem=1 << 28)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
