"""An agent's uplink that ends in a collector's ingest in the same process; it answers as the agents' listener does."""

import math
from collections.abc import Mapping

import msgspec

from agent.uplink.connection import CollectorResponse
from collector.ingest.ingest import Ingest
from collector.ingest.limits import PushError
from inventory.protocol.wire import VERSIONS_HEADER, ack_type, encode_ack, push_type, version_of, versions_text


class DirectUplink:
    """``statuses``: of the answers so far. ``bodies``: what was sent."""

    url = "direct"

    def __init__(self, ingest: Ingest, agent: str) -> None:
        self.statuses: list[int] = []
        self.errors: list[str] = []
        self._ingest = ingest
        self._agent = agent

    async def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> CollectorResponse:
        assert (method, path) == ("POST", "/v1/push") and body is not None and headers is not None
        version = version_of(headers["Content-Type"], push_type)
        assert version is not None
        told = {VERSIONS_HEADER.lower(): versions_text()}
        try:
            ack = await self._ingest.push(self._agent, body)
        except PushError as refused:
            self.statuses.append(refused.status)
            self.errors.append(refused.message)
            if refused.retry_after:
                told["retry-after"] = str(math.ceil(refused.retry_after))
            error = msgspec.json.encode({"error": refused.message})
            return CollectorResponse(refused.status, "application/json", told, error)
        self.statuses.append(200)
        return CollectorResponse(200, ack_type(version), told, encode_ack(ack, version))

    async def close(self) -> None:
        """There is nothing to close."""
