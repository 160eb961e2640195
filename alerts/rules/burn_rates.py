"""Burn-rate window pairs of error budgets, shared by the evaluator and the Prometheus rules.

A pair burns when the budget burns at its factor or faster over both of its windows: the long one says that it matters,
the short one that it still goes on. Factors and windows: Google's Site Reliability Workbook, chapter 5, "Multiwindow,
Multi-Burn-Rate Alerts": 2% of a month's budget in an hour, 5% in six hours, 10% in a day, 10% in three days.
"""

from typing import Final

import msgspec

from inventory.model.alerting import DAY, HOUR, MINUTE, Severity


class BurnWindowPair(msgspec.Struct, frozen=True):
    """``factor``: 1 uses up exactly the budget by the end of the goal's window. ``long``, ``short``: ms."""

    factor: float
    long: int
    short: int
    severity: Severity


BURN_WINDOW_PAIRS: Final = (
    BurnWindowPair(14.4, HOUR, 5 * MINUTE, "critical"),
    BurnWindowPair(6, 6 * HOUR, 30 * MINUTE, "critical"),
    BurnWindowPair(3, DAY, 2 * HOUR, "warning"),
    BurnWindowPair(1, 3 * DAY, 6 * HOUR, "warning"),
)
