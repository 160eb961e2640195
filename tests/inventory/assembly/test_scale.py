"""A large inventory, at a tenth of the benchmark's size: what it means, not how long it takes."""

from datetime import date
from pathlib import Path

import pytest

from inventory.assembly.load import load
from inventory.assembly.planning import plans_of
from tests.bench.bench_inventory import generate


@pytest.mark.parametrize("written_out", [False, True], ids=["template", "written out"])
def test_a_thousand_offices(tmp_path: Path, written_out: bool) -> None:
    generate(tmp_path, agencies=300 if written_out else 1000, checks=20, files=7, written_out=written_out)
    found = load(tmp_path)
    offices = len(found.agencies) - 1
    assert len(found.checks) == offices * 20
    plans = plans_of(found, date(2026, 11, 23))
    assert [len(plans[f"office-{number}"].checks) for number in range(offices)] == [20] * offices
    assert len({plan.digest for plan in plans.values()}) == offices + 1


def test_writing_the_checks_out_is_the_same_as_a_template(tmp_path: Path) -> None:
    plans = []
    for written_out in (False, True):
        directory = tmp_path / str(written_out)
        directory.mkdir()
        generate(directory, agencies=5, checks=20, files=2, written_out=written_out)
        plans.append(plans_of(load(directory), date(2026, 11, 23)))
    assert plans[0] == plans[1]
