"""Credentials: named in the plan, kept at the agent, and never shown."""

import asyncio
import os
from pathlib import Path
from typing import Any, ClassVar

import pytest

from agent import config
from agent.cli import doctor
from agent.cli.once import run_checks
from agent.credentials import Credentials, exposed_files
from agent.failure import ProbeFailed
from agent.probe import THIS_MACHINE, Limits, Outcome, Probe, ProbeContext
from agent.runtime.scheduler import Scheduler
from agent.uplink.plans import StoredPlan
from inventory.base.clock import SystemClock
from inventory.base.problems import Invalid
from inventory.base.types import Secret
from inventory.protocol.plan import Plan, PlannedCheck
from inventory.protocol.states import UNKNOWN
from tests.support.outcomes import up

CANARY = "c4nary-of-soctrang"


def settings(folder: Path, text: str) -> config.Settings:
    file = folder / "agent.yaml"
    file.write_text(text, "utf-8")
    file.chmod(0o600)
    return config.load(file, None)


def secret_file(folder: Path, text: str = CANARY + "\n", mode: int = 0o600) -> Path:
    file = folder / "secret"
    file.write_text(text, "utf-8")
    file.chmod(mode)
    return file


def test_files_are_relative_to_the_agents_own_and_read_anew_when_they_change(tmp_path: Path) -> None:
    file = secret_file(tmp_path)
    known = settings(
        tmp_path, "credentials:\n  core: {community_file: secret}\n  mail: {user: robot, password: no}\n"
    ).make_credentials()
    assert known("core", THIS_MACHINE) == {"community": CANARY}
    assert known("mail", THIS_MACHINE) == {"user": "robot", "password": "no"}
    file.write_text("another one", "utf-8")
    assert known("core", THIS_MACHINE) == {"community": "another one"}
    assert known("core", THIS_MACHINE) == {"community": "another one"}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("other", b"x", "there is no credential 'other' in .*agent.yaml"),
        ("core", None, "the credential 'core': cannot read .*secret: No such file"),
        ("core", b"\n", "the credential 'core': .*secret is empty"),
        ("core", b"\xff\xfe" + CANARY.encode(), "the credential 'core': .*secret is not UTF-8 text"),
        ("core", CANARY.encode() * 5_000, "the credential 'core': .*secret is not a small file"),
    ],
)
def test_what_gives_nothing_is_no_evidence_and_says_why(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    known = settings(tmp_path, "credentials:\n  core: {community_file: secret}\n").make_credentials()
    with pytest.raises(ProbeFailed, match=reason) as caught:
        known(name, THIS_MACHINE)
    assert caught.value.state == UNKNOWN
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"credentials: {CANARY}\n", "agent.yaml:1: credentials: ought to be a mapping of names"),
        (f"credentials:\n  core: {CANARY}\n", "agent.yaml:2: credentials.core: ought to be a mapping of names"),
        (f"credentials:\n  core:\n    community: [{CANARY}]\n", "agent.yaml:3: credentials.core.community: ought"),
        (f"credentials:\n  core: {{community: {CANARY}, community_file: x}}\n", "give community or community_file"),
        ("at: here\n", "agent.yaml:1: at: is not a key known here"),
    ],
)
def test_a_mistake_is_told_without_the_secret(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        settings(tmp_path, text)
    assert message in str(caught.value)
    assert CANARY not in str(caught.value)


def test_settings_do_not_show_what_they_hold(tmp_path: Path) -> None:
    made = settings(tmp_path, f"credentials:\n  core: {{community: {CANARY}}}\n")
    assert CANARY not in repr(made)
    assert CANARY not in repr(made.make_credentials()("core", THIS_MACHINE))


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")
def test_doctor_warns_of_files_that_everybody_can_read(tmp_path: Path) -> None:
    made = settings(tmp_path, "credentials:\n  core: {community_file: secret}\n")
    secret_file(tmp_path)
    assert list(doctor.credential_files(made)) == []
    (tmp_path / "secret").chmod(0o644)
    (finding,) = doctor.credential_files(made)
    assert (finding.level, finding.advice) == ("wrong", f"chmod o-rwx {tmp_path / 'secret'}")
    (tmp_path / "secret").unlink()
    (finding,) = doctor.credential_files(made)
    assert "cannot be read: No such file" in finding.what


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")
def test_the_agents_own_file_is_a_secret_when_one_is_written_in_it(tmp_path: Path) -> None:
    made = settings(tmp_path, f"credentials:\n  core: {{user: operator, community: {CANARY}}}\n")
    (tmp_path / "agent.yaml").chmod(0o644)
    assert [path.name for path, _ in exposed_files(made.credentials, made.at.file)] == ["agent.yaml"]
    harmless = settings(tmp_path, "credentials:\n  core: {user: operator}\n")
    (tmp_path / "agent.yaml").chmod(0o644)
    assert list(exposed_files(harmless.credentials, harmless.at.file)) == []


def test_doctor_names_the_credentials_that_the_plan_needs_and_the_agent_lacks(tmp_path: Path) -> None:
    made = settings(tmp_path, f"credentials:\n  core: {{community: {CANARY}}}\n")
    checks = tuple(planned(name) for name in ("core", "other", ""))
    kept = StoredPlan(Plan(agent="a", agency="b", site="c", checks=checks), b"", b"")
    (finding,) = doctor.missing_credentials(kept, made)
    assert finding.what == "checks of the plan need the credential 'other', which this agent does not have"
    assert str(tmp_path / "agent.yaml") in finding.advice
    assert list(doctor.missing_credentials(None, made)) == []


def planned(credential: str) -> PlannedCheck:
    return PlannedCheck(
        uid=credential.encode().hex(), name=credential, kind="door",
        interval=1000, timeout=1000, hold=3000, recheck=1000,
        params={"credential": credential},
    )  # fmt: skip


class Door(Probe, frozen=True, kw_only=True):
    """Opens if the credential is right."""

    kind: ClassVar[str] = "door"
    target: ClassVar[tuple[str, ...]] = ("credential",)

    credential: str

    async def run(self, look: ProbeContext) -> Outcome:
        try:
            known = look.credential(self.credential, THIS_MACHINE)
        except ProbeFailed as trouble:
            return Outcome(trouble.state, trouble.reason)
        return up(float(len(known["community"])))


async def test_a_look_gets_what_its_check_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.probes.build", lambda kind, params: Door(**params))
    checks = [planned(name) for name in ("core", "other")]
    credentials = Credentials({"core": {"community": Secret(CANARY)}})
    seen = {one.check: one async for one in run_checks(checks, Limits(), credentials)}
    assert (seen["core"].state, seen["core"].latency_seconds) == ("up", len(CANARY))
    assert seen["other"].state == "unknown"
    assert "no credential 'other'" in seen["other"].reason


def test_a_look_without_credentials_says_so() -> None:
    with pytest.raises(ProbeFailed, match="no credential 'core': this agent has none"):
        ProbeContext(1.0, Limits(), {}).credential("core", THIS_MACHINE)


async def test_the_running_agents_looks_have_them_too() -> None:
    taken: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    scheduler = Scheduler(
        clock=SystemClock(),
        build=lambda kind, params: Door(**params),
        on_result=lambda result, changed: taken.set_result(result),
        credentials=Credentials({"core": {"community": Secret(CANARY)}}),
    )
    assert scheduler.apply_plan(Plan(agent="a", agency="b", site="c", checks=(planned("core"),))) == []
    async with asyncio.timeout(10):
        assert (await taken).latency == len(CANARY) * 1_000_000
    await scheduler.stop()
