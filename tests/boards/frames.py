"""What Grafana makes of answers before it draws them: legends, tables put together, values' words and colours."""

import re
from typing import Any, NamedTuple

from tests.boards.units import formatted
from tests.support.grafana import PanelAnswer

Json = dict[str, Any]
PALETTE = ("#0969da", "#8250df", "#bf3989", "#9a6700", "#1a7f37", "#0c7c8c", "#bc4c00", "#57739b", "#c1272d", "#6e7781")


class Shown(NamedTuple):
    """A value as it is seen."""

    text: str
    color: str  # "" for none


class TableCell(NamedTuple):
    shown: Shown
    number: float | None
    bar: bool = False


class TableFrame(NamedTuple):
    titles: list[str]
    widths: list[int | None]
    rows: list[list[TableCell]]


def legend_of(answer: PanelAnswer, series: Json) -> str:
    """The name of a series, by the query's legend."""
    target = next(one for one in answer.panel["targets"] if one["refId"] == answer.ref)
    template = target.get("legendFormat", "__auto")
    if template == "__auto":
        return ", ".join(series["metric"].values()) or answer.panel["title"]
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: series["metric"].get(match[1], ""), template)


def shown(value: float, config: Json) -> Shown:
    """By mappings, else by unit and thresholds."""
    for mapping in config.get("mappings", []):
        key = str(int(value)) if value == value and abs(value) != float("inf") and value == int(value) else str(value)
        if key in mapping["options"]:
            mapped = mapping["options"][key]
            return Shown(mapped["text"], mapped.get("color", ""))
    color = ""
    for step in config.get("thresholds", {}).get("steps", []):
        if step["value"] is None or value >= step["value"]:
            color = step["color"]
    return Shown(formatted(value, config.get("unit", "short"), config.get("decimals")), color)


def overridden(panel: Json, matcher: str, options: str) -> Json:
    """The properties that an override gives, by id."""
    return {
        each["id"]: each["value"]
        for one in panel["fieldConfig"].get("overrides", [])
        if one["matcher"] == {"id": matcher, "options": options}
        for each in one["properties"]
    }


def table_of(panel: Json, answers: list[PanelAnswer]) -> TableFrame:
    """The queries' rows merged where their labels agree, the columns chosen and named."""
    chosen: list[str] = []
    names: dict[str, str] = {}
    for step in panel["transformations"]:
        if step["id"] == "filterFieldsByName":
            chosen = step["options"]["include"]["names"]
        elif step["id"] == "organize":
            names = step["options"]["renameByName"]
    rows: dict[tuple[tuple[str, str], ...], Json] = {}
    several = len(panel["targets"]) > 1
    for answer in answers:
        for one in answer.result:
            labels = {key: value for key, value in one["metric"].items() if key != "__name__"}
            key = tuple(sorted((name, value) for name, value in labels.items() if name in chosen or not several))
            field = f"Value #{answer.ref}" if several else "Value"
            rows.setdefault(key, {} | labels)[field] = float(one["value"][1])
    defaults = panel["fieldConfig"]["defaults"]
    columns = [(field, names[field], overridden(panel, "byName", names[field])) for field in chosen]
    visible = [(field, title, over) for field, title, over in columns if not over.get("custom.hidden")]
    made = []
    for row in rows.values():
        cells = []
        for field, _, over in visible:
            value = row.get(field)
            config = {
                "unit": over.get("unit", defaults.get("unit", "short")),
                "decimals": over.get("decimals"),
                "mappings": over.get("mappings", []),
                "thresholds": over.get("thresholds", {}),
            }
            if value is None:
                cells.append(TableCell(Shown("", ""), None))
            elif isinstance(value, str):
                mapped = next((each["options"][value] for each in config["mappings"] if value in each["options"]), None)
                cell = Shown(mapped["text"], mapped.get("color", "")) if mapped else Shown(value, "")
                cells.append(TableCell(cell, None))
            else:
                cells.append(TableCell(shown(value, config), value))
        made.append(cells)
    for sort in panel["options"].get("sortBy", []):
        place = [title for _, title, _ in visible].index(sort["displayName"])
        made.sort(key=lambda cells: (cells[place].number is not None, cells[place].number or 0), reverse=sort["desc"])
    return TableFrame([title for _, title, _ in visible], [over.get("custom.width") for *_, over in visible], made)
