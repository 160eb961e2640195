"""What root types beside a service that runs as a user of its own: it leaves the service whole and is led nowhere."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.main import main as agent_main
from agent.uplink import identity
from alerts.cli.main import main as alerts_main
from collector.commands.main import main as collector_main
from collector.keys import files as keys_files
from collector.store.opening import open_store
from collector.store.registry import Registry
from collector.store.revocations import Revocations
from collector.web import client_certificates
from collector.web.agents import AgentsListener
from deploy.programs import free_port
from inventory.base import owner
from inventory.protocol.wire import Ack
from tests.support.fake_collector import FakeAuthority
from tests.support.service_user import LAID, USER, RootsOwn, as_service, foreign, outside, own, run

pytestmark = pytest.mark.root

INVENTORY = """\
province: {id: st, name: {vi: Tỉnh, en: Province}}
agencies:
  so:
    name: {vi: Sở, en: Department}
    site:
      agent: so
      checks:
        portal: {kind: tcp, params: {host: 192.0.2.1, port: 443}, interval: 30s}
goals:
  g1: {name: {vi: Dịch vụ, en: Services}, combine: mean, objective: 99%, windows: [rolling-30d]}
"""


@pytest.fixture
def place() -> Iterator[Path]:
    with outside() as directory:
        yield directory


@pytest.fixture
def root(place: Path) -> RootsOwn:
    return RootsOwn(place / "root")


@contextlib.contextmanager
def laid_at(path: Path, laid: str, root: RootsOwn) -> Iterator[None]:
    """Something lies at a place, for a while; what is there then goes, and what was there comes back."""
    aside = path.with_name(f"{path.name}.aside")
    if os.path.lexists(path):
        path.rename(aside)
    LAID[laid](path, root)
    yield
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if os.path.lexists(aside):
        aside.rename(path)


# -- the collector


class Service:
    """A collector that runs as a user of its own, and root's commands to it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.state = own(place / "state")
        (place / "inventory").mkdir()
        (place / "inventory" / "all.yaml").write_text(INVENTORY)
        self.agents, self.operators = free_port(), free_port()
        self.file = place / "collector.yaml"
        self.file.write_text(
            f"state_dir: {self.state}\ninventory: {place / 'inventory'}\n"
            f"agents: {{listen: '127.0.0.1:{self.agents}', url: 'https://127.0.0.1:{self.agents}'}}\n"
            f"operators: {{listen: '127.0.0.1:{self.operators}'}}\n"
        )
        self.process = None

    def start(self) -> None:
        (self.place / "log").touch()
        self.process = as_service("collector.commands.main", "run", "--config", str(self.file), log=self.place / "log")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.get("/-/ready") == b"ready\n":
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError((self.place / "log").read_text())

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.operators}{path}", timeout=5) as answer:
            return bytes(answer.read())

    def stop(self) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(15)
        self.process = None
        return int(code)

    def command(self, *words: str) -> tuple[int, str]:
        return run(collector_main, *words, "--config", str(self.file))

    def assert_whole(self) -> None:
        assert foreign(self.state) == []
        for path in ("/", "/api/v1/checks", "/metrics", "/-/healthy"):
            self.get(path)
        log = (self.place / "log").read_text()
        assert "Traceback" not in log
        assert "cannot be read" not in log


@pytest.fixture
def service(place: Path) -> Iterator[Service]:
    made = Service(place)
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.wait()


def commands_of(place: Path) -> list[tuple[str, ...]]:
    """All that root may type at a collector but ``restore``."""
    return [
        ("code", "so"),
        ("code", "so", "--valid", "7d"),
        ("revoke", "so", "--reason", "stolen"),
        ("keep", "so"),
        ("goals",),
        ("report",),
        ("report", "--csv"),
        ("exclude", "2026-01-01 10:00", "2026-01-01 11:00", "--reason", "works"),
        ("exclude",),
        ("exclude", "--withdraw", "1"),
        ("release",),
        ("user", "list"),
        ("audit",),
        ("audit", "--verify"),
        ("backup", str(place / "root" / f"copy-{time.monotonic_ns()}")),
    ]


