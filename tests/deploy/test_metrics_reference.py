"""docs/metrics.md is made from the code, and is what the code says now."""

import pytest

from deploy.reference import metrics


def test_the_reference_is_current() -> None:
    assert metrics.FILE.read_text("utf-8") == metrics.render(), "run: python -m deploy.reference.metrics"
    assert metrics.main(["--check"]) == 0


def test_a_stale_reference_is_refused(tmp_path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(metrics, "FILE", tmp_path / "metrics.md")
    assert metrics.main(["--check"]) == 1
    (tmp_path / "metrics.md").write_text(metrics.render() + "more\n", "utf-8")
    assert metrics.main(["--check"]) == 1
    assert "stale" in capsys.readouterr().err
    assert metrics.main([]) == 0
    assert metrics.main(["--check"]) == 0


def test_every_module_that_declares_families_has_its_section() -> None:
    declaring = set(metrics.declaring_modules()) - {"inventory/base/families.py"}  # which only says what one is
    assert declaring == set(metrics.SECTIONS), "give the module its title in deploy/reference/metrics.py"
    assert [section.title for section in metrics.sections() if not section.families] == []


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("haidang_check_seconds_total", "s"),
        ("haidang_check_last_result_timestamp_seconds", "s since 1970"),
        ("haidang_snmp_in_bytes_per_second", "bytes/s"),
        ("haidang_goal_objective_ratio", "1"),
        ("haidang_agent_up", ""),
    ],
)
def test_the_unit_is_in_the_name(name: str, unit: str) -> None:
    assert metrics.unit(name) == unit
