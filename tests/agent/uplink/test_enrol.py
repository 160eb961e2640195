"""Enrolment and renewal against the collector's real listener and registry."""

import asyncio
import os
import ssl
import stat
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.uplink import enrol, identity
from agent.uplink.connection import Uplink, tls_context
from agent.uplink.enrol import EnrolFailed, check_url, parse_code
from agent.uplink.identity import NoIdentity
from collector.keys import files as keys_files
from collector.store.opening import open_store
from collector.store.registry import Registry
from collector.store.revocations import Revocations
from collector.web import client_certificates
from collector.web.agents import AgentsListener
from inventory.protocol.plan import Plan
from inventory.protocol.wire import Ack
from tests.support.fake_collector import FakeAuthority, FakeCollector
from tests.support.paths import ROOT

PLAN = Plan(agent="so-ttt", agency="so", site="so")


class Collector:
    """The agents' side of a collector, with a wall clock that the test sets."""

    def __init__(self, directory: Path, days: float = 90) -> None:
        self.ahead = 0
        self.authority = keys_files.authority(directory / "pki", self.wall())
        self.store = open_store(directory / "collector.db")
        revocations = Revocations(directory / "revoked.jsonl")
        self.registry = Registry(self.store, self.authority, revocations, wall=self.wall, days=days)
        self.listener = AgentsListener(self.registry, self, self.push, wall=self.wall)
        self.directory = directory

    def wall(self) -> int:
        return int(time.time() * 1000) + self.ahead

    def plan(self, agent: str) -> tuple[str, bytes] | None:
        return (PLAN.digest.hex(), PLAN.encode())

    async def push(self, agent: str, body: bytes, uploading: int) -> Ack:
        raise AssertionError("nobody pushes here")

    async def start(self) -> "Collector":
        files = keys_files.server(self.directory / "pki", self.authority, (), self.wall())
        await self.listener.start("127.0.0.1", 0, client_certificates.tls_context(self.authority.pem, *files))
        self.url = f"https://127.0.0.1:{self.listener.port}"
        return self

    async def code(self, agent: str = "so-ttt") -> enrol.EnrolmentToken:
        return parse_code(await self.registry.make_code(agent, "an"))

    async def stop(self) -> None:
        await self.listener.stop(0.1)
        await self.store.close()


@pytest.fixture
async def collector(tmp_path: Path) -> AsyncIterator[Collector]:
    (tmp_path / "collector").mkdir()
    running = await Collector(tmp_path / "collector").start()
    yield running
    await running.stop()


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "agent"


async def plan_status(state_dir: Path) -> int:
    """What the collector answers to this identity."""
    who = identity.load(state_dir)
    uplink = Uplink(who.url, tls_context([who.authority], identity.path_in(state_dir)))
    try:
        return (await uplink.request("GET", "/v1/plan")).status
    finally:
        await uplink.close()


async def test_a_machine_becomes_an_agent(collector: Collector, state_dir: Path) -> None:
    made = await enrol.enrol(state_dir, collector.url, await collector.code())
    assert made.agent == "so-ttt"
    assert identity.load(state_dir) == made
    assert await plan_status(state_dir) == 200
    assert stat.S_IMODE(identity.path_in(state_dir).stat().st_mode) == 0o600
    assert "PRIVATE KEY" in made.key
    assert abs(made.expires - made.issued - 90 * 86_400_000) < 60_000
    assert abs(made.renew_at - made.issued - 60 * 86_400_000) < 60_000
    assert [path.name for path in state_dir.iterdir()] == [identity.FILE]


