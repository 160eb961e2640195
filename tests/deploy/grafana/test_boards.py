"""The boards as they are checked in: as the source says, by Grafana's types, by the rules of its dashboard linter."""

import json
import re
import shutil
import subprocess
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana import make, render, words
from deploy.grafana.boards import BOARDS
from deploy.grafana.promql import scoped
from deploy.grafana.spec import DashboardSpec, PanelSpec
from deploy.reference.metrics import sections
from inventory.base.types import Text
from inventory.protocol.causes import CAUSES
from tests.support.grafana import Json, panels_of
from tests.support.paths import ROOT

register_default_plugins()
RULES = ROOT / "deploy" / "prometheus" / "haidang.boards.rules.yml"
BOARDS_JSON = {path: json.loads(path.read_text("utf-8")) for path in sorted(make.DASHBOARDS.rglob("*.json"))}
IDS = [f"{path.parent.name}/{path.stem}" for path in BOARDS_JSON]
every_board = pytest.mark.parametrize("board", BOARDS_JSON.values(), ids=IDS)
RECORDED = {rule["record"] for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]}
DECLARED = {family.name: family for section in sections() for family in section.families}


def test_what_is_checked_in_is_what_the_source_says() -> None:
    assert make.stale() == []
    assert len(BOARDS_JSON) == 2 * len(BOARDS) == 14


def test_the_source_gives_the_same_text_every_time() -> None:
    assert make.files() == make.files()


# -- by Grafana's published types (the SDK's are made from them)


@every_board
def test_a_board_is_what_grafana_takes(board: Json) -> None:
    """Nothing of it is unknown to Grafana's schema, and every value is of the type that is asked for."""
    board = json.loads(json.dumps(board))
    for annotation in board["annotations"]["list"]:  # the Prometheus plugin's own
        assert all(annotation.pop(key) for key in ("titleFormat", "textFormat", "tagKeys", "step"))
    read = models.Dashboard.from_json(board)
    assert json.loads(json.dumps(read, cls=JSONEncoder)) == board
    assert list(mistyped(read, "board")) == []


def mistyped(value: Any, where: str) -> Iterator[str]:
    """Fields whose values are not of their declared types, at any depth."""
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield from mistyped(one, f"{where}[{number}]")
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from mistyped(one, f"{where}.{key}")
    elif hasattr(value, "to_json"):
        for name, kind in typing.get_type_hints(type(value)).items():
            held = getattr(value, name)
            if not fits(held, kind):
                yield f"{where}.{name}: {held!r} is no {kind}"
            yield from mistyped(held, f"{where}.{name}")


