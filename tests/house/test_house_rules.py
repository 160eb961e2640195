"""The rules of the house that a newcomer would break without noticing."""

import ast
import inspect
import json
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent import probes
from agent.cli import kinds_file
from agent.probe import PER_UNIT, Measure, Probe
from alerts.language.catalogue import LANGUAGES, LOCALE, MESSAGES, SOURCE
from alerts.language.mo import entries
from inventory.protocol import kinds
from inventory.yaml.nodes import MappingNode, parse
from inventory.yaml.scalars import Source
from tests.support.paths import ROOT

PACKAGES = ("agent", "alerts", "collector", "inventory")
LONGEST = 450  # lines of a module
WIDEST = 16  # modules of a shelf; kinds of probe stand on one however many they are
KINDS = probes.names()
KINDS_OF_FILE = kinds.load()

# What a check may say beside its kind's parameters, which live on the same level: a parameter must not hide it.
KEYS_OF_A_CHECK = {"kind", "interval", "timeout", "recheck", "hold", "thresholds", "formerly", "from", "to", "params"}

# What a kind declares; a parameter must not hide it.
DECLARED = {name for name in vars(Probe) if not name.startswith("_")} | set(Probe.__annotations__)


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_is_documented(self, kind: str) -> None:
        made = probes.load(kind)
        doc = inspect.getdoc(made)
        assert doc, f"agent/probes/{kind}.py: give the class a docstring: it is the kind's documentation"
        assert doc != inspect.getdoc(Probe)
        assert made.kind == kind
        assert sys.modules[made.__module__].__doc__

    def test_declares_what_others_need_of_it(self, kind: str) -> None:
        """A kind forgotten somewhere fails here, with what to add."""
        made, file = probes.load(kind), f"agent/probes/{kind}.py"
        for name in ("title", "target", "measures", "example"):
            assert hasattr(made, name), f"{file}: declare {name}; agent/probe.py says what it is"
        assert made.title and made.title[0] != " ", f"{file}: title is what people call it, in English"
        for words in (made.down_mail, made.degraded_mail):
            assert not words.explains or words.headline, f"{file}: a mail's headline cannot explain where there is none"
        if made.looks_at == "address":
            fields = set(made.addressed_by) & set(made.__struct_fields__)
            assert fields, f"{file}: addressed_by names no parameter; say which holds the target's address, or looks_at"
        if made.looks_at == "reports":
            assert KINDS_OF_FILE[kind].named_by, f"{file}: give it a required parameter by which reports name it"

    def test_is_in_kinds_json(self, kind: str) -> None:
        assert kind in KINDS_OF_FILE, f"kinds.json lacks {kind}: run python -m agent.cli.kinds_file"

    def test_has_a_title_in_every_language(self, kind: str) -> None:
        title = probes.load(kind).title
        for language in set(LANGUAGES) - {SOURCE}:
            catalogue = LOCALE / language / "LC_MESSAGES" / f"{MESSAGES}.mo"
            assert f"kind{title}" in dict(entries(catalogue)), (
                f"the catalogue {language} lacks {kind}'s title {title!r}: run scripts/words and translate it"
            )

    def test_says_what_each_parameter_means(self, kind: str) -> None:
        params = kinds_file.describe(probes.load(kind))["params"]
        assert "$ref" not in json.dumps(params)
        for name, schema in params["properties"].items():
            assert schema.get("description"), f"{kind}.{name} has no description"
            assert name not in KEYS_OF_A_CHECK, f"{kind}.{name} hides a key of the check"
            assert name not in DECLARED, f"{kind}.{name} hides what the class declares"
            assert name in params.get("required", ()) or "default" in schema, f"{kind}.{name} has no default"
        assert params["additionalProperties"] is False

    def test_names_its_target_among_its_parameters(self, kind: str) -> None:
        entry = kinds_file.describe(probes.load(kind))
        assert entry["target"] or entry["looks_at"] == "machine"
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
        assert (ROOT / "tests" / "agent" / "probes" / f"test_{kind}.py").exists(), (
            f"write tests/agent/probes/test_{kind}.py: it runs the kind against what it looks at"
        )

    def test_its_example_is_a_check_that_can_be_made(self, kind: str) -> None:
        """By the kind itself and by the inventory, as a person would write it."""
        written = probes.load(kind).example
        made = probes.build(kind, example(kind))
        assert made == probes.build(kind, example(kind))
        assert made.endpoints() or made.looks_at not in ("address", "network"), (
            f"{kind}: endpoints() says nothing: an agent's own limits judge a check by them"
        )
        source = Source(f"{kind}.yaml", [])
        node = parse(written, source.file, source.problems)
        assert isinstance(node, MappingNode)
        KINDS_OF_FILE[kind].read(node.items, node.line, "params", node.lines, source)
        assert not source.problems

    def test_makes_something_of_its_targets_alone(self, kind: str) -> None:
        """Missing and unknown parameters are refused in words."""
        if KINDS_OF_FILE[kind].required:
            with pytest.raises(probes.BadProbe, match=f"^{kind}: the parameter .+ is missing$"):
                probes.build(kind, {})
        with pytest.raises(probes.BadProbe, match=f"^{kind}: there is no parameter no_such$"):
            probes.build(kind, {**example(kind), "no_such": 1})

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
        foreign = top - sys.stdlib_module_names - set(PACKAGES) - set(probes.load(kind).libraries)
        assert not foreign, f"loading {kind} imports {sorted(foreign)}: import them where they are used, or name them"


