"""Findings: things that ingest noticed, each at one moment, kept in the transaction that noticed them."""

from typing import Any

import msgspec


class IngestFinding(msgspec.Struct, frozen=True):
    """``at``: ms of the collector's time. ``check``: its uid, or None when it is about the agent itself.

    ``data`` is plain JSON. Kinds are named in the module that finds them.
    """

    at: int
    agent: str
    check: str | None
    kind: str
    data: dict[str, Any] = {}
