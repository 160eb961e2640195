"""A backup job across a cut WAN: a real agent, a real collector, and the job's own times in the ledger."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from deploy.estate import now_ms
from deploy.programs import Program, free_port

ROOT = Path(__file__).parents[1]
PACE = 1_500  # ms within which the agent looks: an interval and a look's time


async def test_a_job_that_fails_and_recovers_while_the_wan_is_cut(lab: Any, tmp_path: Path) -> None:
    """What is told of afterwards is when the job ended badly and well, not when the collector heard of it."""
    config = tmp_path / "agent.yaml"
    config.write_text(f"state_dir: {lab.agent.state}\npings: {{listen: '127.0.0.1:{free_port()}'}}\n")
    lab.agent.program = Program("agent", "run", "--config", str(config), log=tmp_path / "agent.log")

    async def job(script: str) -> int:
        told = ["job", "nightly", "--config", str(config), "--", "sh", "-c", script]
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "agent.cli", *told, cwd=ROOT)
        return await asyncio.wait_for(process.wait(), 60)

    lab.watch({"backup": {"kind": "job", "params": {"job": "nightly", "period": "1d", "grace": "1h"}}})
    await lab.start()
    new = await lab.until("backup", lambda check: "it is due at" in (check["reason"] or ""))
    assert new["state"] == "unknown"
    assert await job("true") == 0
    await lab.until("backup", lambda check: check["state"] == "up")
    began = now_ms()

    await lab.collector.stop()
    failed = now_ms()
    assert await job("echo no space left; exit 3") == 3
    await asyncio.sleep(3)
    recovered = now_ms()
    assert await job("true") == 0
    await asyncio.sleep(2)
    await lab.collector.start()
    await lab.until("backup", lambda check: check["state"] == "up" and check["last_result"] > recovered + 2_000)

    down = [span for span in await lab.spans("backup", began, now_ms()) if span["state"] == "down"]
    assert len(down) == 1
    assert "it failed with exit code 3" in down[0]["reason"]
    assert "no space left" not in down[0]["reason"], "what a job says stays at its agent"
    assert -500 <= down[0]["start"] - failed <= PACE + 1_000
    assert -500 <= down[0]["end"] - recovered <= PACE + 1_000
