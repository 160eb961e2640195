"""Logging in and out, sessions and their ends, guessing."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.app.run import CollectorService
from collector.store.errors import StoreError
from collector.web.access import passwords
from collector.web.access.failures import FailedLogins
from collector.web.access.sessions import MAX_OF_ONE, SEEN_EVERY, Sessions
from collector.web.access.throttle import (
    FREE,
    LONGEST_DELAY,
    MAX_AT_ONCE,
    MAX_OF_ADDRESS,
    LoginThrottle,
    TooManyAttempts,
)
from collector.web.access.users import read_users, write_users
from collector.web.pages.login import own_path
from inventory.base.types import Secret
from tests.collector.web.test_api import Running, config_for
from tests.support.people import PASSWORD, Browser, basic, files_named, guarded, quick_hash

HOUR, DAY = 3_600_000, 86_400_000


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with Running(guarded(config_for(tmp_path))) as running:
        yield running


async def audited(service: CollectorService) -> list[tuple[str, str, dict[str, Any]]]:
    return [(who, what, data) for _, who, what, data in await service.store.read(lambda tx: tx.audit.all())]


async def test_in_and_out(running: Running, tmp_path: Path) -> None:
    async with Browser(running.service.operators_port) as browser:
        assert (await browser.get("/"))[0] == 303
        status, page = await browser.get("/login?lang=en&next=/incidents")
        assert status == 200 and 'name="next" value="/incidents"' in page
        assert "Soc Trang" not in page and "/incidents</a>" not in page  # nothing of ours to a stranger
        assert await browser.log_in("admin", to="/incidents") == 303
        assert browser.last.headers["Location"] == "/incidents"
        cookie = browser.last.headers["Set-Cookie"]
        assert "haidang_session=" in cookie
        assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
        assert "Secure" not in cookie  # on loopback, without TLS
        status, page = await browser.get("/?lang=en")
        assert status == 200 and "<span>admin</span>" in page and "Audit" in page
        assert (await browser.get("/login?next=/audit"))[0] == 303  # is in already
        token = await browser.form_token()
        assert (await browser.post("/logout", {"form_token": "x"}))[0] == 403
        assert (await browser.get("/"))[0] == 200
        kept = browser.session.cookie_jar.filter_cookies(browser.session._base_url)["haidang_session"].value
        assert (await browser.post("/logout", {"form_token": token}))[0] == 303
        assert (await browser.get("/"))[0] == 303
        assert (await running.get("/", headers={"Cookie": f"haidang_session={kept}"}))[0] == 401  # not by the old one
    rows = [(who, what) for who, what, _ in await audited(running.service)]
    assert rows[-2:] == [("admin", "log in"), ("admin", "log out")]
    assert not files_named(tmp_path, kept.encode())  # kept by its hash alone
    assert not files_named(tmp_path, PASSWORD.encode())


async def test_the_menu_has_what_one_may_see(running: Running) -> None:
    for name, there in (("viewer", False), ("operator", False), ("admin", True)):
        status, body = await running.get("/?lang=en", headers=basic(name))
        assert status == 200 and (b'href="/audit' in body) is there


async def test_a_wrong_password_is_told_in_both_languages_and_says_not_which_was_wrong(running: Running) -> None:
    async with Browser(running.service.operators_port) as browser:
        pages = set()
        for name, password in (("admin", "wrong"), ("nobody", PASSWORD), ("", "")):
            status, page = await browser.post("/login?lang=vi", {"name": name, "password": password})
            assert status == 401 and "Set-Cookie" not in browser.last.headers
            pages.add(page.replace(f'value="{name}"', 'value=""').replace(" autofocus", ""))
        assert len({page.partition("<time>")[0] + page.partition("</time>")[2] for page in pages}) == 1
        assert (await browser.get("/"))[0] == 303
        assert (await browser.post("/login", {"name": "admin" * 1000, "password": "x" * 60_000}))[0] == 401
        assert (await browser.post("/login", {"name": "admin", "password": "x" * 70_000}))[0] in (400, 413)


@pytest.mark.parametrize(
    "to",
    [
        "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "/\t/evil.example",
        "evil.example",
        "/\n/evil.example", " //evil.example", "javascript:alert(1)", "", "/" + "a" * 2_000, "/\u202e",
        "/%0d%0a\r\nX: y",
    ],
)  # fmt: skip
def test_after_logging_in_one_goes_nowhere_else(to: str) -> None:
    assert own_path(to) == "/"


@given(st.text(max_size=30))
def test_a_path_that_is_taken_stays_here(text: str) -> None:
    path = own_path(text)
    assert path[0] == "/" and path[1:2] not in ("/", "\\")
    assert path.isascii() and path.isprintable() and "\\" not in path and " " not in path


@pytest.mark.parametrize("to", ["/", "/incidents/0123?lang=vi", "/agencies/so-ttt?lang=en#x"])
def test_own_paths_are_kept(to: str) -> None:
    assert own_path(to) == to


async def test_a_session_survives_a_restart_and_ends_with_its_password_or_user(tmp_path: Path) -> None:
    config = guarded(config_for(tmp_path))
    held = []
    async with Running(config) as running:
        for name in ("viewer", "operator", "admin"):
            async with Browser(running.service.operators_port) as browser:
                assert await browser.log_in(name) == 303
                held.append(browser.last.cookies["haidang_session"].value)
    async with Running(config) as running:
        cookies = [{"Cookie": f"haidang_session={one}"} for one in held]
        assert [(await running.get("/", headers=one))[0] for one in cookies] == [200, 200, 200]
        users = read_users(config.users_file)
        del users["operator"]
        users["viewer"] = msgspec.structs.replace(users["viewer"], password=Secret(quick_hash(PASSWORD)))
        write_users(config.users_file, users, config.state_dir)
        assert [(await running.get("/", headers=one))[0] for one in cookies] == [401, 401, 200]
        assert len(await running.service.store.read(lambda tx: tx.sessions.all())) == 1


class Wall:
    """ms that a test sets."""

    def __init__(self) -> None:
        self.now = 1_790_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
async def sessions(tmp_path: Path) -> AsyncIterator[tuple[Sessions, Wall]]:
    from collector.store.opening import open_store

    store, wall = open_store(tmp_path / "store.db"), Wall()
    yield Sessions(store, wall=wall, idle=12 * HOUR, life=7 * DAY), wall
    await store.close()


async def test_a_session_ends_unused_and_at_last(sessions: tuple[Sessions, Wall]) -> None:
    held, wall = sessions
    hashes: Callable[[str], str | None] = {"an": "hash"}.get
    secret = await held.begin("an", "hash")
    for _ in range(13):  # used every 12 hours, for six and a half days
        wall.now += 12 * HOUR
        assert await held.user_of(secret, hashes) == "an"
    wall.now += 12 * HOUR + 1
    assert await held.user_of(secret, hashes) is None  # too long
    secret = await held.begin("an", "hash")
    for _ in range(14):
        assert await held.user_of(secret, hashes) == "an"
        wall.now += 12 * HOUR
    wall.now += 1
    assert await held.user_of(secret, hashes) is None  # at last
    assert len(held) == 0


async def test_sessions_of_one_person_are_bounded_and_over_ones_forgotten(sessions: tuple[Sessions, Wall]) -> None:
    held, wall = sessions
    hashes: Callable[[str], str | None] = {"an": "hash", "bình": "other"}.get
    of_another = await held.begin("bình", "other")
    secrets = []
    for _ in range(MAX_OF_ONE + 3):
        wall.now += SEEN_EVERY
        secrets.append(await held.begin("an", "hash"))
    alive = [await held.user_of(one, hashes) for one in secrets]
    assert alive == [None] * 3 + ["an"] * MAX_OF_ONE
    assert await held.user_of(of_another, hashes) == "bình"
    wall.now += 8 * DAY
    await held.prune()
    assert len(held) == 0
    assert await held._store.read(lambda tx: tx.sessions.all()) == []


@pytest.mark.parametrize("secret", ["", "x", "é" * 100, "\udc80", "0" * 5_000])
async def test_cookies_that_are_none(sessions: tuple[Sessions, Wall], secret: str) -> None:
    assert await sessions[0].user_of(secret, {}.get) is None


# -- guessing


class FakeSleep:
    """Time that passes only in sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def clock(self) -> float:
        return self.now


