"""Who may what: every route, everybody; and that nobody is anybody without saying so."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from collector.app.run import CollectorService
from collector.config import OperatorsConfig
from tests.collector.web.test_api import Running, config_for
from tests.support.people import ROLES, SCOPES, Browser, basic, bearer, guarded

PUBLIC = {
    ("GET", "/-/healthy"), ("GET", "/-/ready"), ("GET", "/static/haidang.css"),
    ("GET", "/login"), ("POST", "/login"), ("GET", "/links/{token}"), ("POST", "/links/{token}"),
}  # fmt: skip
ORDER = ("public", "metrics", "viewer", "operator", "admin")
OF = {
    **{f"user {role}": role for role in ROLES},
    "token metrics": "metrics",
    "token read": "viewer",
    "token write": "operator",
    "a stranger": "public",
}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with Running(guarded(config_for(tmp_path))) as running:
        yield running


def needed(method: str, path: str) -> str:
    """What each route ought to need, told apart from how the listener declares it."""
    if (method, path) in PUBLIC:
        return "public"
    if path == "/metrics":
        return "metrics"
    if path in ("/audit", "/api/v1/audit"):
        return "admin"
    if method == "POST" and path != "/logout":
        return "operator"
    return "viewer"


def routes(service: CollectorService) -> Iterator[tuple[str, str]]:
    for resource in service.operators_runner.app.router.resources():
        for route in resource:
            if route.method != "HEAD":
                yield route.method, resource.canonical


@pytest.mark.parametrize("who", OF)
async def test_every_route_by_everybody(running: Running, who: str) -> None:
    sort, _, name = who.partition(" ")
    headers = basic(name) if sort == "user" else bearer(name) if sort == "token" else {}
    found = list(routes(running.service))
    assert len(found) > 25
    for method, path in found:
        for verb in (method, "HEAD") if method == "GET" else (method,):
            address = path
            for variable in ("{uid}", "{key}", "{id}", "{token}"):
                address = address.replace(variable, "0123456789abcdef")
            address = address.replace("{action}", "comment")
            async with running.session.request(
                verb, address, headers=headers, allow_redirects=False, json={} if verb == "POST" else None
            ) as response:
                allowed = ORDER.index(OF[who]) >= ORDER.index(needed(method, path))
                body = await response.read()
                refused = b"say who you are" in body or b"it needs the rights of" in body
                if verb == "HEAD":
                    refused = response.status in (401, 403)
                assert refused is not allowed, (verb, address, response.status)


async def test_what_is_not_there_is_told_to_nobody_outside(running: Running) -> None:
    for path in ("/nothing", "/api/v1/nothing", "/static/other.css", "/links", "/login/x", "/audit.csv"):
        assert (await running.get(path))[0] == 401, path
        assert (await running.get(path, headers=bearer("metrics")))[0] == 403, path
        assert (await running.get(path, headers=basic("viewer")))[0] == 404, path


@pytest.mark.parametrize(
    "header",
    ["Bearer x", "Bearer ", "Basic !!!", "Basic " + "A" * 5000, "Negotiate abc", "Basic dmlld2Vy", "Bearer é", "basic"],
)
async def test_headers_that_prove_nothing(running: Running, header: str) -> None:
    running.service.guard.throttle._sleep = _no_sleep
    assert (await running.get("/", headers={"Authorization": header}))[0] == 401
    assert (await running.get("/login", headers={"Authorization": header}))[0] == 200  # what is public stays so


async def _no_sleep(seconds: float) -> None:
    pass


@pytest.mark.parametrize(
    "claim", ["X-Remote-User", "X-Forwarded-User", "Remote-User", "X-Forwarded-For", "X-Real-IP", "Forwarded"]
)
async def test_headers_that_claim_a_login_count_for_nothing(running: Running, claim: str) -> None:
    assert (await running.get("/api/v1/agencies", headers={claim: "admin"}))[0] == 401


async def test_a_person_at_a_browser_is_led_to_the_login_and_a_program_is_told(running: Running) -> None:
    async with Browser(running.service.operators_port) as browser:
        assert (await browser.get("/incidents?lang=en"))[0] == 303
        assert browser.last.headers["Location"] == "/login?next=%2Fincidents%3Flang%3Den&lang=en"
        assert (await browser.post("/logout", {}))[0] == 303  # the session was over: no box of the browser's own
        assert browser.last.headers["Location"] == "/login"
    status, body = await running.get("/incidents")
    assert status == 401 and b"say who you are" in body


async def test_on_loopback_without_users_everybody_may_everything_until_there_is_one(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    async with Running(config) as running:
        assert (await running.get("/audit"))[0] == 200
        guarded(config)
        assert (await running.get("/audit"))[0] == 401  # at once
        config.users_file.unlink()
        assert (await running.get("/audit"))[0] == 401  # a file that is gone opens nothing


async def test_a_broken_users_file_lets_those_in_whom_it_last_named(tmp_path: Path) -> None:
    config = guarded(config_for(tmp_path))
    async with Running(config) as running:
        for broken in ("users: {admin: {role: emperor}}", "{", "users: [x]", ""):
            config.users_file.write_text(broken)
            wanted = 401 if broken == "" else 200  # an empty file names nobody
            if broken == "":
                running.service.guard.throttle._sleep = _no_sleep
            assert (await running.get("/", headers=basic("viewer")))[0] == wanted, broken
            assert (await running.get("/"))[0] == 401


async def test_a_role_that_changes_counts_with_the_next_request(tmp_path: Path) -> None:
    from collector.web.access.users import read_users, write_users

    config = guarded(config_for(tmp_path))
    async with Running(config) as running:
        assert (await running.get("/audit", headers=basic("admin")))[0] == 200
        users = read_users(config.users_file)
        write_users(
            config.users_file,
            {**users, "admin": msgspec.structs.replace(users["admin"], role="viewer")},
            config.state_dir,
        )
        assert (await running.get("/audit", headers=basic("admin")))[0] == 403


def test_a_route_cannot_be_made_without_saying_what_it_needs() -> None:
    from collector.web.api.routes import ApiPost, ApiRoute
    from collector.web.pages import PageRoute

    for kind in (ApiRoute, ApiPost, PageRoute):
        assert "needs" in {field.name for field in msgspec.structs.fields(kind) if field.required}


def test_scopes_and_roles_are_all_tried() -> None:
    assert {f"token {scope}" for scope in SCOPES} | {f"user {role}" for role in ROLES} < set(OF)
    assert OperatorsConfig().users == ()


@pytest.mark.parametrize("path", ["/login", "/links/x", "/logout", "/incidents/0/comment"])
async def test_no_form_of_a_strangers_is_an_error_of_ours(
    running: Running, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    """Nor a traceback in the log."""
    form = "application/x-www-form-urlencoded"
    for kind, body in (
        (f"{form}; charset=nonsense", b"name=x"), (form, b"\xff\xfe=\x80"), (form, b"&&&=;%%%zz"),
        (form, b"a=b&" * 3000),
        ("multipart/form-data", b"x"), ("multipart/form-data; boundary=x", b"--x\r\nnonsense"),
        ("multipart/form-data; boundary=x", b"--x\r\n"
         b"Content-Disposition: form-data; name=name; filename=f\r\n\r\ny\r\n--x--"),
        (form, "name=\ud800&password=\udfff".encode("utf-8", "surrogatepass")), ("", b"x"), ("a/b; c", b"{}"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Transfer-Encoding: base64\r\n"
         b"Content-Disposition: form-data; name=name\r\n\r\n!!!\r\n--x--\r\n"),
    ):  # fmt: skip
        running.service.guard.throttle._sleep = _no_sleep
        headers = {
            "Content-Type": kind,
            **(basic("operator") if path[1:4] in ("log", "inc") and path != "/login" else {}),
        }
        async with running.session.post(path, data=body, headers=headers, allow_redirects=False) as response:
            assert response.status < 500, (kind, body)
    assert "Traceback" not in caplog.text and not [one for one in caplog.records if one.exc_info]


@pytest.mark.root
def test_users_that_root_writes_the_service_can_read(tmp_path: Path) -> None:
    import os

    from collector.web.access.users import KnownUser, write_users

    if os.geteuid():
        pytest.skip("needs root")
    state, elsewhere, service = tmp_path / "state", tmp_path / "etc", 65_534
    state.mkdir(mode=0o700)
    elsewhere.mkdir()
    os.chown(state, service, service)
    for path, owner in ((state / "users.yaml", service), (elsewhere / "users.yaml", 0)):
        write_users(path, {"an": KnownUser()}, state)
        status = path.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (owner, service, 0o640)


async def test_a_users_file_that_cannot_be_reached_opens_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)  # what cannot be looked at, also by root
    config = msgspec.structs.replace(
        config, operators=msgspec.structs.replace(config.operators, users_file=loop / "users.yaml")
    )
    async with Running(config) as running:
        assert (await running.get("/"))[0] == 401
        assert (await running.get("/login"))[0] == 200
