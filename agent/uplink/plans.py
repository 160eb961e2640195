"""The agent's plans: fetched from the collector, the last good one kept, and every one that frames still refer to.

``plans/<digest>.json`` is a plan as served, byte for byte; ``plans/current`` names the one in use.
"""

import logging
import re
import ssl
from collections.abc import Collection
from pathlib import Path
from typing import Final

import msgspec

from agent.uplink.connection import Uplink
from inventory.base import files
from inventory.protocol.plan import Plan, decode, digest_of
from inventory.protocol.states import CODES

log = logging.getLogger("agent.plans")

_HEX: Final = re.compile(r"[0-9a-f]{1,64}", re.ASCII)


class BadPlan(Exception):
    """What came is not a plan for this agent; the text says why."""


class StoredPlan(msgspec.Struct, frozen=True):
    """A plan with the digest of its bytes as served."""

    plan: Plan
    digest: bytes
    encoded: bytes


def read(encoded: bytes, agent: str | None = None) -> StoredPlan:
    """Raises BadPlan."""
    try:
        plan = decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadPlan(f"not a plan: {error}") from None
    if agent is not None and plan.agent != agent:
        raise BadPlan(f"a plan for {plan.agent!r}, this agent is {agent!r}")
    uids = {check.uid for check in plan.checks}
    if len(uids) != len(plan.checks):
        raise BadPlan("a plan in which two checks have the same uid")
    for check in plan.checks:
        if not _HEX.fullmatch(check.uid):
            raise BadPlan(f"a plan with the uid {check.uid!r}, which is not hexadecimal")
        for threshold in check.thresholds:
            if threshold.state not in CODES:
                raise BadPlan(f"a plan with a threshold for {threshold.state!r}, which is no state")
    try:
        if plan.authorities:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata="\n".join(plan.authorities))
    except (ssl.SSLError, ValueError):
        raise BadPlan("a plan whose authorities are not certificates in PEM") from None
    return StoredPlan(plan, digest_of(encoded), encoded)


class PlanStore:
    """Plans on disk, for one agent."""

    def __init__(self, state_dir: Path, agent: str) -> None:
        self._directory = state_dir / "plans"
        self._agent = agent

    def current(self) -> StoredPlan | None:
        """The last good plan, or None. A damaged one counts as none: the collector has it."""
        try:
            name = files.read(self._directory / "current").decode("ascii").strip()
            encoded = self.get(bytes.fromhex(name))
            return read(encoded, self._agent) if encoded is not None else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, BadPlan) as error:
            log.warning("the kept plan cannot be used: %s", error)
            return None

    def get(self, digest: bytes) -> bytes | None:
        """A kept plan's bytes, or None if it is gone or no longer what its name says."""
        try:
            encoded = files.read(self._directory / f"{digest.hex()}.json")
        except OSError:
            return None
        return encoded if digest_of(encoded) == digest else None

    def keep(self, stored: StoredPlan) -> None:
        """Make this the current plan; on disk when this returns. Raises OSError."""
        files.make_directory(self._directory)
        if self.get(stored.digest) is None:
            files.replace(self._directory / f"{stored.digest.hex()}.json", stored.encoded)
        files.replace(self._directory / "current", stored.digest.hex().encode())

    def prune(self, referenced: Collection[bytes], current: bytes) -> None:
        """Forget plans that no frame refers to."""
        wanted_names = {digest.hex() for digest in (*referenced, current)}
        for path in self._directory.glob("*.json"):
            if path.stem not in wanted_names:
                path.unlink(missing_ok=True)


async def fetch(uplink: Uplink, agent: str, known_digest: bytes | None) -> StoredPlan | None:
    """The plan as it is now, or None if it is still the known one.

    Raises Unreachable, or BadPlan with the collector's own words when it gives none.
    """
    headers = {"If-None-Match": f'"{known_digest.hex()}"'} if known_digest else {}
    answer = await uplink.request("GET", "/v1/plan", headers=headers)
    if answer.status == 304:
        return None
    if answer.status == 404:
        raise BadPlan(f"the collector has no plan for {agent!r}: the inventory does not name this agent")
    if answer.status != 200:
        raise BadPlan(f"the collector gives no plan: {answer.error_text}")
    fetched = read(answer.body, agent)
    return None if fetched.digest == known_digest else fetched