async def test_each_wrong_answer_takes_twice_as_long_and_a_right_one_nothing() -> None:
    fake = FakeSleep()
    throttle = LoginThrottle(fake.clock, fake)
    for _ in range(20):
        assert not await throttle.attempt("an", "192.0.2.1", lambda: False)
    assert len(fake.slept) == 20 - FREE
    assert fake.slept[:4] == pytest.approx([0.5, 1, 2, 4], rel=0.05) and max(fake.slept) == LONGEST_DELAY
    before = len(fake.slept)
    assert await throttle.attempt("an", "192.0.2.1", lambda: True)
    assert await throttle.attempt("an", "192.0.2.9", lambda: True)
    assert len(fake.slept) == before
    # the account is slow also from elsewhere, the address also for other accounts
    throttle._known.clear()
    assert not await throttle.attempt("an", "192.0.2.9", lambda: False)
    assert fake.slept[-1] == LONGEST_DELAY
    assert not await throttle.attempt("bình", "192.0.2.1", lambda: False)
    assert fake.slept[-1] == LONGEST_DELAY
    fake.now += 4 * 3600
    before = len(fake.slept)
    assert not await throttle.attempt("bình", "192.0.2.1", lambda: False)
    assert len(fake.slept) == before  # forgotten


async def test_what_waits_is_bounded_and_who_was_there_before_gets_in() -> None:
    release = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await release.wait()

    throttle = LoginThrottle(sleep=sleep)
    assert await throttle.attempt("an", "192.0.2.1", lambda: True)
    for _ in range(FREE):
        assert not await throttle.attempt("an", "192.0.2.2", lambda: False)
    guesses = [asyncio.create_task(throttle.attempt("an", "192.0.2.2", lambda: False)) for _ in range(200)]
    await asyncio.sleep(0.2)
    refused = [one for one in guesses if one.done() and one.exception() is not None]
    assert len(refused) == 200 - MAX_OF_ADDRESS
    with pytest.raises(TooManyAttempts):
        await throttle.attempt("bình", "192.0.2.2", lambda: True)
    assert await throttle.attempt("an", "192.0.2.1", lambda: True)  # its own places
    assert await throttle.attempt("an", "192.0.2.3", lambda: True)
    release.set()
    await asyncio.gather(*guesses, return_exceptions=True)
    assert await throttle.attempt("bình", "192.0.2.2", lambda: True)
    assert not +throttle._under_way


