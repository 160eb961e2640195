"""Sessions of people who logged in: a random id in a cookie, its hash in the store, so that a restart ends none."""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable
from typing import Final

from collector.store.errors import StoreError
from collector.store.interfaces.store import Store, Transaction
from collector.store.records import StoredSession

log = logging.getLogger("collector.access")

TOKEN_BYTES: Final = 32
MAX_OF_ONE: Final = 20  # sessions of one person; the one unused for longest makes way
SEEN_EVERY: Final = 300_000  # ms: that a session is in use is written this often


class Sessions:
    """All of them in memory, changes in the store too. ``wall``: ms since the epoch; ``idle``, ``life``: ms."""

    def __init__(self, store: Store, *, wall: Callable[[], int], idle: int, life: int) -> None:
        self._store = store
        self._wall = wall
        self._idle = idle
        self._life = life
        self._held: dict[bytes, StoredSession] = {}

    async def load(self) -> None:
        """Those of before. Raises StoreError."""
        self._held = {one.hash: one for one in await self._store.read(lambda tx: tx.sessions.all())}
        await self.prune()

    def __len__(self) -> int:
        return len(self._held)

    async def begin(self, user: str, password: str) -> str:
        """A new one of this person, whose kept password is this; gives what the cookie holds. One that
        the store cannot take ends with this process."""
        secret, now = secrets.token_urlsafe(TOKEN_BYTES), self._wall()
        session = StoredSession(_hash(secret), user, _mark(password), now, now)
        own = sorted((one for one in self._held.values() if one.user == user), key=lambda one: one.seen)
        too_many = [one.hash for one in own[: max(len(own) - MAX_OF_ONE + 1, 0)]]

        def work(tx: Transaction) -> None:
            tx.sessions.end(too_many)
            tx.sessions.add(session)

        await self._write_if_possible(work)
        for one in too_many:
            self._held.pop(one, None)
        self._held[session.hash] = session
        return secret

    async def user_of(self, secret: str, password_of: Callable[[str], str | None]) -> str | None:
        """Whose session that is; None when it is none any more: too old, unused for too long, or of somebody who is
        gone or has another password by now. ``password_of``: what is kept of a user's password, None for no user."""
        session = self._held.get(_hash(secret))
        if session is None:
            return None
        now = self._wall()
        held = password_of(session.user)
        if held is None or not hmac.compare_digest(_mark(held), session.mark) or self._is_over(session, now):
            del self._held[session.hash]
            await self._write_if_possible(lambda tx: tx.sessions.end([session.hash]))
            return None
        if now - session.seen >= SEEN_EVERY:
            self._held[session.hash] = session._replace(seen=now)
            await self._write_if_possible(lambda tx: tx.sessions.touch(session.hash, now))
        return session.user

    async def _write_if_possible(self, work: Callable[[Transaction], None]) -> None:
        """What is only bookkeeping keeps nobody from looking while the disk is full."""
        try:
            await self._store.write(work)
        except StoreError as error:
            log.warning("what became of a session could not be written: %s", error)

    async def end(self, secret: str) -> None:
        """Logged out. Raises StoreError."""
        await self._end([_hash(secret)])

    async def prune(self) -> None:
        """Forget those that are over. Raises StoreError."""
        now = self._wall()
        if over := [one.hash for one in self._held.values() if self._is_over(one, now)]:
            await self._end(over)

    async def _end(self, hashes: list[bytes]) -> None:
        for one in hashes:
            self._held.pop(one, None)
        await self._store.write(lambda tx: tx.sessions.end(hashes))

    def _is_over(self, session: StoredSession, now: int) -> bool:
        return now - session.seen > self._idle or now - session.begun > self._life


def form_token(secret: str) -> str:
    """What the forms of this session's pages carry: nobody can make it who does not hold the cookie."""
    return hmac.digest(secret.encode(), b"form", "sha256").hex()


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def _mark(password: str) -> bytes:
    """Tells whether the password is still the same; it is of a salted hash, so nothing can be guessed from it."""
    return hashlib.sha256(b"session\0" + password.encode(errors="replace")).digest()
