"""Goals over their windows, judged from the ledger up to now."""

from collections.abc import Callable, Mapping, Sequence

from collector.causes.verdicts import goal_cause
from collector.goals import evaluate
from collector.goals.evaluate import Evaluation, GoalEvidence
from collector.ledger.counted import Interval
from collector.ledger.state_step import Span
from collector.ledger.windows import Window, window_at
from collector.queries.causes import cause_analysis
from collector.queries.exclusions import Exclusions, exclusions_in_force
from collector.queries.reader import CheckEntry, LedgerReader
from collector.store.interfaces.store import Transaction
from collector.store.records import Lifespan
from inventory.model.entities import Goal
from inventory.model.goals import members
from inventory.protocol.causes import CauseKind


async def evaluations(reader: LedgerReader, at: int | None = None) -> list[Evaluation]:
    """Every goal over each of its windows that holds the moment ``at`` (now, if not given)."""
    moment = reader.wall() if at is None else at
    inventory = reader.inventory
    zone = inventory.province.zone
    return await evaluate_goals(
        reader, [(goal, window_at(name, moment, zone)) for goal in inventory.goals.values() for name in goal.windows]
    )


async def evaluate_goals(reader: LedgerReader, goal_windows: Sequence[tuple[Goal, Window]]) -> list[Evaluation]:
    """Each goal over its window, up to now."""
    if not goal_windows:
        return []
    now, inventory = reader.wall(), reader.inventory
    zone = inventory.province.zone
    groups = {goal.id: members(goal, inventory) for goal, _ in goal_windows}
    needed = {uid for group in groups.values() for member in group for uid in member.checks}
    entries = {uid: entry for uid in needed if (entry := reader.of_inventory(uid)) is not None}
    tails = reader.tails(entries.values())
    exclusions = await exclusions_in_force(reader)
    begin = min(window.start for _, window in goal_windows)

    def work(tx: Transaction) -> list[Evaluation]:
        spans = {uid: reader.history(tx, entry, tails.get(entry.row), begin, now) for uid, entry in entries.items()}
        causes_count = any(goal.causes for goal, _ in goal_windows)
        cause = goal_cause(cause_analysis(reader, tx, begin, now)) if causes_count else evaluate.no_cause
        evidence = _EvidenceSource(reader, entries, spans, exclusions, cause)
        return [
            evaluate.evaluate(goal, groups[goal.id], window, now, zone, evidence.of(goal, (window.start, window.end)))
            for goal, window in goal_windows
        ]

    return await reader.read(work)


class _EvidenceSource:
    """What the evaluations of one reading share."""

    def __init__(
        self,
        reader: LedgerReader,
        entries: Mapping[str, CheckEntry],
        spans: Mapping[str, list[Span]],
        exclusions: Exclusions,
        cause: Callable[[str, Span], CauseKind],
    ) -> None:
        self._reader = reader
        self._entries = entries
        self._spans = spans
        self._exclusions = exclusions
        self._cause = cause

    def of(self, goal: Goal, window: Interval) -> GoalEvidence:
        def life(uid: str) -> Lifespan:
            entry = self._entries.get(uid)
            # a check that no agent was ever told of has no time yet
            return self._reader.lifespan(entry) if entry is not None else (0, 0)

        def excluded(uid: str) -> tuple[Interval, ...]:
            entry = self._entries.get(uid)
            return self._exclusions.of(entry.check if entry is not None else None, window, goal.calendar)

        return GoalEvidence(
            spans=lambda uid: self._spans.get(uid, []), life=life, exclusions=excluded, cause=self._cause
        )
