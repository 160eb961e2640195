"""haidang-collector as people use it: a real process, and commands beside it."""

import asyncio
import csv
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from collector import config
from collector.app.run import CollectorService
from collector.commands import backup, main
from collector.keys import pki
from collector.store.opening import open_store
from collector.web.access.passwords import verify_password
from inventory.base.problems import Invalid
from inventory.protocol import wire
from inventory.protocol.plan import decode
from inventory.protocol.states import DOWN, UP
from inventory.protocol.wire import Batch, Echo, Push, Reading

INVENTORY = """\
province: {id: st, name: {vi: Tỉnh, en: Province}}
agencies:
  so-ttt:
    name: {vi: Sở, en: Department}
    site:
      agent: so-ttt
      checks:
        portal: {kind: tcp, params: {host: 192.0.2.1, port: 443}, interval: 30s}
        "mail": {kind: tcp, params: {host: 192.0.2.2, port: 25}, interval: 30s}
goals:
  g1: {name: {vi: Dịch vụ, en: Services}, combine: mean, objective: 99%, windows: [rolling-30d]}
"""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Place:
    """A directory with a collector's configuration; :meth:`start` runs it as a process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.agents, self.operators = free_port(), free_port()
        self.file = directory / "collector.yaml"
        self.inventory = directory / "inventory" / "all.yaml"
        self.inventory.parent.mkdir(parents=True)
        self.inventory.write_text(INVENTORY)
        self.file.write_text(
            f"state_dir: state\ninventory: inventory\n"
            f"agents: {{listen: '127.0.0.1:{self.agents}', url: 'https://127.0.0.1:{self.agents}'}}\n"
            f"operators: {{listen: '127.0.0.1:{self.operators}'}}\n"
        )
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> config.CollectorConfig:
        return config.read(self.file)

    def start(self, **environment: str) -> None:
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "collector.commands.main", "run", "--config", str(self.file)],
                stderr=log,
                env={**os.environ, **environment},
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.get("/-/ready") == b"ready\n":
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError((self.directory / "log").read_text())

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.operators}{path}", timeout=5) as answer:
            return answer.read()

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(15)
        self.process = None
        return code

    def run(self, *arguments: str) -> int:
        return main.main([*arguments, "--config", str(self.file)])


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path / "place")
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.wait()


async def feed(place: Place) -> int:
    """An hour of results by a service in this process, ended cleanly: the portal down for ten minutes."""
    service = CollectorService(place.config)
    await service.start()
    boot0, begin = now_ms() - 3 * 3_600_000, now_ms() - 3_600_000
    echo, base = None, begin - boot0
    plan = decode(service.inventories.plan("so-ttt")[1])
    portal = [check.name for check in plan.checks].index("portal")
    states = bytes(DOWN if 60 <= n < 80 else UP for n in range(119))
    batch = Batch(
        epoch=7,
        previous=None,
        last=119,
        plan=plan.digest,
        boot=b"bootboot",
        base=base,
        checks=[portal],
        counts=[119],
        at=[0, *([30_000] * 118)],
        states=states,
        latency=[None] * 119,
        values=[None] * (119 * len(plan.columns["tcp"])),
    )
    for one in (None, batch):
        push = Push(version=1, sent=Reading(b"bootboot", now_ms() - boot0, now_ms()), echo=echo, batch=one)
        ack = await service.ingest.push("so-ttt", wire.encode_push(push))
        echo = Echo(ack.sent_ms, now_ms() - boot0)
    assert ack.verdict == "taken"
    await service.stop()
    return begin


def machine(directory: Path) -> tuple[str, Path]:
    """(request, key file)."""
    directory.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "key").write_bytes(pem)
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode(), directory / "key"


def ask(place: Place, method: str, path: str, body: bytes | None = None, certificate: Path | None = None) -> tuple:
    """(status, body) of the agents' listener."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(place.directory / "state" / "pki" / "ca.pem")
    context.check_hostname = False
    if certificate is not None:
        context.load_cert_chain(certificate, certificate.with_name("key"))
    request = urllib.request.Request(f"https://127.0.0.1:{place.agents}{path}", body, method=method)
    request.add_header("Content-Type", wire.PUSH_TYPE)
    try:
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def enrol(place: Place, code: str, directory: Path) -> Path:
    """The certificate's file."""
    csr, _ = machine(directory)
    body = msgspec.json.encode({"secret": code.split("-")[1], "csr": csr})
    status, answer = ask(place, "POST", "/v1/enroll", body)
    assert status == 200, answer
    (directory / "cert").write_text(msgspec.json.decode(answer)["certificate"])
    return directory / "cert"


