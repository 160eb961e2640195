"""Whether a check's time counts at one moment: the quick answer is what the whole one says."""

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.queries.exclusions import Exclusions
from collector.store.records import DeclaredExclusion
from inventory.assembly import load
from inventory.base.families import Family, HistogramCounts
from inventory.model.selectors import Selector
from tests.support.paths import ROOT

PROVINCE = load.load(ROOT / "inventory" / "examples" / "soctrang")
BEGIN = 1_794_000_000_000
HOUR = 3_600_000
SELECTORS = (Selector(agencies=("ke-sach",)), Selector(kinds=("lan", "http")), Selector(checks=("gateway",)))
stretches = st.tuples(st.sampled_from(SELECTORS), st.integers(0, 200), st.integers(1, 50))


@settings(deadline=None)  # the first one loads the holidays
@given(st.lists(stretches, max_size=4), st.integers(0, 250))
def test_at_a_moment_as_over_the_millisecond(declared: list[tuple[Selector, int, int]], at: int) -> None:
    exclusions = Exclusions(
        PROVINCE,
        [
            DeclaredExclusion(
                id=number, select=select, begins=BEGIN + begin * HOUR, ends=BEGIN + (begin + hours) * HOUR,
                reason="r", who="an", at=BEGIN,
            )
            for number, (select, begin, hours) in enumerate(declared)
        ],
    )  # fmt: skip
    moment = BEGIN + at * HOUR
    excluded = exclusions.at(moment)
    for check in list(PROVINCE.checks.values())[::7]:
        assert excluded(check) == bool(exclusions.of(check, (moment, moment + 1)))


def test_counts_of_other_bounds_start_over() -> None:
    family = Family("haidang_x_seconds", "histogram", "X.")
    counts = HistogramCounts().observed(2.0, (1.0, 3.0)).observed(9.0, (1.0, 3.0))
    assert [sample.value for sample in counts.samples(family, (1.0, 3.0)).samples] == [0, 1, 2, 2, 11.0]
    assert [sample.value for sample in counts.samples(family, (1.0,)).samples] == [0, 0, 0, 0.0]
    assert counts.observed(5.0, (1.0,)) == HistogramCounts((0, 1), 5.0)
