"""Collects the templates of reasons that agents and the collector give: what stands in ``sentence`` and ``template``.

Beside them: each measure with a value, for a threshold that was passed names it, and words of others that reasons pass
on and that are worth a translation.
"""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from alerts.language.reasons import shape
from inventory.protocol.reasons import FIELD

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("agent", "collector", "inventory")
_CALLS: Final = ("sentence", "template")

# The system's own words (Linux) for its commonest errors.
ERRORS: Final = (
    "Cannot allocate memory",
    "Connection refused",
    "Connection timed out",
    "Exec format error",
    "File exists",
    "File name too long",
    "Input/output error",
    "Invalid argument",
    "Is a directory",
    "Network is down",
    "Network is unreachable",
    "No route to host",
    "No space left on device",
    "No such device",
    "No such file or directory",
    "Not a directory",
    "Operation not permitted",
    "Permission denied",
    "Read-only file system",
    "Stale file handle",
    "Too many levels of symbolic links",
    "Too many open files",
)
# What an inventory calls the evidence of a backup.
EVIDENCE: Final = ("pings", "files", "repository", "drill")


class Sentence(NamedTuple):
    """``words`` with named fields; where it stands."""

    words: str
    file: str
    line: int


def sentences() -> Iterator[Sentence]:
    """All that may be said as a reason, by agents and by the collector itself."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield from of_source(path.read_text("utf-8"), path.relative_to(ROOT).as_posix())
    yield from (Sentence(words, "deploy/words/sentences.py", 0) for words in (*ERRORS, *EVIDENCE))
    kinds = json.loads((ROOT / "inventory" / "protocol" / "kinds.json").read_text("utf-8"))
    measures = {measure["name"] for kind in kinds.values() for measure in kind["measures"]} | {"latency"}
    yield from (Sentence(f"{name} {{value:n}}", "inventory/protocol/kinds.json", 0) for name in sorted(measures))


def of_source(source: str, file: str) -> Iterator[Sentence]:
    """The templates of a module; one that only joins other words has nothing to translate."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS and node.args:
            words = node.args[0]
            if isinstance(words, ast.Constant) and isinstance(words.value, str) and _has_words(words.value):
                yield Sentence(words.value, file, node.lineno)


def _has_words(template: str) -> bool:
    return any(map(str.isalpha, FIELD.sub("", template)))


def distinct() -> dict[str, list[str]]:
    """Each template once, whatever its fields are called in several places; with the files that say it."""
    named: dict[str, set[str]] = {}
    files: dict[str, set[str]] = {}
    for one in sentences():
        named.setdefault(shape(one.words), set()).add(one.words)
        files.setdefault(shape(one.words), set()).add(one.file)
    return {min(words): sorted(files[each]) for each, words in named.items()}