def test_whatever_root_types_the_collector_goes_on_and_starts_again(service: Service, place: Path) -> None:
    (place / "root").mkdir(mode=0o700)
    said: dict[tuple[str, ...], tuple[int, str]] = {}
    service.start()
    for words in commands_of(place):
        said[words] = service.command(*words)
        service.assert_whole()
    assert service.stop() == 0
    for words in commands_of(place):
        service.command(*words)
        assert foreign(service.state) == [], words
    service.start()
    service.assert_whole()
    wrong = {words: answer for words, answer in said.items() if answer[0] != (words[0] == "keep")}
    assert not wrong
    assert not [words for words, (_, text) in said.items() if "Traceback" in text]
    copies = sorted((place / "root").iterdir())
    assert [(path.stat().st_uid, path.stat().st_mode & 0o777) for path in copies] == [(0, 0o600)] * 2
    service.stop()
    code, text = service.command("restore", str(copies[0]))
    assert code == 0, text
    assert foreign(service.state) == []
    service.start()
    service.assert_whole()


def test_a_revocation_by_root_counts_at_once(service: Service, place: Path) -> None:
    service.start()
    machine = own(place / "machine")
    _, text = service.command("code", "so")
    code = re.search(r"hd1-\S+", text)[0]
    given = place / "code"
    given.write_text(code)
    given.chmod(0o600)
    enrolled = run(
        agent_main,
        "enroll",
        f"https://127.0.0.1:{service.agents}",
        "--code-file",
        str(given),
        "--state-dir",
        str(machine),
    )
    assert enrolled[0] == 0, enrolled[1]
    assert foreign(machine) == []
    before = run(agent_main, "renew", "--state-dir", str(machine))
    assert before[0] == 0, before[1]
    assert service.command("revoke", "so", "--reason", "stolen")[0] == 0
    after = run(agent_main, "renew", "--state-dir", str(machine))
    assert after[0] == 1
    assert "revoked" in after[1]
    service.assert_whole()


def test_a_file_that_root_left_there_once_does_not_keep_the_service_from_starting(service: Service) -> None:
    """As a version of before did it."""
    service.start()
    service.stop()
    path = service.state / "revoked.jsonl"
    path.write_text('{"agent":"so","up_to":"ff","at":1,"who":"root","reason":"stolen"}\n')
    path.chmod(0o600)
    os.chown(path, 0, 0)
    service.start()
    for page in ("/", "/metrics"):
        service.get(page)
    assert service.command("revoke", "so")[0] == 0
    assert foreign(service.state) == [(next(service.state.glob(".*.unreadable")).name, 0)]
    service.get("/")


def test_roots_revocation_mends_such_a_file_beside_a_running_service(service: Service) -> None:
    service.start()
    path = service.state / "revoked.jsonl"
    path.write_text("")
    path.chmod(0o600)
    os.chown(path, 0, 0)
    service.get("/")
    assert service.command("revoke", "so", "--reason", "stolen")[0] == 0
    assert path.stat().st_uid == USER
    assert "stolen" in path.read_text()
    service.get("/")


@pytest.mark.parametrize("laid", LAID)
def test_root_is_led_nowhere_by_what_lies_in_the_collectors_directory(
    service: Service, place: Path, root: RootsOwn, laid: str
) -> None:
    service.start()
    assert service.command("revoke", "so")[0] == 0
    assert service.stop() == 0
    copy = place / "copy"
    assert service.command("backup", str(copy))[0] == 0
    tried = {
        "revoked.jsonl": [("revoke", "so")],
        "collector.db": [("code", "so"), ("backup", f"{copy}-1"), ("restore", str(copy))],
        "collector.db-wal": [("revoke", "so"), ("restore", str(copy))],
        "lock": [("restore", str(copy))],
        "pki": [("code", "so"), ("backup", f"{copy}-2")],
        "pki/ca.key": [("code", "so"), ("backup", f"{copy}-3")],
        "users.yaml": [("user", "list"), ("user", "remove", "an"), ("backup", f"{copy}-4"), ("restore", str(copy))],
        "pki.new": [("restore", str(copy))],
        "pki.before-1": [("restore", str(copy))],
    }
    for name, commands in tried.items():
        with laid_at(service.state / name, laid, root):
            for words in commands:
                code, text = run(collector_main, *words, "--config", str(service.file), seconds=10)
                root.assert_untouched((laid, name, words, text))
                assert "Traceback" not in text, (laid, name, words, text)
                assert "of root alone" not in text
                assert code in (0, 1), (laid, name, words, text)


