"""haidang-inventory, its exit codes, the schema for editors, and the import of registers."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from inventory.assembly.load import TEMPLATES, load
from inventory.base.problems import Invalid, Problem
from inventory.cli import json_schema, register
from inventory.cli.main import main
from inventory.protocol import kinds
from inventory.protocol.plan import decode
from inventory.yaml import nodes

INVENTORY = """
province: {id: p, name: P}
agencies:
  so-y-te:
    name: {vi: Sở Y tế, en: Department of Health}
    checks:
      c: {kind: icmp, params: {host: 192.0.2.1}, interval: 30s}
goals:
  g: {name: {vi: Mục tiêu, en: Goal}, select: {kinds: [icmp]}, objective: 99.5%}
  later: {name: Later, objective: 99%, lacks: [{vi: số đo, en: readings of the UPS}]}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "inventory"
    made.mkdir()
    (made / "all.yaml").write_text(INVENTORY, "utf-8")
    return made


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    try:
        code = main([str(word) for word in words])
    except SystemExit as end:
        assert isinstance(end.code, int)
        code = end.code
    out, err = capsys.readouterr()
    return code, out, err


def test_check(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "check", directory)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"{directory}: fine. 1 agency, 1 site, 0 links, 1 agent, 1 check, 2 goals",
        "  later cannot be judged yet; it lacks readings of the UPS",
        "  nobody is told of anything: there are no contacts",
    ]
    (directory / "bad.yaml").write_text("agencies: {x: {nam: X}}\ngoal: {}\n", "utf-8")
    code, out, err = run(capsys, "check", directory)
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        f"{directory}/bad.yaml:1: agencies.x: needs the key name",
        f"{directory}/bad.yaml:1: agencies.x.nam: is not a key known here; did you mean name?",
        f"{directory}/bad.yaml:2: goal: is not a key known here; did you mean goals?",
        f"{directory}: 3 mistakes",
    ]
    assert run(capsys, "plan", directory, "so-y-te")[0] == 1


def test_warnings_are_no_mistakes(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "odd.yaml").write_text("goals: {o: {name: O, objective: 99%, select: {tags: [x]}}}\n", "utf-8")
    code, out, err = run(capsys, "check", directory)
    assert code == 0 and "fine" in out
    said = "warning: goals.o.select: selects no check, and the goal does not say what it lacks"
    assert err == f"{directory}/odd.yaml:1: {said}\n"


def test_the_directory_may_be_named_by_a_config_file(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = directory.parent / "collector.yaml"
    config.write_text("state_dir: /nowhere\ninventory: inventory\n", "utf-8")
    assert run(capsys, "check", "--config", config)[0] == 0
    code, out, _ = run(capsys, "show", "so-y-te", "--config", config)
    assert code == 0 and "Sở Y tế / Department of Health" in out
    assert run(capsys, "plan", "so-y-te", "--config", config)[0] == 0
    config.write_text("state_dir: /nowhere\n", "utf-8")
    code, _, err = run(capsys, "check", "--config", config)
    assert (code, err) == (1, f"{config}: inventory: does not name the inventory's directory\n")


def test_show(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "show", directory)
    assert code == 0 and "so-y-te" in out and "0.995" in out
    code, out, _ = run(capsys, "show", directory, "g")
    uid = next(iter(load(directory).checks))
    assert code == 0 and uid in out
    assert run(capsys, "show", directory, uid)[1].splitlines()[0] == f"check{' ' * 7}{uid}"
    power = directory / "power.yaml"
    power.write_text("agencies: {den: {name: H, site: {fed_by: [u], devices: {u: {kind: ups}, s: {kind: server}}}}}")
    out = run(capsys, "show", directory, "den-u")[1]
    assert [line.split() for line in out.splitlines()[-3:]] == [
        ["feeds", "kind", "address", "name"],
        ["den", "site", "H"],
        ["den-s", "server", "s"],
    ]
    assert "fed_by  den-u" in run(capsys, "show", directory, "den-s")[1]
    power.unlink()
    code, out, err = run(capsys, "show", directory, "nothing")
    assert (code, out, err) == (1, "", "nothing in the inventory is called nothing\n")


def test_plan(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "plan", directory, "so-y-te")
    assert code == 0 and "host=192.0.2.1" in out
    code, out, _ = run(capsys, "plan", directory, "so-y-te", "--json")
    assert code == 0 and decode(out.encode()).checks[0].name == "c"
    code, _, err = run(capsys, "plan", directory, "nobody")
    assert (code, err) == (1, "there is no agent nobody; there are: so-y-te\n")


def test_diff(directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "all.yaml").write_text(INVENTORY.replace("30s", "20s"), "utf-8")
    assert run(capsys, "diff", directory, directory)[:2] == (0, "No agent's plan changes.\n")
    code, out, _ = run(capsys, "diff", directory, other)
    assert code == 0 and "so-y-te: c: changed: interval 30s -> 20s" in out


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["sing"],
        ["plan"],
        ["show", "a", "b", "c"],
        ["plan", "a", "b", "c"],
        ["diff", "a"],
        ["plan", "d", "a", "--on", "x"],
    ],
)
def test_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "") and err.startswith("usage: haidang-inventory")