def code_in(printed: str) -> str:
    return re.search(r"hd1-[a-z2-7]{16}-[a-z2-7]{32}", printed)[0]


def test_a_code_lets_an_agent_in_and_a_revocation_throws_it_out_at_once(place, tmp_path, capsys):
    place.start()
    assert place.run("code", "so-ttt") == 0
    printed = capsys.readouterr().out
    assert f"haidang-agent enroll https://127.0.0.1:{place.agents}\n" in printed
    certificate = enrol(place, code_in(printed), tmp_path / "agent")
    hello = wire.encode_push(Push(version=1, sent=Reading(b"bootboot", 1000, now_ms())))
    assert ask(place, "POST", "/v1/push", hello, certificate)[0] == 200
    assert ask(place, "GET", "/v1/plan", None, certificate)[0] == 200
    assert place.run("revoke", "so-ttt", "--reason", "stolen", "--who", "an") == 0
    assert "revoked: true" in capsys.readouterr().out
    status, answer = ask(place, "POST", "/v1/push", hello, certificate)
    assert (status, answer) == (403, b'{"error":"revoked"}')
    assert place.run("revoke", "nobody") == 1
    assert place.run("code", "nobody") == 1
    assert "has: so-ttt" in capsys.readouterr().err
    place.inventory.write_text(INVENTORY.replace("agent: so-ttt", "agent: {id: so-ttt, revoked: true}"))
    assert place.run("code", "so-ttt") == 1
    assert "revoked" in capsys.readouterr().err
    assert place.stop() == 0


def test_it_starts_says_so_to_systemd_and_stops_cleanly(place):
    path = place.directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(5)
        place.start(NOTIFY_SOCKET=str(path))
        assert systemd.recv(100) == b"READY=1"
        assert place.stop() == 0
        assert systemd.recv(100) == b"STOPPING=1"
    log = (place.directory / "log").read_text()
    assert "Traceback" not in log
    assert log.count("stopped") == 1


def test_sighup_reads_the_inventory_again(place):
    place.start()
    assert len(msgspec.json.decode(place.get("/api/v1/checks"))) == 2
    place.inventory.write_text("\n".join(line for line in INVENTORY.splitlines() if "mail" not in line))
    place.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 4  # files are looked at every 5 s without it
    while len(msgspec.json.decode(place.get("/api/v1/checks"))) != 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert place.stop(signal.SIGINT) == 0