def test_a_directory_that_is_a_link_in_anothers_is_not_entered(place: Path, root: RootsOwn) -> None:
    home = own(place / "home")
    (home / "state").symlink_to(root.folder)
    file = place / "collector.yaml"
    file.write_text(f"state_dir: {home / 'state'}\ninventory: {place}\n")
    for words in (("goals",), ("run",), ("backup", str(place / "copy")), ("code", "so")):
        code, text = run(collector_main, *words, "--config", str(file))
        assert code == 1
        assert "a link lies in the way" in text, text
    root.assert_untouched()


def test_backups_go_where_root_says_and_not_where_links_lead(service: Service, place: Path, root: RootsOwn) -> None:
    service.start()
    theirs = own(place / "theirs")
    (theirs / "link").symlink_to(root.folder)
    (theirs / "taken").symlink_to(root.folder / "new")
    for target in (theirs / "link" / "copy", theirs / "taken"):
        code, text = service.command("backup", str(target))
        assert code == 1, text
        root.assert_untouched(target)
    assert service.command("backup", str(theirs / "copy"))[0] == 0
    status = (theirs / "copy").stat()
    assert (status.st_uid, status.st_mode & 0o777) == (0, 0o600), "the CA's key is not given away"
    service.stop()
    (theirs / "stolen").symlink_to(root.file)
    (theirs / "second").hardlink_to(root.file)
    for source in ("stolen", "second"):
        code, text = service.command("restore", str(theirs / source))
        assert code == 1, text
    assert foreign(service.state) == []
    service.assert_whole() if service.process else None


def test_an_audit_that_is_roots_alone_is_proven_by_root(service: Service, root: RootsOwn, place: Path) -> None:
    service.start()
    assert service.command("code", "so")[0] == 0
    code, text = service.command("audit", "--format", "json")
    assert code == 0
    (place / "mine").mkdir(mode=0o700)
    file = place / "mine" / "audit.json"
    file.write_text(text)
    code, text = service.command("audit", "--export", str(file))
    assert code == 0, text
    assert "each as it was written" in text


def test_users_in_a_directory_of_the_services_are_led_nowhere(service: Service, root: RootsOwn, place: Path) -> None:
    """Where the users' file is another directory's than the state's, whoever owns that."""
    theirs = own(place / "theirs")
    text = service.file.read_text().replace("operators: {", f"operators: {{users_file: {theirs / 'users.yaml'}, ")
    service.file.write_text(text)
    (theirs / "users.yaml").symlink_to(root.file)
    for words in (("list",), ("add", "an", "--no-password")):
        _, text = service.command("user", *words)
        root.assert_untouched(text)
        assert "of root alone" not in text


def test_who_may_not_use_the_directory_is_told_so(service: Service) -> None:
    def as_somebody(words: list[str]) -> int:
        os.setresgid(USER + 1, USER + 1, USER + 1)
        os.setresuid(USER + 1, USER + 1, USER + 1)
        return collector_main(words)

    for words in (
        ("goals",),
        ("code", "so"),
        ("revoke", "so"),
        ("exclude",),
        ("backup", "/tmp/haidang-copy"),
        ("run",),
    ):
        code, text = run(as_somebody, *words, "--config", str(service.file))
        assert code == 1, (words, text)
        assert "Traceback" not in text, (words, text)
        assert re.search("may not use|cannot be|Permission denied", text), (words, text)


# -- the agent


