"""Runs one probe once, bounded in time whatever the probe does."""

import asyncio
import logging
from typing import Final

from agent.probe import Outcome, Probe, ProbeContext, unknown
from inventory.base.clock import Clock
from inventory.protocol.reasons import sentence

log = logging.getLogger("agent.look")

GRACE: Final = 0.5  # seconds past its timeout in which a probe ought to have ended with a reason of its own
FAREWELL: Final = 1.0  # seconds that a cancelled probe may take to clean up before it is left behind
ASLEEP_MS: Final = 5_000  # a look that took this much longer than it may have: the machine slept, or was stalled


class ProbeRunner:
    """Makes the looks of one check, never two at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left_behind: asyncio.Task[Outcome] | None = None
        self._last_bug = ""

    @property
    def busy(self) -> bool:
        """A probe that would not end, even when cancelled, is still at it."""
        return self._left_behind is not None and not self._left_behind.done()

    async def run(self, name: str, probe: Probe, context: ProbeContext) -> Outcome:
        """What the probe saw. A probe that fails, overstays or sleeps through its time is evidence of nothing."""
        begun = self._clock.boot_ms()
        task = asyncio.create_task(_run(probe, context), name=f"look {name}")
        task.add_done_callback(_retrieve)
        try:
            await asyncio.wait((task,), timeout=context.timeout + GRACE)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=FAREWELL)
            if not task.done():
                self._left_behind = task
                log.error("check %s: its probe does not end; it is not looked at again until it does", name)
            return unknown(
                sentence("the look did not end within {timeout:n} s and was stopped", timeout=context.timeout)
            )
        outcome = self._outcome(name, task)
        if self._clock.boot_ms() - begun > (context.timeout + GRACE + FAREWELL) * 1000 + ASLEEP_MS:
            return unknown(sentence("this machine was asleep or stalled during the look"))
        return outcome

    def _outcome(self, name: str, task: "asyncio.Task[Outcome]") -> Outcome:
        if task.cancelled():
            return unknown(sentence("the probe gave up by itself, a fault in it"))
        error = task.exception()
        if error is None:
            outcome = task.result()
            if isinstance(outcome, Outcome) and outcome.state in (0, 1, 2, 3):
                return outcome
            error = TypeError(f"a probe answered {outcome!r}, not an outcome")
        error_text = f"{type(error).__name__}: {error}"
        if error_text != self._last_bug:  # a bug that stays is not told again
            log.error("check %s: its probe failed, a fault in it: %s", name, error_text, exc_info=error)
            self._last_bug = error_text
        return unknown(sentence("the probe failed: {error_text}", error_text=error_text))


async def _run(probe: Probe, context: ProbeContext) -> Outcome:
    return await probe.run(context)  # what is no coroutine fails here, like any other fault of a probe


def _retrieve(task: "asyncio.Task[Outcome]") -> None:
    """The loop is not to complain of an exception that nobody was left to hear."""
    if not task.cancelled():
        task.exception()