def fits(value: Any, kind: Any) -> bool:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in (object, typing.Any) or isinstance(kind, typing.TypeVar):
        return True
    if origin is typing.Union:
        return any(fits(value, one) for one in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin is list:
        return isinstance(value, list) and all(fits(one, arguments[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(one, arguments[1]) for one in value.values())
    if kind is type(None):
        return value is None
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return value in {one.value for one in kind}
    if isinstance(value, dict) and hasattr(kind, "from_json"):  # the SDK leaves some as they came
        read = kind.from_json(value)
        return json.loads(json.dumps(read, cls=JSONEncoder)) == value and not list(mistyped(read, ""))
    if isinstance(kind, type):
        return isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    return True


def test_the_type_check_finds_what_it_is_for() -> None:
    board = json.loads(json.dumps(next(iter(BOARDS_JSON.values()))))
    board["panels"][1]["gridPos"]["w"] = "wide"
    assert list(mistyped(models.Dashboard.from_json(board), "board"))
    board = json.loads(json.dumps(next(iter(BOARDS_JSON.values()))))
    board["panels"][1]["descripton"] = "misspelt"
    assert json.loads(json.dumps(models.Dashboard.from_json(board), cls=JSONEncoder)) != board


# -- the rules of Grafana's dashboard linter


@every_board
def test_rules_about_the_board(board: Json) -> None:
    assert board["editable"] is False  # uneditable-dashboard
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert next(iter(variables)) == "datasource"
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    for name in ("job", "instance"):  # template-job-rule, template-instance-rule
        assert variables[name]["type"] == "query" and variables[name]["multi"] and variables[name]["allValue"] == ".+"
    for variable in variables.values():
        assert variable["label"] and variable["description"], variable["name"]
        if variable["type"] == "query":
            assert variable["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert variable["refresh"] == 2  # template-on-time-change-reload-rule
    assert board["title"] and board["description"] and board["uid"] and board["tags"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


@every_board
def test_rules_about_panels(board: Json) -> None:
    for panel in panels_of(board):
        title = panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, title
        assert title and len(panel["description"]) > 20, title  # panel-title-description-rule
        assert panel["targets"], title  # panel-no-targets-rule
        assert panel["fieldConfig"]["defaults"]["unit"], title  # panel-units-rule
        assert panel["fieldConfig"]["defaults"]["noValue"], title
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs), title


@every_board
def test_rules_about_queries(board: Json) -> None:
    for panel in panels_of(board):
        for target in panel["targets"]:
            expr = target["expr"]
            for name, matchers in re.findall(r"\b((?:haidang_|\w+:haidang_)[\w:]*)\{([^}]*)\}", expr):
                assert matchers.endswith('job=~"$job",instance=~"$instance"'), (panel["title"], expr)
                assert name in RECORDED or base_name(name) in DECLARED, (panel["title"], name)
            # target-rate-interval-rule, but for sums over all of the range that is shown
            for window in re.findall(r"\[([^\]]*)\]", expr):
                assert window in ("$__rate_interval", "$__range"), (panel["title"], expr)
            # target-counter-agg-rule: counters stand in rates, but where a total is what is asked for
            for function, _ in re.findall(r"(\w+)\((haidang_\w+_total)\{", expr):
                assert function in ("rate", "increase") or panel["type"] == "timeseries", (panel["title"], expr)


def base_name(name: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", name) if name not in DECLARED else name


@every_board
def test_nothing_lies_on_anything_else(board: Json) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        position = panel["gridPos"]
        assert position["x"] + position["w"] <= 24, panel["title"]
        for x in range(position["x"], position["x"] + position["w"]):
            for y in range(position["y"], position["y"] + position["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"], (x, y)


# -- two languages, states, links


@pytest.mark.parametrize("spec", BOARDS, ids=lambda spec: spec.slug)
def test_both_languages_say_all_and_ask_the_same(spec: DashboardSpec) -> None:
    for text in texts(spec):
        assert text.vi and text.en, text
    vi, en = (BOARDS_JSON[make.DASHBOARDS / language / f"{spec.slug}.json"] for language in ("vi", "en"))
    for there, here in zip(panels_of(vi), panels_of(en), strict=True):
        assert there["gridPos"] == here["gridPos"]
        asked = [re.sub(r"\bname\b", "name_en", target["expr"]) for target in there["targets"]]
        assert asked == [target["expr"] for target in here["targets"]]
        assert there["description"] != here["description"]


def texts(value: Any) -> Iterator[Text]:
    if isinstance(value, Text):
        if value != Text("", ""):
            yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, dict):
        yield from texts(tuple(value.values()))
    elif hasattr(value, "__struct_fields__"):
        yield from texts(tuple(getattr(value, name) for name in value.__struct_fields__))


def test_a_state_is_always_shape_word_and_colour() -> None:
    shapes = {"up": "●", "degraded": "▲", "down": "■", "unknown": "○", "excluded": "◇"}
    for name, mapped in words.STATE_NAMES.items():
        for language in ("vi", "en"):
            shape, _, word = mapped.words.in_(language).partition(" ")
            assert (shape, bool(word), bool(mapped.color)) == (shapes[name], True, True)
    assert {cause.replace(" ", "_") for cause in CAUSES} == words.CAUSES.keys()
    for table in (words.VERDICTS, words.SOURCES, words.INCIDENT_STATES, words.SEVERITIES):
        assert len({mapped.words.vi for mapped in table.values()}) == len(table)
        assert all(mapped.words.vi[0] in "●▲■○◇" for mapped in table.values())


def test_the_state_colours_can_be_read_on_white_and_as_ground_of_white_words() -> None:
    def luminance(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for mapped in words.STATES.values():
        assert 1.05 / (luminance(mapped.color) + 0.05) >= 4.5, mapped


@pytest.mark.parametrize("language", ["vi", "en"])
def test_every_link_leads_to_a_board_of_the_same_language_and_keeps_the_time(language: str) -> None:
    boards = {board["uid"]: board for path, board in BOARDS_JSON.items() if path.parent.name == language}
    for board in boards.values():
        links = board["links"]
        assert {link["url"].removeprefix("/d/") for link in links} == boards.keys()
        assert all(link["includeVars"] and link["keepTime"] for link in links)
        text = json.dumps(board, ensure_ascii=False)
        for uid, variable, field in re.findall(
            r'/d/([\w-]+)\?var-(\w+)=\$\{__data\.fields\[\\\\\\"(.*?)\\\\\\"\]\}', text
        ):
            assert variable in {one["name"] for one in boards[uid]["templating"]["list"]}, (uid, variable)
            assert field in text
        assert text.count("/d/haidang") == len(links) + text.count("__url_time_range")


def test_folders_and_datasource_are_provisioned_as_the_boards_expect() -> None:
    folder = ROOT / "deploy" / "grafana" / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "haidang.yaml").read_text("utf-8"))["datasources"]
    assert [(one["type"], one["jsonData"]["timeInterval"]) for one in sources] == [("prometheus", "30s")]
    providers = yaml.safe_load((folder / "dashboards" / "haidang.yaml").read_text("utf-8"))["providers"]
    assert {Path(one["options"]["path"]).name for one in providers} == {"vi", "en"}
    assert len({one["folderUid"] for one in providers}) == 2


@every_board
def test_incidents_and_exclusions_are_annotations_of_prometheus_alone(board: Json) -> None:
    asked = {one["expr"].partition("{")[0] for one in board["annotations"]["list"]}
    assert asked == {"haidang_incident_info", "haidang_exclusion_info"}
    assert all(one["enable"] and one["datasource"]["type"] == "prometheus" for one in board["annotations"]["list"])


# -- PromQL, by Prometheus' own parser


@pytest.mark.real
def test_promtool_reads_every_query_and_the_recording_rules(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    rules = [
        {"record": "a:b", "labels": {"n": f"{number} {panel['title']}"}, "expr": filled(target["expr"])}
        for number, board in enumerate(BOARDS_JSON.values())
        for panel in panels_of(board)
        for target in panel["targets"]
    ]
    rules += [
        {"record": "a:c", "labels": {"n": f"{number} {variable['name']}"}, "expr": filled(found[1])}
        for number, board in enumerate(BOARDS_JSON.values())
        for variable in board["templating"]["list"]
        if variable["type"] == "query"
        and (found := re.fullmatch(r"\w+\((.*?)(?:, \w+)?\)", variable["query"]["query"]))
    ]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "boards", "rules": rules}]}))
    for one in (file, RULES):
        told = subprocess.run(["promtool", "check", "rules", str(one)], capture_output=True, text=True)
        assert told.returncode == 0, told.stdout + told.stderr
    assert len(rules) > 200


