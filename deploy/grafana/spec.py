"""What a board is, as its source says it: panels, queries, variables; Grafana's own terms come in ``render.py``.

Queries are PromQL. ``haidang_...`` selectors get the board's job and instance by themselves; ``NAME`` stands for the
label that bears a thing's name in the board's language.
"""

from typing import Literal

import msgspec

from deploy.grafana.words import ValueWords
from inventory.base.types import Text

PanelKind = Literal["stat", "timeseries", "state-timeline", "status-history", "table", "bargauge"]


class PromQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One query of a panel."""

    expr: str
    legend: str | Text = ""  # {{label}}; words of ours in both languages
    instant: bool = False
    color: str = ""  # of its series; "" leaves it to the panel
    dashed: bool = False


class PanelColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a table. ``field``: a label, or ``Value #A`` of query A."""

    field: str
    title: Text
    unit: str = ""
    decimals: int | None = None
    words: ValueWords = {}
    thresholds: tuple[tuple[float | None, str], ...] = ()
    width: int | None = None
    hidden: bool = False  # there for links alone
    link: str = ""  # BOARD?VARIABLE=FIELD: where a click leads
    bar: bool = False  # a bar beside the figure


class PanelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One panel. ``width`` of 24, ``height`` in rows of 30 pixels."""

    kind: PanelKind
    title: Text
    description: Text
    queries: tuple[PromQuery, ...]
    unit: str = "short"
    decimals: int | None = None
    width: int = 12
    height: int = 8
    thresholds: tuple[tuple[float | None, str], ...] = ()
    words: ValueWords = {}
    lowest: float | None = None
    highest: float | None = None
    stack: bool = False
    columns: tuple[PanelColumn, ...] = ()
    sort: tuple[str, bool] | None = None  # a table's: column's field, whether the greatest comes first
    empty: Text = Text("Không có số liệu trong khoảng này", "No data in this range")
    # why there may be nothing although all is well; "": there is always something
    may_be_empty: str = ""
    objective: str = ""  # refId of the query that gives the threshold (drawn as one)
    interval: str = ""  # the least step, of a matrix: a cell


class RowSpec(msgspec.Struct, frozen=True, kw_only=True):
    title: Text
    panels: tuple[PanelSpec, ...]


class DashboardVariable(msgspec.Struct, frozen=True, kw_only=True):
    """A variable asked of Prometheus. ``query``: ``query_result`` or ``label_values``; ``regex`` picks value "
    "and text."""

    name: str
    label: Text
    description: Text
    query: str
    regex: str = ""
    multi: bool = True
    may_be_empty: str = ""


class DashboardSpec(msgspec.Struct, frozen=True, kw_only=True):
    slug: str
    title: Text
    description: Text
    rows: tuple[RowSpec, ...]
    variables: tuple[DashboardVariable, ...] = ()
    time: str = "now-24h"

    def panels(self) -> list[PanelSpec]:
        return [panel for row in self.rows for panel in row.panels]
