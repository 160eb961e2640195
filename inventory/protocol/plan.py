"""The plan of one agent: the slice of the inventory that it works from.

A plan names probes and targets, never commands, and carries no secret. Its digest names it for ever: a frame is
judged by the intervals and holds of the plan it was made under, and a served plan is kept by its digest.
Times are milliseconds unless a name says otherwise.
"""

import hashlib
from typing import Any

import msgspec

from inventory.protocol.bounds import Scale

VERSION = 1


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A look that was up takes ``state`` when ``measure`` (or ``latency``, seconds) passes ``above`` or ``below``."""

    measure: str
    state: str = "degraded"
    above: float | None = None
    below: float | None = None


class Column(msgspec.Struct, frozen=True, array_like=True):
    """One measure's place on the wire: a value v travels as the integer round(v * per)."""

    name: str
    per: Scale


class PlannedCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One check as the agent is told to make it.

    ``uid`` is the check's identity for life (16 hex digits): it follows a renaming and changes with the target.
    ``hold`` is how long one result speaks for the future: 2 x interval + timeout unless the inventory says more.
    ``recheck`` is the first interval after a change of state; it backs off from there to ``interval``.
    """

    uid: str
    name: str
    kind: str
    interval: int
    timeout: int
    hold: int
    recheck: int
    params: dict[str, Any] = {}
    thresholds: tuple[Threshold, ...] = ()


class CollectorAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A collector that is to have everything. Exactly one in a plan is the authority for plans."""

    name: str
    url: str
    authority: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one agent needs to know.

    ``checks`` are in a fixed order: the wire names a check by its place here.
    ``columns`` gives, for each kind used, the measures in the order in which the wire carries their values.
    ``authorities`` are PEM certificates of collectors' private CAs, the way in which a new CA is introduced.
    """

    agent: str
    agency: str
    site: str
    checks: tuple[PlannedCheck, ...] = ()
    columns: dict[str, tuple[Column, ...]] = {}
    push_every: int = 30_000
    collectors: tuple[CollectorAddress, ...] = ()
    authorities: tuple[str, ...] = ()
    version: int = VERSION

    def encode(self) -> bytes:
        """Canonical JSON: equal plans are equal bytes."""
        return msgspec.json.encode(self, order="deterministic")

    @property
    def digest(self) -> bytes:
        """The first 8 bytes of SHA-256 over the canonical JSON."""
        return digest_of(self.encode())


def digest_of(encoded: bytes) -> bytes:
    """The digest of a plan as encoded by :meth:`Plan.encode`."""
    return hashlib.sha256(encoded).digest()[:8]


def decode(encoded: bytes) -> Plan:
    """Raises msgspec.DecodeError (ValidationError is one) when this is not a plan, and nothing else."""
    try:
        return msgspec.json.decode(encoded, type=Plan)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None
