"""The whole province: is all right, and if not, where, why, since when, who has it?"""

from typing import Final

from deploy.grafana.boards.shared import DISTRICT, WINDOW, incidents_table
from deploy.grafana.promql import KEYS, named, of_agency
from deploy.grafana.spec import DashboardSpec, PanelColumn, PanelSpec, PromQuery, RowSpec
from deploy.grafana.words import (
    AMBER,
    CAUSES,
    GREEN,
    GREY,
    ORIGINS,
    RED,
    SLATE,
    STATES,
    VERDICTS,
)
from inventory.base.types import Text

IN_DISTRICT: Final = 'district=~"$district"'
# many English names begin alike, and Grafana cuts off what is too long
AGENCY_LEGEND: Final = Text("{{NAME}}", "{{agency}} · {{NAME}}")
VERDICT_CODE: Final = " or ".join(
    f'(haidang_goal_verdict{{verdict="{verdict}",window=~"$window"}} == 1) * {code}'
    for code, verdict in enumerate(("met", "missed", "not_proven", "no_evidence"))
)
VERDICT: Final = f"max by ({KEYS}, goal, window) ({VERDICT_CODE})"

COUNTS: Final = PanelSpec(
    kind="stat",
    title=Text("Mục giám sát theo trạng thái", "Checks by state"),
    description=Text(
        "Bao nhiêu mục đang tốt, suy giảm (chạy nhưng vượt ngưỡng), ngừng, không rõ (không có số liệu), và không tính "
        "(bảo trì đã khai báo hoặc ngoài giờ).",
        "How many checks are up, degraded (they work, out of their thresholds), down, unknown (no evidence), and "
        "excluded "
        "(declared maintenance, or outside of their hours).",
    ),
    queries=tuple(
        PromQuery(
            expr=f'sum(state:haidang_agency_checks:sum{{state="{name}"}})',
            legend=STATES[str(code)].words,
            instant=True,
            color=STATES[str(code)].color,
        )
        for code, name in enumerate(("up", "degraded", "down", "unknown", "excluded"))
    ),
    thresholds=((None, GREY),),
    width=12,
    height=5,
)
AGENTS: Final = PanelSpec(
    kind="stat",
    title=Text("Máy giám sát", "Agents"),
    description=Text(
        "Máy có tin: vừa gửi kết quả. Máy im lặng: đã lỡ ba lần gửi. Chưa ghi danh: có trong danh mục nhưng chưa từng "
        "được cài đặt.",
        "Heard: just sent its results. Silent: has missed three pushes. Never enrolled: in the inventory, but "
        "never set "
        "up.",
    ),
    queries=(
        PromQuery(expr="sum(haidang_agent_up)", legend=Text("● có tin", "● heard"), instant=True, color=GREEN),
        PromQuery(
            expr="count(haidang_agent_up == 0) or vector(0)",
            legend=Text("○ im lặng", "○ silent"),
            instant=True,
            color=GREY,
        ),
        PromQuery(
            expr="count(haidang_agent_enrolled == 0) or vector(0)",
            legend=Text("◇ chưa ghi danh", "◇ never enrolled"),
            instant=True,
            color=SLATE,
        ),
    ),
    thresholds=((None, GREY),),
    width=8,
    height=5,
)
OPEN: Final = PanelSpec(
    kind="stat",
    title=Text("Sự cố đang mở", "Open incidents"),
    description=Text("Số sự cố chưa đóng, mọi nguyên nhân.", "Incidents that are not closed, of whatever cause."),
    queries=(PromQuery(expr="sum(haidang_incident_open)", instant=True),),
    thresholds=((None, GREEN), (1, AMBER), (5, RED)),
    width=4,
    height=5,
)
BY_CAUSE: Final = PanelSpec(
    kind="bargauge",
    title=Text("Sự cố đang mở theo nguyên nhân", "Open incidents by cause"),
    description=Text(
        "Nguyên nhân gốc như chương trình tìm ra từ bằng chứng của cả hai đầu.",
        "The root cause, as the program found it from the evidence of both ends.",
    ),
    queries=tuple(
        PromQuery(expr=f'sum(haidang_incident_open{{cause="{cause}"}})', legend=mapped.words, instant=True)
        for cause, mapped in CAUSES.items()
    ),
    thresholds=((None, GREEN), (1, AMBER)),
    lowest=0,
    width=8,
    height=9,
)
MATRIX: Final = PanelSpec(
    kind="status-history",
    title=Text("Cơ quan × thời gian", "Agencies × time"),
    description=Text(
        "Mỗi dòng một cơ quan, mỗi ô một khoảng thời gian: trạng thái xấu nhất của các mục thuộc cơ quan đó lúc ấy. "
        "Xám: không có số liệu, không phải là hỏng.",
        "A line an agency, a cell a stretch of time: the worst state of the checks about that agency then. Grey: no "
        "evidence, which is not an outage.",
    ),
    queries=(PromQuery(expr=of_agency("haidang_agency_state", IN_DISTRICT), legend=AGENCY_LEGEND),),
    words=STATES,
    width=24,
    height=30,
    interval="30m",
)
TROUBLE: Final = PanelSpec(
    kind="state-timeline",
    title=Text("Cơ quan có trục trặc, theo thời gian", "Agencies in trouble over time"),
    description=Text(
        "Chỉ những lúc có mục suy giảm hoặc ngừng. Không có dòng nào nghĩa là không cơ quan nào có trục trặc.",
        "Only while some check is degraded or down. No line means that no agency was in trouble.",
    ),
    queries=(
        PromQuery(
            expr=of_agency("haidang_agency_state == 1 or haidang_agency_state == 2", IN_DISTRICT), legend=AGENCY_LEGEND
        ),
    ),
    words=STATES,
    width=24,
    height=12,
    empty=Text("Không cơ quan nào có trục trặc trong khoảng này", "No agency was in trouble in this range"),
    may_be_empty="nothing was wrong in the range",
)
GOALS: Final = PanelSpec(
    kind="table",
    title=Text("Chỉ tiêu so với mức phải đạt", "Goals against their objectives"),
    description=Text(
        "Ước tính so với mức phải đạt. «Chưa chứng minh được» nghĩa là bằng chứng chưa đủ để nói đạt hay không đạt.",
        "The best estimate against the objective. Not proven means that the evidence does not decide yet.",
    ),
    queries=(
        PromQuery(
            expr=named('haidang_goal_availability_ratio{bound="best",window=~"$window"}', "goal", "haidang_goal_info")
        ),
        PromQuery(expr=named('haidang_goal_objective_ratio{window=~"$window"}', "goal", "haidang_goal_info")),
        PromQuery(expr=named(VERDICT, "goal", "haidang_goal_info")),
    ),
    unit="percentunit",
    width=24,
    height=12,
    columns=(
        PanelColumn(field="NAME", title=Text("Chỉ tiêu", "Goal")),
        PanelColumn(
            field="Value #A", title=Text("Ước tính", "Best estimate"), unit="percentunit", decimals=2, width=130
        ),
        PanelColumn(field="Value #B", title=Text("Phải đạt", "Objective"), unit="percentunit", decimals=2, width=130),
        PanelColumn(
            field="Value #C", title=Text("Kết luận", "Verdict"), words=VERDICTS, width=220, link="goals?goal=goal"
        ),
        PanelColumn(field="goal", title=Text("Mã chỉ tiêu", "Goal id"), hidden=True),
    ),
    sort=("Value #C", True),
)
SILENT: Final = PanelSpec(
    kind="table",
    title=Text("Máy giám sát im lặng", "Silent agents"),
    description=Text(
        "Máy đã từng có tin nhưng nay không còn gửi. Có thể mất điện, đứt đường truyền, hoặc chính máy hỏng; sự cố nói "
        "rõ nguyên nhân.",
        "Agents that were heard and are not any more: no power, a cut line, or the machine itself; the incident says "
        "which.",
    ),
    queries=(
        PromQuery(
            expr=of_agency(
                f"(time() - haidang_agent_last_seen_timestamp_seconds) and on ({KEYS}, agent) (haidang_agent_up == 0)"
            )
        ),
    ),
    unit="dtdurations",
    width=8,
    height=9,
    columns=(
        PanelColumn(field="agent", title=Text("Máy", "Agent"), width=140),
        PanelColumn(field="NAME", title=Text("Cơ quan", "Agency")),
        PanelColumn(field="Value #A", title=Text("Không có tin từ", "Silent for"), unit="dtdurations", width=140),
    ),
    sort=("Value #A", True),
    empty=Text("Mọi máy đều có tin", "Every agent is heard"),
    may_be_empty="every agent is heard",
)
NEVER: Final = PanelSpec(
    kind="table",
    title=Text("Máy chưa từng ghi danh", "Agents never enrolled"),
    description=Text(
        "Có trong danh mục nhưng chưa cài đặt: cơ quan này chưa được giám sát từ bên trong.",
        "In the inventory, but not set up: this agency is not watched from within yet.",
    ),
    queries=(PromQuery(expr=of_agency("haidang_agent_enrolled == 0")),),
    unit="short",
    width=8,
    height=9,
    columns=(
        PanelColumn(field="agent", title=Text("Máy", "Agent"), width=140),
        PanelColumn(field="NAME", title=Text("Cơ quan", "Agency")),
    ),
    empty=Text("Mọi máy đều đã ghi danh", "Every agent is enrolled"),
    may_be_empty="every agent is enrolled",
)
EXCLUSIONS: Final = PanelSpec(
    kind="table",
    title=Text("Thời gian loại trừ đang có hiệu lực", "Exclusions in force"),
    description=Text(
        "Bảo trì và những lúc khác đã khai báo là không tính, kèm lý do và khi nào hết.",
        "Maintenance and other time that was declared not to count, with the reason and when it ends.",
    ),
    queries=(
        PromQuery(
            expr=f"(haidang_exclusion_end_timestamp_seconds - time()) * on ({KEYS}, exclusion, origin) "
            "group_left (reason) haidang_exclusion_info"
        ),
    ),
    unit="dtdurations",
    width=8,
    height=9,
    columns=(
        PanelColumn(field="reason", title=Text("Lý do", "Reason")),
        PanelColumn(field="origin", title=Text("Từ", "From"), words=ORIGINS, width=120),
        PanelColumn(field="Value #A", title=Text("Còn", "Ends in"), unit="dtdurations", width=120),
    ),
    empty=Text("Không có gì được loại trừ", "Nothing is excluded"),
    may_be_empty="nothing is excluded",
)
PROVINCE_BOARD: Final = DashboardSpec(
    slug="province",
    title=Text("Hải Đăng · Toàn tỉnh", "Hải Đăng · Province"),
    description=Text(
        "Cả tỉnh có ổn không; nếu không thì ở đâu, vì sao, từ bao giờ, ai đang xử lý.",
        "Is the province all right; if not, where, why, since when, and who has it.",
    ),
    variables=(DISTRICT, WINDOW),
    rows=(
        RowSpec(title=Text("Bây giờ", "Now"), panels=(COUNTS, AGENTS, OPEN)),
        RowSpec(title=Text("Đang hỏng", "What is wrong"), panels=(incidents_table("", width=16, height=9), BY_CAUSE)),
        RowSpec(title=Text("Theo thời gian", "Over time"), panels=(TROUBLE, MATRIX)),
        RowSpec(title=Text("Chỉ tiêu", "Goals"), panels=(GOALS,)),
        RowSpec(title=Text("Không được giám sát", "What is not watched"), panels=(SILENT, NEVER, EXCLUSIONS)),
    ),
)
