"""From what the source says to Grafana's dashboards, with the Grafana Foundation SDK; and to text that stays "
"the same."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    statushistory,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

from deploy.grafana.promql import scoped
from deploy.grafana.spec import DashboardSpec, DashboardVariable, PanelColumn, PanelSpec, PromQuery
from deploy.grafana.words import AMBER, BLUE, SLATE, ValueWords
from inventory.base.types import Text

WIDTH: Final = 24
DATASOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
REFS: Final = "ABCDEFGH"
LANGUAGES: Final = ("vi", "en")


def dashboard_json(spec: DashboardSpec, language: str, others: Sequence[DashboardSpec]) -> str:
    """A board's JSON, in a language, with links to the ``others``."""
    plain = json.loads(json.dumps(_dashboard(spec, language, others), cls=JSONEncoder))
    for annotation, source in zip(plain["annotations"]["list"], ANNOTATIONS, strict=True):
        annotation |= {"titleFormat": source.title, "textFormat": source.text, "tagKeys": source.tags, "step": "60s"}
    return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"


def uid_of(slug: str, language: str) -> str:
    return f"haidang-{language}-{slug}"


def query_of(query: PromQuery, language: str) -> str:
    """The PromQL as Grafana gets it."""
    return scoped(_in_language(query.expr, language))


def _dashboard(spec: DashboardSpec, language: str, others: Sequence[DashboardSpec]) -> models.Dashboard:
    built = (
        dashboard.Dashboard(spec.title.in_(language))
        .uid(uid_of(spec.slug, language))
        .description(spec.description.in_(language))
        .tags(["haidang", f"haidang-{language}"])
        .readonly()
        .timezone("browser")
        .refresh("1m")
        .time(spec.time, "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
    )
    for other in others:
        link = dashboard.DashboardLink(other.title.in_(language)).type(models.DashboardLinkType.LINK)
        link.url(f"/d/{uid_of(other.slug, language)}").tooltip(other.description.in_(language)).icon("dashboard")
        built.link(link.include_vars(True).keep_time(True).tags([]))
    built.with_variable(
        dashboard.DatasourceVariable("datasource")
        .label(Text("Nguồn số liệu", "Data source").in_(language))
        .description(
            Text("Máy chủ Prometheus đọc máy chủ giám sát.", "The Prometheus that scrapes the collector.").in_(language)
        )
        .type("prometheus")
    )
    for variable in (*COMMON_VARIABLES, *spec.variables):
        built.with_variable(_variable(variable, language))
    for annotation in _annotations(language):
        built.annotation(annotation)
    number, y = 1, 0
    for row in spec.rows:
        built.with_row(
            dashboard.Row(row.title.in_(language)).id(100 + y).grid_pos(models.GridPos(x=0, y=y, w=WIDTH, h=1))
        )
        y += 1
        for panel, position in _placed(row.panels, y):
            built.with_panel(_panel(panel, language, number).grid_pos(position))
            number += 1
            bottom = position.y + position.h
        y = bottom
    return built.build()


COMMON_VARIABLES: Final = (
    DashboardVariable(
        name="job",
        label=Text("Việc đọc", "Job"),
        description=Text("Tên việc đọc (job) trong cấu hình Prometheus.", "The job in Prometheus's configuration."),
        query="label_values(haidang_build_info, job)",
    ),
    DashboardVariable(
        name="instance",
        label=Text("Máy chủ giám sát", "Collector"),
        description=Text(
            "Khi có máy dự phòng: chọn một, để không đếm hai lần.", "Where there is a standby: choose one of them, so "
            "that nothing is counted twice."
        ),
        query='label_values(haidang_build_info{job=~"$job"}, instance)',
    ),
)  # fmt: skip


def _variable(variable: DashboardVariable, language: str) -> dashboard.QueryVariable:
    query = _in_language(variable.query, language)
    built = (
        dashboard.QueryVariable(variable.name)
        .label(variable.label.in_(language))
        .description(variable.description.in_(language))
        .datasource(DATASOURCE)
        .query({"query": query, "refId": f"variable-{variable.name}"})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(variable.multi)
        .include_all(variable.multi)
    )
    if variable.multi:
        built.all_value(".+" if variable.name in ("job", "instance") else ".*")
    if variable.regex:
        built.regex(_in_language(variable.regex, language))
    return built


class AnnotationSource(NamedTuple):
    """Something that lasts, asked of Prometheus alone: a point at every step, joined by Grafana."""

    name: Text
    color: str
    expr: str
    title: str  # this and the next two are the Prometheus plugin's own, which the schema of dashboards does not know
    text: str
    tags: str


ANNOTATIONS: Final = (
    AnnotationSource(
        Text("Sự cố", "Incidents"),
        AMBER,
        "haidang_incident_info",
        "{{agency}}: {{cause}}",
        "{{root}} ({{state}})",
        "severity,cause",
    ),
    AnnotationSource(
        Text("Thời gian loại trừ", "Exclusions"), SLATE, "haidang_exclusion_info", "{{reason}}", "{{origin}}", "origin"
    ),
)


def _annotations(language: str) -> Iterator[dashboard.AnnotationQuery]:
    for source in ANNOTATIONS:
        yield (
            dashboard.AnnotationQuery()
            .name(source.name.in_(language))
            .datasource(DATASOURCE)
            .enable(True)
            .icon_color(source.color)
            .expr(scoped(source.expr))
        )


def _placed(panels: Iterable[PanelSpec], y: int) -> Iterator[tuple[PanelSpec, models.GridPos]]:
    """From left to right, then in the next line."""
    x = tallest = 0
    for panel in panels:
        if x + panel.width > WIDTH:
            x, y, tallest = 0, y + tallest, 0
        yield panel, models.GridPos(x=x, y=y, w=panel.width, h=panel.height)
        x += panel.width
        tallest = max(tallest, panel.height)


def _panel(spec: PanelSpec, language: str, number: int) -> Any:
    built = _BUILDERS[spec.kind](spec)
    built.id(number).title(spec.title.in_(language)).description(spec.description.in_(language))
    built.datasource(DATASOURCE).unit(spec.unit).no_value(spec.empty.in_(language))
    for ref, query in zip(REFS, spec.queries, strict=False):
        built.with_target(_target(spec, query, language, ref))
        if query.color or query.dashed:
            built.override_by_query(ref, _drawn(query))
    if spec.decimals is not None:
        built.decimals(spec.decimals)
    if spec.lowest is not None:
        built.min(spec.lowest)
    if spec.highest is not None:
        built.max(spec.highest)
    if spec.interval:
        built.interval(spec.interval)
    if spec.words:
        built.mappings([_mappings(spec.words, language)])
    built.thresholds(_thresholds(spec.thresholds or ((None, BLUE),)))
    built.color_scheme(_color(spec))
    if spec.kind == "table":
        _table(built, spec, language)
    if spec.objective:
        built.with_transformation(_threshold_from(spec.objective))
    return built


def _target(spec: PanelSpec, query: PromQuery, language: str, ref: str) -> prometheus.Dataquery:
    legend = query.legend.in_(language) if isinstance(query.legend, Text) else query.legend
    target = prometheus.Dataquery().expr(query_of(query, language)).ref_id(ref).datasource(DATASOURCE)
    target.editor_mode(prometheus_models.QueryEditorMode.CODE)
    if spec.kind == "table":
        return target.instant().format(prometheus_models.PromQueryFormat.TABLE)
    target.legend_format(_in_language(legend, language) or "__auto")
    return target.instant() if query.instant else target.range()


def _drawn(query: PromQuery) -> list[models.DynamicConfigValue]:
    properties = []
    if query.color:
        properties.append(models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": query.color}))
    if query.dashed:
        properties.append(models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}))
        properties.append(models.DynamicConfigValue("custom.fillOpacity", 0))
    return properties


