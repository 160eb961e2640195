"""The one judge at the operators' listener: from where, in whose name, and whether that one may."""

import asyncio
import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import logging
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from aiohttp import web

from collector.config import CollectorConfig, why_nobodys_name
from collector.store.errors import StoreError
from collector.store.interfaces.store import Store, Transaction
from collector.store.records import AuditFilter
from collector.web.access.failures import FailedLogins
from collector.web.access.origin import SAFE_METHODS, Origins, RemoteClient, has_proof, is_foreign, throttled_as
from collector.web.access.passwords import MAX_PASSWORD, NOBODY, verify_password
from collector.web.access.roles import OF_ROLE, OF_SCOPE, STRANGER, Access, Principal
from collector.web.access.sessions import Sessions, form_token
from collector.web.access.throttle import LoginThrottle, TooManyAttempts
from collector.web.access.users import KnownUser, UserDirectory
from collector.web.query_params import BadRequest
from inventory.base.http_listener import HostNames

log = logging.getLogger("collector.access")

MAX_PROVEN: Final = 1000  # credentials proven by password kept (hashed), so that not every request costs 100 ms
MAX_UNWRITTEN: Final = 1000  # logins that the audit does not have yet
MAX_CREDENTIALS: Final = 2_000  # characters of an Authorization header
USERS_CHANGED: Final = "change of users"  # in the audit
WHOSE_FILE: Final = "the users' file"  # there: whoever may write it
USERS_EVERY: Final = 5.0  # seconds
PRUNE_EVERY: Final = 3_600.0  # seconds
COOKIE: Final = "haidang_session"
IN_CLEAR: Final = "a password would cross the network in clear: come by HTTPS, or from this machine itself"


