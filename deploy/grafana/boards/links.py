"""Leased lines by provider: what was down and whose fault it was, quality, the worst, what can be claimed."""

from typing import Any, Final

import msgspec

from deploy.grafana.boards.shared import PROVIDER, count_by_state
from deploy.grafana.promql import KEYS, named
from deploy.grafana.spec import DashboardSpec, DashboardVariable, PanelColumn, PanelSpec, PromQuery, RowSpec
from deploy.grafana.words import AMBER, CAUSES, GREEN, RED, STATES
from inventory.base.types import Text

OF: Final = 'provider=~"$provider"'
LINK: Final = DashboardVariable(
    name="link",
    label=Text("Đường truyền", "Line"),
    description=Text("Chỉ những đường truyền này.", "Only these lines."),
    query='label_values(haidang_link_info{job=~"$job",instance=~"$instance",provider=~"$provider"}, link)',
)
CHOSEN: Final = f'{OF},link=~"$link"'
DOWN: Final = f"increase(haidang_link_down_seconds_total{{{CHOSEN}}}[$__range])"


def by_provider(expr: str) -> str:
    return named(expr, "provider", "haidang_provider_info")


def with_names(expr: str) -> str:
    """A line's series with its circuit, its agency and that agency's name."""
    with_circuit = f"({expr}) * on ({KEYS}, link) group_left (agency, circuit) haidang_link_info"
    return named(with_circuit, "agency", "haidang_agency_info")


def quality(title: Text, description: Text, metric: str, unit: str, **more: Any) -> PanelSpec:
    """One measure of the lines, the mean of each provider's and its worst line."""
    worst_of = "min" if "mos" in metric else "max"
    panel = PanelSpec(
        kind="timeseries",
        title=title,
        description=description,
        queries=(
            PromQuery(
                expr=by_provider(f"avg by ({KEYS}, provider) ({metric}{{{CHOSEN}}})"),
                legend=Text("{{NAME}}: trung bình", "{{NAME}}: mean"),
            ),
            PromQuery(
                expr=by_provider(f"{worst_of} by ({KEYS}, provider) ({metric}{{{CHOSEN}}})"),
                legend=Text("{{NAME}}: đường xấu nhất", "{{NAME}}: worst line"),
                dashed=True,
            ),
        ),
        unit=unit,
        width=12,
        lowest=0,
    )
    return msgspec.structs.replace(panel, **more)