def _stat(spec: PanelSpec) -> Any:
    several = any("{{" in str(query.legend) for query in spec.queries) or len(spec.queries) > 1
    return (
        stat.Panel()
        .reduce_options(common.ReduceDataOptions().values(False).calcs(["lastNotNull"]))
        .color_mode(
            common_models.BigValueColorMode.BACKGROUND_SOLID
            if spec.words or spec.thresholds
            else common_models.BigValueColorMode.NONE
        )
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .text_mode(common_models.BigValueTextMode.VALUE_AND_NAME if several else common_models.BigValueTextMode.VALUE)
    )


def _timeseries(spec: PanelSpec) -> Any:
    built = (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(30 if spec.stack else 8)
        .show_points(common_models.VisibilityMode.AUTO)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
    )
    if spec.stack:
        built.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    if spec.thresholds or spec.objective:
        built.thresholds_style(common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED))
    return built


def _state_timeline(spec: PanelSpec) -> Any:
    return (
        statetimeline.Panel()
        .merge_values(True)
        .show_value(common_models.VisibilityMode.AUTO)
        .row_height(0.85)
        .line_width(0)
        .fill_opacity(90)
    )


def _status_history(spec: PanelSpec) -> Any:
    return (
        statushistory.Panel()
        .show_value(common_models.VisibilityMode.NEVER)
        .row_height(0.85)
        .col_width(0.95)
        .line_width(0)
        .fill_opacity(90)
    )