def test_a_port_in_use_is_said_plainly(place, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", place.agents))
        other.listen()
        assert place.run("run") == 1
    said = capsys.readouterr().err
    assert f"haidang-collector: port {place.agents} is in use already" in said
    assert "Traceback" not in said


def test_goals_and_reports_are_the_same_with_and_without_a_running_collector(place, capsys):
    asyncio.run(feed(place))
    outputs = []
    for running in (False, True):
        if running:
            place.start()
        assert place.run("goals") == 0
        goals = capsys.readouterr().out
        assert re.search(r"^g1 +rolling-30d +99\.000%", goals, re.MULTILINE)
        assert place.run("report", "--csv") == 0
        rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
        outputs.append([(row["check"], row["down_seconds"], row["up_seconds"]) for row in rows])
        assert place.run("report") == 0
        assert re.search(r"^  portal +83\.\d+% \[", capsys.readouterr().out, re.MULTILINE)
    portal = next(row for row in outputs[0] if row[0] == "portal")
    assert portal[1] == "600.0"
    assert [row[:2] for row in outputs[0]] == [row[:2] for row in outputs[1]]
    assert place.run("report", "2019-01") == 0
    assert "Nothing was looked at" in capsys.readouterr().out
    for wrong in (["report", "June"], ["report", "--agency", "x"], ["goals", "--at", "yesterday"]):
        assert place.run(*wrong) == 1
        assert capsys.readouterr().err.startswith("haidang-collector: ")


def test_an_exclusion_is_declared_listed_and_withdrawn(place, capsys):
    begin = asyncio.run(feed(place))
    from datetime import datetime
    from zoneinfo import ZoneInfo

    zone = ZoneInfo("Asia/Ho_Chi_Minh")
    span = [datetime.fromtimestamp((begin + at) / 1000, zone).isoformat(" ")[:19] for at in (1_700_000, 2_500_000)]

    def down() -> str:
        assert place.run("report", "--csv") == 0
        rows = csv.DictReader(capsys.readouterr().out.splitlines())
        return next(row["down_seconds"] for row in rows if row["check"] == "portal")

    assert place.run("exclude", *span, "--check", "portal", "--reason", "works", "--who", "an") == 0
    assert "Exclusion 1: 1 checks" in capsys.readouterr().out
    assert down() == "0.0"
    assert place.run("exclude") == 0
    assert "checks portal: works (an)" in capsys.readouterr().out
    assert place.run("exclude", "--withdraw", "1", "--who", "an") == 0
    capsys.readouterr()
    assert down() == "600.0"
    for arguments, words in [
        (["--withdraw", "1"], "no exclusion 1 in force"),
        ([*span], "needs a reason"),
        ([*reversed(span), "--reason", "x"], "ends after it begins"),
        (["soon", "later", "--reason", "x"], "two local times"),
        ([span[0], "--reason", "x"], "two local times"),
        ([*span, "--reason", "x", "--agency", "nobody"], "no 'nobody'"),
        ([*span, "--reason", "x", "--check", "nothing"], "selects no check"),
    ]:
        assert place.run("exclude", *arguments) == 1
        assert words in capsys.readouterr().err
    held = asyncio.run(audited(place))
    assert held[1:] == [("an", "exclude"), ("an", "withdraw exclusion")]


async def audited(place: Place) -> list[tuple]:
    store = open_store(place.config.database)
    try:
        return await store.read(lambda tx: [(who, what) for _, who, what, _ in tx.audit.all()])
    finally:
        await store.close()


def test_a_backup_taken_while_it_runs_brings_a_new_machine_up(place, tmp_path, capsys):
    asyncio.run(feed(place))
    place.start()
    place.run("code", "so-ttt")
    certificate = enrol(place, code_in(capsys.readouterr().out), tmp_path / "agent")
    copy = tmp_path / "copy"
    assert place.run("backup", str(copy)) == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    assert not copy.with_name("copy.part").exists()
    assert place.run("backup", str(copy)) == 1
    assert place.run("restore", str(copy)) == 1
    assert "stop it first" in capsys.readouterr().err
    incarnation = re.search(rb'incarnation_info\{id="(\w+)"', place.get("/metrics"))[1]
    place.run("revoke", "so-ttt")
    place.stop()

    # in its own place: the revocation that the copy does not know of stands
    assert place.run("restore", str(copy)) == 0
    assert "before-1" in capsys.readouterr().out
    place.start()
    assert ask(place, "GET", "/v1/plan", None, certificate)[0] == 403
    assert re.search(rb'incarnation_info\{id="(\w+)"', place.get("/metrics"))[1] != incarnation
    checks = msgspec.json.decode(place.get("/api/v1/checks?window=2h"))
    assert next(c["figure"]["down"] for c in checks if c["check"] == "portal") == 600.0
    place.stop()

    # on a new machine: the CA comes along, the agent's certificate is good there
    elsewhere = Place(tmp_path / "elsewhere")
    assert elsewhere.run("restore", str(copy)) == 0
    assert "agents go on as before" in capsys.readouterr().out
    try:
        elsewhere.start()
        assert ask(elsewhere, "GET", "/v1/plan", None, certificate)[0] == 200
    finally:
        elsewhere.stop()
    assert b"PRIVATE KEY" not in elsewhere.config.database.read_bytes()  # the CA's key is in its own file alone


def test_what_is_no_backup_leaves_everything_as_it_was(place, tmp_path, capsys):
    asyncio.run(feed(place))
    before = place.config.database.read_bytes()
    for name, content in [("text", b"not a store"), ("empty", b"")]:
        (tmp_path / name).write_bytes(content)
        assert place.run("restore", str(tmp_path / name)) == 1
        assert "cannot be restored" in capsys.readouterr().err
    assert place.run("restore", str(tmp_path / "absent")) == 1
    assert place.run("backup", str(tmp_path / "no" / "such" / "place")) == 1
    assert place.config.database.read_bytes() == before
    assert not list(place.config.state_dir.glob("*restoring*"))
    with pytest.raises(config.CommandFailed, match="no store"):
        backup.backup(Place(tmp_path / "bare").config, tmp_path / "x")


def test_another_authority_in_place_is_said_and_kept(place, tmp_path, capsys):
    asyncio.run(feed(place))
    backup.backup(place.config, tmp_path / "copy")
    other = Place(tmp_path / "other")
    asyncio.run(feed(other))
    mine = (other.config.keys / "ca.pem").read_text()
    assert other.run("restore", str(tmp_path / "copy")) == 0
    assert "another CA" in capsys.readouterr().out
    assert (other.config.keys / "ca.pem").read_text() == mine
    assert pki.CertificateAuthority((other.config.keys / "ca.key").read_bytes(), mine.encode())


@pytest.mark.parametrize("lost", ["ca.key", "ca.pem", "both", "broken"])
def test_a_restore_brings_back_an_authority_that_was_lost_in_its_place(place, tmp_path, capsys, lost):
    asyncio.run(feed(place))
    backup.backup(place.config, tmp_path / "copy")
    keys = place.config.keys
    held = {name: (keys / name).read_bytes() for name in ("ca.key", "ca.pem")}
    for name in held:
        if lost in (name, "both"):
            (keys / name).unlink()
    if lost == "broken":
        (keys / "ca.key").write_bytes(held["ca.key"][:50])
    assert place.run("restore", str(tmp_path / "copy")) == 0
    out = capsys.readouterr().out
    assert "made no CA; it is kept as" in out and "The CA came with it" in out
    assert {name: (keys / name).read_bytes() for name in held} == held
    assert keys.with_name("pki.before-1").is_dir()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("operators: {users: [{name: agent so-ttt, password: 'scrypt:16:0:0'}]}\n", "is how the audit names programs"),
        ("stat_dir: x\n", "collector.yaml:1: stat_dir: is not a key known here; did you mean state_dir?"),
        ("agents: {listen: 8443}\n", "'8443' is not an address to listen at; write it like"),
        ("agents: {listen: '::1:8443'}\n", "is not an address to listen at"),
        ("operators: {listen: '0.0.0.0:8440'}\n", "is not this machine's loopback: give users or tokens first"),
        ("operators: {users: [{name: an, password: geheim}]}\n", "the password of an is not a hash"),
        ("operators: {tokens: [{name: p, token: short}]}\n", "the token of p is shorter than 20 characters"),
        ("operators: {certificate: a.pem}\n", "certificate and key go together"),
        ("operators: {tokens: [{name: p, token_file: nowhere}]}\n", "cannot read"),
        ("agents: {certificate_life: 5m}\n", "is less than a day"),
        ("log: {level: loud}\n", "ought to be one of debug, "),
    ],
)
def test_a_mistake_in_the_configuration_is_named(tmp_path, capsys, text, message):
    file = tmp_path / "collector.yaml"
    file.write_text(text)
    with pytest.raises(Invalid, match=re.escape(message)):
        config.read(file)
    assert main.main(["run", "--config", str(file)]) == 1
    assert message in capsys.readouterr().err


