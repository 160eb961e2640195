"""Variables and panels that several boards have."""

from typing import Final

from deploy.grafana.promql import KEYS, of_agency
from deploy.grafana.spec import DashboardVariable, PanelColumn, PanelSpec, PromQuery
from deploy.grafana.words import AMBER, CAUSES, GREEN, INCIDENT_STATES, RED, SEVERITIES, STATES
from inventory.base.types import Text


def count_by_state(family: str, matchers: str) -> tuple[PromQuery, ...]:
    """How many series of a family of states are in each, 0 where none is."""
    return tuple(
        PromQuery(
            expr=f"count({family}{{{matchers}}} == {code}) or vector(0)",
            legend=mapped.words,
            instant=True,
            color=mapped.color,
        )
        for code, mapped in STATES.items()
    )


DISTRICT: Final = DashboardVariable(
    name="district",
    label=Text("Huyện", "District"),
    description=Text(
        "Chỉ các cơ quan của huyện này; tất cả: cả cơ quan không thuộc huyện nào.",
        "Only agencies of this district; all: also those that belong to none.",
    ),
    query='query_result(haidang_agency_info{kind="district",job=~"$job",instance=~"$instance"})',
    regex='/district="(?<value>[^"]*)".*,NAME="(?<text>[^"]*)"/',
)
AGENCY: Final = DashboardVariable(
    name="agency",
    label=Text("Cơ quan", "Agency"),
    description=Text("Cơ quan mà bảng này nói về.", "The agency that this board is about."),
    query=(
        'query_result(haidang_agency_info{district=~"$district",job=~"$job",instance=~"$instance"} '
        f'and on ({KEYS}, agency) haidang_agency_state{{job=~"$job",instance=~"$instance"}})'
    ),
    regex='/agency="(?<value>[^"]*)".*,NAME="(?<text>[^"]*)"/',
    multi=False,
)
PROVIDER: Final = DashboardVariable(
    name="provider",
    label=Text("Nhà mạng", "Provider"),
    description=Text("Chỉ các đường truyền thuê của nhà mạng này.", "Only lines leased from this provider."),
    query='query_result(haidang_provider_info{job=~"$job",instance=~"$instance"})',
    regex='/,NAME="(?<text>[^"]*)".*provider="(?<value>[^"]*)"/',
)
WINDOW: Final = DashboardVariable(
    name="window",
    label=Text("Kỳ tính", "Window"),
    description=Text(
        "Kỳ mà chỉ tiêu được tính: tháng này, 30 ngày qua ...",
        "The window that goals are judged over: this month, the last 30 days ...",
    ),
    query='label_values(haidang_goal_objective_ratio{job=~"$job",instance=~"$instance"}, window)',
    multi=False,
)


def incidents_table(matchers: str, *, width: int, height: int, with_agency: bool = True) -> PanelSpec:
    """Open incidents with cause, age and who has them; of some agencies only."""
    # where Prometheus missed the end of a series, an incident has two for some minutes, and a join would fail for all
    info = f"topk by ({KEYS}, incident) (1, haidang_incident_info{{{matchers}}})"
    age = (
        f"(time() - haidang_incident_opened_timestamp_seconds) * on ({KEYS}, incident) "
        f"group_left (agency, severity, cause, state) {info}"
    )
    expr = f"({of_agency(age)}) or on ({KEYS}, incident) ({age})"
    agency = (PanelColumn(field="NAME", title=Text("Cơ quan", "Agency"), link="agency?agency=agency"),)
    return PanelSpec(
        kind="table",
        title=Text("Sự cố đang mở", "Open incidents"),
        description=Text(
            "Mỗi dòng là một việc đang hỏng và nguyên nhân gốc của nó, cũ nhất ở trên. Một sự cố gom mọi mục hỏng vì "
            "cùng một nguyên nhân.",
            "Each line is one thing that is wrong, with its root cause, the oldest on top. An incident gathers all "
            "checks that fail for the same cause.",
        ),
        queries=(PromQuery(expr=expr),),
        unit="s",
        width=width,
        height=height,
        columns=(
            PanelColumn(field="severity", title=Text("Mức", "Severity"), words=SEVERITIES, width=140),
            PanelColumn(field="cause", title=Text("Nguyên nhân", "Cause"), words=CAUSES, width=150),
            *(agency if with_agency else ()),
            PanelColumn(field="Value #A", title=Text("Đã kéo dài", "For"), unit="dtdurations", width=150),
            PanelColumn(field="state", title=Text("Ai đang xử lý", "Who has it"), words=INCIDENT_STATES, width=150),
            *(
                (PanelColumn(field="agency", title=Text("Mã cơ quan", "Agency id"), hidden=True),)
                if with_agency
                else ()
            ),
        ),
        sort=("Value #A", True),
        empty=Text("Không có sự cố nào đang mở", "No open incident"),
        may_be_empty="nothing is wrong",
    )


def availability_bounds(matchers: str, *, width: int, height: int = 5) -> PanelSpec:
    """The availability of one agency: best estimate and its bounds."""
    return PanelSpec(
        kind="stat",
        title=Text("Tỷ lệ hoạt động 30 ngày, có biên", "Availability over 30 days, with its bounds"),
        description=Text(
            "Ước tính chỉ đếm lúc có số liệu. Mức chắc chắn coi mọi lúc không có số liệu là hỏng, mức tối đa coi "
            "là tốt: "
            "sự thật nằm giữa hai mức đó. Không tính thời gian loại trừ.",
            "The best estimate counts only time with evidence. The lower bound takes all time without evidence "
            "for down, "
            "the upper one for up: the truth lies between. Excluded time does not count.",
        ),
        queries=tuple(
            PromQuery(
                expr=f'haidang_agency_availability_ratio{{{matchers},window="rolling-30d",bound="{bound}"}}',
                legend=legend,
                instant=True,
            )
            for bound, legend in (
                ("best", Text("Ước tính", "Best estimate")),
                ("lower", Text("Mức chắc chắn", "Proven at least")),
                ("upper", Text("Mức tối đa", "Possible at most")),
            )
        ),
        unit="percentunit",
        decimals=2,
        thresholds=((None, RED), (0.95, AMBER), (0.99, GREEN)),
        width=width,
        height=height,
        empty=Text("Chưa tính xong", "Not worked out yet"),
    )
