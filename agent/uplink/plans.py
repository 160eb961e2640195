"""The agent's plans: fetched from the collector, the last good one kept, and every one that frames still refer to.

``plans/DIGEST.json`` is a plan as served, byte for byte, ``plans/DIGEST.sig`` the collector's signature under it, by
which a collector that does not know the plan knows that it was served; ``plans/current`` names the one in use.
"""

import base64
import binascii
import logging
import re
import ssl
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from agent.uplink.connection import CollectorResponse, Uplink
from inventory.base import files
from inventory.protocol.plan import Plan, decode, digest_of
from inventory.protocol.states import CODES
from inventory.protocol.wire import SIGNATURE_HEADER

log = logging.getLogger("agent.plans")

MAX_SIGNATURE: Final = 1_024  # bytes
_HEX: Final = re.compile(r"[0-9a-f]{1,64}", re.ASCII)


class BadPlan(Exception):
    """What came is not a plan for this agent; the text says why."""


class SignedPlan(NamedTuple):
    """A plan as served, for a collector that asks for it."""

    encoded: bytes
    signature: bytes  # b"": the collector that served it gave none


class StoredPlan(msgspec.Struct, frozen=True):
    """A plan with the digest of its bytes as served."""

    plan: Plan
    digest: bytes
    encoded: bytes
    signature: bytes = b""

    @property
    def signed(self) -> SignedPlan:
        return SignedPlan(self.encoded, self.signature)


def read(encoded: bytes, agent: str | None = None, signature: bytes = b"") -> StoredPlan:
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
    return StoredPlan(plan, digest_of(encoded), encoded, signature)


class PlanStore:
    """Plans on disk, for one agent."""

    def __init__(self, state_dir: Path, agent: str) -> None:
        self._directory = state_dir / "plans"
        self._agent = agent

    def current(self) -> StoredPlan | None:
        """The last good plan, or None. A damaged one counts as none: the collector has it."""
        try:
            name = files.read(self._directory / "current").decode("ascii").strip()
            signed = self.get(bytes.fromhex(name))
            return read(signed.encoded, self._agent, signed.signature) if signed is not None else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, BadPlan) as error:
            log.warning("the kept plan cannot be used: %s", error)
            return None

    def get(self, digest: bytes) -> SignedPlan | None:
        """A kept plan, or None if it is gone or no longer what its name says."""
        try:
            encoded = files.read(self._file(digest, "json"))
        except OSError:
            return None
        return SignedPlan(encoded, self._signature(digest)) if digest_of(encoded) == digest else None

    def keep(self, stored: StoredPlan) -> None:
        """Make this the current plan; on disk when this returns. Raises OSError."""
        files.make_directory(self._directory)
        kept = self.get(stored.digest)
        if kept is None:
            files.replace(self._file(stored.digest, "json"), stored.encoded)
        if stored.signature and (kept is None or kept.signature != stored.signature):
            files.replace(self._file(stored.digest, "sig"), stored.signature)
        files.replace(self._directory / "current", stored.digest.hex().encode())

    def prune(self, referenced: Collection[bytes], current: bytes) -> None:
        """Forget plans that no frame refers to."""
        wanted_names = {digest.hex() for digest in (*referenced, current)}
        for path in (*self._directory.glob("*.json"), *self._directory.glob("*.sig")):
            if path.stem not in wanted_names:
                path.unlink(missing_ok=True)

    def _file(self, digest: bytes, ending: str) -> Path:
        return self._directory / f"{digest.hex()}.{ending}"

    def _signature(self, digest: bytes) -> bytes:
        try:
            return files.read(self._file(digest, "sig"))[:MAX_SIGNATURE]
        except OSError:
            return b""


async def fetch(uplink: Uplink, agent: str, known: StoredPlan | None) -> StoredPlan | None:
    """The plan as it is now, or None if it is still the known one. The known one may come back with another signature.

    Raises Unreachable, or BadPlan with the collector's own words when it gives none.
    """
    headers = {"If-None-Match": f'"{known.digest.hex()}"'} if known is not None else {}
    answer = await uplink.request("GET", "/v1/plan", headers=headers)
    signature = _signature_of(answer)
    if answer.status == 304 and known is not None:
        new = signature not in (b"", known.signature)
        return msgspec.structs.replace(known, signature=signature) if new else None
    if answer.status == 404:
        raise BadPlan(f"the collector has no plan for {agent!r}: the inventory does not name this agent")
    if answer.status != 200:
        raise BadPlan(f"the collector gives no plan: {answer.error_text}")
    fetched = read(answer.body, agent, signature)
    return None if known is not None and fetched.signed == known.signed else fetched


def _signature_of(answer: CollectorResponse) -> bytes:
    """As the answer's header gives it; b"" where there is none: a collector of before signs nothing."""
    try:
        return base64.b64decode(answer.headers.get(SIGNATURE_HEADER.lower(), ""), validate=True)[:MAX_SIGNATURE]
    except (binascii.Error, ValueError):
        return b""
