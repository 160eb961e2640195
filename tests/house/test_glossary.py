"""One word per thing: class names are used once, and words that were given up do not come back."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PACKAGES = ("agent", "alerts", "collector", "deploy", "inventory")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text("utf-8")

# Words that once named things here, and what they are called now. They name no module, class or function any more.
RETIRED = {
    "adopt": "reconcile",
    "asking": "query_params",
    "bench": "draft",
    "board": "goal_cache",
    "desk": "commands, router",
    "hands": "worker_pool",
    "keeper": "maintenance",
    "leaves": "scalars",
    "nutting": "nut",
    "posting": "dispatch",
    "rhythm": "ticks",
    "said": "message",
    "shelf": "state",
    "simulating": "snmpsim",
    "speaker": "formatter",
    "streak": "fast_path",
    "taken": "impact",
    "telling": "notification_policy",
    "told": "notified",
    "tongue": "locale",
    "trouble": "problem",
    "trying": "delivery_test",
    "webbing": "browser",
}


# The system's own terms: a process that takes in orphans, a handshake.
ALLOWED = {"_adopt_orphans", "_shake_hands"}


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def words_of(name: str) -> set[str]:
    """``take_slices`` and ``TakeSlices`` are both take and slices."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


def definitions(path: Path) -> list[str]:
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, kinds)]


def test_a_public_class_name_stands_once_or_the_glossary_says_why() -> None:
    where = defaultdict(list)
    for path in sources():
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where[node.name].append(str(path.relative_to(ROOT)))
    reasons = GLOSSARY.partition("## Class names that stand in two modules")[2]
    twice = {name: files for name, files in where.items() if len(files) > 1 and f"`{name}`" not in reasons}
    assert not twice


@pytest.mark.parametrize("word", RETIRED)
def test_a_word_that_was_given_up_names_nothing(word: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources()
        for name in (path.stem, *definitions(path))
        if word in words_of(name) and name not in ALLOWED
    ]
    assert not found, f"say {RETIRED[word]}"


def test_the_glossary_has_each_word_once() -> None:
    rows = re.findall(r"^\| ([^|]+?) \|", GLOSSARY, re.M)
    words = [word.strip() for row in rows for word in re.split(r", | \(", row) if word not in ("word", "---")]
    assert sorted(words) == sorted(set(words))
    assert len(words) > 60
