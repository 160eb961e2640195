"""Plans by agent and digest, and the checks that they name.

Only plans that were served count: what this collector makes from its inventory, and what an agent brings with the
signature of an authority that is trusted here. A check gets its row on the first plan that names it and keeps it for
life; a plan is compiled once into the columns that ingest works with.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from collector.keys.plan_signatures import PlanVerifier
from collector.store.interfaces.store import Store, Transaction
from collector.store.records import Lifespan, RegisteredCheck
from inventory.protocol import plan as plans
from inventory.protocol.plan import Column, Plan
from inventory.protocol.reasons import template

log = logging.getLogger("collector.ingest")

MAX_CHECKS: Final = 20_000  # of one plan
MAX_HOLD: Final = 31 * 86_400_000  # ms: a monthly check's
EARLIEST_BIRTH: Final = 1_704_067_200_000  # ms: 2024, when there was no agent yet that could have looked
UNSIGNED: Final = template(
    "a plan without a signature: this collector did not serve it, or the agent's program is too old to keep one"
)
FOREIGN: Final = template("a plan whose signature is of no authority that this collector trusts, or is another plan's")


class PlanError(Exception):
    """What was given is not a plan of this agent; the text says why."""


class CompiledPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan as ingest reads it: columns by the checks' places in it."""

    digest: bytes
    agent: str
    rows: tuple[int, ...]  # the check's row
    uids: tuple[str, ...]
    holds: tuple[int, ...]  # ms
    kinds: tuple[str, ...]
    widths: tuple[int, ...]  # number of value columns
    columns: dict[str, tuple[Column, ...]]  # value columns by kind
    width: int  # value columns of all checks


