"""What the documents name is there: files, modules, links between pages, and README's length."""

import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
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
    made_up = re.compile(r"\b(?:KIND|CODE)\b")  # stand for a name of the reader's own
    missing = [name for name in names if not made_up.search(name) and not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_pages_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text("utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing
