"""``haidang-agent once`` as a person runs it: a plan with every kind in it, real services, the right values."""

import asyncio
import gzip
import json
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent import probes
from agent.clock import SystemClock
from agent.jobs.book import Book
from agent.jobs.book import directory as jobs_directory
from agent.jobs.state import START, SUCCESS, Event
from deploy.programs import free_port
from inventory.kinds import load
from tests.devices import snmpd
from tests.mailing import PASSWORD, USER, Issued, Relay, put, running_dovecot, service
from tests.naming import server as dns_server
from tests.nutting import HEALTHY, Rig, needs_nut
from tests.recordings import RECORDINGS
from tests.simulating import SECRETS, credential, simulated
from tests.timekeeping import chrony
from tests.websites import nginx

pytestmark = [pytest.mark.real, pytest.mark.root]

PAGE, BLOB = "Cổng thông tin " * 400, 2 << 20
HERE = "127.0.0.1"
Seen = dict[str, dict[str, Any]]


class Province:
    """One agent's file, an inventory of one site, and the services that its checks look at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = Issued(folder)
        self.state = folder / "state"
        self.backups = folder / "backups"
        self.web = folder / "web"
        for made in (self.state, self.backups, self.web, folder / "inventory", folder / "snmpd", folder / "snmpsim"):
            made.mkdir()
        self.readable = [self.backups, self.certificate.root]
        self.checks: dict[str, dict[str, Any]] = {}
        self.credentials: dict[str, dict[str, str]] = {}

    def check(self, name: str, kind: str, /, **params: Any) -> None:
        self.checks[name] = {"kind": kind, "params": params, "interval": "60s", "timeout": "15s"}

    def secret(self, name: str, **words: str) -> None:
        """A credential whose secrets are in files of their own, as they ought to be."""
        kept: dict[str, str] = {}
        for key, word in words.items():
            if key in ("password", "community", "auth_password", "priv_password"):
                file = self.folder / f"{name}.{key}"
                file.touch(0o600)
                file.write_text(word + "\n", "utf-8")
                kept[f"{key}_file"] = file.name
            else:
                kept[key] = word
        self.credentials[name] = kept

    async def once(self) -> tuple[int, Seen, str]:
        """The inventory's plan, looked at: the exit code, what was seen by check, and all that was printed."""
        agent = {
            "state_dir": str(self.state),
            "limits": {"networks": ["127.0.0.0/8"], "directories": [str(path) for path in self.readable]},
            "credentials": self.credentials,
        }
        (self.folder / "agent.yaml").write_text(json.dumps(agent), "utf-8")  # JSON is YAML
        name = {"vi": "Trung tâm", "en": "Centre"}
        inventory = {
            "province": {"id": "test", "name": name},
            "agencies": {
                "centre": {"name": name, "site": {"agent": {"networks": ["127.0.0.0/8"]}, "checks": self.checks}}
            },
        }
        (self.folder / "inventory" / "all.yaml").write_text(json.dumps(inventory), "utf-8")
        plan = self.folder / "plan.json"
        code, said = await self.program("inventory.cli", "plan", str(self.folder / "inventory"), "centre", "--json")
        assert code == 0, said
        plan.write_text(said, "utf-8")
        where = ("--config", str(self.folder / "agent.yaml"))
        code, said = await self.program("agent.cli", "once", "--plan", str(plan), "--json", "--verbose", *where)
        lines = [line for line in said.splitlines() if line.startswith('{"check"')]
        return code, {each["check"]: each for each in map(json.loads, lines)}, said

    @staticmethod
    async def program(module: str, *arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()


@asynccontextmanager
async def province(folder: Path) -> AsyncIterator[Province]:
    made = Province(folder)
    async with AsyncExitStack() as stack:
        await network(made, stack)
        await web(made, stack)
        await mail(made, stack)
        power(made, stack)
        records(made)
        yield made


async def network(made: Province, stack: AsyncExitStack) -> None:
    made.check("icmp", "icmp", host=HERE, count=5, spacing=0.02)
    made.check("path", "path", host=HERE, count=20, spacing=0.01)
    made.check("lan", "lan", network="127.77.0.0/29", register=4, leave_out=["127.77.0.2"])
    _, dns = await stack.enter_async_context(dns_server())
    made.check("dns", "dns", server=HERE, port=dns, name="soctrang.example", type="A", expect=["192.0.2.10"])
    time_port = free_port()
    stack.enter_context(chrony(time_port, "local stratum 5"))
    made.check("ntp", "ntp", server=HERE, port=time_port, tries=5)
    made.check("host", "host")


async def web(made: Province, stack: AsyncExitStack) -> None:
    (made.web / "index.html").write_text(PAGE, "utf-8")
    (made.web / "blob").write_bytes(os.urandom(BLOB))
    port, root = free_port(), str(made.certificate.root)
    await stack.enter_async_context(nginx(made.web, port, made.certificate.file))
    made.check("tcp", "tcp", host=HERE, port=port)
    made.check("tls", "tls", host=HERE, port=port, authority=root)
    made.check("http", "http", url=f"http://{HERE}:{port}/", authority=root, expect_body="Cổng thông tin")
    made.check(
        "throughput", "throughput", url=f"https://{HERE}:{port}/blob", authority=root, hours=["00:00-24:00"],
        at_start=True, max_seconds=3, per_day=1,
    )  # fmt: skip


async def mail(made: Province, stack: AsyncExitStack) -> None:
    dovecot = stack.enter_context(contextmanager(running_dovecot)())
    await stack.enter_async_context(service(Relay(dovecot.maildir / "new").talk, port=dovecot.relay))
    put(dovecot.maildir / "new", b"Subject: old\r\n\r\nit was there before\r\n")
    made.secret("robot", user=USER, password=PASSWORD)
    made.readable.append(dovecot.certificate.root)
    trust = {"authority": str(dovecot.certificate.root), "credential": "robot"}
    made.check("smtp", "smtp", host=HERE, port=dovecot.submission, **trust)
    made.check("imap", "imap", host=HERE, port=dovecot.imaps, mailbox="Archive", **trust)
    archive = dovecot.maildir / ".Archive"
    shutil.copytree(dovecot.maildir, archive)
    for path in (archive, *archive.rglob("*")):
        shutil.chown(path, "nobody", "nogroup")
    made.check(
        "mail", "mail", smtp_host=HERE, smtp_port=dovecot.submission, smtp_credential="robot",
        imap_port=dovecot.imap, imap_security="starttls", recipient="robot@mail.example", **trust,
    )  # fmt: skip


def power(made: Province, stack: AsyncExitStack) -> None:
    """A UPS by NUT, one by SNMP 2c, one on battery by SNMP 3; a switch, and a card as a device."""
    needs_nut()
    rig = Rig(made.folder / "nut")
    stack.callback(rig.stop)
    rig.start()
    switch = stack.enter_context(snmpd(made.folder / "snmpd"))
    names = ("apc-boost", "standard-three-phase-battery")
    port = stack.enter_context(simulated(made.folder / "snmpsim", {name: RECORDINGS[name].rows for name in names}))
    made.secret("tram", user="watcher", password="kim-n6an-canary")
    made.secret("ups-a", **credential("2c", names[0]))
    made.secret("ups-b", **credential("authPriv", names[1]))
    by_nut = {"host": HERE, "port": rig.port, "ups": "tram", "credential": "tram"}
    by_2c: dict[str, Any] = {"host": HERE, "port": port, "way": "snmp", "credential": "ups-a"}
    by_3: dict[str, Any] = {**by_2c, "version": "3", "credential": "ups-b"}
    for name, way in (("nut", by_nut), ("2c", by_2c), ("3", by_3)):
        made.check(f"ups-{name}", "ups", **way)
        made.check(f"power-{name}", "power", **way)
    made.check("snmp", "snmp", host=HERE, port=switch.port, interfaces=["lo"], oid="1.3.6.1.2.1.1.7.0", scale=0.5)
    made.check("snmp-3", "snmp", host=HERE, port=port, version="3", credential="ups-b", oid="1.3.6.1.2.1.33.1.2.4.0")


def records(made: Province) -> None:
    """A backup that lies there, a job that told of its run, a restore drill that somebody made."""
    (made.backups / "db-2.sql.gz").write_bytes(gzip.compress(os.urandom(50_000)))
    hour_ago = time.time() - 3600
    os.utime(made.backups / "db-2.sql.gz", (hour_ago, hour_ago))
    made.check("backup", "backup", path=str(made.backups), files="db-*.sql.gz")
    book = Book(jobs_directory(made.state), SystemClock())
    book.listen()
    book.expect(["db"])
    for action in (START, SUCCESS):
        book.hear("db", Event(action=action, at=book.now()))
    made.check("job", "job", job="db")
    made.check("drill", "drill", drill="db")


def close(**expected: float) -> Mapping[str, Any]:
    return {name: pytest.approx(value) for name, value in expected.items()}


async def test_every_kind_prints_the_right_values() -> None:
    with tempfile.TemporaryDirectory(prefix="haidang-once-") as name:  # nginx' workers enter no folder of pytest's
        folder = Path(name)
        folder.chmod(stat.S_IRWXU | stat.S_IXOTH)
        async with province(folder) as made:
            code, said = await made.program(
                "agent.cli", "drill", "db", "ok", "--note", "restored", "--config", str(_config(made))
            )
            assert code == 0, said
            code, seen, said = await made.once()
            judge(made, code, seen, said)


def _config(made: Province) -> Path:
    file = made.folder / "drills.yaml"
    file.write_text(json.dumps({"state_dir": str(made.state), "drills": {"db": {"command": ["true"]}}}), "utf-8")
    return file


def judge(made: Province, code: int, seen: Seen, said: str) -> None:
    assert {one["kind"] for one in seen.values()} == set(probes.names()) == set(load()), "a kind without a check here"
    assert seen.keys() == made.checks.keys()
    not_up = {name: one["reason"] for name, one in seen.items() if one["state"] != "up" and name != "host"}
    assert not_up == dict.fromkeys(("ups-3", "power-3"), "on battery for 95 s, charge 88%, runtime 22 min")
    assert code == 1
    for secret in (PASSWORD, "kim-n6an-canary", *SECRETS, "apc-boost"):
        assert secret not in said
    measures = {name: one["measures"] for name, one in seen.items()}
    ends = made.certificate.ends
    right: dict[str, Mapping[str, Any]] = {
        "icmp": close(loss_ratio=0, duplicates=0),
        "path": close(loss_ratio=0, packets=20),
        "lan": close(hosts_seen=5, share_ratio=1.25, hosts_pinged=5),
        "dns": close(answers=2, ttl_seconds=60, ignored_replies=0),
        "ntp": close(stratum=5, leap_indicator=0),
        "tls": close(certificate_expiry_timestamp_seconds=ends),
        "http": close(http_status=200, redirects=1, certificate_expiry_timestamp_seconds=ends),
        "throughput": close(download_bytes=BLOB),
        "imap": close(messages=1),
        "mail": close(leftovers=0),
        "snmp": close(value=36, interfaces_up=1, interfaces_down=0),
        "snmp-3": close(value=88, uptime_seconds=86_400.5),
        "ups-nut": close(charge_ratio=0.97, runtime_seconds=2460, load_ratio=0.24, input_volts=228.4, on_mains=1),
        "power-nut": close(charge_ratio=0.97, runtime_seconds=2460, load_ratio=0.24, input_volts=228.4),
        "ups-2c": close(**RECORDINGS["apc-boost"].measures),
        "ups-3": close(**RECORDINGS["standard-three-phase-battery"].measures),
        "power-3": close(charge_ratio=0.88, runtime_seconds=1320, load_ratio=0.22, on_battery_seconds=95),
        "backup": close(rpo_met=1, copies=1, size_bytes=(made.backups / "db-2.sql.gz").stat().st_size),
        "job": close(runs=1, failures=0),
        "drill": close(runs=1, failures=0),
    }
    for name, expected in right.items():
        assert {key: measures[name].get(key) for key in expected} == expected, name
    assert float(HEALTHY["ups.load"]) / 100 == measures["ups-nut"]["load_ratio"]
    assert 3.6 < measures["path"]["mos_score"] < 4.41
    assert abs(measures["ntp"]["offset_seconds"]) < 0.05, "both read one clock"
    assert 3600 <= measures["backup"]["age_seconds"] < 3700
    assert 0 <= measures["job"]["age_seconds"] < 100 and 0 <= measures["drill"]["age_seconds"] < 100
    assert measures["smtp"]["certificate_expiry_timestamp_seconds"] > time.time()
    assert 0 < measures["mail"]["transit_seconds"] < 10
    assert measures["throughput"]["download_bytes_per_second"] > 1e6
    assert measures["host"]["boot_timestamp_seconds"] == pytest.approx(psutil.boot_time(), abs=5)
    assert seen["host"]["state"] in ("up", "degraded"), "this machine may be busy"
    assert seen["tcp"]["latency_seconds"] < 1 and measures["icmp"]["rtt_avg_seconds"] < 0.5