def test_a_reader_that_has_enough_is_no_error(directory: Path) -> None:
    command = f"{sys.executable} -m inventory.cli.main schema | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, cwd=TEMPLATES.parents[1]
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "{\n", "")


# --- the schema -------------------------------------------------------------------------------------------------


def plain(node: nodes.Node | None) -> Any:
    """A tree as an editor's YAML 1.2 reader sees it."""
    if isinstance(node, nodes.MappingNode):
        return {key: plain(value) for key, value in node.items.items()}
    if isinstance(node, nodes.ListNode):
        return [plain(value) for value in node.items]
    assert node is not None
    if node.plain and node.text in ("true", "false"):
        return node.text == "true"
    if node.plain and re.fullmatch(r"-?(0|[1-9]\d*)", node.text):
        return int(node.text)
    if node.plain and re.fullmatch(r"-?\d+\.\d+", node.text):
        return float(node.text)
    return node.text


TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
}


def wrong(value: Any, rule: dict[str, Any], root: dict[str, Any], path: str = "") -> list[str]:
    """What a JSON Schema validator would say, for the keywords that our schema uses."""
    if "$ref" in rule:
        return wrong(value, root["$defs"][rule["$ref"].rpartition("/")[2]], root, path)
    found: list[str] = []
    types = rule.get("type", [])
    wanted = [types] if isinstance(types, str) else types
    if wanted and not any(
        isinstance(value, TYPES[t]) and (t == "boolean" or (value is not True and value is not False)) for t in wanted
    ):
        return [f"{path}: {value!r} is not {types}"]
    if "enum" in rule and value not in rule["enum"]:
        found.append(f"{path}: {value!r} is none of {rule['enum']}")
    if "const" in rule and value != rule["const"]:
        found.append(f"{path}: is not {rule['const']}")
    if "anyOf" in rule and all(wrong(value, option, root) for option in rule["anyOf"]):
        found.append(f"{path}: {value!r} fits no option")
    for part in rule.get("allOf", []):
        if not wrong(value, part["if"], root):
            found += wrong(value, part["then"], root, path)
    if isinstance(value, str) and "pattern" in rule and not re.search(rule["pattern"], value):
        found.append(f"{path}: {value!r} is not {rule['pattern']}")
    if isinstance(value, list) and "items" in rule:
        for index, item in enumerate(value):
            found += wrong(item, rule["items"], root, f"{path}[{index}]")
    if isinstance(value, dict):
        found += [f"{path}: lacks {name}" for name in rule.get("required", []) if name not in value]
        for name, item in value.items():
            if "propertyNames" in rule:
                found += wrong(name, rule["propertyNames"], root, f"{path}.{name}")
            inner = rule.get("properties", {}).get(name, rule.get("additionalProperties", {}))
            found += [f"{path}: unknown {name}"] if inner is False else wrong(item, inner, root, f"{path}.{name}")
    return found


def judged(text: str) -> list[str]:
    problems: list[Problem] = []
    made = json_schema.schema(kinds.load())
    found = wrong(plain(nodes.parse(text, "file", problems)), made, made)
    assert problems == []
    return found