class Guard:
    """Judges requests. ``wall``: ms since the epoch. Load its :attr:`sessions` before the first."""

    def __init__(self, config: CollectorConfig, store: Store, wall: Callable[[], int]) -> None:
        operators = config.operators
        self.users = UserDirectory(config.users_file, operators.users)
        self.sessions = Sessions(store, wall=wall, idle=operators.session_idle, life=operators.session_life)
        self.failed = FailedLogins(store, wall)
        self.throttle = LoginThrottle()
        self._origins = Origins(HostNames(config.operators_names), operators.proxy)
        self._proxy = operators.proxy
        self._tokens = {
            _digest(str(one.token)): Principal(one.name, OF_SCOPE[one.scope], "token") for one in operators.tokens
        }
        self._proven: dict[bytes, tuple[str, str]] = {}  # credentials' digest: user, and what was kept of the password
        self._logins: deque[tuple[int, str, Mapping[str, Any]]] = deque(maxlen=MAX_UNWRITTEN)  # not yet in the audit
        self._key = secrets.token_bytes(32)  # of form tokens that hang on no session
        self.session_seconds = operators.session_life // 1000
        self._store = store
        self._wall = wall

    @property
    def open(self) -> bool:
        """Whether nobody need say who they are: a listener on loopback that knows neither users nor tokens."""
        return not (self.users.guarded or self._tokens or self._proxy.addresses)

    def client(self, request: web.BaseRequest) -> RemoteClient:
        """From where the request comes. Raises BadRequest when it is not for this listener, or a foreign page's."""
        client = self._origins.client(request)
        if not self._origins.names_us(request, client):
            name = (client.host or "")[:60]
            words = f"this listener has no name {name!r}; if it ought to, operators.names in the configuration says so"
            raise BadRequest(words, 421)
        if request.method not in SAFE_METHODS and is_foreign(request, client):
            raise BadRequest("a page of another site may not do this", 403)
        return client

    async def identify(self, request: web.BaseRequest, client: RemoteClient, needs: Access = "viewer") -> Principal:
        """Who asks; a stranger where nothing is proven. What anybody may have costs no look at a password.

        Raises BadRequest for what could be proven only in the open, or is tried too often.
        """
        if self.open:
            return self._with_form_token("anyone", "admin", "open")
        if (vouched := self._vouched(request, client)) is not None:
            return _proven(request, vouched)
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if scheme and needs != "public":
            return await self._by_header(scheme.lower(), credentials.strip(), client)
        if secret := request.cookies.get(cookie_name(client)):
            name = await self.sessions.user_of(secret, self._password_of)
            if name is not None and (user := self.users.find(name)) is not None:
                return _proven(request, Principal(name, OF_ROLE[user.role], "session", form_token(secret)))
        return STRANGER

    async def log_in(self, name: str, password: str, client: RemoteClient) -> str | None:
        """What the cookie of a new session holds; None for a wrong name or password. Raises BadRequest."""
        user = await self._verified(name, password, client)
        if user is None:
            return None
        secret = await self.sessions.begin(name, str(user.password))
        await self._note_login(name, {"by": "session", "address": client.address})
        return secret

    async def run(self) -> None:
        """Writes failed logins, forgets sessions that are over; until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.failed.run())
            tasks.create_task(self._prune())
            tasks.create_task(self._watch_users())

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_EVERY)
            try:
                await self.sessions.prune()
            except StoreError as error:
                log.warning("sessions that are over could not be deleted: %s", error)

    async def _watch_users(self) -> None:
        """Every change of the users' file is in the audit, also one made with an editor or while nobody ran."""
        noted = ""
        while True:
            if self.users.seen and (digest := self.users.digest) != noted:
                users = {name: one.role for name, one in self.users.of_file.items()}
                try:
                    await self._store.write(partial(_note_users, now=self._wall(), digest=digest, users=users))
                    noted = digest
                except StoreError as error:
                    log.error("the change of the users' file could not be written into the audit: %s", error)
            with contextlib.suppress(StoreError):  # it was told when it was first tried
                await self._write_logins()
            await asyncio.sleep(USERS_EVERY)

    async def log_out(self, secret: str, name: str, client: RemoteClient) -> None:
        """End the session. Raises StoreError."""
        await self.sessions.end(secret)
        await self.note(name, "log out", {"address": client.address})

    async def note(self, who: str, what: str, data: Mapping[str, Any]) -> None:
        """A row of the audit. Raises StoreError."""
        now = self._wall()
        await self._store.write(lambda tx: tx.audit.add(now, who, what, data))

    async def _note_login(self, who: str, data: Mapping[str, Any]) -> None:
        """The same of a login, later if it has to be: who comes to see why the disk is full is let in."""
        self._logins.append((self._wall(), who, data))
        try:
            await self._write_logins()
        except StoreError as error:
            log.error("%s logged in, and the audit cannot say so before it can be written: %s", who, error)

    async def _write_logins(self) -> None:
        rows = tuple(self._logins)
        if not rows:
            return
        self._logins.clear()

        def work(tx: Transaction) -> None:
            for at, who, data in rows:
                tx.audit.add(at, who, "log in", data)

        try:
            await self._store.write(work)
        except StoreError:
            self._logins.extendleft(reversed(rows))
            raise

    def check_form(self, principal: Principal, given: str) -> None:
        """That a form comes from a page that was made for this one. Raises BadRequest."""
        if not hmac.compare_digest(given.encode(errors="replace"), principal.form_token.encode()):
            raise BadRequest("this page is too old: load it anew, then send the form again", 403)

    async def _by_header(self, scheme: str, credentials: str, client: RemoteClient) -> Principal:
        if len(credentials) > MAX_CREDENTIALS:
            return STRANGER
        digest = _digest(credentials)
        if scheme == "bearer":
            token = self._tokens.get(digest)
            if token is None:
                await self._attempt("", client, lambda: False)
            return token or STRANGER
        if scheme != "basic":
            return STRANGER
        if not client.private:
            raise BadRequest(IN_CLEAR, 403)
        if (proven := self._proven.get(digest)) is not None:
            user = self.users.find(proven[0])
            if user is not None and str(user.password) == proven[1]:
                return self._with_form_token(proven[0], OF_ROLE[user.role], "password")
            del self._proven[digest]
        try:
            name, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return STRANGER
        found = await self._verified(name, password, client) if colon else None
        if found is None:
            return STRANGER
        if len(self._proven) >= MAX_PROVEN:
            self._proven.clear()
        self._proven[digest] = (name, str(found.password))
        await self._note_login(name, {"by": "password", "address": client.address})
        return self._with_form_token(name, OF_ROLE[found.role], "password")

    async def _verified(self, name: str, password: str, client: RemoteClient) -> KnownUser | None:
        """The user of that name, if the password is theirs. Raises BadRequest."""
        if not client.private:
            raise BadRequest(IN_CLEAR, 403)
        user = self.users.find(name)
        # an unknown name takes as long as a wrong password, and so does one that has none
        held = str(user.password) if user is not None and user.password else NOBODY
        fits = len(password) <= MAX_PASSWORD
        right = await self._attempt(name, client, lambda: verify_password(password if fits else "", held) and fits)
        return user if right and held is not NOBODY else None

    async def _attempt(self, account: str, client: RemoteClient, verify: Callable[[], bool]) -> bool:
        """Throttled; what is wrong is noted before its answer has taken its time. Raises BadRequest."""
        known = account if self.users.find(account) is not None else None

        def wrong() -> None:
            self.failed.note(known, client.address)

        try:
            return await self.throttle.attempt(account[:100], throttled_as(client.address), verify, wrong)
        except TooManyAttempts as many:
            wrong()
            raise BadRequest("too many attempts: wait a little", 429, many.retry_after) from None

    def _vouched(self, request: web.BaseRequest, client: RemoteClient) -> Principal | None:
        """Whom the proxy says it is; None where it says nothing or is none."""
        if not (client.proxied and self._proxy.user_header):
            return None
        names = request.headers.getall(self._proxy.user_header, ())
        if len(names) != 1 or not (name := names[0].strip()) or len(name) > 100 or why_nobodys_name(name):
            return None
        user = self.users.find(name)
        role = user.role if user is not None else self._proxy.role
        return self._with_form_token(name, OF_ROLE[role], "proxy") if role is not None else None

    def _with_form_token(self, name: str, access: Access, by: Any) -> Principal:
        token = hmac.digest(self._key, f"{by}\0{name}".encode(errors="replace"), "sha256").hex()
        return Principal(name, access, by, token)

    def _password_of(self, name: str) -> str | None:
        user = self.users.find(name)
        return str(user.password) if user is not None and user.password else None


def cookie_name(client: RemoteClient) -> str:
    """By HTTPS the name that binds the cookie to this host and to HTTPS."""
    return f"__Host-{COOKIE}" if client.scheme == "https" else COOKIE


def _proven(request: web.BaseRequest, principal: Principal) -> Principal:
    """One whose browser proves who it is by itself, whatever page makes it send: a form has its token, the API needs to
    be told from where. Raises BadRequest."""
    if request.method not in SAFE_METHODS and not has_proof(request) and request.path.startswith("/api/"):
        raise BadRequest("from where this is sent has to be said: give an Origin header", 403)
    return principal


def _note_users(tx: Transaction, now: int, digest: str, users: Mapping[str, str]) -> None:
    last = tx.audit.newest(AuditFilter(what=USERS_CHANGED), 1)
    before = json.loads(last[0].data)["after"] if last else None
    if before != digest:
        tx.audit.add(now, WHOSE_FILE, USERS_CHANGED, {"before": before, "after": digest, "users": users})


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()
