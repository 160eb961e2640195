"""Turn the facts about a backup into the check's state, with its reasons in words. Pure.

The newest good copy counts: finished, not empty, not found broken, not from the future. Older than the objective:
down. Anything that makes a restore doubtful, though there is a copy in time: degraded. Nothing seen: unknown.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

from agent.backup.facts import BROKEN, CANNOT, GOOD, MAX_CLOCK_DIFFERENCE, SUSPECT, BackupCopy, BackupFacts
from agent.failure import printable
from agent.probe import Outcome
from inventory.protocol.reasons import Reason, Why, joined, sentence, unpack
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

FAR_FUTURE: Final = 86_400.0  # seconds; past this a time says nothing at all
FEWEST_SIZES: Final = 4  # before a size is judged by those before it
SUSPICIOUS_SHARE: Final = 0.6  # of the usual size
DEVIATIONS: Final = 4.0
SAME_SORT: Final = math.log(3)  # sizes further apart than this are of two sorts: full and incremental
_TO_SIGMA: Final = 1.4826  # median absolute deviation to standard deviation, of a normal distribution


class BackupPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is promised. Seconds and bytes; 0: nothing is."""

    rpo: float
    keep: int = 0
    smallest: int = 1
    verified_within: float = 0.0
    lock_age: float = 0.0
    integrity: bool = True


class OutcomeBuilder:
    """One look's state, growing worse with every reason."""

    def __init__(self) -> None:
        self.state = UP
        self.reasons: list[Reason] = []
        self.measures: dict[str, float] = {}

    def add_reason(self, state: int, reason: Reason) -> None:
        self.state = max(self.state, state)
        if state == self.state:
            self.reasons.insert(0, reason)
        else:
            self.reasons.append(reason)

    def outcome(self) -> Outcome:
        return Outcome(self.state, joined(self.reasons), None, self.measures)


def evaluate_backup(facts: BackupFacts, policy: BackupPolicy) -> Outcome:
    """The state of one backup."""
    if facts.failed:
        return Outcome(UNKNOWN, unpack(facts.failed))
    if facts.gone:
        return Outcome(DOWN, unpack(facts.gone), None, {"rpo_met": 0.0})
    builder = OutcomeBuilder()
    builder.measures["copies"] = facts.count
    if facts.total or not facts.count:
        builder.measures["total_bytes"] = facts.total
    newest = next((copy for copy in facts.copies if not flaw(copy, policy)), None)
    if newest is None:
        if facts.unreadable:
            return Outcome(
                UNKNOWN,
                sentence(
                    "no good backup is seen, but part of it cannot be read: {why_unreadable}",
                    why_unreadable=unpack(facts.why_unreadable),
                ),
            )
        last = max((at for at, _ in facts.sizes), default=None)
        if last is not None and facts.now - last <= policy.rpo and any(copy.growing for copy in facts.copies):
            # the only copy is written over: not missed yet
            builder.measures |= {"rpo_met": 1.0, "growing": 1.0, "age_seconds": max(0.0, facts.now - last)}
            builder.add_reason(
                DEGRADED,
                sentence(
                    "{facts}; the one before it was made {now:d} ago",
                    facts=_no_good_copy_text(facts, policy),
                    now=duration_text(facts.now - last),
                ),
            )
            return builder.outcome()
        builder.measures["rpo_met"] = 0.0
        builder.add_reason(DOWN, _no_good_copy_text(facts, policy))
        return builder.outcome()
    _check_age(builder, facts, newest, policy)
    _check_newer_copies(builder, facts, newest, policy)
    _check_size(builder, facts, newest)
    _check_verification(builder, facts, newest, policy)
    _check_repository(builder, facts, policy)
    if facts.unreadable and builder.state == DOWN:
        return Outcome(UNKNOWN, joined([_unreadable(facts), *builder.reasons]))
    return builder.outcome()


