"""A live site: real services on loopback for every kind of check, an inventory of them, credentials in files."""

import asyncio
import gzip
import json
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from agent.jobs.state import START, SUCCESS, PingEvent
from agent.jobs.store import JobStore
from agent.jobs.store import directory as jobs_directory
from deploy.programs import free_port
from inventory.base.clock import SystemClock
from tests.support.chrony import chrony
from tests.support.dns_server import dns_server as dns_server
from tests.support.mail_servers import (
    PASSWORD,
    USER,
    DeliveringRelay,
    IssuedCertificate,
    deliver_to,
    running_dovecot,
    tcp_server,
)
from tests.support.nginx import nginx
from tests.support.nut import RealUpsd, require_nut
from tests.support.snmp import snmpd
from tests.support.snmpsim import SECRETS, credential, snmpsim
from tests.support.ups_recordings import RECORDINGS

PAGE, BLOB = "Cổng thông tin " * 400, 2 << 20
HERE = "127.0.0.1"
COMMUNITY, NUT_PASSWORD, WRONG = "cong-dong-canary", "kim-n6an-canary", "sai-mat-khau-canary"
CANARIES = (PASSWORD, NUT_PASSWORD, COMMUNITY, WRONG, *SECRETS)  # nothing that is told or kept may show them
ON_MAINS, ON_BATTERY = RECORDINGS["apc-boost"], RECORDINGS["standard-three-phase-battery"]
ResultsByCheck = dict[str, dict[str, Any]]