async def test_who_was_there_before_gets_in_however_many_addresses_guess() -> None:
    release = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await release.wait()

    throttle = LoginThrottle(sleep=sleep)
    assert await throttle.attempt("an", "192.0.2.1", lambda: True)
    for number in range(2 * MAX_AT_ONCE):
        throttle._wrong["address", f"203.0.113.{number % 64}"] = (99.0, throttle._clock())
    guesses = [
        asyncio.create_task(throttle.attempt(f"name {n % 16}", f"203.0.113.{n % 64}", lambda: False))
        for n in range(2 * MAX_AT_ONCE)
    ]
    async with asyncio.timeout(20):
        while throttle._under_way["all", ""] < MAX_AT_ONCE:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    with pytest.raises(TooManyAttempts):
        await throttle.attempt("bình", "192.0.2.3", lambda: True)
    assert await throttle.attempt("an", "192.0.2.1", lambda: True)
    release.set()
    await asyncio.gather(*guesses, return_exceptions=True)
    assert not +throttle._under_way


async def test_sessions_go_on_while_the_store_cannot_write(
    sessions: tuple[Sessions, Wall], monkeypatch: pytest.MonkeyPatch
) -> None:
    held, wall = sessions
    secret = await held.begin("an", "hash")
    other = await held.begin("an", "hash")

    async def full(work: object) -> None:
        raise StoreError("database or disk is full")

    monkeypatch.setattr(held._store, "write", full)
    wall.now += HOUR
    assert await held.user_of(secret, lambda name: "hash") == "an"
    assert await held.user_of(other, lambda name: "another hash") is None
    assert await held.user_of(other, lambda name: "hash") is None  # once over, over
    with pytest.raises(StoreError):
        await held.end(secret)  # who logs out is told that it did not last