def filled(expr: str) -> str:
    expr = expr.replace("$__rate_interval", "2m").replace("$__range", "1d")
    return re.sub(r"\$\w+", "x", expr)


@pytest.mark.real
def test_recording_rules_give_what_they_promise() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    told = subprocess.run(
        ["promtool", "test", "rules", str(Path(__file__).parent / "boards_rules.yml")], capture_output=True, text=True
    )
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_recorded_series_is_asked_for_by_some_board_and_keeps_whose_it_is() -> None:
    asked = " ".join(
        target["expr"] for board in BOARDS_JSON.values() for panel in panels_of(board) for target in panel["targets"]
    )
    assert {name for name in RECORDED if name not in asked} == set()
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        for by in re.findall(r"\b(?:by|on) \(([^)]*)\)", rule["expr"]):
            assert by.startswith("job, instance"), rule["record"]


def test_the_scope_is_put_into_every_selector_and_nowhere_else() -> None:
    assert scoped("sum by (job) (haidang_x) / up") == (
        'sum by (job) (haidang_x{job=~"$job",instance=~"$instance"}) / up{job=~"$job",instance=~"$instance"}'
    )
    assert scoped('a:haidang_y:b{c="d"}') == 'a:haidang_y:b{c="d",job=~"$job",instance=~"$instance"}'
    assert scoped("vector(0)") == "vector(0)"


def test_a_panel_that_may_be_empty_says_why_and_what_it_says_then() -> None:
    panels: list[PanelSpec] = [panel for spec in BOARDS for panel in spec.panels()]
    default = PanelSpec.__struct_defaults__
    assert default
    for panel in panels:
        if panel.may_be_empty:
            assert panel.empty.vi and panel.empty.en
    assert render.LANGUAGES == ("vi", "en")