async def test_the_key_never_leaves(collector: Collector, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []
    request = Uplink.request

    async def heard(self: Uplink, method: str, path: str, body: bytes | None = None, headers: object = None) -> object:
        sent.append(body or b"")
        return await request(self, method, path, body, headers)  # type: ignore[arg-type]

    monkeypatch.setattr(Uplink, "request", heard)
    made = await enrol.enrol(state_dir, collector.url, await collector.code())
    der = ssl.PEM_cert_to_DER_cert(made.key.replace("PRIVATE KEY", "CERTIFICATE"))
    assert len(sent) == 2
    assert all(der[40:70] not in body and b"PRIVATE" not in body for body in sent)


async def test_codes_that_do_not_work_say_why_and_change_nothing(collector: Collector, state_dir: Path) -> None:
    code = await collector.code()
    await enrol.enrol(state_dir, collector.url, code)
    before = identity.load(state_dir)
    with pytest.raises(EnrolFailed, match="has been used"):
        await enrol.enrol(state_dir, collector.url, code)
    late = await collector.code()
    collector.ahead += 3_600_000
    with pytest.raises(EnrolFailed, match="has expired"):
        await enrol.enrol(state_dir, collector.url, late)
    unknown = enrol.EnrolmentToken("a" * 16, code.fingerprint)
    with pytest.raises(EnrolFailed, match="does not know this code"):
        await enrol.enrol(state_dir, collector.url, unknown)
    assert identity.load(state_dir) == before


async def test_someone_in_between_gets_no_code(collector: Collector, state_dir: Path, tmp_path: Path) -> None:
    other = FakeAuthority()
    asked: list[str] = []
    desk = await FakeCollector(other).open(tmp_path)

    async def impostor(request: object) -> object:
        asked.append("push")
        return None

    desk.handlers = [impostor] * 9  # type: ignore[list-item]
    desk.enrol_page = other.pem
    with pytest.raises(EnrolFailed, match="someone is in between"):
        await enrol.enrol(state_dir, desk.url, await collector.code())
    assert asked == []
    desk.enrol_page = "<html>Welcome</html>"
    with pytest.raises(EnrolFailed, match="not a collector's listener"):
        await enrol.enrol(state_dir, desk.url, await collector.code())
    await desk.close()
    assert not identity.path_in(state_dir).exists()


async def test_a_relay_that_shows_the_true_authority_but_is_not_it_gets_no_code(
    collector: Collector, state_dir: Path, tmp_path: Path
) -> None:
    """The page is public: an impostor can show it, but not a certificate under it."""
    desk = await FakeCollector(FakeAuthority()).open(tmp_path)
    desk.enrol_page = collector.authority.pem
    with pytest.raises(EnrolFailed, match="is not the collector's"):
        await enrol.enrol(state_dir, desk.url, await collector.code())
    await desk.close()


async def test_another_agents_machine_is_not_taken_over_without_force(collector: Collector, state_dir: Path) -> None:
    await enrol.enrol(state_dir, collector.url, await collector.code("so-ttt"))
    (state_dir / "spool").mkdir()
    (state_dir / "spool" / "evidence").write_text("results of so-ttt")
    with pytest.raises(EnrolFailed, match="this machine is 'so-ttt'"):
        await enrol.enrol(state_dir, collector.url, await collector.code("so-tc"))
    assert identity.load(state_dir).agent == "so-ttt"
    await enrol.enrol(state_dir, collector.url, await collector.code("so-tc"), force=True)
    assert identity.load(state_dir).agent == "so-tc"
    assert not (state_dir / "spool").exists()  # its results are not so-tc's
    assert (state_dir / "former" / "so-ttt-spool-0" / "evidence").exists()


async def test_the_same_agent_may_enrol_again(collector: Collector, state_dir: Path) -> None:
    first = await enrol.enrol(state_dir, collector.url, await collector.code())
    (state_dir / "spool").mkdir()
    second = await enrol.enrol(state_dir, collector.url, await collector.code())
    assert second.key != first.key
    assert (state_dir / "spool").exists()


async def test_a_certificate_is_renewed_even_when_it_has_expired(collector: Collector, state_dir: Path) -> None:
    first = await enrol.enrol(state_dir, collector.url, await collector.code())
    collector.ahead += 91 * 86_400_000
    assert await plan_status(state_dir) == 403
    made = await enrol.renew(state_dir)
    assert made.key != first.key
    assert made.expires > first.expires
    assert await plan_status(state_dir) == 200


async def test_a_revoked_agent_is_not_renewed_and_keeps_what_it_has(collector: Collector, state_dir: Path) -> None:
    before = await enrol.enrol(state_dir, collector.url, await collector.code())
    await collector.registry.revoke("so-ttt", "an", "stolen")
    with pytest.raises(EnrolFailed, match="revoked"):
        await enrol.renew(state_dir)
    assert identity.load(state_dir) == before


async def test_what_is_not_reached_says_what_to_do(state_dir: Path) -> None:
    code = enrol.EnrolmentToken("a" * 16, "b" * 32)
    with pytest.raises(EnrolFailed, match=r"connection refused.*Check the address and port"):
        await enrol.enrol(state_dir, "https://127.0.0.1:1", code)
    with pytest.raises(EnrolFailed, match=r"does not resolve.*resolvers"):
        await enrol.enrol(state_dir, "https://nonesuch.invalid:8443", code)


async def test_a_directory_that_cannot_be_written_costs_no_code(collector: Collector, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code = await collector.code()
    with pytest.raises(EnrolFailed, match="cannot be written"):
        await enrol.enrol(tmp_path / "file" / "state", collector.url, code)
    await enrol.enrol(tmp_path / "fine", collector.url, code)


@pytest.mark.parametrize(
    "code", ["", "hd1", "hd1-abc-def", "hd2-" + "a" * 16 + "-" + "b" * 32, "hd1-" + "1" * 16 + "-" + "b" * 32]
)
def test_what_is_no_code_is_said_to_be_none(code: str) -> None:
    with pytest.raises(EnrolFailed, match="not an enrolment code"):
        parse_code(code)


def test_a_code_may_be_typed_in_capitals_with_blanks_around() -> None:
    assert parse_code("  HD1-" + "A" * 16 + "-" + "B" * 32 + "\n") == enrol.EnrolmentToken("a" * 16, "b" * 32)


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://hub.example", "https://hub.example:8443"), ("https://hub.example:9/", "https://hub.example:9"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]:8443"),
    ],
)  # fmt: skip
def test_addresses(url: str, plain: str) -> None:
    assert check_url(url) == plain