def test_secrets_may_come_from_files_and_all_addresses_are_read(tmp_path):
    (tmp_path / "token").write_text("0123456789abcdefghij\n")
    (tmp_path / "c.yaml").write_text(
        "operators: {listen: '[::]:8440', tokens: [{name: prometheus, token_file: token}]}\nstate_dir: here\n"
    )
    read = config.read(tmp_path / "c.yaml")
    assert read.operators.tokens[0].token == "0123456789abcdefghij"
    assert "0123" not in repr(read)
    assert read.state_dir == tmp_path / "here"
    assert config.parse_address("[::1]:8440").loopback
    assert config.parse_address("localhost:1").loopback
    assert not config.parse_address("[::]:1").loopback
    assert config.parse_address("192.0.2.1:8440") == config.ListenAddress("192.0.2.1", 8440)


def test_passwords_are_hashed(monkeypatch, capsys):
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("con đò sang sông\n"))
    assert main.main(["password"]) == 0
    held = capsys.readouterr().out.strip()
    assert verify_password("con đò sang sông", held)
    assert not verify_password("con đò", held)
    monkeypatch.setattr(sys, "stdin", io.StringIO("short\n"))
    assert main.main(["password"]) == 1


@pytest.mark.parametrize("arguments", [[], ["fly"], ["code"], ["report", "--csv", "a", "b"], ["run", "--what"]])
def test_usage_is_exit_code_2(arguments):
    with pytest.raises(SystemExit) as end:
        main.main(arguments)
    assert end.value.code == 2


