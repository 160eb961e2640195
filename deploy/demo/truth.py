"""Compares the ledger with the outages: how far off it is, and whether the truth lies inside the bounds.

Knows spans only as the operators' API gives them, so that a fault in the collector's arithmetic is not repeated here.
Times are wall-clock milliseconds.
"""

from typing import Any

import msgspec

from deploy.demo.estate import Outage

SLACK = 250  # ms: between breaking a thing and writing down when, and the length of a look itself


class Comparison(msgspec.Struct, frozen=True):
    """One outage of one check. ``begun`` and ``ended``: how far the ledger is off, in seconds (+: late).

    ``wrong``: what contradicts the truth, in words; empty when nothing does.
    """

    check: str
    outage: Outage
    begun: float
    ended: float
    wrong: tuple[str, ...]


def compare(check: str, outage: Outage, spans: list[dict[str, Any]], begin_limit: int, end_limit: int) -> Comparison:
    """``spans``: the check's, in order. The limits are in ms: interval + timeout, re-check + timeout."""
    near = [span for span in spans if span["state"] == "down" and _touches(span, outage, begin_limit)]
    if not near:
        return Comparison(check, outage, 0.0, 0.0, ("the ledger does not know of it",))
    start, end = near[0]["start"], near[-1]["end"]
    wrong = []
    if len(near) > 1:
        wrong.append(f"told as {len(near)} outages")
    if abs(start - outage.begun) > begin_limit:
        wrong.append(f"its beginning is off by more than {begin_limit / 1000:g} s")
    if abs(end - outage.ended) > end_limit:
        wrong.append(f"its end is off by more than {end_limit / 1000:g} s")
    for span in near:
        if span["sure_from"] + span["error_from"] + SLACK < outage.begun:
            wrong.append("said to be proven down before it was")
        if span["sure_to"] - span["error_to"] - SLACK > outage.ended:
            wrong.append("said to be proven down after it was over")
    return Comparison(check, outage, (start - outage.begun) / 1000, (end - outage.ended) / 1000, tuple(wrong))


def contradictions(spans: list[dict[str, Any]], outages: list[Outage]) -> list[str]:
    """Where the spans say proven up while it was down, or down where it never was."""
    wrong = []
    for span in spans:
        sure_from, sure_to = span["sure_from"] + span["error_from"], span["sure_to"] - span["error_to"]
        for outage in outages:
            inside = min(sure_to, outage.ended) - max(sure_from, outage.begun)
            if span["state"] in ("up", "degraded") and inside > SLACK:
                wrong.append(f"proven up for {inside / 1000:.1f} s of {outage.what}")
        if span["state"] == "down" and not any(_touches(span, outage, 5_000) for outage in outages):
            wrong.append(f"down for {(span['end'] - span['start']) / 1000:.1f} s that never was")
    return wrong


def available(outages: list[Outage], start: int, end: int) -> float:
    """The share of [start, end) in which it truly worked."""
    lost = sum(max(min(outage.ended, end) - max(outage.begun, start), 0) for outage in outages)
    return 1 - lost / (end - start)


def proven_within(spans: list[dict[str, Any]], start: int, end: int) -> int:
    """Milliseconds of [start, end) for which any state is said to be proven."""
    return sum(max(min(span["sure_to"], end) - max(span["sure_from"], start), 0) for span in spans)


def _touches(span: dict[str, Any], outage: Outage, slack: int) -> bool:
    return bool(span["start"] < outage.ended + slack and span["end"] > outage.begun - slack)
