"""Goals: reached or not, how much of the budget is used and how fast it goes, and what is not proven."""

from typing import Final

from deploy.grafana.boards.province import VERDICT
from deploy.grafana.boards.shared import WINDOW
from deploy.grafana.promql import named
from deploy.grafana.spec import DashboardSpec, DashboardVariable, PanelColumn, PanelSpec, PromQuery, RowSpec
from deploy.grafana.words import AMBER, BLUE, GREEN, RED, SLATE, VERDICTS
from inventory.base.types import Text

GOAL: Final = DashboardVariable(
    name="goal",
    label=Text("Chỉ tiêu", "Goal"),
    description=Text("Chỉ tiêu mà các biểu đồ nói về.", "The goal that the charts are about."),
    query='query_result(haidang_goal_info{job=~"$job",instance=~"$instance"})',
    regex='/goal="(?<value>[^"]*)".*,NAME="(?<text>[^"]*)"/',
    multi=False,
)
ONE: Final = 'goal="$goal",window=~"$window"'
ALL: Final = 'window=~"$window"'


def with_name(expr: str) -> str:
    return named(expr, "goal", "haidang_goal_info")


TABLE: Final = PanelSpec(
    kind="table",
    title=Text("Mọi chỉ tiêu", "All goals"),
    description=Text(
        "Ước tính, mức phải đạt, mức chắc chắn và tối đa, phần có số liệu, phần ngân sách lỗi đã dùng và kết "
        "luận. Đã dùng "
        "100% ngân sách nghĩa là không còn được hỏng thêm phút nào.",
        "Best estimate, objective, bounds, coverage, share of the error budget used, verdict. At 100% of the "
        "budget not "
        "one more minute may be down.",
    ),
    queries=(
        PromQuery(expr=with_name(f'haidang_goal_availability_ratio{{bound="best",{ALL}}}')),
        PromQuery(expr=with_name(f"haidang_goal_objective_ratio{{{ALL}}}")),
        PromQuery(expr=with_name(f'sum without (bound) (haidang_goal_availability_ratio{{bound="lower",{ALL}}})')),
        PromQuery(expr=with_name(f'sum without (bound) (haidang_goal_availability_ratio{{bound="upper",{ALL}}})')),
        PromQuery(expr=with_name(f"haidang_goal_coverage_ratio{{{ALL}}}")),
        PromQuery(expr=with_name(f"goal:haidang_error_budget_used:ratio{{{ALL}}}")),
        PromQuery(expr=with_name(VERDICT)),
    ),
    unit="percentunit",
    width=24,
    height=13,
    columns=(
        PanelColumn(field="NAME", title=Text("Chỉ tiêu", "Goal")),
        PanelColumn(field="Value #A", title=Text("Ước tính", "Best"), unit="percentunit", decimals=2, width=110),
        PanelColumn(field="Value #B", title=Text("Phải đạt", "Objective"), unit="percentunit", decimals=2, width=110),
        PanelColumn(field="Value #C", title=Text("Chắc chắn", "At least"), unit="percentunit", decimals=2, width=110),
        PanelColumn(field="Value #D", title=Text("Tối đa", "At most"), unit="percentunit", decimals=2, width=110),
        PanelColumn(field="Value #E", title=Text("Có số liệu", "Coverage"), unit="percentunit", decimals=1, width=110),
        PanelColumn(
            field="Value #F",
            title=Text("Ngân sách đã dùng", "Budget used"),
            unit="percentunit",
            decimals=0,
            thresholds=((None, GREEN), (0.75, AMBER), (1, RED)),
            width=160,
        ),
        PanelColumn(
            field="Value #G", title=Text("Kết luận", "Verdict"), words=VERDICTS, width=200, link="goals?goal=goal"
        ),
        PanelColumn(field="goal", title=Text("Mã chỉ tiêu", "Goal id"), hidden=True),
    ),
    sort=("Value #F", True),
)
VERDICT_NOW: Final = PanelSpec(
    kind="stat",
    title=Text("Kết luận", "Verdict"),
    description=Text(
        "Đạt khi mức chắc chắn đã đủ; không đạt khi mức tối đa cũng không đủ; còn lại là chưa chứng minh được.",
        "Met when what is proven suffices; missed when even what is possible does not; else not proven.",
    ),
    queries=(
        PromQuery(
            expr=f"max(({VERDICT}) and on (job, instance, goal, window) haidang_goal_objective_ratio{{{ONE}}})",
            instant=True,
        ),
    ),
    words=VERDICTS,
    width=8,
    height=5,
)
BUDGET: Final = PanelSpec(
    kind="stat",
    title=Text("Ngân sách lỗi đã dùng", "Error budget used"),
    description=Text(
        "Phần của thời gian được phép hỏng trong kỳ đã dùng hết. Trên 100%: chỉ tiêu đã mất, trừ khi có thêm "
        "bằng chứng.",
        "Share of the time that may be down in the window which is used up. Above 100% the goal is lost, unless more "
        "evidence comes.",
    ),
    queries=(PromQuery(expr=f"max(goal:haidang_error_budget_used:ratio{{{ONE}}})", instant=True),),
    unit="percentunit",
    decimals=0,
    thresholds=((None, GREEN), (0.75, AMBER), (1, RED)),
    width=8,
    height=5,
)
COVERAGE: Final = PanelSpec(
    kind="stat",
    title=Text("Phần thời gian có số liệu", "Coverage"),
    description=Text(
        "Phần thời gian được tính mà có bằng chứng. Thấp nghĩa là hai biên còn xa nhau.",
        "Share of the time that counts for which there is evidence. Low means that the bounds are far apart.",
    ),
    queries=(PromQuery(expr=f"max(haidang_goal_coverage_ratio{{{ONE}}})", instant=True),),
    unit="percentunit",
    decimals=1,
    thresholds=((None, AMBER), (0.95, GREEN)),
    width=8,
    height=5,
)
BOUNDS: Final = PanelSpec(
    kind="timeseries",
    title=Text("Ước tính và hai biên, so với mức phải đạt", "Best estimate and bounds, against the objective"),
    description=Text(
        "Vạch đứt đỏ là mức phải đạt của chính chỉ tiêu này. Khi mức chắc chắn ở trên vạch: chắc chắn đạt.",
        "The dashed red line is this goal's own objective. Once the lower bound is above it, the goal is met for "
        "certain.",
    ),
    queries=(
        *(
            PromQuery(expr=f'max(haidang_goal_availability_ratio{{bound="{bound}",{ONE}}})', legend=legend, color=color)
            for bound, legend, color in (
                ("best", Text("Ước tính", "Best estimate"), BLUE),
                ("lower", Text("Mức chắc chắn", "Proven at least"), GREEN),
                ("upper", Text("Mức tối đa", "Possible at most"), SLATE),
            )
        ),
        PromQuery(
            expr=f"max(haidang_goal_objective_ratio{{{ONE}}})",
            legend=Text("Phải đạt", "Objective"),
            color=RED,
            dashed=True,
        ),
    ),
    unit="percentunit",
    decimals=2,
    highest=1,
    width=24,
    height=10,
    objective="D",
)
BURN: Final = PanelSpec(
    kind="timeseries",
    title=Text("Ngân sách lỗi hao nhanh thế nào", "How fast the error budget goes"),
    description=Text(
        "Phần ngân sách của kỳ đã dùng, theo thời gian. Đường dốc lên: đang hỏng; nằm ngang: đang tốt.",
        "Share of the window's budget used, over time. A rise: something is down; level: all is well.",
    ),
    queries=(
        PromQuery(
            expr=with_name(f"goal:haidang_error_budget_used:ratio{{{ALL}}} < 20"),
            legend="{{NAME}}",
        ),
    ),
    unit="percentunit",
    thresholds=((None, GREEN), (1, RED)),
    lowest=0,
    width=12,
    height=10,
)
UNPROVEN: Final = PanelSpec(
    kind="bargauge",
    title=Text("Chưa chứng minh được", "What is not proven"),
    description=Text(
        "Khoảng cách giữa mức tối đa và mức chắc chắn của từng chỉ tiêu: càng lớn càng thiếu bằng chứng.",
        "The distance between each goal's bounds: the larger, the more evidence is missing.",
    ),
    queries=(
        PromQuery(
            expr="sort_desc("
            + with_name(
                f'sum without (bound) (haidang_goal_availability_ratio{{bound="upper",{ALL}}}) - '
                f'sum without (bound) (haidang_goal_availability_ratio{{bound="lower",{ALL}}})'
            )
            + ")",
            legend="{{NAME}}",
            instant=True,
        ),
    ),
    unit="percentunit",
    lowest=0,
    highest=1,
    thresholds=((None, GREEN), (0.02, AMBER), (0.2, RED)),
    width=12,
    height=10,
)
GOALS_BOARD: Final = DashboardSpec(
    slug="goals",
    title=Text("Hải Đăng · Chỉ tiêu", "Hải Đăng · Goals"),
    description=Text(
        "Chỉ tiêu nào đạt, ngân sách lỗi còn bao nhiêu, mất nhanh thế nào, còn thiếu bằng chứng gì.",
        "Which goals are met, how much error budget is left, how fast it goes, what evidence is missing.",
    ),
    variables=(WINDOW, GOAL),
    time="now-7d",
    rows=(
        RowSpec(title=Text("Tất cả", "All"), panels=(TABLE,)),
        RowSpec(title=Text("Chỉ tiêu đã chọn", "The goal chosen"), panels=(VERDICT_NOW, BUDGET, COVERAGE, BOUNDS)),
        RowSpec(title=Text("So sánh", "Compared"), panels=(BURN, UNPROVEN)),
    ),
)
