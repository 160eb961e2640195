"""What all tests share: a collector and an agent as real processes, root, and the rule that CI skips nothing."""

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.programs import AgentProcess, CollectorProcess
from deploy.programs import free_port as unused_port


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With CI set a skipped test is a failure: what ought to run there has to."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped") and exitstatus == 0:
        reporter.write_line("CI: tests were skipped that ought to run (see above)", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A program that a test starts in this process sets logging up for itself; the next test's is as it was."""
    root = logging.getLogger()
    handlers, level = set(root.handlers), root.level
    yield
    root.handlers[:] = [one for one in root.handlers if one in handlers or type(one).__module__.startswith("_pytest")]
    root.setLevel(level)


CheckPredicate = Callable[[dict[str, Any]], bool]


@pytest.fixture
def free_port() -> int:
    return unused_port()


class Lab:
    """A collector, one agent named "site" and an inventory of one agency, as real processes below one folder."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.inventory = directory / "inventory"
        self.collector = CollectorProcess(directory / "collector", self.inventory, unused_port(), unused_port())
        self.agent = AgentProcess("site", directory / "agent")

    @property
    def database(self) -> Path:
        return self.collector.directory / "state" / "collector.db"

    def watch(self, checks: dict[str, Any]) -> None:
        """What the agent looks at, every second unless the check says otherwise; pushed every second."""
        pace = {"interval": "1s", "timeout": "500ms"}
        name = {"vi": "Cơ quan", "en": "Agency"}
        inventory = {
            "province": {"id": "test", "name": name, "push_every": "1s"},
            "agencies": {
                "agency": {
                    "name": name,
                    "site": {"agent": "site", "checks": {key: {**pace, **check} for key, check in checks.items()}},
                }
            },
        }
        self.inventory.mkdir(exist_ok=True)
        (self.inventory / "all.yaml").write_text(json.dumps(inventory), "utf-8")  # JSON is YAML

    async def start(self) -> None:
        await self.collector.start()
        await self.agent.enrol(self.collector)
        await self.agent.start()

    async def stop(self) -> None:
        await self.agent.program.stop()
        await self.collector.stop()

    async def check(self, name: str) -> dict[str, Any]:
        """One check as the API gives it."""
        checks = {each["check"]: each for each in await self.collector.ask("/api/v1/checks")}
        found: dict[str, Any] = checks[name]
        return found

    async def until(
        self, name: str, wanted: Callable[[dict[str, Any]], bool], patience: float = 30.0
    ) -> dict[str, Any]:
        """The check as soon as it is as wanted."""
        deadline = time.monotonic() + patience
        while True:
            check = await self.check(name)
            if wanted(check):
                return check
            assert time.monotonic() < deadline, f"{name} stays {check}"
            await asyncio.sleep(0.1)

    async def spans(self, name: str, start: int, end: int) -> list[dict[str, Any]]:
        uid = (await self.check(name))["uid"]
        answer = await self.collector.ask(f"/api/v1/checks/{uid}/availability", {"from": start, "to": end})
        found: list[dict[str, Any]] = answer["spans"]
        return found


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    started = Lab(tmp_path)
    yield started
    await started.agent.program.kill()
    await started.collector.stop()
