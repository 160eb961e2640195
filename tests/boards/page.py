"""One board as a page: what an operator would see in Grafana, drawn from the board's JSON and real answers."""

import html
import json
from pathlib import Path
from typing import Any

from tests.boards.frames import PALETTE, Shown, legend_of, overridden, shown, table_of
from tests.support.grafana import GrafanaQueries, PanelAnswer, panels_of

Json = dict[str, Any]
HERE = Path(__file__).parent
ROW = 38  # pixels of one row of Grafana's grid, its gap included


def page(queries: GrafanaQueries, answers: list[PanelAnswer], annotations: list[tuple[str, list[Json]]]) -> str:
    board = queries.board
    by_panel: dict[int, list[PanelAnswer]] = {}
    for answer in answers:
        by_panel.setdefault(answer.panel["id"], []).append(answer)
    plots: list[Json] = []
    boxes = []
    bottom = 0
    for panel in board["panels"]:
        position = panel["gridPos"]
        bottom = max(bottom, (position["y"] + position["h"]) * ROW)
        style = (
            f"left:{position['x'] / 24 * 100:.4f}%;top:{position['y'] * ROW}px;"
            f"width:calc({position['w'] / 24 * 100:.4f}% - 8px);height:{position['h'] * ROW - 8}px"
        )
        if panel["type"] == "row":
            boxes.append(f'<h2 style="{style}">▾ {html.escape(panel["title"])}</h2>')
        else:
            body = _body(panel, by_panel.get(panel["id"], []), queries, plots)
            boxes.append(
                f'<section style="{style}"><h3 title="{html.escape(panel["description"])}">'
                f"{html.escape(panel['title'])} <i>ⓘ</i></h3>{body}</section>"
            )
    variables = "".join(
        f"<label>{html.escape(one['label'])}<b>{html.escape(queries.variables[one['name']].text)}</b></label>"
        for one in board["templating"]["list"]
        if one["name"] in queries.variables
    )
    links = "".join(f"<a>{html.escape(one['title'])}</a>" for one in board["links"])
    noted = ", ".join(f"{name}: {len(result)}" for name, result in annotations)
    assert panels_of(board)
    return TEMPLATE.format(
        css=(HERE / "uplot" / "uPlot.min.css").read_text("utf-8"),
        uplot=(HERE / "uplot" / "uPlot.iife.min.js").read_text("utf-8"),
        title=html.escape(board["title"]),
        variables=variables,
        links=links,
        noted=html.escape(noted),
        range=board["time"]["from"],
        boxes="\n".join(boxes),
        height=bottom,
        plots=json.dumps(plots),
    )


def _body(panel: Json, answers: list[PanelAnswer], queries: GrafanaQueries, plots: list[Json]) -> str:
    if not any(answer.result for answer in answers):
        return f'<p class="empty">{html.escape(panel["fieldConfig"]["defaults"]["noValue"])}</p>'
    if panel["type"] == "stat":
        return _stat(panel, answers)
    if panel["type"] == "table":
        return _table(panel, answers)
    if panel["type"] == "bargauge":
        return _bars(panel, answers)
    if panel["type"] in ("state-timeline", "status-history"):
        return _states(panel, answers, queries)
    plots.append(_plot(panel, answers, queries))
    return f'<div class="plot" id="plot{len(plots) - 1}"></div>'


def _stat(panel: Json, answers: list[PanelAnswer]) -> str:
    cells = []
    mode = panel["options"].get("textMode")
    for answer in answers:
        over = overridden(panel, "byFrameRefID", answer.ref)
        for one in answer.result:
            said = shown(float(one["value"][1]), panel["fieldConfig"]["defaults"])
            color = over.get("color", {}).get("fixedColor", said.color)
            if panel["options"].get("colorMode") == "none":
                color = ""
            name = f"<small>{html.escape(legend_of(answer, one))}</small>" if mode == "value_and_name" else ""
            ground = f' style="background:{color};color:#fff"' if color else ""
            cells.append(f"<div{ground}>{name}<b>{html.escape(said.text)}</b></div>")
    return f'<div class="stats">{"".join(cells)}</div>'


