"""The agencies' series: what the checks about each are together. Where checks are too many, agencies can be drawn."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from collector.ledger.timeline import EXCLUDED
from collector.metrics.exposition import head, labels, number
from collector.metrics.fleet import STATE_NAMES, ScrapedAgent
from inventory.base.families import Family
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

STATE = Family(
    "haidang_agency_state",
    "gauge",
    "The worst of the checks about the agency, numbered as a check's; unknown is worse than up, better than degraded.",
    ("agency",),
)
CHECKS = Family("haidang_agency_checks", "gauge", "Checks about the agency by what they are now.", ("agency", "state"))
UP_RATIO = Family(
    "haidang_agency_checks_up_ratio",
    "gauge",
    "Share of the checks about the agency that are up or degraded, of those known and not excluded.",
    ("agency",),
)
WORST_FIRST: Final = (DOWN, DEGRADED, UNKNOWN, UP, EXCLUDED)


def text(agents: Sequence[ScrapedAgent], now: int, openmetrics: bool) -> Iterator[str]:
    """The agencies' families, without an end mark, a string for each."""
    counts = state_counts(agents, now)
    named = [(labels(agency=agency), of) for agency, of in counts.items()]
    yield head(STATE, openmetrics) + "".join(f"{STATE.name}{{{who}}} {worst(of)}\n" for who, of in named)
    yield head(CHECKS, openmetrics) + "".join(
        f'{CHECKS.name}{{{who},state="{state}"}} {count}\n'
        for who, of in named
        for state, count in zip(STATE_NAMES, of, strict=True)
    )
    yield head(UP_RATIO, openmetrics) + "".join(
        f"{UP_RATIO.name}{{{who}}} {number((of[UP] + of[DEGRADED]) / known)}\n"
        for who, of in named
        if (known := of[UP] + of[DEGRADED] + of[DOWN])
    )


def state_counts(agents: Iterable[ScrapedAgent], now: int) -> dict[str, list[int]]:
    """By agency, how many of the checks about it are in each state, in the order of the codes."""
    counts: dict[str, list[int]] = {}
    for one in agents:
        for agency, code in zip(one.labelled.agencies, one.codes(now), strict=True):
            of = counts.get(agency)
            if of is None:
                of = counts[agency] = [0] * len(STATE_NAMES)
            of[code] += 1
    return counts


def worst(counts: Sequence[int]) -> int:
    """The worst state that there is; of what is excluded only where all is."""
    return next((code for code in WORST_FIRST if counts[code]), UNKNOWN)
