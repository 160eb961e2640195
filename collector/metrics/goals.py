"""The goals' series, from their last evaluation."""

from collections.abc import Iterable, Iterator

from collector.goals.evaluate import MET, MISSED, NO_EVIDENCE, NOT_PROVEN, Evaluation
from collector.metrics.exposition import Family, labels

RATIO = Family(
    "haidang_goal_availability_ratio",
    "gauge",
    "A goal over its window so far: the best figure, what is proven (lower), what is not disproven (upper).",
)
OBJECTIVE = Family("haidang_goal_objective_ratio", "gauge", "What the goal's ratio is to reach.")
COVERAGE = Family("haidang_goal_coverage_ratio", "gauge", "Share of the goal's time with evidence.")
VERDICT = Family("haidang_goal_verdict", "gauge", "1 for the goal's verdict, 0 for the others.")
VERDICTS = {MET: "met", MISSED: "missed", NOT_PROVEN: "not_proven", NO_EVIDENCE: "no_evidence"}


def text(evaluations: Iterable[Evaluation], openmetrics: bool) -> Iterator[str]:
    """The families in small strings, without an end mark."""
    labelled = [(labels(goal=one.goal, window=one.window.name), one) for one in evaluations]
    yield RATIO.head(openmetrics)
    for who, one in labelled:
        for bound, value in (("best", one.best), ("lower", one.lower), ("upper", one.upper)):
            if value is not None:
                yield f'{RATIO.name}{{{who},bound="{bound}"}} {value}\n'
    yield OBJECTIVE.head(openmetrics)
    for who, one in labelled:
        yield f"{OBJECTIVE.name}{{{who}}} {one.objective}\n"
    yield COVERAGE.head(openmetrics)
    for who, one in labelled:
        if one.coverage is not None:
            yield f"{COVERAGE.name}{{{who}}} {one.coverage}\n"
    yield VERDICT.head(openmetrics)
    for who, one in labelled:
        for verdict, word in VERDICTS.items():
            yield f'{VERDICT.name}{{{who},verdict="{word}"}} {int(one.verdict == verdict)}\n'