class Plans:
    """All plans and checks known, in memory, backed by the store. Read freely; change through :meth:`serve` and
    :meth:`accept`, one at a time: two plans may name the same new check."""

    def __init__(self, store: Store, verifier: PlanVerifier | None = None) -> None:
        """``verifier``: whose signature counts; without it no plan that an agent brings."""
        self._store = store
        self._changing = asyncio.Lock()
        self._verifier = verifier or PlanVerifier()
        self._compiled: dict[tuple[str, bytes], CompiledPlan] = {}  # by agent and digest
        self._most_checks: dict[str, int] = {}  # by agent: checks of its largest plan
        self._rows: dict[str, dict[str, int]] = {}  # agent -> uid -> row
        self.checks: dict[int, RegisteredCheck] = {}  # by row
        self.served: dict[str, bytes] = {}  # by agent: digest of the plan served since the start

    def load(self) -> None:
        """From the store, at start."""
        checks, stored = self._store.read_now(lambda tx: (tx.checks.all(), tx.plans.all()))
        self._register(checks)
        for digest, body in stored:
            try:
                plan = plans.decode(body)
                _judge_plan(plan)  # a store of before holds what was taken unjudged
                self._compile(plan, digest)
            except (msgspec.MsgspecError, KeyError, RecursionError, PlanError) as error:  # one agent's
                log.warning("a stored plan (%s) cannot be read, and counts as not known: %s", digest.hex(), error)

    def compiled_plan(self, agent: str, digest: bytes) -> CompiledPlan | None:
        """The agent's plan of this digest, if it is known."""
        return self._compiled.get((agent, digest))

    def most_checks(self, agent: str) -> int:
        """Checks of the agent's largest plan that is known."""
        return self._most_checks.get(agent, 0)

    def columns(self, agent: str, digest: bytes, kind: str) -> tuple[Column, ...]:
        """The value columns of a kind under an agent's plan."""
        compiled = self._compiled.get((agent, digest))
        return compiled.columns.get(kind, ()) if compiled is not None else ()

    async def serve(
        self, agent: str, encoded: bytes, now: int, lives: Mapping[str, Lifespan] | None = None
    ) -> CompiledPlan:
        """Keep the agent's plan from now on and register its checks. Raises PlanError.

        Its new checks are born now (or as ``lives`` says, by uid); the agent's checks that it no longer names have
        ended.
        """
        plan = _decode_plan(agent, encoded)
        async with self._changing:
            compiled = await self._keep(plan, encoded, now, self._changes(plan, now, served=True, lives=lives or {}))
            self.served[agent] = compiled.digest
            return compiled

    async def accept(self, agent: str, encoded: bytes, signature: bytes, now: int) -> CompiledPlan:
        """Keep a plan that an agent brings, if it was served. Raises PlanError.

        It may be an old one: what it says of checks that are known counts for nothing, and those that the agent's
        plan of today does not name have ended.
        """
        digest = plans.digest_of(encoded)
        existing = self.compiled_plan(agent, digest)
        if existing is not None:
            return existing
        if not self._verifier.verify(agent, encoded, signature):
            raise PlanError(FOREIGN if signature else UNSIGNED)
        plan = _decode_plan(agent, encoded)
        async with self._changing:
            return await self._keep(plan, encoded, now, self._changes(plan, now, served=False, lives={}))

    async def _keep(self, plan: Plan, encoded: bytes, now: int, changed: list[RegisteredCheck]) -> CompiledPlan:
        agent, digest = plan.agent, plans.digest_of(encoded)

        def keep(tx: Transaction) -> list[RegisteredCheck]:
            tx.plans.add(digest, agent, encoded, now)
            return [tx.checks.save(check) for check in changed]

        if changed or self.compiled_plan(agent, digest) is None:
            self._register(await self._store.write(keep))
        return self._compile(plan, digest)

    def begins_earlier(self, at: int, row: int) -> bool:
        """Whether a check's first look ``at`` is before its life as known: the agent had the plan from elsewhere, or
        this store is younger than the check. Its life then begins with that look, if the agent was enrolled by then.
        """
        born = self.checks[row].born
        return born is None or at < born

    def record_births(self, looks: Iterable[tuple[int, int]]) -> None:
        """First looks (ms, row), after their commit."""
        for at, row in looks:
            if self.begins_earlier(at, row):
                self.checks[row] = msgspec.structs.replace(self.checks[row], born=at)

    def _changes(self, plan: Plan, now: int, *, served: bool, lives: Mapping[str, Lifespan]) -> list[RegisteredCheck]:
        changed: list[RegisteredCheck] = []
        rows = self._rows.get(plan.agent, {})
        superseded = not served and plan.agent in self.served
        for planned in plan.checks:
            old = self.checks[rows[planned.uid]] if planned.uid in rows else None
            if old is not None and not served:
                continue  # an old plan undoes no renaming, and brings nothing back to life
            born, ended = (old.born, None) if old is not None else (None, now if superseded else None)
            if served:
                born, ended = lives.get(planned.uid, (born if born is not None else now, None))
            new = RegisteredCheck(
                id=old.id if old else 0,
                agent=plan.agent,
                uid=planned.uid,
                name=planned.name,
                kind=planned.kind,
                born=born,
                ended=ended,
            )
            if new != old:
                changed.append(new)
        if served:
            named = {check.uid for check in plan.checks}
            for old in (self.checks[row] for uid, row in rows.items() if uid not in named):
                if old.ended is None:
                    _, ended = lives.get(old.uid, (None, now))
                    changed.append(msgspec.structs.replace(old, ended=ended if ended is not None else now))
        return changed

    def _register(self, checks: Iterable[RegisteredCheck]) -> None:
        for check in checks:
            self.checks[check.id] = check
            self._rows.setdefault(check.agent, {})[check.uid] = check.id

    def _compile(self, plan: Plan, digest: bytes) -> CompiledPlan:
        self._most_checks[plan.agent] = max(self._most_checks.get(plan.agent, 0), len(plan.checks))
        widths = tuple(len(plan.columns.get(check.kind, ())) for check in plan.checks)
        rows = self._rows.get(plan.agent, {})
        compiled = self._compiled[plan.agent, digest] = CompiledPlan(
            digest=digest,
            agent=plan.agent,
            rows=tuple(rows[check.uid] for check in plan.checks),
            uids=tuple(check.uid for check in plan.checks),
            holds=tuple(check.hold for check in plan.checks),
            kinds=tuple(check.kind for check in plan.checks),
            widths=widths,
            width=sum(widths),
            columns=plan.columns,
        )
        return compiled


def _decode_plan(agent: str, encoded: bytes) -> Plan:
    """An agent's plan with numbers that can be. Raises PlanError."""
    try:
        plan = plans.decode(encoded)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise PlanError(f"not a plan: {error}") from None
    if plan.agent != agent:
        raise PlanError(f"a plan of agent {plan.agent!r}")
    _judge_plan(plan)
    return plan


def _judge_plan(plan: Plan) -> None:
    """Raises PlanError for numbers that cannot be."""
    if len(plan.checks) > MAX_CHECKS or len({check.uid for check in plan.checks}) != len(plan.checks):
        raise PlanError(f"more than {MAX_CHECKS} checks, or one of them twice")
    if any(not 0 < check.hold <= MAX_HOLD for check in plan.checks):
        raise PlanError(f"a check whose hold is not between 1 and {MAX_HOLD} ms")
