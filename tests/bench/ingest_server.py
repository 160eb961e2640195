"""A collector as it runs, for the benchmarks of ingest: the real store, ingest and agents' listener, with mutual TLS.

    python -m tests.bench.ingest_server DIRECTORY AGENTS CORE [watch]

It makes a certificate for each agent, says "ready PORT" and serves until its standard input ends; then it says how
much CPU it took, as a line of JSON; of a watched one also for how long the loop was held at most.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from collector.app.run import tune_interpreter
from collector.ingest.ingest import Ingest
from collector.keys import files as keys_files
from collector.keys import pki
from collector.store.opening import open_store
from collector.store.registry import Registry
from collector.store.revocations import Revocations
from collector.web import client_certificates
from collector.web.agents import AgentsListener
from tests.support.push_source import PushSource


class Plans:
    """What agents may fetch: nothing, here."""

    def plan(self, agent: str) -> tuple[str, bytes] | None:
        return None


class LoopWatch:
    """For how long the loop is kept from a task that asks for it every few ms, by its own work: other programs on the
    core do not count."""

    def __init__(self) -> None:
        self.held = 0.0  # ms, the longest

    async def run(self) -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.002)
            self.held = max(self.held, (time.thread_time() - began) * 1000)


async def main(directory: Path, agents: int, watched: bool) -> None:
    watch = LoopWatch()
    now = int(time.time() * 1000)
    authority = keys_files.authority(directory / "pki", now)
    store = open_store(directory / "collector.db")
    await store.database.write(lambda db: db.execute("UPDATE incarnations SET count_from = 0"))
    store.count_from = 0  # as if it had been counting all along: what is told lies in the past
    ingest = Ingest(store)
    await ingest.start()
    (directory / "ca.pem").write_text(authority.pem, encoding="ascii")
    for number in range(agents):
        source = PushSource(number)
        await ingest.serve_plan(source.agent, source.plan.encode())
        request = (directory / f"{source.agent}.csr").read_text(encoding="ascii")
        certificate = authority.sign_agent(request, source.agent, pki.new_serial(now) + number, now, 90)
        (directory / f"{source.agent}.crt").write_text(certificate.pem, encoding="ascii")

    registry = Registry(store, authority, Revocations(directory / "revoked.jsonl"), wall=ingest.clock.wall_ms)
    listener = AgentsListener(registry, Plans(), ingest.push, wall=ingest.clock.wall_ms)
    files = keys_files.server(directory / "pki", authority, (), now)
    await listener.start("127.0.0.1", 0, client_certificates.tls_context(authority.pem, *files))
    if watched:
        tune_interpreter()
        watching = asyncio.create_task(watch.run())
    began = os.times()
    print("ready", listener.port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    if watched:
        watching.cancel()
    await listener.stop(0.5)
    took = os.times()
    spans = await store.database.read(lambda db: db.execute("SELECT count(*) FROM spans").get)
    results = sum(state.results for state in ingest.fleet.agents.values())
    print(
        json.dumps(
            {
                "user": took.user - began.user,
                "system": took.system - began.system,
                "groups": ingest.committer.groups,
                "pushes": ingest.pushes,
                "letters": ingest.committer.dead_letters,
                "spans": spans,
                "results": results,
                "held_ms": watch.held,
            }
        ),
        flush=True,
    )
    await ingest.stop()
    await store.close()


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[3])})
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[4:] == ["watch"]))
