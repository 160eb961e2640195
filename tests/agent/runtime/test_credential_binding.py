"""A credential goes where the agent's own file lets it, whatever a plan says: not elsewhere, not unasked in clear."""

import asyncio
import base64
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import config, probes
from agent.cli import doctor
from agent.credentials import Binding, Credentials
from agent.failure import ProbeFailed
from agent.probe import THIS_MACHINE, Destination, Limits, Outcome, ProbeContext
from agent.uplink.plans import StoredPlan
from inventory.base.problems import Invalid
from inventory.base.types import Secret
from inventory.protocol.plan import Plan, PlannedCheck
from inventory.protocol.states import UNKNOWN
from tests.support.credentials import known

CANARY = "c4nary-of-soctrang"
SITE = (ipaddress.ip_network("10.20.0.0/16"), ipaddress.ip_network("fd00:20::/48"))


def at(host: str, address: str | None = None, **more: str) -> Destination:
    literal = address or (host if host and (host[0].isdigit() or ":" in host) else None)
    return Destination(host, ipaddress.ip_address(literal) if literal else None, **more)  # type: ignore[arg-type]


def bound(hosts: str | tuple[str, ...] | None = None, clear: bool = False) -> Credentials:
    keys: dict[str, Any] = {"password": Secret(CANARY)}
    if hosts is not None:
        keys["hosts"] = Secret(hosts) if isinstance(hosts, str) else hosts
    if clear:
        keys["clear"] = Secret("true")
    return Credentials({"robot": keys}, connected=lambda: SITE)


class TestBinding:
    @pytest.mark.parametrize(
        "to",
        [THIS_MACHINE, at("127.0.0.1"), at("::1"), at("10.20.3.4"), at("ups.lan", "10.20.3.4"), at("fd00:20::9"),
         at("::ffff:10.20.3.4")],
        ids=str,
    )  # fmt: skip
    def test_without_hosts_it_goes_to_this_machine_and_the_site(self, to: Destination) -> None:
        assert bound()("robot", to) == {"password": CANARY}

    @pytest.mark.parametrize(
        "to",
        [at("192.0.2.9"), at("10.21.0.1"), at("mail.example", "203.0.113.7"), at("2001:db8::1"), at("mail.example"),
         at("localhost", "192.0.2.9"), at("10.20.0.1", "192.0.2.9"), at("::ffff:192.0.2.9")],
        ids=str,
    )  # fmt: skip
    def test_and_nowhere_else(self, to: Destination) -> None:
        with pytest.raises(ProbeFailed, match=r"none of this site's own networks; .* hosts: \[site, ") as told:
            bound()("robot", to)
        assert told.value.state == UNKNOWN
        assert CANARY not in str(told.value)

    @pytest.mark.parametrize(
        ("hosts", "to", "may"),
        [
            ("mail.example", at("mail.example", "203.0.113.7"), True),
            ("Mail.Example.", at("mail.example", "203.0.113.7"), True),
            ("mail.example", at("MAIL.example.", "203.0.113.7"), True),
            ("mail.example", at("mail.example.evil.example", "203.0.113.7"), False),
            ("mail.example", at("203.0.113.7"), False),
            ("mail.example", THIS_MACHINE, False),  # a mail password is no repository's
            ("mail.example", at("10.20.3.4"), False),  # nor one for a machine of the site
            ("*.example", at("a.b.example", "203.0.113.7"), True),
            ("*.example", at("example", "203.0.113.7"), False),
            ("*.example", at("aexample", "203.0.113.7"), False),
            ("203.0.113.0/24", at("anything", "203.0.113.7"), True),
            ("203.0.113.0/24", at("203.0.113.7", "192.0.2.1"), False),  # the address that was reached counts
            ("192.0.2.1, 203.0.113.7", at("203.0.113.7"), True),
            ("site", at("10.20.0.9"), True),
            ("site", at("site", "192.0.2.1"), False),
            ("localhost", THIS_MACHINE, True),
            ("localhost", at("127.0.0.1"), True),
            ("localhost", at("localhost", "192.0.2.1"), False),
            (("site", "mail.example"), at("mail.example", "203.0.113.7"), True),
            # whose certificate is proved is the plan's choice too
            ("mail.example", at("mail.example", "203.0.113.7", proved="evil.example"), False),
            (("mail.example", "evil.example"), at("mail.example", "203.0.113.7", proved="evil.example"), True),
        ],
        ids=str,
    )
    def test_hosts(self, hosts: str | tuple[str, ...], to: Destination, may: bool) -> None:
        assert (bound(hosts).why_not("robot", to) == "") is may

    def test_in_clear_only_where_the_file_says_so(self) -> None:
        to = at("10.20.3.4", exposed="the connection is not encrypted")
        with pytest.raises(ProbeFailed, match=r"the connection is not encrypted; .* clear: true in the agent's file"):
            bound()("robot", to)
        assert bound(clear=True)("robot", to) == {"password": CANARY}
        assert bound()("robot", at("127.0.0.1", exposed="not encrypted"))
        with pytest.raises(ProbeFailed, match="own networks"):
            bound(clear=True)("robot", at("192.0.2.1", exposed="not encrypted"))

    @given(st.from_regex(r"[a-z0-9.:/*-]{1,20}", fullmatch=True), st.ip_addresses())
    def test_no_rule_admits_everybody(self, rule: str, address: Any) -> None:
        try:
            binding = Binding.of({"hosts": (rule,)})
        except ValueError:
            return
        outsider = Destination("outsider.invalid", address)
        if binding.admits(outsider, lambda: SITE):
            assert "/" in rule or rule in ("site", str(address)) or rule == "localhost" or rule.startswith("*.")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("hosts: [0.0.0.0/0]", "is everybody"),
            ("hosts: []", "hosts names none"),
            ('hosts: ["*"]', "is no host"),
            ("hosts: [10.20.0.1/16]", "is no host"),
            ("hosts: [10.20]", "is no host"),
            ('hosts: ["http://mail.example"]', "is no host"),
            ("clear: maybe", "ought to be true or false"),
            ("password: [a]", "credentials.robot.password: ought to be a mapping of names"),
        ],
    )
    def test_mistakes_in_the_file(self, tmp_path: Path, text: str, words: str) -> None:
        with pytest.raises(Invalid) as told:
            _settings(tmp_path, f"credentials:\n  robot: {{user: u, {text}}}\n")
        assert words in str(told.value)

    def test_what_binds_is_no_part_of_the_credential(self, tmp_path: Path) -> None:
        made = _settings(tmp_path, "credentials:\n  r: {user: u, hosts: [localhost, 10.0.0.0/8], clear: true}\n")
        assert made.make_credentials()("r", THIS_MACHINE) == {"user": "u"}
        made = _settings(tmp_path, "site_networks: [192.0.2.0/24]\ncredentials:\n  r: {user: u}\n")
        assert made.make_credentials()("r", at("192.0.2.9"))
        with pytest.raises(Invalid, match=r"site_networks\[0\]"):
            _settings(tmp_path, "site_networks: [192.0.2.1/24]\n")


