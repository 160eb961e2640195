"""Monitoring itself: is what the other boards say fresh, complete and believed?"""

from typing import Final

from deploy.grafana.promql import of_agency
from deploy.grafana.spec import DashboardSpec, PanelColumn, PanelSpec, PromQuery, RowSpec
from deploy.grafana.words import AMBER, GREEN, RED, YES_NO
from inventory.base.types import Text

RATE: Final = "$__rate_interval"


def yes_no(title: Text, description: Text, expr: str, **more: int) -> PanelSpec:
    return PanelSpec(
        kind="stat",
        title=title,
        description=description,
        queries=(PromQuery(expr=expr, instant=True),),
        words=YES_NO,
        width=more.get("width", 4),
        height=4,
    )


SCRAPED: Final = yes_no(
    Text("Prometheus đọc được", "Scraped"),
    Text(
        "Prometheus có đọc được máy chủ giám sát không. Nếu không, các bảng này đứng yên.",
        "Whether Prometheus can read the collector. If not, these boards stand still.",
    ),
    "min(up)",
)
CLOCK: Final = yes_no(
    Text("Đồng hồ tin được", "Clock trusted"),
    Text(
        "Máy chủ giám sát có tin đồng hồ của chính nó không. Khi không tin, kết quả được giữ lại và chưa báo sự cố.",
        "Whether the collector believes its own clock. While it does not, results are kept and no incident is opened.",
    ),
    "min(haidang_collector_clock_trusted)",
)
JOURNAL: Final = yes_no(
    Text("Ghi được nhật ký thư", "Journal written"),
    Text(
        "Sổ các thư đã gửi có ghi được không; nhờ nó không thư nào bị gửi hai lần.",
        "Whether the record of sent mails can be written, which keeps any mail from going out twice.",
    ),
    "min(haidang_alert_journal_up)",
)
WAITING: Final = PanelSpec(
    kind="stat",
    title=Text("Thư đang chờ gửi", "Mails waiting"),
    description=Text(
        "Thư báo sự cố chưa máy chuyển thư nào nhận. Phải là 0 hầu hết thời gian.",
        "Mails about incidents that no relay has taken yet. It should be 0 nearly always.",
    ),
    queries=(PromQuery(expr="sum(haidang_alert_outbox_waiting)", instant=True),),
    thresholds=((None, GREEN), (1, AMBER), (20, RED)),
    width=4,
    height=4,
)
FAULT_TO_MAIL: Final = PanelSpec(
    kind="stat",
    title=Text("Từ lúc hỏng đến lúc có thư (95%)", "From fault to mail (95%)"),
    description=Text(
        "95% thư đầu tiên về một sự cố đã được máy chuyển thư nhận trong khoảng này kể từ lúc hỏng.",
        "95% of the first mails about an incident were taken by a relay within so long of the fault.",
    ),
    queries=(
        PromQuery(
            expr="histogram_quantile(0.95, sum by (le) "
            "(increase(haidang_incident_fault_to_mail_seconds_bucket[$__range]))) >= 0",
            instant=True,
        ),
    ),
    unit="s",
    decimals=0,
    thresholds=((None, GREEN), (300, AMBER), (900, RED)),
    width=8,
    height=4,
    empty=Text("Chưa có thư nào trong khoảng này", "No mail in this range"),
    may_be_empty="no incident was mailed in the range",
)
PUSHES: Final = PanelSpec(
    kind="timeseries",
    title=Text("Lần gửi theo phán quyết", "Pushes by verdict"),
    description=Text(
        "Máy giám sát gửi kết quả bao nhiêu lần mỗi giây và máy chủ đáp thế nào. «taken»: đã nhận và ghi bền.",
        "How often agents push per second, and what the collector answered. «taken»: in the ledger, durably.",
    ),
    queries=(
        PromQuery(expr=f"sum by (verdict) (rate(haidang_collector_pushes_total[{RATE}])) > 0", legend="{{verdict}}"),
    ),
    unit="reqps",
    lowest=0,
    stack=True,
    width=8,
)
ACKS: Final = PanelSpec(
    kind="timeseries",
    title=Text("Thời gian trả lời máy giám sát", "Time to acknowledge"),
    description=Text(
        "99% và 50% các lần gửi được trả lời trong khoảng này, sau khi đã ghi bền.",
        "99% and 50% of the pushes were answered within so long, after they were written durably.",
    ),
    queries=(
        PromQuery(expr="max(instance:haidang_collector_push_duration_seconds:p99)", legend="99%"),
        PromQuery(
            expr=f"histogram_quantile(0.5, sum by (le) (rate(haidang_collector_push_duration_seconds_bucket[{RATE}])))",
            legend="50%",
        ),
    ),
    unit="s",
    lowest=0,
    thresholds=((None, GREEN), (0.25, AMBER)),
    width=8,
)
RESULTS: Final = PanelSpec(
    kind="timeseries",
    title=Text("Kết quả vào sổ", "Results into the ledger"),
    description=Text(
        "Bao nhiêu kết quả mỗi giây. Nhảy vọt: một nơi vừa nối lại và gửi bù.",
        "How many results per second. A jump: a site is back and sends what it kept.",
    ),
    queries=(
        PromQuery(
            expr=f"sum(rate(haidang_collector_results_total[{RATE}]))",
            legend=Text("kết quả mỗi giây", "results per second"),
        ),
    ),
    unit="cps",
    lowest=0,
    width=8,
)
BACKLOG: Final = PanelSpec(
    kind="table",
    title=Text("Máy còn nhiều kết quả chưa gửi", "Agents with the longest backlog"),
    description=Text(
        "Số khung còn phải gửi. Cao sau khi đứt đường truyền là bình thường và phải giảm dần.",
        "Frames still to send. Many after a cut line are as they should be, and have to become fewer.",
    ),
    queries=(PromQuery(expr=of_agency("topk(10, haidang_agent_backlog_frames > 0)")),),
    unit="short",
    width=8,
    height=9,
    columns=(
        PanelColumn(field="agent", title=Text("Máy", "Agent"), width=150),
        PanelColumn(field="NAME", title=Text("Cơ quan", "Agency")),
        PanelColumn(field="Value #A", title=Text("Còn phải gửi", "To send"), decimals=0, width=110),
    ),
    sort=("Value #A", True),
    empty=Text("Không máy nào còn nợ kết quả", "No agent is behind"),
    may_be_empty="no agent is behind",
)
SPOOL: Final = PanelSpec(
    kind="bargauge",
    title=Text("Đĩa đệm lớn nhất", "Largest spools"),
    description=Text(
        "Mười máy giữ nhiều dữ liệu trên đĩa nhất. Khi hết chỗ, kết quả cũ được gộp lại, không mất trạng thái.",
        "The ten agents that keep most on their disks. Without room, old results are folded; no state is lost.",
    ),
    queries=(PromQuery(expr="topk(10, haidang_agent_spool_bytes)", legend="{{agent}}", instant=True),),
    unit="bytes",
    lowest=0,
    width=8,
    height=9,
)
VERSIONS: Final = PanelSpec(
    kind="bargauge",
    title=Text("Phiên bản của máy giám sát", "Versions of the agents"),
    description=Text(
        "Bao nhiêu máy chạy phiên bản nào. Nhiều phiên bản cùng lúc chỉ nên có khi đang nâng cấp.",
        "How many agents run which version. Several at once should be so only during an upgrade.",
    ),
    queries=(PromQuery(expr="count by (version) (haidang_agent_info)", legend="{{version}}", instant=True),),
    unit="short",
    lowest=0,
    width=8,
    height=9,
)
CERTIFICATES: Final = PanelSpec(
    kind="table",
    title=Text("Chứng chỉ của máy giám sát sắp hết hạn", "Agents' certificates that expire next"),
    description=Text(
        "Máy tự gia hạn khi còn một phần ba thời hạn. Máy im lặng quá lâu thì không gia hạn được và phải ghi danh lại.",
        "Agents renew by themselves with a third of the time left. One that is silent for too long cannot, and "
        "has to be "
        "enrolled anew.",
    ),
    queries=(
        PromQuery(
            expr=of_agency("bottomk(10, (haidang_agent_issued_certificate_expiry_timestamp_seconds - time()) / 86400)")
        ),
    ),
    unit="d",
    width=12,
    height=9,
    columns=(
        PanelColumn(field="agent", title=Text("Máy", "Agent"), width=150),
        PanelColumn(field="NAME", title=Text("Cơ quan", "Agency")),
        PanelColumn(
            field="Value #A",
            title=Text("Còn lại", "Days left"),
            unit="d",
            decimals=0,
            thresholds=((None, RED), (7, AMBER), (20, GREEN)),
            width=120,
        ),
    ),
    sort=("Value #A", False),
)
QUARANTINE: Final = PanelSpec(
    kind="timeseries",
    title=Text("Kết quả không dùng được", "Results that could not be used"),
    description=Text(
        "Bị cách ly (máy hoặc chứng chỉ đáng ngờ), không xếp được thời gian, hoặc không hiểu được. Giữ lại để xem xét, "
        "không bao giờ vứt âm thầm.",
        "Agents in quarantine, results that no clock could place, records that could not be taken. They are kept to be "
        "looked at, never thrown away in silence.",
    ),
    queries=(
        PromQuery(
            expr="sum(haidang_collector_agents_quarantined)", legend=Text("máy bị cách ly", "agents in quarantine")
        ),
        PromQuery(
            expr="sum(haidang_agent_results_unplaceable_total)",
            legend=Text("không xếp được thời gian", "not placed in time"),
        ),
        PromQuery(expr="sum(haidang_agent_dead_letters_total)", legend=Text("không hiểu được", "not understood")),
    ),
    unit="short",
    lowest=0,
    width=12,
    height=9,
)
STORE: Final = PanelSpec(
    kind="timeseries",
    title=Text("Kho dữ liệu trên đĩa", "The store on disk"),
    description=Text(
        "Kích thước cơ sở dữ liệu, gồm cả sổ trạng thái và hộp thư đi.",
        "Size of the database, ledger and outbox in it.",
    ),
    queries=(PromQuery(expr="sum(haidang_collector_store_bytes)", legend=Text("cơ sở dữ liệu", "database")),),
    unit="bytes",
    lowest=0,
    width=8,
)
MAILS: Final = PanelSpec(
    kind="timeseries",
    title=Text("Thư gửi đi", "Mails"),
    description=Text(
        "Đã gửi, thử lại và hỏng, cộng dồn trong từng khoảng vẽ.", "Sent, put off and failed, in each stretch drawn."
    ),
    queries=(
        PromQuery(
            expr=f"sum(increase(haidang_alert_mails_sent_total[{RATE}]))", legend=Text("đã gửi", "sent"), color=GREEN
        ),
        PromQuery(
            expr=f"sum(increase(haidang_alert_mails_retried_total[{RATE}]))",
            legend=Text("thử lại", "put off"),
            color=AMBER,
        ),
        PromQuery(
            expr=f"sum(increase(haidang_alert_mails_failed_total[{RATE}]))", legend=Text("hỏng", "failed"), color=RED
        ),
    ),
    unit="short",
    lowest=0,
    width=8,
)
COST: Final = PanelSpec(
    kind="timeseries",
    title=Text("Một lần đọc và một lần đánh giá mất bao lâu", "What a scrape and an evaluation take"),
    description=Text(
        "Đọc số liệu cho Prometheus, và một lượt tìm sự cố. Gần một giây trở lên là máy chủ quá tải.",
        "The text for Prometheus, and a turn of looking for incidents. From about a second on the machine is too slow.",
    ),
    queries=(
        PromQuery(expr="max(haidang_collector_last_scrape_duration_seconds)", legend=Text("đọc số liệu", "scrape")),
        PromQuery(expr="max(haidang_alert_last_evaluation_duration_seconds)", legend=Text("đánh giá", "evaluation")),
    ),
    unit="s",
    lowest=0,
    thresholds=((None, GREEN), (1, AMBER)),
    width=8,
)
MONITORING_BOARD: Final = DashboardSpec(
    slug="monitoring",
    title=Text("Hải Đăng · Hệ thống giám sát", "Hải Đăng · Monitoring itself"),
    description=Text(
        "Số liệu ở các bảng khác có mới, có đủ, có tin được không.",
        "Is what the other boards say fresh, complete and believed?",
    ),
    rows=(
        RowSpec(title=Text("Bây giờ", "Now"), panels=(SCRAPED, CLOCK, JOURNAL, WAITING, FAULT_TO_MAIL)),
        RowSpec(title=Text("Nhận kết quả", "Taking results"), panels=(PUSHES, ACKS, RESULTS)),
        RowSpec(title=Text("Máy giám sát", "Agents"), panels=(BACKLOG, SPOOL, VERSIONS, CERTIFICATES, QUARANTINE)),
        RowSpec(title=Text("Máy chủ giám sát", "The collector"), panels=(STORE, MAILS, COST)),
    ),
)
