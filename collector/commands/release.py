"""``haidang-collector release``: take an agent in quarantine again, beside a collector that may be running."""

import time
from typing import Final

from collector.commands.offline import existing_store
from collector.config import CollectorConfig, CommandFailed
from collector.ingest.quarantine import RECOVERY
from collector.ingest.steps.dead_letters import MAX_BYTES
from collector.store.interfaces.store import Transaction
from collector.store.records import AddedDeadLetter, QuarantinedAgent
from inventory.protocol.reasons import unpack

SET_ASIDE: Final = "set aside by a person: the collector failed at it"


async def release(config: CollectorConfig, agent: str, who: str, *, set_aside: bool) -> list[str]:
    """``set_aside``: what the collector failed at becomes a dead letter. A running collector hears of it within a
    second or two. Raises CommandFailed, StoreError."""
    now = time.time_ns() // 1_000_000

    def work(tx: Transaction) -> list[str]:
        held = next((one for one in tx.quarantine.all() if one.agent == agent), None)
        if held is None:
            return []
        lines = [f"{agent} was in quarantine: {unpack(held.why)}"]
        if set_aside:
            lines.append(_set_aside(tx, held, now))
        tx.quarantine.release(agent)
        tx.audit.add(now, who, "release", {"agent": agent, "place": held.place, "set_aside": set_aside})
        return lines

    async with existing_store(config) as store:
        lines = await store.write(work)
    if not lines:
        raise CommandFailed(f"no agent {agent!r} is in quarantine")
    return [*lines, "It is taken again. If the collector fails at the same, it is back in quarantine at once."]


async def quarantined(config: CollectorConfig) -> list[str]:
    """A line for each agent in quarantine."""
    async with existing_store(config) as store:
        held = await store.read(lambda tx: tx.quarantine.all())
    lines = [f"{one.agent}: since {_moment(one.since)}, {unpack(one.why)}" for one in held]
    return lines or ["No agent is in quarantine."]


def _set_aside(tx: Transaction, held: QuarantinedAgent, now: int) -> str:
    if held.batch:
        body = tx.batches.body(held.batch) or b""
        tx.batches.refuse(held.batch)
        tx.dead_letters.add([AddedDeadLetter(now, held.agent, SET_ASIDE, 1, body[:MAX_BYTES])])
        return "The batch that did it is a dead letter now."
    if held.place == RECOVERY:
        stream = tx.checkpoints.stream(held.agent)
        body = tx.checkpoints.body(stream) or b""
        tx.checkpoints.forget(stream)
        tx.dead_letters.add([AddedDeadLetter(now, held.agent, SET_ASIDE, 1, body[:MAX_BYTES])])
        return "Its saved state is a dead letter now: what was open when that was written is unknown."
    return "Nothing of it is in the store, so there is nothing to set aside."


def _moment(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(ms / 1000))