class LiveSite:
    """One agent's file, an inventory of one site, and the services that its checks look at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = IssuedCertificate(folder)
        self.state = folder / "state"
        self.backups = folder / "backups"
        self.web = folder / "web"
        for directory in (
            self.state,
            self.backups,
            self.web,
            folder / "inventory",
            folder / "snmpd",
            folder / "snmpsim",
        ):
            directory.mkdir()
        self.readable = [self.backups, self.certificate.root]  # what the agent's own file lets checks read
        self.checks: dict[str, dict[str, Any]] = {}
        self.credentials: dict[str, dict[str, str]] = {}

    def add_check(self, name: str, kind: str, /, **params: Any) -> None:
        self.checks[name] = {"kind": kind, "params": params, "interval": "60s", "timeout": "15s"}

    def add_credential(self, name: str, **fields: str) -> None:
        """A credential whose secrets are in files of their own, as they ought to be."""
        stored: dict[str, str] = {}
        for key, word in fields.items():
            if key in ("password", "community", "auth_password", "priv_password"):
                file = self.folder / f"{name}.{key}"
                file.touch(0o600)
                file.write_text(word + "\n", "utf-8")
                stored[f"{key}_file"] = file.name
            else:
                stored[key] = word
        self.credentials[name] = stored

    def configure(self, **more: Any) -> Path:
        """The agent's own file."""
        settings = {
            "state_dir": str(self.state),
            "limits": {"networks": ["127.0.0.0/8"], "directories": [str(path) for path in self.readable]},
            "credentials": self.credentials,
            "drills": {"db": {"command": ["true"]}},
            **more,
        }
        file = self.folder / "agent.yaml"
        file.write_text(json.dumps(settings), "utf-8")  # JSON is YAML
        return file

    async def once(self) -> tuple[int, ResultsByCheck, str]:
        """The inventory's plan, looked at: the exit code, what was seen by check, and all that was printed."""
        name = {"vi": "Trung tâm", "en": "Centre"}
        site = {"agent": {"networks": ["127.0.0.0/8"]}, "checks": self.checks}
        inventory = {
            "province": {"id": "test", "name": name},
            "agencies": {"centre": {"name": name, "site": site}},
        }
        (self.folder / "inventory" / "all.yaml").write_text(json.dumps(inventory), "utf-8")
        plan = self.folder / "plan.json"
        code, output = await self.run_program(
            "inventory.cli.main", "plan", str(self.folder / "inventory"), "centre", "--json"
        )
        assert code == 0, output
        plan.write_text(output, "utf-8")
        where = ("--config", str(self.configure()))
        code, output = await self.run_program(
            "agent.cli.main", "once", "--plan", str(plan), "--json", "--verbose", *where
        )
        lines = [line for line in output.splitlines() if line.startswith('{"check"')]
        return code, {each["check"]: each for each in map(json.loads, lines)}, output

    @staticmethod
    async def run_program(module: str, *arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()


@asynccontextmanager
async def live_site(*parts: "Part") -> AsyncIterator[LiveSite]:
    """With the services and checks of these parts, below a folder that unprivileged servers can enter."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="haidang-province-")))
        folder.chmod(stat.S_IRWXU | stat.S_IXOTH)
        site = LiveSite(folder)
        for part in parts:
            await part(site, stack)
        yield site


Part = Callable[[LiveSite, AsyncExitStack], Awaitable[None]]


async def network(site: LiveSite, stack: AsyncExitStack) -> None:
    site.add_check("icmp", "icmp", host=HERE, count=5, spacing=0.02)
    site.add_check("path", "path", host=HERE, count=20, spacing=0.01)
    site.add_check("lan", "lan", network="127.77.0.0/29", register=4, leave_out=["127.77.0.2"])
    _, dns = await stack.enter_async_context(dns_server())
    site.add_check("dns", "dns", server=HERE, port=dns, name="soctrang.example", type="A", expect=["192.0.2.10"])
    time_port = free_port()
    stack.enter_context(chrony(time_port, "local stratum 5"))
    site.add_check("ntp", "ntp", server=HERE, port=time_port, tries=5)
    site.add_check("host", "host")


async def web(site: LiveSite, stack: AsyncExitStack) -> None:
    (site.web / "index.html").write_text(PAGE, "utf-8")
    (site.web / "blob").write_bytes(os.urandom(BLOB))
    port, root = free_port(), str(site.certificate.root)
    await stack.enter_async_context(nginx(site.web, port, site.certificate.file))
    site.add_check("tcp", "tcp", host=HERE, port=port)
    site.add_check("tls", "tls", host=HERE, port=port, authority=root)
    site.add_check("http", "http", url=f"http://{HERE}:{port}/", authority=root, expect_body="Cổng thông tin")
    site.add_check(
        "throughput", "throughput", url=f"https://{HERE}:{port}/blob", authority=root, hours=["00:00-24:00"],
        at_start=True, max_seconds=3, per_day=1,
    )  # fmt: skip


async def mail(site: LiveSite, stack: AsyncExitStack) -> None:
    dovecot = stack.enter_context(contextmanager(running_dovecot)())
    await stack.enter_async_context(tcp_server(DeliveringRelay(dovecot.maildir / "new").talk, port=dovecot.relay))
    deliver_to(dovecot.maildir / "new", b"Subject: old\r\n\r\nit was there before\r\n")
    site.add_credential("robot", user=USER, password=PASSWORD)
    site.readable.append(dovecot.certificate.root)
    trust = {"authority": str(dovecot.certificate.root), "credential": "robot"}
    site.add_check("smtp", "smtp", host=HERE, port=dovecot.submission, **trust)
    site.add_check("imap", "imap", host=HERE, port=dovecot.imaps, mailbox="Archive", **trust)
    archive = dovecot.maildir / ".Archive"
    shutil.copytree(dovecot.maildir, archive)
    for path in (archive, *archive.rglob("*")):
        shutil.chown(path, "nobody", "nogroup")
    site.add_check(
        "mail", "mail", smtp_host=HERE, smtp_port=dovecot.submission, smtp_credential="robot",
        imap_port=dovecot.imap, imap_security="starttls", recipient="robot@mail.example", **trust,
    )  # fmt: skip


async def power(site: LiveSite, stack: AsyncExitStack) -> None:
    """A UPS by NUT, one by SNMP 2c, one on battery by SNMP 3; a switch, and a card as a device."""
    require_nut()
    rig = RealUpsd(site.folder / "nut")
    stack.callback(rig.stop)
    rig.start()
    switch = stack.enter_context(snmpd(site.folder / "snmpd"))
    cards = {COMMUNITY: ON_MAINS.rows, "ups-b": ON_BATTERY.rows}
    port = stack.enter_context(snmpsim(site.folder / "snmpsim", cards))
    site.add_credential("tram", user="watcher", password=NUT_PASSWORD)
    site.add_credential("ups-a", **credential("2c", COMMUNITY))
    site.add_credential("ups-b", **credential("authPriv", "ups-b"))
    by_nut = {"host": HERE, "port": rig.port, "ups": "tram", "credential": "tram"}
    by_2c: dict[str, Any] = {"host": HERE, "port": port, "way": "snmp", "credential": "ups-a"}
    by_3: dict[str, Any] = {**by_2c, "version": "3", "credential": "ups-b"}
    for name, params in (("nut", by_nut), ("2c", by_2c), ("3", by_3)):
        site.add_check(f"ups-{name}", "ups", **params)
        site.add_check(f"power-{name}", "power", **params)
    site.add_check("snmp", "snmp", host=HERE, port=switch.port, interfaces=["lo"], oid="1.3.6.1.2.1.1.7.0", scale=0.5)
    site.add_check(
        "snmp-3", "snmp", host=HERE, port=port, version="3", credential="ups-b", oid="1.3.6.1.2.1.33.1.2.4.0"
    )


async def records(site: LiveSite, stack: AsyncExitStack) -> None:
    """A backup that lies there, a job that told of its run, a restore drill that somebody made."""
    (site.backups / "db-2.sql.gz").write_bytes(gzip.compress(os.urandom(50_000)))
    hour_ago = time.time() - 3600
    os.utime(site.backups / "db-2.sql.gz", (hour_ago, hour_ago))
    site.add_check("backup", "backup", path=str(site.backups), files="db-*.sql.gz")
    book = JobStore(jobs_directory(site.state), SystemClock())
    book.record_listening()
    book.register(["db"])
    for action in (START, SUCCESS):
        book.add_ping("db", PingEvent(action=action, at=book.now()))
    site.add_check("job", "job", job="db")
    site.add_check("drill", "drill", drill="db")