STATE: Final = PanelSpec(
    kind="stat",
    title=Text("Đường truyền theo trạng thái", "Lines by state"),
    description=Text(
        "Như hai đầu của mỗi đường nhìn thấy bây giờ, xấu nhất được tính.",
        "As both ends of each line see it now; the worse counts.",
    ),
    queries=count_by_state("haidang_link_state", CHOSEN),
    thresholds=((None, GREEN),),
    width=24,
    height=4,
)
TIMELINE: Final = PanelSpec(
    kind="status-history",
    title=Text("Đường truyền × thời gian", "Lines × time"),
    description=Text(
        "Mỗi dòng một đường truyền, mỗi ô một khoảng thời gian.", "A line each leased line, a cell a stretch of time."
    ),
    queries=(PromQuery(expr=with_names(f"haidang_link_state{{{CHOSEN}}}"), legend="{{circuit}} · {{NAME}}"),),
    words=STATES,
    width=24,
    height=26,
    interval="30m",
)
MINUTES: Final = PanelSpec(
    kind="table",
    title=Text("Thời gian ngừng theo nhà mạng và nguyên nhân", "Time down by provider and cause"),
    description=Text(
        "Cộng trong khoảng đang chọn. Chỉ nguyên nhân «đường truyền» là trách nhiệm của nhà mạng; mất điện ở cơ "
        "quan thì "
        "không.",
        "Summed over the range that is chosen. Only the cause leased line is the provider's; no power at the agency is "
        "not.",
    ),
    queries=(PromQuery(expr=by_provider(f"sum by ({KEYS}, provider, cause) ({DOWN}) > 0")),),
    unit="dtdurations",
    width=12,
    height=9,
    columns=(
        PanelColumn(field="NAME", title=Text("Nhà mạng", "Provider")),
        PanelColumn(field="cause", title=Text("Nguyên nhân", "Cause"), words=CAUSES, width=180),
        PanelColumn(field="Value #A", title=Text("Đã ngừng", "Down for"), unit="dtdurations", width=200),
    ),
    sort=("Value #A", True),
    empty=Text("Không đường nào ngừng trong khoảng này", "No line was down in this range"),
    may_be_empty="no line was down in the range",
)
OVER_TIME: Final = PanelSpec(
    kind="timeseries",
    title=Text("Số đường đang ngừng", "Lines down"),
    description=Text(
        "Bao nhiêu đường của mỗi nhà mạng cùng ngừng lúc ấy. Vì sao thì bảng bên cạnh nói, khi mỗi lần ngừng đã "
        "qua và cả "
        "hai đầu đã kể hết.",
        "How many lines of each provider were down at once. The table beside says why, once each outage is over "
        "and both "
        "ends have told all of it.",
    ),
    queries=(PromQuery(expr=by_provider(f"provider:haidang_links_down:count{{{OF}}}"), legend="{{NAME}}"),),
    unit="short",
    decimals=0,
    stack=True,
    lowest=0,
    width=12,
    height=9,
)
WORST: Final = PanelSpec(
    kind="table",
    title=Text("Mười đường ngừng lâu nhất", "The ten lines that were down for longest"),
    description=Text(
        "Trong khoảng đang chọn, mọi nguyên nhân cộng lại.", "Over the range that is chosen, all causes together."
    ),
    queries=(PromQuery(expr=with_names(f"topk(10, sum by ({KEYS}, link, provider) ({DOWN}) > 0)")),),
    unit="dtdurations",
    width=12,
    height=10,
    columns=(
        PanelColumn(field="NAME", title=Text("Cơ quan", "Agency"), link="agency?agency=agency"),
        PanelColumn(field="circuit", title=Text("Mã kênh", "Circuit"), width=120),
        PanelColumn(field="Value #A", title=Text("Đã ngừng", "Down for"), unit="dtdurations", width=160),
        PanelColumn(field="agency", title=Text("Mã cơ quan", "Agency id"), hidden=True),
    ),
    sort=("Value #A", True),
    empty=Text("Không đường nào ngừng trong khoảng này", "No line was down in this range"),
    may_be_empty="no line was down in the range",
)
CLAIMS: Final = PanelSpec(
    kind="table",
    title=Text("Có thể khiếu nại: ngừng do đường truyền", "What can be claimed: down by the line itself"),
    description=Text(
        "Chỉ thời gian mà bằng chứng nói chính đường truyền hỏng, theo mã kênh, để đối chiếu với hợp đồng. Bằng chứng "
        "từng lần nằm ở trang đường truyền của máy chủ giám sát.",
        "Only time for which the evidence blames the line itself, by circuit, to compare with the contract. The "
        "evidence "
        "of each outage is on the collector's page of the line.",
    ),
    queries=(
        PromQuery(
            expr=with_names(
                f'sum by ({KEYS}, link, provider) (increase(haidang_link_down_seconds_total{{{CHOSEN},cause="wan"}}'
                "[$__range])) > 0"
            )
        ),
    ),
    unit="dtdurations",
    width=12,
    height=10,
    columns=(
        PanelColumn(field="provider", title=Text("Nhà mạng", "Provider"), width=140),
        PanelColumn(field="circuit", title=Text("Mã kênh", "Circuit"), width=120),
        PanelColumn(field="NAME", title=Text("Cơ quan", "Agency")),
        PanelColumn(field="Value #A", title=Text("Đã ngừng", "Down for"), unit="dtdurations", width=160),
    ),
    sort=("Value #A", True),
    empty=Text("Không có gì để khiếu nại trong khoảng này", "Nothing to claim in this range"),
    may_be_empty="no line was down by its own fault in the range",
)
LINKS_BOARD: Final = DashboardSpec(
    slug="links",
    title=Text("Hải Đăng · Đường truyền", "Hải Đăng · Leased lines"),
    description=Text(
        "Đường truyền thuê theo nhà mạng: ngừng bao lâu vì sao, chất lượng, mười đường xấu nhất, thời gian có "
        "thể khiếu "
        "nại.",
        "Leased lines by provider: for how long down and why, quality, the ten worst, what can be claimed.",
    ),
    variables=(PROVIDER, LINK),
    rows=(
        RowSpec(title=Text("Bây giờ", "Now"), panels=(STATE,)),
        RowSpec(title=Text("Ngừng và vì sao", "Down, and why"), panels=(MINUTES, OVER_TIME, WORST, CLAIMS)),
        RowSpec(
            title=Text("Chất lượng", "Quality"),
            panels=(
                quality(
                    Text("Mất gói", "Packet loss"),
                    Text(
                        "Phần gói hỏi không có trả lời. Từ 2% cuộc gọi bắt đầu vỡ tiếng.",
                        "Share of requests without a reply. From 2% on calls begin to break up.",
                    ),
                    "link:haidang_icmp_loss_ratio:max",
                    "percentunit",
                    thresholds=((None, GREEN), (0.02, AMBER), (0.1, RED)),
                ),
                quality(
                    Text("Thời gian đi về", "Round trip"),
                    Text(
                        "Thời gian một gói đi và về. Dưới 150 ms là tốt cho họp trực tuyến.",
                        "How long a packet takes there and back. Below 150 ms is good for video conferences.",
                    ),
                    "link:haidang_check_latency_seconds:max",
                    "s",
                ),
                quality(
                    Text("Dao động trễ", "Jitter"),
                    Text(
                        "Thời gian đi về khác nhau bao nhiêu giữa các gói liền nhau. Trên 30 ms tiếng bị giật.",
                        "How much round trips differ from packet to packet. Above 30 ms voices stutter.",
                    ),
                    "link:haidang_icmp_jitter_seconds:max",
                    "s",
                ),
                quality(
                    Text("Chất lượng thoại (MOS)", "Voice quality (MOS)"),
                    Text(
                        "Ước tính chất lượng cuộc gọi: 1 là hỏng, 4,4 là tốt nhất; từ 3,6 là dùng được.",
                        "Estimated quality of a call: 1 is bad, 4.4 the best; from 3.6 on it will do.",
                    ),
                    "link:haidang_icmp_mos_score:min",
                    "none",
                    thresholds=((None, RED), (3.6, GREEN)),
                    highest=4.5,
                ),
            ),
        ),
        RowSpec(title=Text("Từng đường", "Line by line"), panels=(TIMELINE,)),
    ),
)
