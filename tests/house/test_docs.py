"""What the documents name is there: files, modules, links between pages, and README's length."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
MADE_UP = re.compile(r"(?:\b|_)(?:KIND|CODE)\b")  # stand for a name of the reader's own
FOLDERS = "agent|alerts|collector|deploy|docs|inventory|scripts|tests"


def test_the_readme_is_short_and_the_others_are_there() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 200
    wanted = {
        "README.md", "DECISIONS.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/architecture.md",
        "docs/glossary.md", "docs/metrics.md", "docs/probes.md", "docs/operating.md",
    }  # fmt: skip
    assert wanted <= set(IDS)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_page_names_only_files_that_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    names = re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", text)
    missing = [name for name in names if not MADE_UP.search(name) and not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_pages_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text("utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_page_names_only_modules_that_exist(page: Path) -> None:
    """Also by its last part (`steps/decode.py`), in a command (`python -m deploy.grafana.make`), or as a script."""
    text = page.read_text("utf-8")
    sources = [str(path.relative_to(ROOT)) for folder in FOLDERS.split("|") for path in (ROOT / folder).rglob("*.py")]
    names = [name for name in re.findall(r"`([\w./-]+\.py)`", text) if not MADE_UP.search(name)]
    names += [name.replace(".", "/") + ".py" for name in re.findall(r"python -m ((?:agent|deploy)[\w.]+)", text)]
    missing = [name for name in names if not any(f"/{source}".endswith(f"/{name}") for source in sources)]
    missing += [name for name in re.findall(r"\bscripts/\w+(?![\w.])", text) if not (ROOT / name).exists()]
    assert not missing


def test_the_rooms_stand_in_the_page_as_in_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    table = re.findall(r"^\| `(\w+)/` \| (.+→.+) \|$", (ROOT / "docs" / "architecture.md").read_text("utf-8"), re.M)
    rooms = {
        package: [set(re.findall(r"`(\w+)(?:\.py)?`", layer)) for layer in row.split("→")] for package, row in table
    }
    kept = {
        contract["containers"][0]: [set(layer.split(" | ")) for layer in contract["layers"]]
        for contract in contracts
        if contract.get("containers", [""])[0] in rooms
    }
    assert rooms == kept


def test_decisions_are_numbered_one_after_the_other() -> None:
    """What several people added side by side is put in order when it comes together."""
    text = (ROOT / "DECISIONS.md").read_text("utf-8")
    numbers = [int(number) for number in re.findall(r"^(\d+)\. \*\*", text, re.M)]
    assert numbers == list(range(1, len(numbers) + 1))
    each = re.split(r"^(?=\d+\. \*\*)", text, flags=re.M)[1:]
    assert [one.partition(".")[0] for one in each if len(one.splitlines()) > 10] == []


def test_a_version_has_each_sort_of_change_once() -> None:
    for version in re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.M)[1:]:
        sorts = re.findall(r"^### (\w+)$", version, re.M)
        assert len(sorts) == len(set(sorts)), f"{version.splitlines()[0]}: {sorts}"
