"""The agent as a process: started, watched, killed, told to stop; a toy collector hears what it says."""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent import config
from agent.runtime import status
from agent.runtime.run import run
from agent.spool import FileOps
from agent.uplink import identity, plans
from agent.uplink.plans import PlanStore
from inventory.base.clock import SystemClock
from inventory.protocol.plan import CollectorAddress, Column, Plan, PlannedCheck
from inventory.protocol.states import DOWN, UP
from inventory.protocol.wire import Record
from tests.support.fake_collector import FakeAuthority, FakeCollector
from tests.support.paths import ROOT


def check(name: str, kind: str = "tcp", **params: Any) -> PlannedCheck:
    return PlannedCheck(
        uid=hashlib.sha256(name.encode()).hexdigest()[:16], name=name, kind=kind, interval=1_000, timeout=1_000,
        hold=3_000, recheck=1_000, params=params,
    )  # fmt: skip


def plan(*checks: PlannedCheck, **more: Any) -> Plan:
    columns = {"tcp": (Column("connect_seconds", 1_000_000),)}
    return Plan(agent="site-1", agency="a", site="s", checks=checks, columns=columns, push_every=1_000, **more)


class Process:
    """One haidang-agent."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def end(self, sign: int = signal.SIGTERM) -> tuple[int, str]:
        """(exit code, what it logged)."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(sign)
        async with asyncio.timeout(20):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, (out + err).decode()


