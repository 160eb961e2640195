"""What each agent's pushes may cost, held before and while they are decoded. The numbers are collector/budgets.py's.

What an agent may use over time is a :class:`Allowance`: saved up to a burst, so that a backlog of months passes, and
refilled at a rate. Allowances are in memory: after a restart of the collector they are full.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from collector.budgets import MAX_INFLATED, BudgetsConfig
from collector.ingest.limits import PushError
from inventory.protocol.reasons import Phrase, Reason, sentence, template
from inventory.protocol.wire import MAX_ROWS, Batch

HOUR: Final = 3_600.0
DAY: Final = 86_400.0
REPORT_AGAIN_AFTER: Final = HOUR  # between two findings about one agent and budget
MS_PER_CHARACTER: Final = 2e-4  # of processor time to read texts
SEEN: Final = 1_024  # texts of an agent that are no new ones
STORED_PER_DAY: Final = 8 << 20  # bytes that an agent without checks may have stored a day
REASONS_PER_HOUR: Final = 200  # new texts of an agent without checks
TOO_MANY_REASONS: Final = template("the agent gives more different reasons than are kept")


class OverBudget(Exception):
    """A push above a budget. ``budget``: its name; ``why``: for the agent, who acts on it, and for people."""

    def __init__(self, budget: str, why: Reason, *, wait: float = 0.0) -> None:
        super().__init__(why)
        self.budget = budget
        self.why = why
        self.wait = wait  # seconds after which it may come again; 0: only smaller

    def answer(self) -> PushError:
        """413: send less at once. 429: later."""
        return PushError(429 if self.wait else 413, "".join(self.why), retry_after=max(0.0, self.wait))


class Allowance:
    """So much saved up, so much more a second. What is taken may make it negative: the next one waits. What came since
    is counted when it is asked for; in all never more is taken than was saved up at first and has come since."""

    __slots__ = ("_at", "burst", "left", "rate")

    def __init__(self, burst: float, rate: float, now: float) -> None:
        self.burst, self.rate = burst, rate
        self.left, self._at = burst, now

    def take(self, amount: float, now: float) -> None:
        self.left = min(self.burst, self.left + (now - self._at) * self.rate) - amount
        self._at = now

    def wait(self, now: float) -> float:
        """Seconds until there is something left; 0.0 if there is."""
        self.take(0.0, now)
        return 0.0 if self.left >= 0 else -self.left / self.rate


class AgentUse:
    """What one agent has used."""

    __slots__ = ("asked_plans", "checks", "decoding", "plans", "reasons", "seen", "stored", "waiting")

    def __init__(self, config: BudgetsConfig, checks: int, now: float) -> None:
        self.decoding = Allowance(config.decoding_burst, config.decoding_share, now)  # ms
        self.stored = Allowance(config.stored, 0, now)  # bytes
        self.reasons = Allowance(config.reasons, 0, now)  # texts
        self.plans = Allowance(config.plans_per_hour, config.plans_per_hour / HOUR, now)
        self.asked_plans: set[bytes] = set()  # digests
        self.seen: set[int] = set()  # hashes of texts heard lately: the texts themselves may be large
        self.waiting = 0  # pushes in work
        self.checks = -1
        self.measure(config, checks)

    def measure(self, config: BudgetsConfig, checks: int) -> None:
        """Its largest plan has so many checks."""
        if checks != self.checks:
            self.checks = checks
            self.stored.rate = (STORED_PER_DAY + checks * config.stored_per_check) / DAY
            self.reasons.rate = (REASONS_PER_HOUR + checks * config.reasons_per_check) / HOUR


class AgentBudgets:
    """Of all agents. ``checks``: of the largest plan of an agent that is known; ``monotonic``: seconds."""

    def __init__(
        self,
        config: BudgetsConfig,
        checks: Callable[[str], int],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.exceeded: Counter[str] = Counter()  # by budget, since the start
        self._checks = checks
        self._monotonic = monotonic
        self._uses: dict[str, AgentUse] = {}
        self._reported: dict[tuple[str, str], float] = {}

    # before a push is decoded

    def begin(self, agent: str) -> None:
        """One more push of the agent in work. Raises OverBudget."""
        use = self._uses.get(agent)
        if use is None:
            use = self._uses[agent] = AgentUse(self.config, self._checks(agent), self._monotonic())
        elif use.checks != (checks := self._checks(agent)):
            use.measure(self.config, checks)
        if use.waiting >= self.config.pushes_at_once:
            raise OverBudget("pushes_at_once", sentence("this agent sends too many pushes at once"), wait=1.0)
        if use.decoding.left < 0 and (wait := use.decoding.wait(self._monotonic())):
            why = sentence("decoding this agent's pushes takes too much of the processor; send less often")
            raise OverBudget("decoding_share", why, wait=wait)
        use.waiting += 1

    def end(self, agent: str) -> None:
        """One less."""
        self._uses[agent].waiting -= 1

    def inflated(self, agent: str) -> int:
        """Bytes to which a push of the agent may inflate."""
        config = self.config
        return min(MAX_INFLATED, config.inflated + config.inflated_per_check * self._uses[agent].checks)

    def inflated_with_plans(self, agent: str) -> int:
        """The same for one that brings nothing but plans; the usual, unless some were asked for."""
        usual = self.inflated(agent)
        return max(usual, self.config.asked_plan) if self._uses[agent].asked_plans else usual

    def too_large(self, agent: str) -> OverBudget:
        """The finding about a body that inflates to more than that."""
        most = self.inflated_with_plans(agent)
        return OverBudget("inflated", sentence("a push that inflates to more than {most:n} bytes", most=most))

    def decoded(self, agent: str, ms: float) -> None:
        """Decoding one of its pushes took so long."""
        self._uses[agent].decoding.left -= ms

    # what was decoded

    def admit_batch(self, agent: str, batch: Batch) -> None:
        """Raises OverBudget for more rows than the agent's plan can produce, or when it has stored too much."""
        use, config = self._uses[agent], self.config
        if len(batch.states) > config.results:
            why = sentence("more than {most:n} results in a push; send fewer at once", most=config.results)
            raise OverBudget("results", why)
        rows = len(batch.runs) + len(batch.records) + len(batch.missing)
        most = min(MAX_ROWS, config.rows + config.rows_per_check * use.checks)
        if rows > most:
            raise OverBudget("rows", sentence("more than {most:n} rows in a push; send fewer at once", most=most))
        if use.stored.left < 0 and (wait := use.stored.wait(self._monotonic())):
            why = sentence("this agent has had more stored than its plan can produce; send again later")
            raise OverBudget("stored", why, wait=min(wait, HOUR))

    def admit_texts(self, agent: str, size: int) -> None:
        """So much is there to read in the texts of a batch. Raises OverBudget for too much at once."""
        most = self.config.texts
        if size > most:
            why = sentence("more than {most:n} characters in a push; send fewer results at once", most=most)
            raise OverBudget("texts", why)
        self.decoded(agent, size * MS_PER_CHARACTER)

    def take_plan(self, agent: str, digest: bytes) -> None:
        """It brings one more plan, whose signature is to be looked at. Raises OverBudget when it brings too many."""
        use, now = self._uses[agent], self._monotonic()
        if wait := use.plans.wait(now):
            raise OverBudget("plans_per_hour", sentence("this agent brings too many plans"), wait=wait)
        use.plans.take(1.0, now)
        use.asked_plans.discard(digest)

    def asked_for(self, agent: str, plans: list[bytes]) -> None:
        """These are the plans that the agent is asked for now."""
        self._uses[agent].asked_plans = set(plans)

    def is_new_reason(self, agent: str, reason: str | Phrase) -> bool:
        """Whether this text was not heard of the agent lately. It is from now on."""
        seen, text = self._uses[agent].seen, hash(reason)
        if text in seen:
            return False
        if len(seen) >= SEEN:
            seen.clear()
        seen.add(text)
        return True

    def may_give_reason(self, agent: str) -> bool:
        """Whether one more new text of the agent is kept."""
        use, now = self._uses[agent], self._monotonic()
        use.reasons.take(0.0, now)
        if use.reasons.left < 1:
            self.exceeded["reasons"] += 1
            return False
        use.reasons.take(1.0, now)
        return True

    def stored(self, agent: str, size: int) -> None:
        """So many bytes of what it pushed go into the store: its body, rows and their texts, sums."""
        self._uses[agent].stored.left -= size

    # telling

    def report(self, agent: str, budget: str) -> bool:
        """Count that the agent is above a budget. True once an hour for agent and budget: then it is a finding."""
        self.exceeded[budget] += 1
        now, key = self._monotonic(), (agent, budget)
        last = self._reported.get(key)
        if last is not None and now - last < REPORT_AGAIN_AFTER:
            return False
        self._reported[key] = now
        return True

    def use(self, agent: str) -> AgentUse:
        """What an agent has used, of which a push is in work."""
        return self._uses[agent]
