"""A backup job across a cut WAN: a real agent, a real collector, and the job's own times in the ledger."""

import asyncio
import gzip
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from deploy.demo.estate import now_ms
from deploy.programs import Program, free_port
from tests.support.paths import ROOT

PACE = 1_500  # ms within which the agent looks: an interval and a look's time


async def test_a_job_that_fails_and_recovers_while_the_wan_is_cut(lab: Any, tmp_path: Path) -> None:
    """What is told of afterwards is when the job ended badly and well, not when the collector heard of it."""
    config = tmp_path / "agent.yaml"
    config.write_text(f"state_dir: {lab.agent.state}\npings: {{listen: '127.0.0.1:{free_port()}'}}\n")
    lab.agent.program = Program("agent", "run", "--config", str(config), log=tmp_path / "agent.log")

    async def job(script: str) -> int:
        told = ["job", "nightly", "--config", str(config), "--", "sh", "-c", script]
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "agent.cli.main", *told, cwd=ROOT)
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


async def test_a_backup_is_one_thing_whatever_brought_the_evidence_and_the_wan_was_cut(
    lab: Any, tmp_path: Path
) -> None:
    """Its job's pings, the files themselves and a restore by hand; while nobody listens the job fails and recovers."""
    copies = tmp_path / "copies"
    copies.mkdir()
    (copies / "db.gz").write_bytes(gzip.compress(os.urandom(50_000)))
    os.utime(copies / "db.gz", (time.time() - 3600,) * 2)
    config = tmp_path / "agent.yaml"
    config.write_text(f"state_dir: {lab.agent.state}\npings: {{listen: '127.0.0.1:{free_port()}'}}\n")
    lab.agent.program = Program("agent", "run", "--config", str(config), log=tmp_path / "agent.log")
    lab.watch({})
    inventory = json.loads((lab.inventory / "all.yaml").read_text("utf-8"))
    files = {"params": {"path": str(copies), "settle": "0s"}, "interval": "2s", "timeout": "2s"}
    inventory["agencies"]["agency"]["site"]["backups"] = {
        "db": {
            "name": "Database", "rpo": "1d", "interval": "1s", "timeout": "500ms",
            "evidence": {"pings": {}, "files": files, "drill": {}},
        }
    }  # fmt: skip
    goal = {"select": {"tags": ["backup"]}, "per": "backup", "windows": ["rolling-1d"]}
    inventory["goals"] = {"g6": {"name": "G6", "objective": "50%", **goal}}
    (lab.inventory / "all.yaml").write_text(json.dumps(inventory), "utf-8")

    async def tell(*words: str) -> int:
        command = [sys.executable, "-m", "agent.cli.main", words[0], "db", "--config", str(config), *words[1:]]
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
        return await asyncio.wait_for(process.wait(), 60)

    async def until(wanted: Any) -> dict[str, Any]:
        deadline = time.monotonic() + 40
        while True:
            (found,) = await lab.collector.ask("/api/v1/backups", {"window": "1h"})
            if wanted(found):
                return dict(found)
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.1)

    await lab.start()
    new = await until(lambda backup: "drill: no restore was tried yet" in backup["reason"] and backup["size"])
    assert new["state"] == "unknown"
    assert new["reason"].startswith("pings: it has not run since it is waited for; it is due at ")
    assert await tell("job", "--", "true") == 0
    assert await tell("drill", "ok", "--note", "restored on the spare machine") == 0
    whole = await until(lambda backup: backup["state"] == "up")
    assert (whole["rpo_met"], whole["size"]) == (True, (copies / "db.gz").stat().st_size)
    assert 3600 <= whole["age"] < 3700, "of the copy, not of the job's word"
    assert whole["last_restore"] and whole["last_verified"]

    await lab.collector.stop()
    failed = now_ms()
    assert await tell("job", "--", "false") == 1
    await asyncio.sleep(3)
    recovered = now_ms()
    assert await tell("job", "--", "true") == 0
    await asyncio.sleep(2)
    await lab.collector.start()
    again = await until(lambda backup: backup["state"] == "up" and (backup["since"] or 0) > failed)
    assert -500 <= again["since"] - recovered <= PACE + 1_000
    assert abs(again["figure"]["down"] * 1000 - (recovered - failed)) <= PACE + 1_500
    (judged,) = await lab.collector.ask("/api/v1/goals")
    assert judged["members"] == 1
    assert 0 < judged["lower"] <= judged["best"] <= judged["upper"] < 1, "the failed job counts, whatever is not known"