@pytest.mark.parametrize(
    "url", ["", "hub.example", "http://hub.example", "https://", "https://h:x", "https://h/p", "https://[::1"]
)
def test_what_is_no_address_is_said_to_be_none(url: str) -> None:
    with pytest.raises(EnrolFailed, match="not a collector's address"):
        check_url(url)


async def command(*arguments: str, entered: str = "") -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent.cli.main", *arguments, cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate(entered.encode())
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_the_commands(collector: Collector, state_dir: Path) -> None:
    """Exit codes: 0 done, 1 refused, 2 usage; and a clock that is off is worth a word."""
    where = ("--state-dir", str(state_dir))
    assert (await command("enroll", collector.url, *where, entered="hd1-x"))[0] == 2
    assert (await command("enroll", "hub", *where, entered="hd1-" + "a" * 16 + "-" + "b" * 32))[0] == 2
    code = await collector.registry.make_code("so-ttt", "an")
    status, said = await command("enroll", collector.url, code, *where)
    assert (status, "does not belong on the command line" in said) == (2, True)
    status, said = await command("enroll", collector.url, "--code-file", str(state_dir / "nothing"), *where)
    assert (status, "No such file" in said) == (1, True)
    assert not state_dir.exists(), "nothing was sent, nothing was made"
    status, said = await command("enroll", collector.url, *where, entered=f"  {code}\n")
    assert (status, said.strip()) == (
        0, f"This machine is now the agent so-ttt of {collector.url}. Start it: haidang-agent run"
    )  # fmt: skip
    (state_dir / "code").write_text(code)
    status, said = await command("enroll", collector.url, "--code-file", str(state_dir / "code"), *where)
    assert status == 1
    assert "has been used" in said
    assert "Traceback" not in said
    status, said = await command("renew", *where)
    assert (status, said.strip()) == (0, "The certificate of the agent so-ttt was renewed.")


# -- the file


def test_a_machine_that_is_not_enrolled_is_told_how(tmp_path: Path) -> None:
    with pytest.raises(NoIdentity, match="haidang-agent enroll URL"):
        identity.load(tmp_path)


@given(cut=st.integers(0, 2_000), flip=st.none() | st.integers(0, 2_000))
def test_a_damaged_identity_is_said_to_be_damaged_or_is_whole(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int | None
) -> None:
    whole = FakeAuthority.sample().identity("https://hub.example:8443")
    directory = tmp_path_factory.mktemp("identity")
    identity.store(directory, whole)
    content = bytearray(identity.path_in(directory).read_bytes())
    if flip is None:
        content = content[:cut]
    elif flip < len(content):
        content[flip] ^= 0x80
    identity.path_in(directory).write_bytes(content)
    try:
        found = identity.load(directory)
    except NoIdentity as error:
        assert str(identity.path_in(directory)) in str(error)
    else:
        assert found == whole


def test_the_identity_is_replaced_in_one_step(tmp_path: Path) -> None:
    first, second = FakeAuthority.sample().identity("https://a:1"), FakeAuthority.sample().identity("https://b:1")
    identity.store(tmp_path, first)
    os.chmod(identity.path_in(tmp_path), 0o644)  # noqa: PTH101
    identity.store(tmp_path, second)
    assert identity.load(tmp_path) == second
    assert stat.S_IMODE(identity.path_in(tmp_path).stat().st_mode) == 0o600
    assert len(list(tmp_path.iterdir())) == 1