def _bar_gauge(spec: PanelSpec) -> Any:
    return (
        bargauge.Panel()
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .display_mode(common_models.BarGaugeDisplayMode.BASIC)
        .value_mode(common_models.BarGaugeValueMode.TEXT)
        .reduce_options(common.ReduceDataOptions().values(False).calcs(["lastNotNull"]))
    )


def _table_panel(spec: PanelSpec) -> Any:
    built = table.Panel().cell_height(common_models.TableCellHeight.SM).show_header(True)
    return built.align(common_models.FieldTextAlignment.AUTO)


_BUILDERS: Final = {
    "stat": _stat,
    "timeseries": _timeseries,
    "state-timeline": _state_timeline,
    "status-history": _status_history,
    "bargauge": _bar_gauge,
    "table": _table_panel,
}


def _table(built: Any, spec: PanelSpec, language: str) -> None:
    """Columns in the order given, all else left out."""
    if len(spec.queries) > 1:
        built.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    fields = [_in_language(column.field, language) for column in spec.columns]
    fields = ["Value" if len(spec.queries) == 1 and field == "Value #A" else field for field in fields]
    titles = [column.title.in_(language) for column in spec.columns]
    built.with_transformation(
        models.DataTransformerConfig(id_val="filterFieldsByName", options={"include": {"names": fields}})
    )
    built.with_transformation(
        models.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {},
                "indexByName": {field: place for place, field in enumerate(fields)},
                "renameByName": dict(zip(fields, titles, strict=True)),
            },
        )
    )
    for column, title in zip(spec.columns, titles, strict=True):
        properties = list(_column_properties(column, spec, language))
        if properties:
            built.override_by_name(title, properties)
    if spec.sort is not None:
        title = next(column.title for column in spec.columns if column.field == spec.sort[0]).in_(language)
        built.sort_by([common.TableSortByFieldState().display_name(title).desc(spec.sort[1])])


def _column_properties(column: PanelColumn, spec: PanelSpec, language: str) -> Iterator[models.DynamicConfigValue]:
    if column.unit:
        yield models.DynamicConfigValue("unit", column.unit)
    if column.decimals is not None:
        yield models.DynamicConfigValue("decimals", column.decimals)
    if column.words:
        yield models.DynamicConfigValue("mappings", [_mappings(column.words, language)])
    if column.thresholds:
        yield models.DynamicConfigValue("thresholds", _thresholds(column.thresholds).build())
        yield models.DynamicConfigValue("color", {"mode": "thresholds"})
    if column.bar:
        yield models.DynamicConfigValue("custom.cellOptions", {"type": "gauge", "mode": "basic"})
    elif column.thresholds or any(mapped.color for mapped in column.words.values()):
        yield models.DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"})
    if column.width is not None:
        yield models.DynamicConfigValue("custom.width", column.width)
    if column.hidden:
        yield models.DynamicConfigValue("custom.hidden", True)
    if column.link:
        slug, _, parameter = column.link.partition("?")
        variable, _, field = parameter.partition("=")
        shown = next(other for other in spec.columns if other.field == field).title.in_(language)
        url = f'/d/{uid_of(slug, language)}?var-{variable}=${{__data.fields["{shown}"]}}&${{__url_time_range}}'
        title = Text("Mở bảng chi tiết", "Open the board").in_(language)
        yield models.DynamicConfigValue("links", [{"title": title, "url": url}])


def _mappings(words: ValueWords, language: str) -> models.ValueMap:
    return models.ValueMap(
        options={
            value: models.ValueMappingResult(text=mapped.words.in_(language), color=mapped.color or None, index=place)
            for place, (value, mapped) in enumerate(words.items())
        }
    )


def _thresholds(steps: Iterable[tuple[float | None, str]]) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(value=value, color=color) for value, color in steps])
    )


def _threshold_from(ref: str) -> models.DataTransformerConfig:
    """The objective, as the query gives it, becomes the threshold."""
    return models.DataTransformerConfig(
        id_val="configFromData",
        options={
            "configRefId": ref,
            "mappings": [
                {"fieldName": "Value", "handlerKey": "threshold1", "reducerId": "lastNotNull"},
                {"fieldName": "Time", "handlerKey": "__ignore"},
            ],
        },
    )


def _color(spec: PanelSpec) -> dashboard.FieldColor:
    by_value = spec.words or (spec.thresholds and spec.kind in ("stat", "bargauge", "table"))
    mode = models.FieldColorModeId.THRESHOLDS if by_value else models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME
    return dashboard.FieldColor().mode(mode)


def _in_language(text: str, language: str) -> str:
    return text.replace("NAME", "name" if language == "vi" else "name_en")
