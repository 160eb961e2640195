"""Every query of every board against a real Prometheus that scrapes a real collector with a busy province."""

import asyncio
import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.grafana.boards import BOARDS
from deploy.grafana.make import DASHBOARDS
from tests.boards.page import page
from tests.support.grafana import GrafanaQueries, VariableChoice
from tests.support.prometheus import require_prometheus
from tests.support.watched_province import watched_province

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
BUDGET = 1.0  # seconds that a board's queries may take in all
# what the boards about one thing are asked about: between them everything has something to say
CHOICES: dict[str, tuple[dict[str, str], ...]] = {
    "agency": ({"agency": "so-thong-tin-truyen-thong"}, {"agency": "ke-sach"}, {"agency": "vinh-chau"}),
    "goals": ({"window": "month"}, {"window": "rolling-30d"}),
}
Json = dict[str, Any]


class AskedBoard(msgspec.Struct):
    """What one board got, over all choices."""

    variables: dict[str, VariableChoice]
    results: dict[tuple[int, str], list[Json]]  # by panel's id and query
    annotations: list[tuple[str, list[Json]]]
    seconds: list[float]  # of each choice
    drawn: str = ""  # as scripts/boards draws it


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, AskedBoard]]:
    require_prometheus()
    yield asyncio.run(ask_all(tmp_path_factory.mktemp("province")))


async def ask_all(folder: Path) -> dict[str, AskedBoard]:
    async with watched_province(folder) as (_, prometheus):
        found = {}
        for language in ("vi", "en"):
            for spec in BOARDS:
                board = json.loads((DASHBOARDS / language / f"{spec.slug}.json").read_text("utf-8"))
                one = AskedBoard({}, {}, [], [])
                for chosen in CHOICES.get(spec.slug, ({},)):
                    queries = GrafanaQueries(board, prometheus, chosen=chosen)
                    await queries.resolve()
                    answers = await queries.answers()
                    one.variables |= queries.variables
                    for answer in answers:
                        one.results.setdefault((answer.panel["id"], answer.ref), []).extend(answer.result)
                    one.annotations += await queries.annotations()
                    one.drawn = page(queries, answers, one.annotations)
                    one.seconds.append(sum(answer.seconds for answer in answers))
                found[f"{language}/{spec.slug}"] = one
        return found


BOARD_NAMES = [f"{language}/{spec.slug}" for language in ("vi", "en") for spec in BOARDS]
every_board = pytest.mark.parametrize("name", BOARD_NAMES)
SPECS = {spec.slug: spec for spec in BOARDS}


@every_board
def test_every_query_of_every_panel_gives_series_or_says_why_not(asked: dict[str, AskedBoard], name: str) -> None:
    panels = SPECS[name.partition("/")[2]].panels()
    silent = []
    for (number, ref), result in asked[name].results.items():
        panel = panels[number - 1]
        if not result and not panel.may_be_empty and "quarantined" not in panel.queries["ABCDEFGH".index(ref)].expr:
            silent.append((panel.title.en, ref))
    assert silent == []


def test_nearly_nothing_is_empty_in_a_busy_province(asked: dict[str, AskedBoard]) -> None:
    """What may be empty is not empty here, but for a few that say what else has to happen."""
    empty = {
        (name.partition("/")[2], SPECS[name.partition("/")[2]].panels()[number - 1].title.en)
        for name, one in asked.items()
        for (number, _), result in one.results.items()
        if not result
    }
    assert empty <= {
        ("monitoring", "Results that could not be used"),  # agents in quarantine, of a part of its own
        ("monitoring", "Agents with the longest backlog"),  # agents say nothing of it while they are cut off
    }


@every_board
def test_every_variable_has_values_with_names(asked: dict[str, AskedBoard], name: str) -> None:
    for variable, choice in asked[name].variables.items():
        assert choice.options, variable
        assert all(text for _, text in choice.options), variable
    if name.endswith("agency"):
        names = dict(asked[name].variables["agency"].options)
        assert len(names) >= 40
        assert names["ke-sach"] == {
            "vi": "Văn phòng HĐND & UBND huyện Kế Sách",
            "en": "Office of the People's Council and People's Committee, Kế Sách District",
        }[name[:2]]  # fmt: skip
        assert len(asked[name].variables["district"].options) == 7


@every_board
def test_incidents_and_exclusions_are_annotated(asked: dict[str, AskedBoard], name: str) -> None:
    assert all(result for _, result in asked[name].annotations)


def test_what_is_told_is_what_happened(asked: dict[str, AskedBoard]) -> None:
    """The story's ends, as the province's board shows them."""
    spec = SPECS["province"]
    titles = [panel.title.en for panel in spec.panels()]
    results = asked["en/province"].results

    def result(title: str, ref: str = "A") -> list[Json]:
        return results[titles.index(title) + 1, ref]

    values = [float(one["value"][1]) for one in results[titles.index("Agents") + 1, "C"]]
    assert values == [1]  # never enrolled
    table = max((found for (number, _), found in results.items() if titles[number - 1] == "Open incidents"), key=len)
    incidents = {(one["metric"].get("agency"), one["metric"].get("cause")) for one in table}
    assert incidents >= {
        ("vinh-chau", "wan"), ("so-noi-vu", "agent"), ("so-thong-tin-truyen-thong", "power"),
        ("so-cong-thuong", "service"),
    }  # fmt: skip
    assert {one["metric"]["agent"] for one in result("Silent agents")} >= {"so-noi-vu", "vinh-chau"}
    assert [one["metric"]["reason"] for one in result("Exclusions in force")] == ["Thay bộ định tuyến"]


@every_board
def test_a_board_can_be_drawn_for_somebody_to_look_at(asked: dict[str, AskedBoard], name: str) -> None:
    language, _, slug = name.partition("/")
    drawn = asked[name].drawn
    panels = SPECS[slug].panels()
    assert drawn.count("<section") == len(panels)
    for panel in panels:
        assert html.escape(panel.title.in_(language)) in drawn


@pytest.mark.alone
@every_board
def test_a_board_costs_little(asked: dict[str, AskedBoard], name: str) -> None:
    assert max(asked[name].seconds) < BUDGET
