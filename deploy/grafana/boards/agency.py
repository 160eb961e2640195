"""One agency: its line, its LAN, its services, power and backups, and how it stood."""

from typing import Final

from deploy.grafana.boards.shared import AGENCY, DISTRICT, availability_bounds, incidents_table
from deploy.grafana.promql import KEYS, named, of_check
from deploy.grafana.spec import DashboardSpec, PanelColumn, PanelSpec, PromQuery, RowSpec
from deploy.grafana.words import AMBER, GREEN, RED, SLATE, SOURCES, STATES
from inventory.base.types import Text

HERE: Final = 'agency="$agency"'
LINE: Final = f'haidang_check_info{{{HERE},link!=""}}'


def on_line(metric: str) -> str:
    """What the checks of the line measure, with their names."""
    return f"{metric}{{{HERE}}} * on ({KEYS}, agent, check) group_left (NAME) {LINE}"


def seconds(states: str) -> str:
    return f'sum(increase(haidang_check_seconds_total{{{HERE},state=~"{states}"}}[$__range]))'


STATE: Final = PanelSpec(
    kind="stat",
    title=Text("Trạng thái", "State"),
    description=Text(
        "Trạng thái xấu nhất của các mục thuộc cơ quan này.", "The worst state of the checks about this agency."
    ),
    queries=(PromQuery(expr=f"haidang_agency_state{{{HERE}}}", instant=True),),
    words=STATES,
    width=4,
    height=5,
)
SETTLED: Final = PanelSpec(
    kind="stat",
    title=Text("Hoạt động trong khoảng đang xem", "Availability in this range"),
    description=Text(
        "Từ bộ đếm đã chốt: thời gian hoạt động (kể cả suy giảm) chia cho thời gian có số liệu, trong khoảng thời gian "
        "đang chọn. Bộ đếm không bỏ thời gian loại trừ.",
        "From settled counters: time up (degraded too) by time with evidence, over the range that is chosen. The "
        "counters do not leave out excluded time.",
    ),
    queries=(PromQuery(expr=f"{seconds('up|degraded')} / ({seconds('up|degraded|down')} > 0)", instant=True),),
    unit="percentunit",
    decimals=2,
    thresholds=((None, RED), (0.95, AMBER), (0.99, GREEN)),
    width=5,
    height=5,
    empty=Text("Chưa có thời gian đã chốt trong khoảng này", "Nothing is settled in this range yet"),
)
PCS: Final = PanelSpec(
    kind="timeseries",
    title=Text("Máy tính đang bật so với danh sách", "PCs on, against the register"),
    description=Text(
        "Số máy thấy trong mạng nội bộ, so với số máy mà danh sách của cơ quan nói phải có trong mạng (nét đứt).",
        "Machines seen on the local network, against the number that the agency's register says are on it (dashed).",
    ),
    queries=(
        PromQuery(expr=f"sum(haidang_lan_hosts_seen{{{HERE}}})", legend=Text("Đang bật", "On")),
        PromQuery(
            expr=f"max(haidang_agency_registered_pcs{{{HERE}}})",
            legend=Text("Trong danh sách", "On the register"),
            color=SLATE,
            dashed=True,
        ),
    ),
    width=12,
    lowest=0,
    empty=Text("Cơ quan này không có mục đếm máy", "Nothing counts PCs at this agency"),
    may_be_empty="an agency without a check of kind lan, or outside of its hours",
)
CHECKS: Final = PanelSpec(
    kind="state-timeline",
    title=Text("Các mục giám sát theo thời gian", "Checks over time"),
    description=Text(
        "Mỗi dòng một mục giám sát của cơ quan này. Xám: không có số liệu. Xanh xám: thời gian không tính.",
        "A line a check about this agency. Grey: no evidence. Blue-grey: time that does not count.",
    ),
    queries=(PromQuery(expr=of_check(f"haidang_check_state{{{HERE}}}"), legend="{{NAME}} ({{agent}})"),),
    words=STATES,
    width=24,
    height=12,
)
LOSS: Final = PanelSpec(
    kind="timeseries",
    title=Text("Mất gói trên đường truyền", "Packet loss on the line"),
    description=Text(
        "Phần gói hỏi không có trả lời, nhìn từ cả hai đầu. Từ 2% cuộc gọi bắt đầu vỡ tiếng.",
        "Share of requests without a reply, seen from both ends. From 2% on calls begin to break up.",
    ),
    queries=(PromQuery(expr=on_line("haidang_icmp_loss_ratio"), legend="{{NAME}}"),),
    unit="percentunit",
    thresholds=((None, GREEN), (0.02, AMBER), (0.1, RED)),
    lowest=0,
    width=8,
    empty=Text("Không đo được: đường truyền đứt hoặc máy im lặng", "Nothing measured: the line is cut, or silent"),
    may_be_empty="the data centre has no leased line",
)
RTT: Final = PanelSpec(
    kind="timeseries",
    title=Text("Thời gian đi về và dao động trễ", "Round trip and jitter"),
    description=Text(
        "Thời gian một gói đi tới trung tâm và về, và nó dao động bao nhiêu. Dưới 150 ms là tốt cho họp trực tuyến.",
        "How long a packet takes to the centre and back, and how much that varies. Below 150 ms is good for video "
        "conferences.",
    ),
    queries=(
        PromQuery(expr=on_line("haidang_check_latency_seconds"), legend="{{NAME}}"),
        PromQuery(
            expr=on_line("haidang_icmp_jitter_seconds"),
            legend=Text("{{NAME}}: dao động", "{{NAME}}: jitter"),
            dashed=True,
        ),
    ),
    unit="s",
    lowest=0,
    width=8,
    empty=Text("Không đo được: đường truyền đứt hoặc máy im lặng", "Nothing measured: the line is cut, or silent"),
    may_be_empty="the data centre has no leased line",
)
THROUGHPUT: Final = PanelSpec(
    kind="timeseries",
    title=Text("Tốc độ tải từ trung tâm", "Download rate from the centre"),
    description=Text(
        "Tốc độ đo thật bằng cách tải một tệp; mỗi lần đo tốn dung lượng nên chỉ đo thưa.",
        "Measured by fetching a file; it costs traffic, so it is seldom done.",
    ),
    queries=(
        PromQuery(expr=of_check(f"haidang_throughput_download_bytes_per_second{{{HERE}}} * 8"), legend="{{NAME}}"),
    ),
    unit="bps",
    lowest=0,
    width=8,
    empty=Text("Chưa đo lần nào", "Not measured yet"),
    may_be_empty="an agency without a check of kind throughput",
)
SERVICES: Final = PanelSpec(
    kind="timeseries",
    title=Text("Thời gian đáp ứng của dịch vụ", "Response times of services"),
    description=Text(
        "Cổng thông tin, thư điện tử, phân giải tên miền ...: từ lúc hỏi đến lúc có câu trả lời đầy đủ.",
        "Portal, mail, name resolution ...: from the question to the whole answer.",
    ),
    queries=(
        PromQuery(
            expr=of_check(f'haidang_check_latency_seconds{{{HERE},kind=~"http|tls|dns|tcp|smtp|imap|mail"}}'),
            legend="{{NAME}}",
        ),
    ),
    unit="s",
    lowest=0,
    width=12,
    empty=Text("Cơ quan này không có dịch vụ được giám sát", "No service of this agency is watched"),
    may_be_empty="an agency none of whose services are watched",
)
POWER: Final = PanelSpec(
    kind="timeseries",
    title=Text("Nguồn điện của trụ sở", "What the site runs on"),
    description=Text(
        "Phần thời gian chạy bằng điện lưới, ắc quy, hay không có điện. Chỉ ở nơi có UPS được giám sát.",
        "Share of the time on mains, on battery, without power. Only where a UPS is watched.",
    ),
    queries=tuple(
        PromQuery(
            expr=f'sum(rate(haidang_site_power_seconds_total{{{HERE},source="{source}"}}[$__rate_interval]))',
            legend=mapped.words,
            color=mapped.color,
        )
        for source, mapped in SOURCES.items()
    ),
    unit="percentunit",
    stack=True,
    lowest=0,
    width=12,
    empty=Text("Không có UPS nào được giám sát ở đây", "No UPS is watched here"),
    may_be_empty="an agency without a watched UPS",
)
BACKUPS: Final = PanelSpec(
    kind="table",
    title=Text("Sao lưu của cơ quan", "The agency's backups"),
    description=Text(
        "Tuổi của bản sao tốt mới nhất so với mức cho phép (RPO), và trạng thái của mọi bằng chứng cộng lại.",
        "Age of the newest good copy against what is allowed (RPO), and the state of all evidence together.",
    ),
    queries=(
        PromQuery(expr=named(f"haidang_backup_state{{{HERE}}}", "backup", "haidang_backup_info")),
        PromQuery(
            expr=named(
                f"max by ({KEYS}, backup) (haidang_backup_age_seconds{{{HERE}}})", "backup", "haidang_backup_info"
            )
        ),
        PromQuery(
            expr=named(
                f"max by ({KEYS}, backup) (haidang_backup_rpo_seconds{{{HERE}}})", "backup", "haidang_backup_info"
            )
        ),
    ),
    unit="s",
    columns=(
        PanelColumn(field="NAME", title=Text("Bản sao lưu", "Backup")),
        PanelColumn(field="Value #A", title=Text("Trạng thái", "State"), words=STATES, width=150),
        PanelColumn(field="Value #B", title=Text("Tuổi", "Age"), unit="dtdurations", width=150),
        PanelColumn(field="Value #C", title=Text("Cho phép", "Allowed"), unit="dtdurations", width=150),
    ),
    width=12,
    empty=Text("Cơ quan này không có bản sao lưu nào trong danh mục", "No backup of this agency is in the inventory"),
    may_be_empty="an agency without backups",
)
AGENCY_BOARD: Final = DashboardSpec(
    slug="agency",
    title=Text("Hải Đăng · Cơ quan", "Hải Đăng · Agency"),
    description=Text(
        "Một cơ quan: đường truyền, mạng nội bộ, dịch vụ, nguồn điện, sao lưu, và tỷ lệ hoạt động với biên của nó.",
        "One agency: line, local network, services, power, backups, and its availability with bounds.",
    ),
    variables=(DISTRICT, AGENCY),
    rows=(
        RowSpec(
            title=Text("Bây giờ", "Now"),
            panels=(
                STATE,
                SETTLED,
                availability_bounds(HERE, width=7),
                incidents_table(HERE, width=8, height=5, with_agency=False),
            ),
        ),
        RowSpec(title=Text("Mục giám sát", "Checks"), panels=(CHECKS,)),
        RowSpec(title=Text("Đường truyền", "Line"), panels=(LOSS, RTT, THROUGHPUT)),
        RowSpec(title=Text("Mạng nội bộ và dịch vụ", "Local network and services"), panels=(PCS, SERVICES)),
        RowSpec(title=Text("Điện và sao lưu", "Power and backups"), panels=(POWER, BACKUPS)),
    ),
)
