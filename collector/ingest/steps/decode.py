"""Decodes a body: at most so many bytes of it, columns counted before they are made, large ones one after the other.

A small body is decoded at once. A large one, whatever it is compressed to, waits for its turn, for its share of the
memory that all of them have, and for the lane in which the loop does one piece of them in each of its rounds.
"""

import time
from contextlib import AsyncExitStack
from typing import Final

from collector.ingest.budgets import AgentBudgets
from collector.ingest.limits import BULK_BYTES, SMALL, PushLimits
from collector.ingest.steps.admission import admit
from inventory.protocol.wire import Push, WireError, decode_inflated, decode_plans, inflate

MS_PER_BYTE: Final = 1e-4  # processor time for a small body, rather too much: to measure it would cost as much again


class PushDecoder:
    def __init__(self, limits: PushLimits, budgets: AgentBudgets) -> None:
        self._limits = limits
        self._budgets = budgets

    def decode_small(self, agent: str, body: bytes) -> Push | None:
        """None: it is large, or not even zlib, which is judged in its turn. Raises WireError, OverBudget."""
        if len(body) >= BULK_BYTES:
            return None
        try:
            data = inflate(body, SMALL)
        except WireError:
            return None
        self._budgets.decoded(agent, len(data) * MS_PER_BYTE)
        return self._decode(agent, data)

    async def decode_large(self, agent: str, body: bytes, work: AsyncExitStack) -> Push:
        """Its share of the memory is given back when ``work`` ends. Raises WireError, OverBudget."""
        usual, most = self._budgets.inflated(agent), self._budgets.inflated_with_plans(agent)
        memory = await work.enter_async_context(self._limits.memory.share(most))
        async with self._limits.piece():
            began = time.thread_time()
            try:
                data = inflate(body, most)
                memory.shrink(len(data))
                return self._decode(agent, data, plans=len(data) > usual)
            finally:
                self._budgets.decoded(agent, (time.thread_time() - began) * 1000)

    def _decode(self, agent: str, data: bytes, *, plans: bool = False) -> Push:
        """``data``: the body inflated; ``plans``: it is so large that it may bring nothing but plans."""
        push = decode_plans(data) if plans else decode_inflated(data)
        admit(push)
        if push.batch is not None:
            self._budgets.admit_batch(agent, push.batch)
        return push