def _settings(folder: Path, text: str) -> config.Settings:
    file = folder / "agent.yaml"
    file.write_text(text, "utf-8")
    file.chmod(0o600)
    return config.load(file, None)


# -- what really goes over the network


@pytest.fixture
def outside() -> str:
    """An address of this machine that is not loopback's: to an agent it is a network like any other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("needs an address beside loopback's")
        address: str = sock.getsockname()[0]
    return address


@asynccontextmanager
async def eavesdropper(address: str, *answers: bytes) -> AsyncIterator[tuple[int, bytearray, Callable[[], int]]]:
    """A server of lines that answers in turn, whatever is said; its port, all that it heard, how many came."""
    heard, visits = bytearray(), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visits
        visits += 1
        writer.write(answers[0])
        for answer in answers[1:]:
            line = await reader.readline()
            heard.extend(line)
            writer.write(answer.replace(b"TAG", line.split(b" ")[0] or b"*"))
        heard.extend(await reader.read(1000))
        writer.close()

    server = await asyncio.start_server(serve, address, 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard, lambda: visits


TALKS: dict[str, tuple[bytes, ...]] = {
    "imap": (b"* OK [CAPABILITY IMAP4rev1] hello\r\n", b"TAG OK done\r\n", b"TAG OK done\r\n"),
    "smtp": (b"220 hello\r\n", b"250-me\r\n250 AUTH PLAIN\r\n", b"235 ok\r\n"),
    "ups": (b"", b"OK\n", b"OK\n", b"ERR ACCESS-DENIED\n"),
}
PARAMS: dict[str, dict[str, Any]] = {
    "imap": {"security": "none", "clear_password": True},
    "smtp": {"security": "none", "clear_password": True},
    "ups": {"way": "nut", "ups": "u"},
}
FORMS = (CANARY.encode(), base64.b64encode(CANARY.encode()).rstrip(b"="), base64.b64encode(f"\0u\0{CANARY}".encode()))


async def _look(kind: str, keys: dict[str, str], address: str, port: int, sees: tuple[Any, ...] = ()) -> Outcome:
    clients: dict[type[Any], Any] = {}
    credentials = Credentials({"r": {key: Secret(value) for key, value in keys.items()}}, connected=lambda: sees)
    probe = probes.build(kind, {"host": address, "port": port, "credential": "r", **PARAMS[kind]})
    try:
        return await probe.run(ProbeContext(2.0, Limits(), clients, credentials))
    finally:
        for client in clients.values():
            await client.close()


@pytest.mark.parametrize("kind", PARAMS)
async def test_a_plan_cannot_have_a_password_sent_to_whom_it_likes(kind: str, outside: str) -> None:
    password = {"user": "u", "password": CANARY}
    site = (ipaddress.ip_network(outside + "/32"),)
    for keys, sees, words in (
        (password, (), "in none of this site's own networks"),
        (password, site, "clear: true"),
        ({**password, "hosts": "mail.example"}, site, "is none of its hosts"),
        ({**password, "hosts": outside}, (), "clear: true"),
        ({**password, "clear": "true"}, (), "in none of this site's own networks"),
    ):
        async with eavesdropper(outside, *TALKS[kind]) as (port, heard, visits):
            outcome = await _look(kind, keys, outside, port, sees)
            assert (outcome.state, words in outcome.reason) == (UNKNOWN, True), outcome
            assert not any(form in heard for form in FORMS)
            assert visits() == 0
    async with eavesdropper(outside, *TALKS[kind]) as (port, heard, _):  # the ear works
        await _look(kind, {**password, "hosts": outside, "clear": "true"}, outside, port)
        await asyncio.sleep(0)
        assert any(form in heard for form in FORMS)


async def test_nor_a_community(outside: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind((outside, 0))
        ear.setblocking(False)
        for keys in ({"community": CANARY}, {"community": CANARY, "hosts": "10.0.0.1"}):
            for kind, more in (("snmp", {}), ("ups", {"way": "snmp"}), ("power", {"way": "snmp"})):
                params = {"host": outside, "port": ear.getsockname()[1], "credential": "r", **more}
                credentials = Credentials({"r": {k: Secret(v) for k, v in keys.items()}}, connected=tuple)
                context = ProbeContext(0.5, Limits(), {}, credentials)
                outcome = await probes.build(kind, params).run(context)
                assert (outcome.state, "the agent's file" in outcome.reason) == (UNKNOWN, True)
                with pytest.raises(BlockingIOError):
                    ear.recv(2000)


def test_every_kind_that_takes_a_credential_says_where_it_takes_it() -> None:
    """So that doctor can tell before any look."""
    params: dict[str, dict[str, Any]] = {
        "backup": {"path": "/srv"},
        "imap": {"host": "h"},
        "mail": {"smtp_host": "h", "recipient": "a@b.example"},
        "power": {"host": "h"},
        "smtp": {"host": "h"},
        "snmp": {"host": "h"},
        "ups": {"host": "h"},
    }
    seen = set()
    for kind in probes.names():
        fields = [name for name in get_type_hints(probes.load(kind)) if name.endswith("credential")]
        if fields:
            seen.add(kind)
            probe = probes.build(kind, {**params[kind], **{field: field for field in fields}})
            assert sorted(use.name for use in probe.credential_uses()) == sorted(fields)
    assert seen == set(params)


async def test_doctor_says_which_lines_to_add(tmp_path: Path) -> None:
    made = _settings(
        tmp_path,
        "credentials:\n"
        "  near: {user: u, password: p}\n"
        "  far: {user: u, password: p}\n"
        "  open: {user: u, password: p, hosts: [198.51.100.9]}\n"
        "  right: {user: u, password: p, hosts: [198.51.100.9], clear: true}\n",
    )
    clear = {"security": "none", "clear_password": True}
    checks = (
        _planned("near", "imap", host="127.0.0.1", credential="near"),
        _planned("far", "imap", host="198.51.100.9", credential="far"),
        _planned("open", "smtp", host="198.51.100.9", credential="open", **clear),
        _planned("right", "smtp", host="198.51.100.9", credential="right", **clear),
    )
    said = await doctor.bound_credentials(
        StoredPlan(Plan(agent="a", agency="b", site="c", checks=checks), b"", b""), made
    )
    levels = {diagnosis.what.split("'")[1]: diagnosis for diagnosis in said}
    assert set(levels) == {"near", "far", "open"}
    assert (levels["near"].level, "hosts: [127.0.0.1]" in levels["near"].advice) == ("note", True)
    assert (levels["far"].level, "hosts: [site, 198.51.100.9]" in levels["far"].what) == ("wrong", True)
    assert (levels["open"].level, "clear: true" in levels["open"].what) == ("wrong", True)
    assert await doctor.bound_credentials(None, made) == []


def _planned(name: str, kind: str, **params: Any) -> PlannedCheck:
    return PlannedCheck(
        uid=name.encode().hex(),
        name=name,
        kind=kind,
        interval=1000,
        timeout=1000,
        hold=3000,
        recheck=1000,
        params=params,
    )


def test_one_that_is_not_there_is_named() -> None:
    assert "there is no credential 'x'" in known("y", {}).why_not("x", THIS_MACHINE)