async def test_who_comes_while_the_disk_is_full_gets_in_and_the_audit_has_it_later(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard, port = running.service.guard, running.service.operators_port

    async def full(work: object) -> None:
        raise StoreError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(running.service.store, "write", full)
        async with Browser(port) as browser:
            assert await browser.log_in("viewer") == 303
            assert (await browser.get("/"))[0] == 200
        assert (await running.get("/", headers=basic("admin")))[0] == 200
        assert (await running.get("/", headers=basic("admin", "wrong password")))[0] == 401
    assert [who for who, what, _ in await audited(running.service) if what == "log in"] == []
    await guard._write_logins()
    await guard._write_logins()
    assert [who for who, what, _ in await audited(running.service) if what == "log in"] == ["viewer", "admin"]


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from collector.web.access import throttle as module

    monkeypatch.setattr(module, "MAX_REMEMBERED", 50)
    throttle = LoginThrottle(sleep=FakeSleep())
    for number in range(100):
        await throttle.attempt(f"user {number}", f"192.0.2.{number}", lambda: False)
        await throttle.attempt(f"user {number}", f"192.0.2.{number}", lambda: True)
    assert len(throttle._wrong) <= 50 and len(throttle._known) <= 50


async def test_eight_who_guess_for_seconds_and_one_who_knows(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """By Basic and by the form, from the very address that the attack comes from."""
    judged = 0
    port = running.service.operators_port
    done = asyncio.Event()

    async def guess(number: int) -> None:
        nonlocal judged
        while not done.is_set():
            await running.get("/", headers=basic("admin", f"guess {number} {judged}"))
            judged += 1

    attack = [asyncio.create_task(guess(number)) for number in range(8)]
    try:
        await asyncio.sleep(1.0)
        begun = time.perf_counter()
        async with Browser(port) as browser:
            assert await browser.log_in("admin") == 303
        assert (await running.get("/", headers=basic("operator")))[0] == 200
        assert time.perf_counter() - begun < 5
        await asyncio.sleep(2.0)
    finally:
        done.set()
        for task in attack:
            task.cancel()
        await asyncio.gather(*attack, return_exceptions=True)
    assert judged < 20
    lines = [record.getMessage() for record in caplog.records if "failed logins" in record.getMessage()]
    assert len(lines) == 1 and "as admin from 127.0.0.1" in lines[0]


async def test_failed_logins_are_one_row_a_minute_and_account_whatever_their_number(running: Running) -> None:
    failed = FailedLogins(running.service.store, running.service.guard._wall)
    for number in range(50_000):
        failed.note("admin", f"192.0.{number % 200}.{number % 250}")
        failed.note(None, "192.0.2.1")
    await failed.flush()
    await failed.flush()
    rows = [row for row in await audited(running.service) if row[1] == "log in failed"]
    assert [(who, data["count"]) for who, _, data in rows] == [("admin", 50_000), ("an unknown name", 50_000)]
    assert len(json.dumps(rows)) < 1_500


async def test_a_name_that_is_no_users_may_be_a_password_and_is_kept_nowhere(
    running: Running, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Browser(running.service.operators_port) as browser:
        assert await browser.log_in("canary-7c2e9f4b1d", "x") == 401
    assert (await running.get("/", headers=basic("canary-7c2e9f4b1d", "x")))[0] == 401
    await running.service.guard.failed.flush()
    assert "canary" not in caplog.text
    assert not files_named(tmp_path, b"canary-7c2e9f4b1d")


async def test_an_unknown_name_takes_as_long_as_a_wrong_password(running: Running, monkeypatch: Any) -> None:
    asked: list[str] = []
    real = passwords._scrypt

    def scrypt(password: str, salt: bytes, cost: int) -> bytes:
        asked.append(password)
        return real(password, salt, 16)

    monkeypatch.setattr(passwords, "_scrypt", scrypt)
    for name in ("admin", "nobody"):
        assert (await running.get("/", headers=basic(name, f"for {name}")))[0] == 401
    assert asked == ["for admin", "for nobody"]


def test_what_is_held_of_a_password() -> None:
    held = passwords.hash_password("con đò")
    assert passwords.verify_password("con đò", held) and not passwords.verify_password("con do", held)
    assert held != passwords.hash_password("con đò") and int(held.split(":")[1]) >= 1 << 15
    for none in (
        "con đò",
        "",
        "scrypt:abc:00:00",
        "scrypt:16:00",
        "scrypt:99999999:00:00",
        f"scrypt:16:zz:{'00' * 64}",
    ):
        assert not passwords.verify_password("con đò", none)


async def test_basic_passwords_are_proven_once_and_a_new_one_counts_at_once(tmp_path: Path, monkeypatch: Any) -> None:
    config = guarded(config_for(tmp_path))
    async with Running(config) as running:
        hashed = 0
        real: Callable[..., bytes] = passwords._scrypt

        def scrypt(*more: Any) -> bytes:
            nonlocal hashed
            hashed += 1
            return real(*more)

        monkeypatch.setattr(passwords, "_scrypt", scrypt)
        for _ in range(5):
            assert (await running.get("/", headers=basic("viewer")))[0] == 200
        assert hashed == 1
        users = read_users(config.users_file)
        other = msgspec.structs.replace(users["viewer"], password=Secret(quick_hash("another one")))
        write_users(config.users_file, {**users, "viewer": other}, config.state_dir)
        assert (await running.get("/", headers=basic("viewer")))[0] == 401
        assert (await running.get("/", headers=basic("viewer", "another one")))[0] == 200


async def test_what_anybody_may_have_costs_no_look_at_a_password(running: Running, monkeypatch: Any) -> None:
    def scrypt(*_: Any) -> bytes:
        raise AssertionError

    monkeypatch.setattr(passwords, "_scrypt", scrypt)
    for path in ("/-/healthy", "/login", "/links/x", "/static/haidang.css"):
        assert (await running.get(path, headers=basic("admin", "guess")))[0] in (200, 404)
