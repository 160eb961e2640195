"""Each program needs only what its extra brings (``haidang[agent]``, ``haidang[collector]``), and the locks hold it."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.support.paths import ROOT

OURS = ("agent", "alerts", "collector", "inventory")
LOCKS = {"agent": ROOT / "requirements-agent.lock", "collector": ROOT / "requirements-collector.lock"}
EVERYTHING = ROOT / "requirements.lock"


def name_of(requirement: str) -> str:
    """The distribution that a requirement names, as all its spellings are compared."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


@cache
def brought_by(extra: str) -> frozenset[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return frozenset(map(name_of, [*project["dependencies"], *project["optional-dependencies"][extra]]))


def pins(lock: Path) -> dict[str, str]:
    lines = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock.read_text("utf-8"), re.MULTILINE)
    return {name_of(name): version for name, version in lines}


def modules_of(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it; a name that is imported may be one."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def file_of(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def reached_from(paths: Iterable[Path]) -> set[Path]:
    """These files, and all files of ours that they import, directly or not."""
    reached: set[Path] = set()
    waiting = list(paths)
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            ours = (module for module in imports_of(path) if module.partition(".")[0] in OURS)
            waiting.extend(file for module in ours if (file := file_of(module)) is not None)
    return reached


def distributions(paths: Iterable[Path]) -> dict[str, Path]:
    """The distributions whose modules these files import, each with one of the files."""
    by_module = packages_distributions()
    needed: dict[str, Path] = {}
    for path in paths:
        for module in imports_of(path):
            top = module.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in OURS:
                needed.setdefault(name_of(by_module[top][0]), path)
    return needed


@pytest.mark.parametrize(
    ("extra", "packages"), [("agent", ("agent",)), ("collector", ("collector", "alerts", "inventory"))]
)
def test_a_program_imports_what_its_extra_brings(extra: str, packages: tuple[str, ...]) -> None:
    needed = distributions(reached_from(modules_of(*packages)))
    missing = {name: str(path) for name, path in needed.items() if name not in brought_by(extra)}
    assert not missing
    assert {"aiohttp", "msgspec"} <= set(needed), "the walk sees imports"


def test_all_that_is_brought_is_imported() -> None:
    needed = distributions(modules_of(*OURS))
    assert (brought_by("agent") | brought_by("collector")) - set(needed) == {"tzdata"}  # data for zoneinfo


LOADS_ALL = """
import importlib, pkgutil, sys
blocked, package = sys.argv[1].split(","), importlib.import_module(sys.argv[2])
for name in blocked:
    sys.modules[name] = None
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
print(len(sys.modules))
"""


@pytest.mark.parametrize(
    ("package", "other"),
    [
        ("agent", "collector"),
        ("inventory", "collector"),
        ("inventory", "agent"),
        ("alerts", "agent"),
        ("collector", "agent"),
        ("agent.probes", "agent"),  # where only a collector is, the inventory asks the kinds about their parameters
    ],
)
def test_a_package_loads_without_what_only_the_other_extra_brings(package: str, other: str) -> None:
    mine = brought_by("agent" if other == "collector" else "collector")
    modules = {
        module
        for module, names in packages_distributions().items()
        if set(map(name_of, names)) & (brought_by(other) - mine)
    }
    assert len(modules) >= 4
    command = [sys.executable, "-c", LOADS_ALL, ",".join(sorted(modules)), package]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=100)


@pytest.mark.parametrize("extra", LOCKS)
def test_a_packages_lock_is_part_of_the_lock_and_holds_its_extra(extra: str) -> None:
    held, everything = pins(LOCKS[extra]), pins(EVERYTHING)
    assert held.items() <= everything.items()
    assert brought_by(extra) <= held.keys()
    assert brought_by("dev") <= everything.keys()
    other = "collector" if extra == "agent" else "agent"
    assert not (brought_by(other) - brought_by(extra)) & held.keys()


@pytest.mark.parametrize("lock", [EVERYTHING, *LOCKS.values()], ids=lambda path: path.stem)
def test_a_lock_has_a_hash_for_each_and_names_no_registry(lock: Path) -> None:
    text = lock.read_text("utf-8")
    assert "://" not in text and "--index" not in text
    for block in re.split(r"\n(?=[A-Za-z])", text):
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_the_page_on_libraries_says_how_many_there_are() -> None:
    text = (ROOT / "docs" / "internals" / "libraries.md").read_text("utf-8")
    told = re.search(r"`haidang\[agent\]` brings (\d+) distributions, `haidang\[collector\]` (\d+);", text)
    assert told is not None
    assert [int(number) for number in told.groups()] == [len(pins(LOCKS[extra])) for extra in ("agent", "collector")]
