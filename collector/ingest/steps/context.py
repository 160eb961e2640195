"""The context of a push: what the steps of the pipeline pass on from one to the next."""

import msgspec

from collector.ingest.states.state import AgentState
from collector.ingest.steps.effect import Effect
from collector.ingest.steps.examine import ExaminedBatch
from inventory.protocol.wire import Push


class IngestContext(msgspec.Struct, frozen=True, kw_only=True):
    """One push on its way. Frozen: what its steps change is the successor and the effect, and both are its own."""

    push: Push  # the message, its numbers bounded
    body: bytes  # as it came, to be stored with its batch
    received: int  # ms of the collector's clock when it began to come in
    believed: bool  # whether that clock was believed then
    bulk: bool  # a part of a backlog: it may wait
    examined: ExaminedBatch | None  # its batch as read by its plan; None: it has none
    state: AgentState  # the agent's state as this push leaves it: a successor of the published one
    effect: Effect  # what this push changes in the store
    count_from: int  # counters of settled time begin there (ms)
