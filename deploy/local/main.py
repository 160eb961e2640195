"""``scripts/run``: a collector and one enrolled agent that watch this machine's real surroundings, and a live table.

State below ``var/run``: the inventory (made once, then yours), the collector's, the agent's. A second start goes on
from it. Ctrl-C stops the agent, then the collector, cleanly.
"""

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from deploy.local import starter
from deploy.local.surroundings import discover_checks
from deploy.local.table import Table
from deploy.programs import AgentProcess, CollectorProcess, ProgramFailed, free_port

STATE = Path(__file__).parents[2] / "var" / "run"
AGENTS_PORT, OPERATORS_PORT = 8443, 8440


class Ports(msgspec.Struct):
    """Where the collector listened last time, so that a page kept open goes on working."""

    agents: int = AGENTS_PORT
    operators: int = OPERATORS_PORT


async def run(state: Path, seconds: float | None) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    ports = choose_ports(state / "ports.json")
    inventory = state / "inventory"
    if not inventory.exists():
        starter.write(inventory / "starter.yaml", await discover_checks({ports.agents, ports.operators}))
        print(f"A starter inventory of what is around this machine is in {inventory / 'starter.yaml'}")
    collector = CollectorProcess(state / "collector", inventory, ports.agents, ports.operators)
    agent = AgentProcess(starter.AGENT, state / "agent")
    try:
        await collector.start()
        await agent.enrol(collector)
        await agent.start()
        print(f"Page:    {collector.page}/\nMetrics: {collector.page}/metrics")
        print(f"Logs:    {collector.program.log} and {agent.program.log}", flush=True)
        table = Table(sys.stdout)
        watching = asyncio.create_task(watch(collector, agent, table))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({watching, stopped}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if watching.done():
            watching.result()
        watching.cancel()
        checks, goals = await checks_of(collector), await collector.ask("/api/v1/goals")
        await agent.program.stop()
        table.finish(checks, goals)
        return 0
    finally:
        await agent.program.stop()
        await collector.stop()


async def watch(collector: CollectorProcess, agent: AgentProcess, table: Table) -> None:
    """Show the checks once a second. Raises Failed when one of the two programs ends."""
    while True:
        for program, name in ((collector.program, "collector"), (agent.program, "agent")):
            if not program.running:
                raise ProgramFailed(f"the {name} ended by itself:\n{program.last_words()}")
        table.show(await checks_of(collector))
        await asyncio.sleep(1)


async def checks_of(collector: CollectorProcess) -> list[dict[str, Any]]:
    checks: list[dict[str, Any]] = await collector.ask("/api/v1/checks", {"window": "24h"})
    return checks


def choose_ports(memory: Path) -> Ports:
    """Last time's ports, or the next free ones, said aloud."""
    preferred = Ports()
    if memory.exists():
        preferred = msgspec.json.decode(memory.read_bytes(), type=Ports)
    chosen = Ports(free_port(preferred.agents), free_port(preferred.operators))
    for name in ("agents", "operators"):
        before, now = getattr(preferred, name), getattr(chosen, name)
        if before != now:
            print(f"Port {before} is in use; the {name}' listener takes {now}.")
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_bytes(msgspec.json.encode(chosen))
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/run", description="Watch this machine's surroundings.")
    parser.add_argument("--for", dest="seconds", type=float, metavar="SECONDS", help="end by itself, with a summary")
    parser.add_argument("--state", type=Path, default=STATE, metavar="DIR", help="where state is kept (var/run)")
    args = parser.parse_args()
    try:
        return asyncio.run(run(args.state.resolve(), args.seconds))
    except ProgramFailed as error:
        print(f"scripts/run: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