def flaw(copy: BackupCopy, policy: BackupPolicy) -> Why:
    """Why a copy is no good one, or ""."""
    who = copy_name(copy)
    if copy.growing:
        return sentence("{who} is still being written", who=who)
    if copy.future > FAR_FUTURE:
        return sentence("{who} claims to be from the future, by {future:d}", who=who, future=duration_text(copy.future))
    if copy.wrong:
        return sentence("{who} {what}", who=who, what=unpack(copy.wrong))
    if copy.size is not None and copy.size < policy.smallest:
        empty = copy.size == 0
        return (
            sentence("{who} is empty", who=who)
            if empty
            else sentence("{who} has only {size} bytes", who=who, size=copy.size)
        )
    if copy.verdict is not None and copy.verdict.state == BROKEN:
        return sentence("{who} is broken: {reason}", who=who, reason=unpack(copy.verdict.reason))
    content = copy.verdict.content if copy.verdict is not None else None
    if content is not None and content < policy.smallest:
        return (
            sentence("{who} is empty: nothing comes out of it", who=who)
            if content == 0
            else sentence("{who} has only {size} bytes in it, unpacked", who=who, size=content)
        )
    return ""


def _unreadable(facts: BackupFacts) -> Reason:
    return sentence("part of it cannot be read: {why_unreadable}", why_unreadable=unpack(facts.why_unreadable))


def _no_good_copy_text(facts: BackupFacts, policy: BackupPolicy) -> Reason:
    if facts.missing:
        return joined(map(unpack, facts.missing))
    if not facts.copies:
        none = sentence("there is no backup at all")
        if not facts.outside:
            return none
        return sentence("{so} ({outside} links lead out of the directory)", so=none, outside=facts.outside)
    return sentence("there is no good backup: {first}", first=flaw(facts.copies[0], policy))


def _check_age(builder: OutcomeBuilder, facts: BackupFacts, newest: BackupCopy, policy: BackupPolicy) -> None:
    age = max(0.0, facts.now - newest.at)
    met = age <= policy.rpo and not facts.missing
    builder.measures |= {"age_seconds": age, "last_success_timestamp_seconds": newest.at, "rpo_met": float(met)}
    if newest.size is not None:
        builder.measures["size_bytes"] = newest.size
    if newest.seconds is not None:
        builder.measures["duration_seconds"] = newest.seconds
    if age > policy.rpo:
        builder.add_reason(
            DOWN,
            sentence(
                "the newest good backup is {age:d} old, its objective is {rpo:d}",
                age=duration_text(age),
                rpo=duration_text(policy.rpo),
            ),
        )
    for missing in facts.missing:
        builder.add_reason(DOWN, unpack(missing))
    if newest.future > MAX_CLOCK_DIFFERENCE:
        builder.add_reason(
            DEGRADED,
            sentence(
                "{newest} claims to be from the future, by {future:d}: a clock is wrong",
                newest=copy_name(newest),
                future=duration_text(newest.future),
            ),
        )


def _check_newer_copies(builder: OutcomeBuilder, facts: BackupFacts, newest: BackupCopy, policy: BackupPolicy) -> None:
    """What is newer than the newest good one and does not count."""
    bad = [copy for copy in facts.copies[: facts.copies.index(newest)] if not copy.growing]
    if bad and (words := flaw(bad[0], policy)):
        builder.add_reason(DEGRADED, words)
    builder.measures["bad_copies"] = len([copy for copy in facts.copies if not copy.growing and flaw(copy, policy)])
    builder.measures["growing"] = float(any(copy.growing for copy in facts.copies))


def _check_size(builder: OutcomeBuilder, facts: BackupFacts, newest: BackupCopy) -> None:
    content = newest.verdict.content if newest.verdict is not None else None
    usual = usual_size([size for at, size in facts.sizes if at < newest.at], newest.size or 0)
    if newest.size is not None and usual is not None:
        builder.measures["size_ratio"] = newest.size / usual[0]
        if newest.size < usual[1]:
            _add_small(builder, newest, newest.size / usual[0])
            return
    # unpacked: a container has its own size, whatever is in it
    usual = usual_size([size for at, size in facts.contents if at < newest.at], content or 0)
    if content is not None and usual is not None and content < usual[1]:
        _add_small(builder, newest, content / usual[0])


def _add_small(builder: OutcomeBuilder, newest: BackupCopy, share: float) -> None:
    words = sentence(
        "{newest} is suspiciously small: {share:n} of its usual size", newest=copy_name(newest), share=f"{share:.0%}"
    )
    builder.add_reason(DEGRADED, words)