def example(kind: str) -> dict[str, Any]:
    """The parameters of the kind's own example."""
    params: dict[str, Any] = yaml.safe_load(probes.load(kind).example)
    return params


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


def test_a_measure_in_a_unit_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"^the measure pressure is in 'bar'; units are: bytes, .*volts$"):
        Measure("pressure", "bar", "Pressure of the air")


def test_a_kind_that_is_not_there() -> None:
    with pytest.raises(probes.BadProbe, match=r"there is no kind of probe 'smoke'; this agent knows .*dns, "):
        probes.build("smoke", {})
    for escape in ("../agent", "__init__", "", "icmp.", "os"):
        with pytest.raises(probes.BadProbe):
            probes.load(escape)


# what a probe may import of the agent
CLIENTS = ("agent.probe", "agent.failure", "agent.first_steps", "agent.clients", "agent.backup", "agent.jobs")


def test_probes_never_import_each_other() -> None:
    for path in (ROOT / "agent" / "probes").glob("*.py"):
        if path.stem == "__init__":
            continue
        for name in _imports(path):
            assert not name.startswith("agent.probes"), f"{path.name} imports {name}"
            allowed = name.startswith(CLIENTS)
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


def test_a_shelf_has_a_handful_of_modules() -> None:
    shelves = Counter(str(path.parent.relative_to(ROOT)) for path in modules() if path.stem != "__init__")
    del shelves["agent/probes"]
    assert {shelf: size for shelf, size in shelves.items() if size > WIDEST} == {}


# rooms whose modules are found by being there and know nothing of each other
FOUND_BY_BEING_THERE = {"agent/probes", "agent/clients/ups/mibs", "collector/web/pages", "deploy/grafana/boards"}


def test_every_room_has_its_order_in_the_contract() -> None:
    """So a new module, in whatever room, is refused by scripts/lint until somebody says where it belongs."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    ordered = {name.replace(".", "/") for one in contracts if one.get("exhaustive") for name in one["containers"]}
    folders = [init.parent for package in (*PACKAGES, "deploy") for init in (ROOT / package).rglob("__init__.py")]
    rooms = {
        str(folder.relative_to(ROOT))
        for folder in folders
        if sum(path.stem != "__init__" and (path.suffix == ".py" or path in folders) for path in folder.iterdir()) > 1
    }
    assert rooms - ordered == FOUND_BY_BEING_THERE


def _lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in modules()
        if path.read_text("utf-8").strip() and not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert not silent
