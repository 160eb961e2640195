"""Asks Prometheus what a board asks, as Grafana does: variables resolved and put in, a step for each panel."""

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from tests.support.prometheus import Prometheus

Json = dict[str, Any]
UNITS: Final = {"m": 60, "h": 3_600, "d": 86_400}
PIXELS: Final = 58  # of a column, on a screen of 1,400
SCRAPE_INTERVAL: Final = 30  # seconds, as provisioned


class VariableChoice(msgspec.Struct):
    """A variable as it stands: what its options are, and what is put into queries."""

    options: list[tuple[str, str]]  # value, text
    put_in: str
    text: str


class PanelAnswer(msgspec.Struct):
    """What one query of a panel gave."""

    panel: Json
    ref: str
    expr: str
    result: list[Json]
    seconds: float


def seconds_of(length: str) -> float:
    return float(length[:-1]) * UNITS[length[-1]]


def panels_of(board: Json) -> Iterator[Json]:
    for panel in board["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", [])


class GrafanaQueries:
    """One board over one range; ``chosen``: values of variables, else all of them or the first."""

    def __init__(
        self,
        board: Json,
        prometheus: Prometheus,
        *,
        chosen: Mapping[str, str] | None = None,
        scrape_interval: int = SCRAPE_INTERVAL,
    ) -> None:
        self.board = board
        self.end = time.time()
        self.scrape_interval = scrape_interval  # seconds
        self.span = seconds_of(board["time"]["from"].removeprefix("now-"))
        self.variables: dict[str, VariableChoice] = {}
        self._prometheus = prometheus
        self._chosen = chosen or {}

    async def resolve(self) -> None:
        for variable in self.board["templating"]["list"]:
            if variable["type"] == "query":
                self.variables[variable["name"]] = await self._choice(variable)

    async def _choice(self, variable: Json) -> VariableChoice:
        query = self.put_in(variable["query"]["query"])
        if found := re.fullmatch(r"label_values\((.*), (\w+)\)", query):
            result = await self._prometheus.query(f"group by ({found[2]}) ({found[1]})")
            options = [
                (one["metric"][found[2]], one["metric"][found[2]]) for one in result if found[2] in one["metric"]
            ]
        else:
            found = re.fullmatch(r"query_result\((.*)\)", query)
            assert found is not None, query
            pattern = re.compile(variable["regex"].strip("/").replace("(?<", "(?P<"))
            options = []
            for one in await self._prometheus.query(found[1]):
                name = one["metric"].pop("__name__", "")
                pairs = ",".join(f'{key}="{value}"' for key, value in sorted(one["metric"].items()))
                match = pattern.search(f"{name}{{{pairs}}} {one['value'][1]} {one['value'][0] * 1000}")
                if match is not None:
                    options.append((match["value"], match["text"]))
        options.sort(key=lambda option: option[1])
        if variable["name"] in self._chosen:
            value = self._chosen[variable["name"]]
            return VariableChoice(options, value, dict(options).get(value, value))
        if variable.get("includeAll"):
            return VariableChoice(options, variable["allValue"], "All")
        return VariableChoice(options, *(options[0] if options else ("", "")))

    def put_in(self, text: str, step: float = 60) -> str:
        rate = max(4 * self.scrape_interval, step + self.scrape_interval)
        built_in = {"__rate_interval": f"{rate:.0f}s", "__range": f"{self.span:.0f}s", "__interval": f"{step:.0f}s"}
        for name, value in (*built_in.items(), *((name, one.put_in) for name, one in self.variables.items())):
            text = re.sub(rf"\$\{{{name}\}}|\${name}\b", lambda _, value=value: value, text)
        return text

    def step_of(self, panel: Json) -> float:
        step = max(self.span / (panel["gridPos"]["w"] * PIXELS), 15)
        if "interval" in panel:
            step = max(step, seconds_of(panel["interval"]))
        return round(step / 15) * 15

    async def answers(self) -> list[PanelAnswer]:
        """Every query of every panel."""
        return [
            await self._answer(panel, target) for panel in panels_of(self.board) for target in panel.get("targets", [])
        ]

    async def annotations(self) -> list[tuple[str, list[Json]]]:
        """By name, what each annotation query finds in the range."""
        return [
            (
                one["name"],
                await self._prometheus.query_range(self.put_in(one["expr"]), self.end - self.span, self.end, 60),
            )
            for one in self.board["annotations"]["list"]
        ]

    async def _answer(self, panel: Json, target: Json) -> PanelAnswer:
        step = self.step_of(panel)
        expr = self.put_in(target["expr"], step)
        started = time.perf_counter()
        if target.get("instant"):
            result = await self._prometheus.query(expr, self.end)
        else:
            # Grafana begins at whole steps; here the newest moment counts, so that a minute of scrapes is seen
            result = await self._prometheus.query_range(expr, self.end - self.span // step * step, self.end, step)
        return PanelAnswer(panel, target["refId"], expr, result, time.perf_counter() - started)
