"""A collector as it runs, for the benchmarks of ingest: the real store, ingest and agents' listener, with mutual TLS.

    python -m tests.bench.ingest_server DIRECTORY AGENTS CORE

It makes a certificate for each agent, says "ready PORT" and serves until its standard input ends; then it says how
much CPU it took, as a line of JSON.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

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


async def main(directory: Path, agents: int) -> None:
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
    began = os.times()
    print("ready", listener.port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
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
            }
        ),
        flush=True,
    )
    await ingest.stop()
    await store.close()


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[3])})
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
