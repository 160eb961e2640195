"""The rules of the house that a newcomer would break without noticing."""

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent import probes
from agent.cli import kinds_file
from agent.probe import PER_UNIT, Probe
from tests.support.paths import ROOT

PACKAGES = ("agent", "alerts", "collector", "inventory")
LONGEST = 450  # lines of a module
KINDS = probes.names()

# What a check may say beside its kind's parameters, which live on the same level: a parameter must not hide it.
KEYS_OF_A_CHECK = {"kind", "interval", "timeout", "recheck", "hold", "thresholds", "formerly", "from", "to", "params"}

# Kinds that look at the agent's own machine: they contact nothing, and need not be told what to look at.
AT_HOME = {"host"}

# Kinds that look at directories, which the process that looks judges once it has opened them.
BY_DIRECTORY = {"backup"}

# Kinds that look at nothing: they are told, and the agent keeps it.
TOLD = {"drill", "job"}

# The libraries that loading a kind may bring in, beside msgspec.
LIBRARIES = {"dns": {"dns", "idna"}}


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_is_documented(self, kind: str) -> None:
        made = probes.load(kind)
        doc = inspect.getdoc(made)
        assert doc
        assert doc != inspect.getdoc(Probe)
        assert made.kind == kind
        assert sys.modules[made.__module__].__doc__

    def test_says_what_each_parameter_means(self, kind: str) -> None:
        params = kinds_file.describe(probes.load(kind))["params"]
        assert "$ref" not in json.dumps(params)
        for name, schema in params["properties"].items():
            assert schema.get("description"), f"{kind}.{name} has no description"
            assert name not in KEYS_OF_A_CHECK, f"{kind}.{name} hides a key of the check"
            assert name in params.get("required", ()) or "default" in schema, f"{kind}.{name} has no default"
        assert params["additionalProperties"] is False

    def test_names_its_target_among_its_parameters(self, kind: str) -> None:
        entry = kinds_file.describe(probes.load(kind))
        assert entry["target"] or kind in AT_HOME
        assert set(entry["target"]) <= set(entry["params"]["properties"])

    def test_says_what_it_measures_in_known_units(self, kind: str) -> None:
        measures = probes.load(kind).measures
        assert measures
        assert len({measure.name for measure in measures}) == len(measures)
        for measure in measures:
            assert measure.unit in PER_UNIT, f"{kind}.{measure.name} is in {measure.unit!r}"
            assert measure.help, f"{kind}.{measure.name} has no help"
            assert measure.name != "latency"
            ending = measure.unit if measure.unit in ("seconds", "ratio") else ""
            assert measure.name.endswith(ending), f"{kind}.{measure.name} should end in _{ending}, its unit"

    def test_has_its_test(self, kind: str) -> None:
        assert (ROOT / "tests" / "agent" / "probes" / f"test_{kind}.py").exists()

    def test_makes_something_of_its_targets_alone(self, kind: str) -> None:
        """Missing and unknown parameters are refused in words."""
        if kind not in AT_HOME:
            with pytest.raises(probes.BadProbe, match=f"^{kind}: the parameter .+ is missing$"):
                probes.build(kind, {})
        with pytest.raises(probes.BadProbe, match=f"^{kind}: there is no parameter no_such$"):
            probes.build(kind, {**_least(kind), "no_such": 1})
        made = probes.build(kind, _least(kind))
        assert made == probes.build(kind, _least(kind))
        assert made.endpoints() or kind in AT_HOME | BY_DIRECTORY | TOLD, (
            "an agent's own limits judge a check by its endpoints"
        )

    def test_loads_no_other_kinds_library(self, kind: str) -> None:
        """20 checks are to fit into 45 MiB: what a plan does not use is not imported."""
        script = (
            "import sys, msgspec, asyncio\n"
            "from agent import probes\n"
            "probes.names()\n"
            "before = {name for name in sys.modules}\n"
            "assert not any(name.startswith('agent.probes.') for name in before), before\n"
            f"probes.load({kind!r})\n"
            "print(*(name for name in sys.modules if name not in before))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        loaded = done.stdout.split()
        assert [name for name in loaded if name.startswith("agent.probes.")] == [f"agent.probes.{kind}"]
        top = {name.partition(".")[0] for name in loaded}
        foreign = top - sys.stdlib_module_names - set(PACKAGES) - LIBRARIES.get(kind, set())
        assert not foreign, f"loading {kind} imports {sorted(foreign)}"


def _least(kind: str) -> dict[str, Any]:
    """The required parameters of a kind, with a value that fits."""
    params = kinds_file.describe(probes.load(kind))["params"]
    fitting = {"string": "host.example", "integer": 443, "number": 1.0, "boolean": True, "array": []}
    telling = {
        "url": "http://host.example/",
        "recipient": "robot@host.example",
        "network": "192.0.2.0/24",
        "path": "/srv",
    }
    least: dict[str, Any] = {}
    for name in params.get("required", ()):
        least[name] = telling.get(name, fitting[params["properties"][name]["type"]])
    return least


def test_kinds_that_share_a_series_mean_the_same_by_a_name() -> None:
    said: dict[str, tuple[str, str, str]] = {}
    for kind in KINDS:
        entry = kinds_file.describe(probes.load(kind))
        for measure in entry["measures"]:
            name = f"{entry['series']}_{measure['name']}"
            first = said.setdefault(name, (measure["unit"], measure["help"], kind))
            assert first[:2] == (measure["unit"], measure["help"]), f"haidang_{name} of {kind} is not {first[2]}'s"
    assert {f"backup_{name}" for name in ("age_seconds", "rpo_met", "last_restore_timestamp_seconds")} <= set(said)


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_that_go_apart_exist(kind: str) -> None:
    entry = kinds_file.describe(probes.load(kind))
    for fields in entry["apart"]:
        assert len(fields) > 1
        assert set(fields) <= set(entry["params"]["properties"])


def test_kinds_json_is_not_stale() -> None:
    assert kinds_file.FILE.read_text("utf-8") == kinds_file.render(), "run python -m agent.cli.kinds_file"
    assert kinds_file.main(["--check"]) == 0


def test_a_kind_that_is_not_there() -> None:
    with pytest.raises(probes.BadProbe, match=r"there is no kind of probe 'smoke'; this agent knows .*dns, "):
        probes.build("smoke", {})
    for escape in ("../agent", "__init__", "", "icmp.", "os"):
        with pytest.raises(probes.BadProbe):
            probes.load(escape)


def test_probes_never_import_each_other() -> None:
    for path in (ROOT / "agent" / "probes").glob("*.py"):
        if path.stem == "__init__":
            continue
        for name in _imports(path):
            assert not name.startswith("agent.probes"), f"{path.name} imports {name}"
            allowed = name.startswith(("agent.probe", "agent.failure", "agent.clients", "agent.backup", "agent.jobs"))
            assert allowed or not name.startswith("agent"), f"{path.name} imports {name}, which is not a client"


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            found.update({node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)})
    return found


def test_modules_fit_a_head() -> None:
    long = {str(path.relative_to(ROOT)): size for path in modules() if (size := _lines(path)) > LONGEST}
    assert not long, f"more than {LONGEST} lines: {long}"


def _lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in modules()
        if path.read_text("utf-8").strip() and not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert not silent
