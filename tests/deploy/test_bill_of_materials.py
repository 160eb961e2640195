"""The bills of materials: valid CycloneDX, everything that the locks bring, and the same each time."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation import make_schemabased_validator

from tests.support.paths import ROOT

LOCKS = {
    "haidang-agent": "requirements-agent.lock",
    "haidang-collector": "requirements-collector.lock",
    "haidang-development": "requirements.lock",
}


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bills")
    subprocess.run([ROOT / "scripts" / "sbom", folder], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("name", LOCKS)
def test_a_bill_is_valid_and_whole(bills: Path, name: str) -> None:
    text = (bills / f"{name}.cdx.json").read_text("utf-8")
    assert make_schemabased_validator(OutputFormat.JSON, SchemaVersion.V1_6).validate_str(text) is None
    lock = (ROOT / LOCKS[name]).read_text("utf-8")
    locked = dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", lock, re.M | re.I))
    components = {component["name"]: component for component in json.loads(text)["components"]}
    assert {name: component["version"] for name, component in components.items()} == locked
    digests = re.findall(r"sha256:([0-9a-f]{64})", lock)
    assert all(any(digest in json.dumps(component) for digest in digests) for component in components.values())


def test_the_same_locks_give_the_same_bills(bills: Path, tmp_path: Path) -> None:
    subprocess.run([ROOT / "scripts" / "sbom", tmp_path], check=True, capture_output=True)
    for file in bills.iterdir():
        assert file.read_bytes() == (tmp_path / file.name).read_bytes()