def test_before_the_first_start_there_is_no_store(place, capsys):
    for arguments in (["code", "so-ttt"], ["goals"], ["report"], ["revoke", "so-ttt"], ["backup", "x"]):
        assert place.run(*arguments) == 1
        assert "there is no store" in capsys.readouterr().err


# -- users and the audit


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def rows_of(place: Place) -> list[dict]:
    import json

    text = subprocess.run(
        [sys.executable, "-m", "collector.commands.main", "audit", "--config", str(place.file), "--format", "json"],
        capture_output=True,
        check=True,
    ).stdout.decode()
    return [json.loads(line) for line in text.splitlines()]


def test_users_are_added_changed_and_removed_beside_a_running_collector(place, monkeypatch, capsys):
    import base64

    def status(name: str, password: str, path: str = "/") -> int:
        request = urllib.request.Request(f"http://127.0.0.1:{place.operators}{path}")
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    place.start()
    assert status("", "") == 200
    typed(monkeypatch, "con đò sang sông\n")
    assert place.run("user", "add", "an", "--role", "admin", "--who", "root") == 0
    assert status("", "") == 401
    assert status("an", "con đò sang sông", "/audit") == 200
    assert place.run("user", "role", "an", "viewer") == 0
    assert status("an", "con đò sang sông", "/audit") == 403
    typed(monkeypatch, "another password\n")
    assert place.run("user", "passwd", "an") == 0
    assert (status("an", "con đò sang sông"), status("an", "another password")) == (401, 200)
    assert place.run("user", "add", "bình", "--no-password") == 0
    capsys.readouterr()
    assert place.run("user", "list") == 0
    assert re.sub(" +", " ", capsys.readouterr().out) == "an viewer with a password\nbình viewer by the proxy only\n"
    assert status("bình", "") == 401
    assert place.run("user", "remove", "an") == 0
    assert status("an", "another password") == 401
    held = (place.config.users_file).read_text()
    assert "another" not in held and "đò" not in held
    assert place.config.users_file.stat().st_mode & 0o777 == 0o640
    assert place.stop() == 0
    acts = [
        (row["who"], row["what"]) for row in rows_of(place) if "user" in row["data"] and "agents" not in row["data"]
    ]
    assert acts[0] == ("root", "add user")
    acts = [what for _, what in acts if what not in ("change of users",)]
    assert acts == ["add user", "change role", "change password", "add user", "remove user"]
    assert "log in failed" in {row["what"] for row in rows_of(place)}


@pytest.mark.parametrize(
    ("arguments", "typed_in", "message"),
    [
        (("add", "an"), "short\n", "at least 8 characters"),
        (("add", "an"), "", "at least 8 characters"),
        (("add", "a:n"), "con đò sang sông\n", "cannot be a name"),
        (("add", " an"), "con đò sang sông\n", "cannot be a name"),
        (("add", "a\x1bn"), "con đò sang sông\n", "cannot be a name"),
        (("add", "a\u202en"), "con đò sang sông\n", "holds what cannot be seen"),
        (("add", "admin\u3164"), "con đò sang sông\n", "holds what cannot be seen"),
        (("add", "agent so-ttt"), "con đò sang sông\n", "how the audit names programs"),
        (("add", "the users' file"), "con đò sang sông\n", "how the audit names programs"),
        (("add", "x" * 101), "con đò sang sông\n", "cannot be a name"),
        (("add", "prometheus"), "con đò sang sông\n", "there is a user or token prometheus already"),
        (("passwd", "nobody"), "con đò sang sông\n", "there is no user nobody"),
        (("passwd", "inline"), "con đò sang sông\n", "stands in the configuration"),
        (("remove", "nobody"), "", "there is no user nobody"),
        (("role", "nobody", "admin"), "", "there is no user nobody"),
    ],
)
def test_what_cannot_be_done_with_users_is_said(place, monkeypatch, capsys, arguments, typed_in, message):
    text = place.file.read_text().replace(
        "operators: {", "operators: {tokens: [{name: prometheus, token: 0123456789abcdefghij}], "
        "users: [{name: inline, password: 'scrypt:16:00:00'}], "
    )  # fmt: skip
    place.file.write_text(text)
    typed(monkeypatch, typed_in)
    assert place.run("user", *arguments) == 1
    assert message in capsys.readouterr().err
    assert not place.config.users_file.exists()


def test_a_password_is_no_argument(place):
    for arguments in (
        ["user", "add", "an", "secret"],
        ["user", "add", "an", "--password", "x"],
        ["user"],
        ["user", "x"],
    ):
        with pytest.raises(SystemExit) as end:
            place.run(*arguments)
        assert end.value.code == 2