@pytest.mark.parametrize(
    "file", sorted([*TEMPLATES.glob("*.yaml"), *(TEMPLATES.parent / "examples").rglob("*.yaml")]), ids=lambda f: f.name
)
def test_the_schema_takes_every_file_we_ship(file: Path) -> None:
    assert judged(file.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agencie: {}", ": unknown agencie"),
        ("agencies: {Sở: {name: X}}", ".agencies.Sở: 'Sở' is not"),
        ("agencies: {a: {kind: x}}", ".agencies.a: lacks name"),
        ("agencies: {a: {name: X, checks: {c: {kind: ping}}}}", ".kind: 'ping' is none of ['"),
        ("agencies: {a: {name: X, checks: {c: {kind: tcp, params: {prot: 1}}}}}", "unknown prot"),
        ("agencies: {a: {name: X, checks: {c: {kind: tcp, params: {port: x}}}}}", "'x' fits no option"),
        ("goals: {g: {name: G, combine: most}}", "'most' is none of"),
    ],
)
def test_the_schema_finds_what_is_wrong(text: str, message: str) -> None:
    assert any(message in said for said in judged(text)), judged(text)


def test_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "schema")
    assert code == 0 and json.loads(out)["$defs"]["Check"]["properties"]["kind"]["enum"] == sorted(kinds.load())


# --- registers --------------------------------------------------------------------------------------------------


def test_import_of_a_register(directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "register.csv"
    sheet.write_bytes(
        '\ufeffno,unit,staff,pcs,pcs_internet,pcs_lan,note\r\n19,SỞ Y TẾ,38,35,20,0,"a, b"\r\n\r\n'.encode()
    )
    code, out, err = run(capsys, "import", sheet, "--dir", directory)
    assert (code, err) == (0, "")
    assert out == "registers:\n  so-y-te: {staff: 38, pcs: 35, on_internet: 20, on_lan: 0}\n"
    (directory / "registers.yaml").write_text(out, "utf-8")
    assert load(directory).agencies["so-y-te"].register.pcs == 35
    assert run(capsys, "import", sheet)[1] == out


COLUMNS = (
    "the first line ought to name the columns: one of agency, unit, id and any of staff, pcs, pcs_internet, pcs_lan"
)


@pytest.mark.parametrize(
    ("sheet", "expected"),
    [
        (
            "",
            [f"1: {COLUMNS}"],
        ),
        (
            "unit,colour\nSở Y tế,red\n",
            [f"1: {COLUMNS}"],
        ),
        (
            "unit,pcs\nSở Y tế,many\nSở Ytế,-3\n",
            [
                "2: pcs: 'many' is not a whole number",
                "3: pcs: '-3' is not a whole number",
                "3: unit: no agency is called 'Sở Ytế'",
            ],
        ),
        ("unit,pcs\nSở Y tế\n", ["2: has 1 cells, the first line has 2"]),
        ("unit,pcs\nSở Y tế,1\nso-y-te,2\n", ["3: unit: so-y-te was on line 2 already"]),
        ('unit,pcs\n"Sở Y tế,1\n', ["2: is not CSV here: unexpected end of data"]),
    ],
)
def test_mistakes_in_a_register(directory: Path, tmp_path: Path, sheet: str, expected: list[str]) -> None:
    file = tmp_path / "r.csv"
    file.write_text(sheet, "utf-8")
    with pytest.raises(Invalid) as caught:
        register.read_csv(file, load(directory).agencies)
    assert [str(problem) for problem in caught.value.problems] == [f"{file}:{line}" for line in expected]


def test_a_register_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read: No such file"):
        register.read_csv(tmp_path / "gone.csv")
    (tmp_path / "latin.csv").write_bytes("unit,pcs\nSở,1\n".encode("utf-16"))
    with pytest.raises(Invalid, match="is not UTF-8 text; save it as CSV UTF-8"):
        register.read_csv(tmp_path / "latin.csv")


@pytest.mark.parametrize(
    ("name", "ident"),
    [
        ("Sở Y tế", "so-y-te"),
        ("Ủy ban nhân dân huyện Đất Đỏ", "uy-ban-nhan-dan-huyen-dat-do"),
        ("Sở Lao động - Thương binh & Xã hội", "so-lao-dong-thuong-binh-xa-hoi"),
    ],
)
def test_ids_from_vietnamese_names(name: str, ident: str) -> None:
    assert register.slug(name) == ident


def test_names_as_people_mean_them() -> None:
    assert register.normalized_name("Sở Lao động - Thương binh & Xã hội") == register.normalized_name(
        "sở lao động – thương binh và xã  hội"
    )