def usual_size(before: Sequence[int], size: int) -> tuple[float, float] | None:
    """(the usual size, the smallest that is not suspicious), by sizes of the same sort; None when too few are known.

    In logarithms, by median and median absolute deviation, which a few odd ones do not move. Where there are two
    sorts (fulls and incrementals), a size is compared with the sort that it is nearer to.
    """
    logs = sorted(math.log(log_size) for log_size in before[-60:] if log_size > 0)
    mine = math.log(max(size, 1))
    groups: list[list[float]] = []
    for log_size in logs:
        if groups and log_size - groups[-1][-1] <= SAME_SORT:
            groups[-1].append(log_size)
        else:
            groups.append([log_size])
    regular_groups = [group for group in groups if len(group) >= FEWEST_SIZES]
    if not regular_groups or sum(map(len, regular_groups)) < len(logs) / 2:
        return None  # too few, or without any rule
    middles = [statistics.median(group) for group in groups]
    nearest = min(range(len(groups)), key=lambda place: abs(middles[place] - mine))
    if groups[nearest] not in regular_groups:
        return None
    middle = middles[nearest]
    spread = _TO_SIGMA * statistics.median(abs(log_size - middle) for log_size in groups[nearest])
    return math.exp(middle), math.exp(middle - max(DEVIATIONS * spread, -math.log(SUSPICIOUS_SHARE)))


def _check_verification(builder: OutcomeBuilder, facts: BackupFacts, newest: BackupCopy, policy: BackupPolicy) -> None:
    """How long ago a copy was last proved to be readable, and whether that is too long."""
    if facts.reading is not None:
        builder.measures["read_ratio"] = facts.reading
    verdict = facts.check or newest.verdict
    if verdict is not None and verdict.state == SUSPECT:
        builder.add_reason(
            DEGRADED, sentence("{newest}: {reason}", newest=copy_name(newest), reason=unpack(verdict.reason))
        )
    if facts.check is not None and facts.check.state == BROKEN:
        builder.add_reason(DOWN, sentence("the repository is damaged: {reason}", reason=unpack(facts.check.reason)))
    proved = [copy.verdict for copy in facts.copies if copy.verdict is not None and copy.verdict.state == GOOD]
    if facts.check is not None and facts.check.state == GOOD:
        proved.append(facts.check)
    last = max(proved, key=lambda proof: proof.at, default=None)
    if last is not None:
        builder.measures["verified_age_seconds"] = max(0.0, facts.now - last.at)
        builder.measures["last_verified_timestamp_seconds"] = last.at
        builder.measures["read_seconds"] = last.seconds
    if not policy.verified_within or not policy.integrity:
        return
    since = facts.now - (last.at if last is not None else facts.began or facts.now)
    if since > policy.verified_within:
        words = (
            sentence("the backup was read through last {since:d} ago", since=duration_text(since))
            if last is not None
            else sentence("the backup has not been read through in {since:d}", since=duration_text(since))
        )
        if verdict is not None and verdict.state == CANNOT:
            words = sentence("{words}: {reason}", words=words, reason=unpack(verdict.reason))
        builder.add_reason(DEGRADED, words)


def _check_repository(builder: OutcomeBuilder, facts: BackupFacts, policy: BackupPolicy) -> None:
    """Locks, the number of copies, what could not be looked at."""
    if facts.locks:
        oldest = min(facts.locks, key=lambda lock: lock.at)
        age = max(0.0, facts.now - oldest.at)
        builder.measures |= {"locks": len(facts.locks), "lock_age_seconds": age}
        if policy.lock_age and age > policy.lock_age:
            builder.add_reason(
                DEGRADED,
                sentence(
                    "the lock {name} has been there for {age:d}: who made it hangs or has died",
                    name=oldest.name,
                    age=duration_text(age),
                ),
            )
    if facts.count < policy.keep:
        builder.add_reason(
            DEGRADED, sentence("there are {count} copies, and ought to be {keep}", count=facts.count, keep=policy.keep)
        )
    if facts.unreadable and builder.state != DOWN:
        builder.add_reason(DEGRADED, _unreadable(facts))
    if facts.outside:
        builder.measures["links_outside"] = facts.outside
    for note in facts.notes:
        builder.add_reason(DEGRADED, unpack(note))


def copy_name(copy: BackupCopy) -> str:
    """A copy's name, fit for a sentence."""
    return printable(copy.name.decode("utf-8", "replace").replace("\n", " "), 80)


def duration_text(seconds: float) -> str:
    """About how long: 90 s, 31 hours, 9 days."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 3 * 86_400 else f"{seconds / 86_400:.0f} days"