def test_the_audit_is_exported_and_proven(place, tmp_path, capsys):
    asyncio.run(open_store(place.config.database).close())
    assert place.run("code", "so-ttt", "--who", "=an") == 0
    assert place.run("revoke", "so-ttt", "--who", "bình", "--reason", "mất cắp") == 0
    capsys.readouterr()
    assert place.run("audit", "--verify") == 0
    head = re.search(r"Head: (2:\w{64})", capsys.readouterr().out)[1]
    assert place.run("audit", "--head", head) == 0
    assert place.run("audit", "--format", "csv") == 0
    table = list(csv.reader(capsys.readouterr().out.replace("Head", "").splitlines()[1:]))
    assert [row[2] for row in table][-2:] == ["'=an", "bình"]
    assert place.run("audit", "--by", "bình") == 0
    assert "bình: revoke" in capsys.readouterr().out
    assert place.run("audit", "--format", "json") == 0
    file = tmp_path / "audit.json"
    file.write_text(capsys.readouterr().out)
    assert place.run("audit", "--export", str(file), "--head", head) == 0
    for text in (file.read_text().replace("mất", "bán"), file.read_text().splitlines()[0], "[]", ""):
        file.write_text(text)
        assert place.run("audit", "--export", str(file), "--head", head) == 1
    import sqlite3

    with sqlite3.connect(place.config.database) as db:
        db.execute("DROP TRIGGER audit_is_not_deleted")
        db.execute("DELETE FROM audit WHERE id = 2")
    db.close()
    capsys.readouterr()
    assert place.run("audit", "--verify") == 0
    assert place.run("audit", "--verify", "--head", head) == 1
    assert "cut off" in capsys.readouterr().err
    for wrong in ("x", "9" * 40 + ":ab", "-5:ab"):
        assert place.run("audit", f"--head={wrong}") == 1
    file.write_text('{"number": 1, "at": 99999999999999999999, "who": "a", "what": "b", "data": "{}", "hash": ""}')
    assert place.run("audit", "--export", str(file)) == 1
    assert place.run("audit", "--export", str(tmp_path)) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_words_from_the_command_line_are_one_line_of_what_can_be_seen(place, capsys):
    asyncio.run(feed(place))
    hostile = "a\u202eb\nc\x1b[31m\udcff"
    span = ("2026-11-30 10:00", "2026-11-30 11:00")
    assert place.run("exclude", *span, "--check", "portal", "--reason", hostile, "--who", hostile) == 0
    assert place.run("revoke", "so-ttt", "--reason", hostile, "--who", hostile) == 0
    capsys.readouterr()
    assert place.run("exclude") == 0
    assert "portal: ab c[31m? (ab c[31m?)" in capsys.readouterr().out
    assert place.run("audit", "--format", "json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for row in rows[-2:]:
        assert (row["who"], json.loads(row["data"])["reason"]) == ("ab c[31m?",) * 2
    with pytest.raises(SystemExit):
        place.run("revoke", "so-ttt", "--who", " \n")


def test_a_restore_ends_sessions_brings_the_users_and_is_in_the_audit(place, tmp_path, monkeypatch, capsys):
    from collector.store.records import StoredSession

    async def with_session() -> None:
        store = open_store(place.config.database)
        await store.write(lambda tx: tx.sessions.add(StoredSession(b"h", "an", b"m", 1, 1)))
        await store.close()

    place.start()
    assert place.stop() == 0
    typed(monkeypatch, "con đò sang sông\n")
    assert place.run("user", "add", "an") == 0
    asyncio.run(with_session())
    assert place.run("backup", str(tmp_path / "copy"), "--who", "an") == 0
    other = Place(tmp_path / "other")
    assert other.run("restore", str(tmp_path / "copy"), "--who", "bình") == 0
    assert "The users came with it" in capsys.readouterr().out
    assert other.config.users_file.read_bytes() == place.config.users_file.read_bytes()
    assert (rows_of(place)[-1]["who"], rows_of(place)[-1]["what"]) == ("an", "backup")
    assert (rows_of(other)[-1]["who"], rows_of(other)[-1]["what"]) == ("bình", "restore")
    store = open_store(other.config.database)
    assert store.read_now(lambda tx: tx.sessions.all()) == []
    assert store.read_now(lambda tx: tx.audit.first_broken()) is None
    asyncio.run(store.close())