def _table(panel: Json, answers: list[PanelAnswer]) -> str:
    frame = table_of(panel, answers)

    def cell(said: Shown, numeric: bool) -> str:
        style = f' style="background:{said.color};color:#fff"' if said.color else ""
        return f"<td{' class=n' if numeric else ''}{style}>{html.escape(said.text)}</td>"

    heads = "".join(
        f"<th{f' style=width:{width}px' if width else ''}>{html.escape(title)}</th>"
        for title, width in zip(frame.titles, frame.widths, strict=True)
    )
    rows = "".join(
        "<tr>" + "".join(cell(one.shown, one.number is not None) for one in row) + "</tr>" for row in frame.rows
    )
    return f'<div class="table"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'


def _bars(panel: Json, answers: list[PanelAnswer]) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    found = [(legend_of(answer, one), float(one["value"][1])) for answer in answers for one in answer.result]
    low = defaults.get("min", 0) or 0
    high = defaults.get("max") or max((value for _, value in found), default=1) or 1
    rows = []
    for name, value in found:
        said = shown(value, defaults)
        share = max(0.0, min(1.0, (value - low) / (high - low or 1))) * 100
        rows.append(
            f"<tr><td>{html.escape(name)}</td>"
            f"<td class=bar><div style='width:{share:.1f}%;background:{said.color}'></div></td>"
            f"<td class=n>{html.escape(said.text)}</td></tr>"
        )
    return f'<div class="table"><table class="bars">{"".join(rows)}</table></div>'


def _states(panel: Json, answers: list[PanelAnswer], queries: GrafanaQueries) -> str:
    """A line a series, a piece a stretch of one value."""
    defaults = panel["fieldConfig"]["defaults"]
    begin, end = queries.end - queries.span, queries.end
    step = queries.step_of(panel)
    merged = panel["type"] == "state-timeline"
    series = sorted((legend_of(answer, one), one) for answer in answers for one in answer.result)
    lines = []
    for name, one in series:
        pieces: list[list[Any]] = []
        for at, value in one["values"]:
            if merged and pieces and pieces[-1][2] == value and at - pieces[-1][1] <= step * 1.01:
                pieces[-1][1] = at + step
            else:
                pieces.append([at, at + step, value])
        drawn = []
        for start, until, value in pieces:
            said = shown(float(value), defaults)
            left, width = (start - begin) / (end - begin) * 100, (until - start) / (end - begin) * 100
            word = html.escape(said.text) if merged and width > 8 else html.escape(said.text[:1])
            left = max(0.0, min(left, 100 - width))
            gap = "" if merged else "border-right:1px solid #181b1f;"
            drawn.append(f'<i style="left:{left:.3f}%;width:{width:.3f}%;background:{said.color};{gap}">{word}</i>')
        lines.append(f"<tr><th>{html.escape(name)}</th><td><div class=line>{''.join(drawn)}</div></td></tr>")
    legend = " ".join(
        f'<span><u style="background:{one.get("color", "")}"></u>{html.escape(one["text"])}</span>'
        for mapping in defaults.get("mappings", [])
        for one in mapping["options"].values()
    )
    return f'<div class="states"><table>{"".join(lines)}</table></div><div class="legend">{legend}</div>'


def _plot(panel: Json, answers: list[PanelAnswer], queries: GrafanaQueries) -> Json:
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults.get("custom", {})
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    times = sorted({float(at) for answer in answers for one in answer.result for at, _ in one["values"]})
    lines = []
    for answer in answers:
        over = overridden(panel, "byFrameRefID", answer.ref)
        for one in answer.result:
            values = {float(at): float(value) for at, value in one["values"]}
            name = legend_of(answer, one)
            color = over.get("color", {}).get("fixedColor", PALETTE[len(lines) % len(PALETTE)])
            lines.append(
                {
                    "name": name,
                    "color": color,
                    "dash": "custom.lineStyle" in over,
                    "values": [values.get(at) if values.get(at) not in (float("inf"),) else None for at in times],
                }
            )
    steps = [one for one in defaults.get("thresholds", {}).get("steps", []) if one["value"] is not None]
    thresholds = steps if custom.get("thresholdsStyle", {}).get("mode") == "dashed" else []
    return {
        "times": times,
        "lines": lines,
        "stacked": stacked,
        "unit": defaults.get("unit", "short"),
        "min": defaults.get("min"),
        "max": defaults.get("max"),
        "range": [queries.end - queries.span, queries.end],
        "thresholds": thresholds if not any(one["name"] in ("Phải đạt", "Objective") for one in lines) else [],
        "step": queries.step_of(panel),
    }


TEMPLATE = (HERE / "page.html").read_text("utf-8")
