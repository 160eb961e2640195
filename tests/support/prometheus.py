"""Debian's Prometheus on loopback: filled with scrapes of the past, scraping a collector, asked as Grafana asks it."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from deploy.programs import free_port
from tests.support.paths import ROOT

RULES: Final = ROOT / "deploy" / "prometheus" / "haidang.boards.rules.yml"
JOB, INSTANCE = "haidang-collector", "thdl:8440"
WHO: Final = f'instance="{INSTANCE}",job="{JOB}"'


def require_prometheus() -> None:
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        pytest.skip("needs prometheus and promtool (Debian: prometheus)")


def at_moment(scrape: str, at: int) -> Iterable[str]:
    """An OpenMetrics scrape's samples as Prometheus would have kept them at a moment (ms); no word about types."""
    stamp = f"{at / 1000:.3f}"
    for line in scrape.splitlines():
        if not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            if series.endswith("}"):
                separator = "" if series.endswith("{}") else ","
                yield f"{series[:-1]}{separator}{WHO}}} {value} {stamp}\n"
            else:
                yield f"{series}{{{WHO}}} {value} {stamp}\n"
    yield f"up{{{WHO}}} 1 {stamp}\n"


class HistoryFile:
    """Scrapes of the past, to become blocks of Prometheus's database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w")

    def add(self, scrape: str, at: int) -> None:
        self._file.writelines(at_moment(scrape, at))

    async def import_into(self, database: Path) -> None:
        self._file.write("# EOF\n")
        self._file.close()
        await _promtool(
            "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=1500h", "-q", self._path, database
        )  # fmt: skip


async def _promtool(*arguments: Any) -> None:
    done = await asyncio.to_thread(subprocess.run, ["promtool", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout


class Prometheus:
    """Asks one that runs."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self.port = port
        self._session = session

    async def query(self, expr: str, at: float | None = None) -> list[dict[str, Any]]:
        return await self._ask("query", {"query": expr} | ({"time": str(at)} if at else {}))

    async def query_range(self, expr: str, begin: float, end: float, step: float) -> list[dict[str, Any]]:
        return await self._ask("query_range", {"query": expr, "start": str(begin), "end": str(end), "step": str(step)})

    async def _ask(self, path: str, form: dict[str, str]) -> list[dict[str, Any]]:
        async with self._session.post(f"http://127.0.0.1:{self.port}/api/v1/{path}", data=form) as response:
            answer = await response.json()
        assert answer["status"] == "success", (form, answer)
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result if answer["data"]["resultType"] != "scalar" else [{"metric": {}, "value": result}]

    async def backfill_rules(self, database: Path, begin: float, end: float, *, step: str, window: str) -> None:
        """What the recording rules would have recorded; over a wider window, where scrapes are further apart."""
        rules = database.parent / "past.rules.yml"
        rules.write_text(RULES.read_text("utf-8").replace("[5m]", f"[{window}]"), "utf-8")
        await _promtool(
            "tsdb", "create-blocks-from", "rules", f"--start={begin:.0f}", f"--end={end:.0f}",
            f"--eval-interval={step}", f"--output-dir={database}", f"--url=http://127.0.0.1:{self.port}", rules,
        )  # fmt: skip


@asynccontextmanager
async def running_prometheus(
    folder: Path, target: str, *, scrape: str = "1s", lookback: str = "5m"
) -> AsyncIterator[Prometheus]:
    """Over ``folder``/tsdb, with the boards' recording rules; until it is ready."""
    port = free_port()
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: {scrape}, evaluation_interval: {scrape}}}\n"
        f"rule_files: [{RULES}]\n"
        "scrape_configs:\n"
        f"- job_name: {JOB}\n"
        f"  static_configs: [{{targets: ['{target}'], labels: {{instance: '{INSTANCE}'}}}}]\n"
    )
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        "--storage.tsdb.retention.time=90d",
        f"--query.lookback-delta={lookback}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(60):
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/-/ready") as response:
                        if response.status == 200:
                            break
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.1)  # another process's doing
        async with aiohttp.ClientSession() as session:
            yield Prometheus(port, session)
    finally:
        process.terminate()
        await process.wait()
