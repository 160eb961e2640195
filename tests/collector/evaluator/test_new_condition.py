"""A new condition is one entry: a made-up one, registered here alone, goes through check, evaluation and a mail."""

from pathlib import Path

import pytest

from collector.evaluator.problems.detectors import detector
from inventory.cli.main import main as inventory_command
from inventory.model.alerting import CONDITION_TYPES, Condition, ConditionType
from tests.support.evaluator_world import INVENTORY, MINUTE, SECOND, EvaluatorWorld

CROWDED = ConditionType(
    name="crowded",
    about="agent",
    title="Too many at once",
    defaults=(Condition(id="crowded", on="crowded", severity="critical"),),
    titled=True,
    advice=("Ask half of them to come back tomorrow.", "Open a second door."),
    detector="crowds:crowded_sites",
)

# the function that the entry names: who pushed with the most checks, while a file says so
DETECTOR = """
from pathlib import Path
from alerts.incident.message import TranslatableMessage
from alerts.incident.problem import Subject
from collector.evaluator.problems.detectors import Detection

def crowded_sites(context):
    seen = Path(__file__).with_name("crowd")
    agent = context.inventory.agents["a"]
    if seen.exists() and context.reader.fleet.agents["a"].contact:
        subject = Subject(agency=agent.agency, site=agent.site, agent=agent.id)
        text = TranslatableMessage("{count} people stand at {site}", {"count": 12, "site": agent.site})
        yield Detection(agent.id, subject, int(seen.read_text()), text)
"""


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The entry, and its module: nothing else."""
    (tmp_path / "crowds.py").write_text(DETECTOR, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(CONDITION_TYPES, CROWDED.name, CROWDED)
    detector.cache_clear()
    return tmp_path


def with_condition(directory: Path) -> Path:
    folder = directory / "checked"
    folder.mkdir()
    (folder / "all.yaml").write_text(INVENTORY + "conditions: {busy: {on: crowded, for: 1m}}\n", "utf-8")
    return folder


def test_without_its_entry_there_is_no_such_condition(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inventory_command(["check", str(with_condition(tmp_path))]) == 1
    assert "conditions.busy.on: ought to be one of" in capsys.readouterr().err


def test_the_inventory_is_checked_with_it(registered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inventory_command(["check", str(with_condition(registered))]) == 0, capsys.readouterr().err


async def test_it_is_evaluated_and_mailed(registered: Path) -> None:
    world = EvaluatorWorld(registered)
    await world.start()
    try:
        await world.step(10 * SECOND)
        assert world.sent_kinds() == []
        (registered / "crowd").write_text(str(world.now), "utf-8")
        await world.step(10 * SECOND)
        incident = world.only_incident()
        assert (incident.cause.root, incident.severity) == ("crowded:a", "critical")
        assert [kind for _, kind in world.sent_kinds("an")] == ["trouble"]
        mail = next(one for one in world.mails if "an@" in str(one["To"]))
        text = mail.get_body(("plain",)).get_content().replace("\r\n", "\n")
        assert mail["Subject"] == "[Critical] Too many at once: Department of Justice"
        assert "What was seen: 12 people stand at Department of Justice" in text
        assert "1. Ask half of them to come back tomorrow.\n2. Open a second door.\n" in text
        (registered / "crowd").unlink()
        await world.step(2 * MINUTE)
        assert world.open == [] and [kind for _, kind in world.sent_kinds("an")] == ["trouble", "recovery"]
    finally:
        await world.stop()


@pytest.mark.parametrize("name", CONDITION_TYPES)
def test_every_type_has_a_title_a_default_and_a_detector_that_is_there(name: str) -> None:
    declared = CONDITION_TYPES[name]
    assert declared.name == name and declared.title and declared.defaults
    assert {one.on for one in declared.defaults} == {name}
    assert not declared.detector or callable(detector(declared.detector))