class Site:
    """A machine with an agent, a service that it watches, and the collector that it reports to."""

    def __init__(self, state_dir: Path, desk: FakeCollector, service: asyncio.Server) -> None:
        self.state_dir = state_dir
        self.desk = desk
        self.service = service
        self.port: int = service.sockets[0].getsockname()[1]
        self.running: list[Process] = []

    async def agent(self, *arguments: str, config: Path | None = None, **environment: str) -> Process:
        where = ["--config", str(config)] if config else ["--state-dir", str(self.state_dir)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent.cli.main", *arguments, *where,
            cwd=ROOT, env={"PATH": "/usr/bin:/bin", **environment},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self.running.append(made := Process(process))
        return made

    async def ask(self, *arguments: str) -> tuple[int, str]:
        process = await self.agent(*arguments)
        out, err = await process.process.communicate()
        assert process.process.returncode is not None
        return process.process.returncode, (out + err).decode()

    def serve(self, made: Plan) -> None:
        self.desk.plan = made.encode()

    def states(self) -> list[int]:
        return [state for batch in self.desk.accepted for state in batch.states]

    def records(self) -> list[Record]:
        return [record for batch in self.desk.accepted for record in batch.records]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    authority = FakeAuthority.sample()
    desk = await FakeCollector(authority).open(tmp_path)
    service = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    identity.store(state_dir, authority.identity(desk.url))
    made = Site(state_dir, desk, service)
    made.serve(plan(check("service", host="127.0.0.1", port=made.port)))
    yield made
    for process in made.running:
        if process.process.returncode is None:
            await process.end(signal.SIGKILL)
    service.close()
    await desk.close()


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110  # what is waited for is another process's doing
            await asyncio.sleep(0.02)


def backlog_of(site: Site) -> int:
    found = status.read(site.state_dir)
    return found.collectors[0].backlog if found is not None else 0


async def test_it_looks_pushes_and_stops_cleanly(site: Site) -> None:
    agent = await site.agent("run")
    await eventually(lambda: len(site.states()) >= 3)
    code, said = await agent.end()
    assert code == 0, said
    assert set(site.states()) == {UP}
    start, *_, stop = site.records()
    assert (start.kind, start.data["clean"], stop.kind) == ("start", True, "stop")
    assert all(at <= stop.at for _, at in site.desk.results())
    boot_now = SystemClock().boot_ms()
    assert all(boot_now - 60_000 < at <= boot_now for _, at in site.desk.results())


async def test_a_change_is_pushed_at_once_and_its_end_too(site: Site) -> None:
    site.serve(msgspec.structs.replace(plan(check("service", host="127.0.0.1", port=site.port)), push_every=600_000))
    await site.agent("run")
    await eventually(lambda: UP in site.states())
    site.service.close()
    begun = time.monotonic()
    await eventually(lambda: DOWN in site.states())
    assert time.monotonic() - begun < 5
    again = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", site.port)
    await eventually(lambda: site.states()[-1] == UP)
    again.close()


async def test_after_a_kill_nothing_synced_is_lost_and_the_end_counts_as_unclean(site: Site) -> None:
    agent = await site.agent("run")
    await eventually(lambda: len(site.states()) >= 2)
    await site.desk.close()  # from here on it only writes
    epoch = site.desk.accepted[0].epoch
    await eventually(lambda: backlog_of(site) >= 3)
    await agent.end(signal.SIGKILL)
    told = status.read(site.state_dir)
    assert told is not None
    await site.desk.open(site.state_dir.parent, port=site.desk.port)
    agent = await site.agent("run")
    await eventually(lambda: sum(record.kind == "start" for record in site.records()) == 2)
    await agent.end()
    arrived = [batch for batch in site.desk.accepted if batch.epoch == epoch]
    assert sum(batch.last - batch.start + 1 for batch in arrived) >= told.spool["frames"]
    assert not any(batch.missing or batch.breach for batch in site.desk.accepted)
    assert [record.data["clean"] for record in site.records() if record.kind == "start"] == [True, False]
    looks = site.desk.results()
    assert len(looks) == len(set(looks))


async def test_a_new_plan_is_taken_up_while_running(site: Site) -> None:
    agent = await site.agent("run")
    await eventually(lambda: len(site.states()) >= 1)
    newer = plan(
        check("other", host="127.0.0.1", port=1), check("service", host="127.0.0.1", port=site.port),
        check("strange", kind="nonesuch"),
    )  # fmt: skip
    site.serve(newer)
    site.desk.acks_name_plan = True
    await eventually(lambda: any(batch.plan == newer.digest and 1 in batch.places() for batch in site.desk.accepted))
    await eventually(lambda: DOWN in site.states())
    refused = [record for record in site.records() if record.kind == "refused"]
    assert [record.data["check"] for record in refused] == [newer.checks[2].uid]
    assert "nonesuch" in refused[0].data["why"]
    code, said = await agent.end()
    assert code == 0, said
    kept = PlanStore(site.state_dir, "site-1").current()
    assert kept is not None
    assert kept.digest == newer.digest


async def test_it_works_from_the_kept_plan_when_no_collector_is_there(site: Site) -> None:
    PlanStore(site.state_dir, "site-1").keep(plans.read(site.desk.plan))
    await site.desk.close()
    agent = await site.agent("run")
    await eventually(lambda: (found := status.read(site.state_dir)) is not None and found.spool["frames"] >= 3)
    code, said = await agent.end()
    assert code == 0, said
    assert "nothing listens" in said


async def test_a_plan_kept_without_a_signature_gets_it_and_is_pushed_with_it(site: Site) -> None:
    store = PlanStore(site.state_dir, "site-1")
    store.keep(plans.read(site.desk.plan))
    site.desk.plan_signature = "c2lnbmVk"
    agent = await site.agent("run")
    await eventually(lambda: (kept := store.current()) is not None and kept.signature == b"signed")
    digest = plans.read(site.desk.plan).digest
    site.desk.override = lambda push: site.desk.ack("none", want=[digest]) if push.batch and not push.plans else None
    await eventually(lambda: any(push.plans for push in site.desk.pushes))
    site.desk.override = lambda push: None
    brought = next(push for push in site.desk.pushes if push.plans)
    assert (brought.plans, brought.signatures) == ([site.desk.plan], [b"signed"])
    code, said = await agent.end()
    assert code == 0, said
    assert "a new plan" not in said


async def test_another_collector_in_the_plan_gets_everything_too(site: Site, tmp_path: Path) -> None:
    agent = await site.agent("run")
    await eventually(lambda: len(site.states()) >= 2)
    standby = await FakeCollector(site.desk.authority).open(tmp_path)
    both = (
        CollectorAddress(name="hub", url=site.desk.url, authority=True),
        CollectorAddress(name="standby", url=standby.url),
    )
    site.serve(plan(check("service", host="127.0.0.1", port=site.port), collectors=both))
    site.desk.acks_name_plan = True
    await eventually(lambda: len(standby.results()) >= 3)
    # what the standby says of the plan counts for nothing: one of them is the plan's authority
    asked = site.desk.plan_requests
    standby.plan, standby.acks_name_plan = plan(collectors=both).encode(), True
    await eventually(lambda: len(standby.results()) >= 6)
    assert site.desk.plan_requests - asked <= 1 and standby.plan_requests == 0
    code, said = await agent.end()
    assert code == 0, said
    assert standby.results()[:2] == site.desk.results()[:2]
    assert len(site.desk.results()) == len(set(site.desk.results()))
    assert [record.kind for record in site.records()].count("start") == 1  # it never stopped looking
    await standby.close()


async def test_a_wrong_address_in_the_plan_can_be_corrected(site: Site) -> None:
    """The plan's authority is not reached: the collector this agent was enrolled with is asked."""
    wrong = (CollectorAddress(name="hub", url="https://127.0.0.1:1", authority=True),)
    service = check("service", host="127.0.0.1", port=site.port)
    PlanStore(site.state_dir, "site-1").keep(plans.read(plan(service, collectors=wrong).encode()))
    right = (CollectorAddress(name="hub", url=site.desk.url, authority=True),)
    site.serve(plan(service, collectors=right))
    await site.agent("run")
    await eventually(lambda: len(site.states()) >= 2)


async def test_an_authority_brought_by_the_plan_is_trusted(site: Site, tmp_path: Path) -> None:
    newcomer = FakeAuthority()
    service = check("service", host="127.0.0.1", port=site.port)
    agent = await site.agent("run")
    await eventually(lambda: len(site.states()) >= 1)
    site.serve(plan(service, authorities=(newcomer.pem,)))
    site.desk.acks_name_plan = True
    await eventually(lambda: any(batch.plan == plans.read(site.desk.plan).digest for batch in site.desk.accepted))
    port, watermark, looks = site.desk.port, site.desk.watermark, len(site.states())
    await site.desk.close()
    moved = FakeCollector(
        newcomer
    )  # the collector's new server certificate; it goes on trusting the old authority's agents
    moved.client_authority = site.desk.authority.pem
    moved.watermark, moved.plan = watermark, site.desk.plan
    await moved.open(tmp_path, port=port)
    await eventually(lambda: len(moved.results()) >= 2)
    code, said = await agent.end()
    assert code == 0, said
    assert looks > 0
    await moved.close()


async def test_a_sync_that_fails_ends_the_process(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []

    def sync(self: FileOps, descriptor: int) -> None:
        syncs.append(descriptor)
        if len(site.states()) >= 1:
            raise OSError(5, "Input/output error")
        os.fdatasync(descriptor)

    monkeypatch.setattr(FileOps, "sync", sync)
    async with asyncio.timeout(20):
        code = await run(config.Settings(state_dir=site.state_dir), stop=asyncio.Event())
    assert code == 1
    failed_at = len(syncs)
    await asyncio.sleep(0)
    assert len(syncs) == failed_at  # never tried again
    assert "stop" not in [record.kind for record in site.records()]


async def test_a_second_agent_on_the_same_spool_refuses(site: Site) -> None:
    await site.agent("run")
    await eventually(lambda: len(site.states()) >= 1)
    code, said = await site.ask("run")
    assert code == 1
    assert "another haidang-agent" in said
    assert "Traceback" not in said


async def test_what_its_own_file_does_not_allow_is_refused_and_reported(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(f"state_dir: {site.state_dir}\nlimits:\n  ports: [9]\nlog:\n  format: json\n")
    agent = await site.agent("run", config=file)
    await eventually(lambda: any(record.kind == "refused" for record in site.records()))
    code, said = await agent.end()
    assert code == 0
    assert site.states() == []
    events = [json.loads(line) for line in said.splitlines()]
    assert sum("is refused" in event["message"] for event in events) == 1


async def test_status_and_doctor_tell_how_it_is(site: Site) -> None:
    code, said = await site.ask("status")
    assert (code, said.strip()) == (1, "The agent is not running.")
    code, said = await site.ask("doctor")
    assert code == 1
    assert "the agent is not running" in said
    gone, odd = check("gone", host="127.0.0.1", port=1), check("odd", kind="odd")
    site.serve(plan(check("service", host="127.0.0.1", port=site.port), gone, odd))
    agent = await site.agent("run")
    await eventually(
        lambda: (
            (found := status.read(site.state_dir)) is not None and found.states["down"] == 1 and found.states["up"] == 1
        )
    )
    code, said = await site.ask("status")
    assert code == 0
    assert "agent site-1: running" in said
    assert "gone: 127.0.0.1:1 refused the connection" in said
    assert "refused: odd: this agent cannot make it" in said
    code, said = await site.ask("status", "--json")
    assert json.loads(said)["status"]["agent"] == "site-1"
    code, said = await site.ask("doctor")
    assert code == 1  # the check of an unknown kind
    assert "WRONG  check odd is refused" in said
    assert said.count("WRONG") == 1, said
    assert "collector collector is reached and gives this agent its plan" in said
    await agent.end(signal.SIGKILL)
    code, said = await site.ask("status")
    assert code == 1
    assert "NOT running" in said


async def test_systemd_hears_that_it_is_ready_and_alive(site: Site, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        heard: list[str] = []

        def hear(words: str) -> bool:
            with contextlib.suppress(BlockingIOError):
                while True:
                    heard.append(listener.recv(200).decode())
            return words in heard

        agent = await site.agent("run", NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="400000")
        await eventually(lambda: hear("READY=1") and heard.count("WATCHDOG=1") >= 3)
        await agent.end()
        assert hear("STOPPING=1")


async def test_a_certificate_near_its_end_is_renewed_by_itself(site: Site) -> None:
    old = identity.load(site.state_dir)
    identity.store(site.state_dir, msgspec.structs.replace(old, issued=old.issued - 270 * 86_400_000))
    await site.agent("run")
    await eventually(lambda: identity.load(site.state_dir).certificate != old.certificate)
    assert site.desk.renewals == ["site-1"]
    looked = len(site.states())
    await eventually(lambda: len(site.states()) > looked + 1)
    assert site.desk.peers[-1] == "site-1"


async def test_a_revoked_agent_goes_on_looking_and_deletes_nothing(site: Site) -> None:
    agent = await site.agent("run")
    await eventually(lambda: len(site.states()) >= 2)
    looks, site.desk.revoked = len(site.states()), True
    await eventually(lambda: backlog_of(site) >= 3)
    code, said = await site.ask("doctor")
    assert code == 1
    assert "it was revoked" in said
    site.desk.revoked = False
    await eventually(lambda: len(site.states()) >= looks + 3)
    assert site.desk.results() == sorted(site.desk.results(), key=lambda look: look[1])
    code, said = await agent.end()
    assert code == 0
    assert "refuses this agent: revoked" in said


async def test_a_machine_that_is_not_enrolled_is_told_so(site: Site) -> None:
    identity.path_in(site.state_dir).unlink()
    for command in ("run", "doctor", "once", "renew"):
        code, said = await site.ask(command)
        assert code == 1
        assert "haidang-agent enroll URL" in said
        assert "Traceback" not in said


# -- once


async def once(site: Site, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    code, said = await site.ask("once", "--json", *arguments)
    return code, [json.loads(line) for line in said.splitlines()]


async def test_once_looks_at_a_plan_from_a_file_without_enrolment(site: Site, tmp_path: Path) -> None:
    identity.path_in(site.state_dir).unlink()
    file = tmp_path / "plan.json"
    up, gone = check("service", host="127.0.0.1", port=site.port), check("gone", host="127.0.0.1", port=1)
    file.write_bytes(plan(up, gone, check("odd", kind="odd")).encode())
    code, seen = await once(site, "--plan", str(file))
    assert code == 1
    assert {one["check"]: one["state"] for one in seen} == {"service": "up", "gone": "down", "odd": "unknown"}
    code, seen = await once(site, "--plan", str(file), "service")
    assert code == 0
    assert abs(seen[0]["at"] / 1000 - time.time()) < 60
    assert 0 < seen[0]["latency_seconds"] < 1
    code, said = await site.ask("once", "--plan", str(file), up.uid)
    assert code == 0
    assert said.splitlines()[0].split() == ["CHECK", "KIND", "STATE", "LATENCY", "WHY"]
    assert said.splitlines()[1].split()[:3] == ["service", "tcp", "up"]
    code, said = await site.ask("once", "--plan", str(file), "nonesuch")
    assert code == 2
    assert "there is no check 'nonesuch'" in said


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b"[]", b'{"agent":1}'])
async def test_a_file_that_is_no_plan_is_a_usage_error(site: Site, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "plan.json").write_bytes(content)
    code, said = await site.ask("once", "--plan", str(tmp_path / "plan.json"))
    assert code == 2
    assert "not a plan" in said
    assert "Traceback" not in said


# -- the agent's own file


async def test_a_mistake_in_the_file_is_a_usage_error(site: Site, tmp_path: Path) -> None:
    (tmp_path / "agent.yaml").write_text("nonesuch: 1\n")
    agent = await site.agent("run", config=tmp_path / "agent.yaml")
    code, said = await agent.end(0)
    assert code == 2
    assert "agent.yaml:1: nonesuch" in said
