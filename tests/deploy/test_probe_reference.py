"""The reference of the kinds of probe: current, and it says all that a kind declares."""

import pytest

from deploy.reference import probes
from inventory.protocol.kinds import Kind as ProbeKind
from inventory.protocol.kinds import KindDescription, Kinds, MeasureInfo, load


def test_the_reference_is_current() -> None:
    assert probes.FILE.read_text("utf-8") == probes.render(), "run python -m deploy.reference.probes"
    assert probes.main(["--check"]) == 0


@pytest.mark.parametrize("name", sorted(load()))
def test_names_every_parameter_and_measure(name: str) -> None:
    section = probes.render().partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    kind = load()[name]
    for word in (*kind.schema["properties"], *(measure.name for measure in kind.measures)):
        assert f"\n| `{word}` |" in section
    assert f"params: {kind.example}" in section and kind.title in section


def test_a_stale_file_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    monkeypatch.setattr(probes, "FILE", tmp_path / "probes.md")
    assert probes.main(["--check"]) == 1
    assert "run python -m deploy.reference.probes" in capsys.readouterr().err
    assert probes.main([]) == 0 and probes.main(["--check"]) == 0


def test_a_kind_as_it_is_written_down() -> None:
    schema = {
        "properties": {
            "host": {"type": "string", "description": "Where | what"},
            "ways": {"type": "array", "items": {"enum": ["a", "b"]}, "default": [], "description": "How"},
            "count": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3, "description": "How often"},
        },
        "required": ["host"],
    }
    measures = (
        MeasureInfo("level", "number", "Level", 1000),
        MeasureInfo("age_seconds", "seconds", "Age", 1, exported=False),
    )
    described = KindDescription(
        title="tide gauge",
        doc="Reads ``host``.",
        target=("host",),
        params=schema,
        measures=measures,
        example="{host: x}",
    )
    text = probes.render(Kinds(tide=ProbeKind("tide", described)))
    for line in (
        "- [`tide`](#tide) tide gauge",
        "Reads `host`.",
        "Another value of `host` is another check.",
        "| `host` | text | required | Where \\| what |",
        "| `ways` | list of `a`, `b` | `[]` | How |",
        "| `count` | whole number, 1 to 9 | `3` | How often |",
        "| `level` | number | Level | `haidang_tide_level` |",
        "| `age_seconds` | seconds | Age |  |",
    ):
        assert f"\n{line}\n" in text, line