class Hub:
    """The agents' side of a collector, in this process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700)
        self.authority = keys_files.authority(directory / "pki", self.wall())
        self.store = open_store(directory / "collector.db")
        self.registry = Registry(
            self.store, self.authority, Revocations(directory / "revoked.jsonl"), wall=self.wall, renewals=999
        )
        self.listener = AgentsListener(self.registry, self, self.push, wall=self.wall)

    @staticmethod
    def wall() -> int:
        return time.time_ns() // 1_000_000

    def plan(self, agent: str) -> tuple[str, bytes] | None:
        return ("00", b"{}")

    async def push(self, agent: str, body: bytes, uploading: int) -> Ack:
        raise AssertionError("nobody pushes here")

    async def start(self) -> "Hub":
        pair = keys_files.server(self.directory / "pki", self.authority, (), self.wall())
        await self.listener.start("127.0.0.1", 0, client_certificates.tls_context(self.authority.pem, *pair))
        return self

    async def stop(self) -> None:
        await self.listener.stop(0.1)
        await self.store.close()

    async def enroll(self, state: Path, agent: str = "so", *options: str, user: int | None = None) -> tuple[int, str]:
        """The real command as root."""
        import sys

        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent.cli.main", "enroll", f"https://127.0.0.1:{self.listener.port}",
            "--state-dir", str(state), *options,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        code = await self.registry.make_code(agent, "an")
        said, _ = await asyncio.wait_for(process.communicate(f"{code}\n".encode()), 20)
        return process.returncode or 0, said.decode()


@pytest.fixture
async def hub(place: Path):
    made = await Hub(place / "hub").start()
    yield made
    await made.stop()


async def test_root_enrols_and_all_of_it_is_the_services(hub: Hub, place: Path) -> None:
    state = own(place / "state")
    code, text = await hub.enroll(state)
    assert code == 0, text
    assert foreign(state) == []
    assert (state / identity.FILE).stat().st_mode & 0o777 == 0o600


async def test_enrolment_is_led_nowhere(hub: Hub, place: Path, root: RootsOwn) -> None:
    """The three of which it is known that they led root astray, and what is like them."""
    for number, (laid, lay) in enumerate(LAID.items()):
        state = own(place / f"state-{number}")
        for name in (".writable", identity.FILE, "former", "spool", "plans"):
            lay(state / name, root)
        await hub.enroll(state)
        root.assert_untouched(laid)
    state = own(place / "guessed")
    process = os.getpid()
    for number in range(process, process + 3_000):
        (state / f".{identity.FILE}.{number}.new").symlink_to(root.file)
    code, text = await hub.enroll(state)
    assert code == 0, text
    root.assert_untouched("names with a number")
    state = own(place / "former")
    assert (await hub.enroll(state))[0] == 0
    (state / "former").symlink_to(root.folder)
    (state / "spool").write_text("* * * * * root sh")
    os.chown(state / "spool", USER, USER)
    await hub.enroll(state, "other", "--force")
    root.assert_untouched("former")


@pytest.fixture
def enrolled(place: Path) -> Path:
    state = own(place / "agent")
    identity.store(state, FakeAuthority.sample().identity("https://127.0.0.1:1"))
    return state


AGENT_COMMANDS: dict[str, tuple[str, ...]] = {
    "status": ("status",),
    "doctor": ("doctor",),
    "once": ("once",),
    "renew": ("renew",),
    "job": ("job", "dump", "--", "true"),
    "job show": ("job", "dump", "--show"),
    "job pause": ("job", "dump", "--pause"),
    "drill": ("drill", "restore", "ok"),
    "drill show": ("drill", "restore", "show"),
}


def agent_command(place: Path, state: Path, words: tuple[str, ...]) -> tuple[int, str]:
    file = place / "agent.yaml"
    file.write_text(
        f"state_dir: {state}\npings: {{listen: '127.0.0.1:{free_port()}'}}\n"
        "drills: {restore: {command: [touch, restored], every: 1h}}\n"
    )
    end = words.index("--") if "--" in words else len(words)
    return run(agent_main, *words[:end], "--config", str(file), *words[end:], seconds=20)


def test_whatever_root_types_the_agents_files_stay_the_agents(enrolled: Path, place: Path) -> None:
    for name, words in AGENT_COMMANDS.items():
        code, text = agent_command(place, enrolled, words)
        assert "Traceback" not in text, (name, text)
        assert code in (0, 1), (name, text)
        assert foreign(enrolled) == [], name
    waiting = list((enrolled / "probes" / "job" / "waiting").iterdir())
    assert len(waiting) == 2, "the start and the end of the job wait for the agent"
    assert list((enrolled / "probes" / "drill").glob("*.json")), "the drill was recorded"


@pytest.mark.parametrize("laid", LAID)
def test_root_is_led_nowhere_by_what_lies_in_the_agents_directory(
    enrolled: Path, place: Path, root: RootsOwn, laid: str
) -> None:
    for words in (AGENT_COMMANDS["job"], AGENT_COMMANDS["drill"]):
        agent_command(place, enrolled, words)
    tried = {
        identity.FILE: ["doctor", "renew"],
        "status.json": ["status"],
        "spool": ["status", "doctor"],
        "spool/lock": ["status"],
        "plans/current": ["once", "doctor"],
        "probes": ["job", "drill", "doctor"],
        "probes/job": ["job", "job show"],
        "probes/job/waiting": ["job"],
        "probes/drill": ["drill"],
        "probes/drill/.lock": ["drill"],
        "probes/drill/restore.json": ["drill", "drill show"],
        "pings.sock": ["job pause"],
    }
    for name, commands in tried.items():
        for above in reversed(Path(name).parents):
            if not (enrolled / above).exists():
                own(enrolled / above)
        with laid_at(enrolled / name, laid, root):
            for words in (AGENT_COMMANDS[command] for command in commands):
                code, text = agent_command(place, enrolled, words)
                root.assert_untouched((laid, name, words, text))
                assert "Traceback" not in text, (laid, name, words, text)
                assert "of root alone" not in text
                assert code in (0, 1), (laid, name, words, text)


def test_a_job_of_roots_stays_roots_and_its_pings_do_not_follow_the_socket(enrolled: Path, place: Path) -> None:
    proof = place / "proof"
    heard = place / "roots.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(heard))  # of root's, for root alone
        heard.chmod(0o600)
        listening.listen()
        listening.settimeout(0.2)
        (enrolled / "pings.sock").symlink_to(heard)
        code, text = agent_command(place, enrolled, ("job", "dump", "--", "sh", "-c", f"id -u >{proof}; exit 7"))
        assert (code, proof.read_text().strip()) == (7, "0"), text
        with pytest.raises(TimeoutError):
            listening.accept()


def test_an_agent_that_root_starts_goes_on_as_its_user_with_one_right_and_no_core(enrolled: Path, place: Path) -> None:
    def look(_: list[str]) -> int:
        def acted(*_: object) -> int:
            print(Path("/proc/self/status").read_text(), Path("/proc/self/limits").read_text())
            print("filter", Path("/proc/self/coredump_filter").read_text())
            return 0

        import agent.cli.main as program

        program._run = acted
        return agent_main(["run", "--state-dir", str(enrolled)])

    code, text = run(look)
    assert code == 0, text
    assert re.search(rf"Uid:\s+{USER}\s+{USER}\s+{USER}\s+{USER}", text)
    assert re.search(rf"Groups:\s+{USER}\s", text)
    for kind in ("Inh", "Prm", "Eff", "Amb"):
        assert int(re.search(rf"Cap{kind}:\s+(\w+)", text)[1], 16) & ~(1 << owner.NET_RAW) == 0
    assert re.search(r"Max core file size\s+0\s+0", text)
    assert "filter 00000000" in text


# -- the rest


def test_samples_of_mails_go_where_root_says_alone(place: Path, root: RootsOwn) -> None:
    theirs = own(place / "theirs")
    (theirs / "mails").symlink_to(root.folder)
    (place / "inventory").mkdir()
    (place / "inventory" / "all.yaml").write_text(INVENTORY)
    for option in ("--mail", "--html"):
        run(alerts_main, "preview", str(place / "inventory"), option, str(theirs / "mails"))
        root.assert_untouched(option)
        run(alerts_main, "preview", str(place / "inventory"), option, str(theirs / "mails" / "below.html"))
        root.assert_untouched(option)


def test_work_as_the_owner_gives_back_what_it_made_or_says_why(place: Path) -> None:
    user = owner.owner_of(own(place / "theirs") / "deep" / "down")
    assert user is not None
    assert owner.work_as(user, lambda: [os.getuid(), os.getgid(), *os.getgroups()], list[int]) == [USER, USER, USER]
    assert owner.work_as(None, os.getuid, int) == 0

    def fails() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        owner.work_as(user, fails, int, (ValueError,))
    for work in (fails, lambda: os._exit(3), lambda: "no number"):
        with pytest.raises(owner.AsOwnerFailed):
            owner.work_as(user, work, int)
    assert owner.owner_of(place) is None
