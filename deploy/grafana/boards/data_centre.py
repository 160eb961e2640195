"""The data centre: services, certificates, power, servers, switches."""

from typing import Final

from deploy.grafana.boards.shared import count_by_state
from deploy.grafana.promql import of_check
from deploy.grafana.spec import DashboardSpec, DashboardVariable, PanelColumn, PanelSpec, PromQuery, RowSpec
from deploy.grafana.words import ALARM, AMBER, GREEN, RED, SOURCES, STATES, YES_NO
from inventory.base.types import Text

SITE: Final = DashboardVariable(
    name="site",
    label=Text("Điểm", "Site"),
    description=Text(
        "Trung tâm dữ liệu hay điểm khác có UPS được giám sát.", "The data centre, or another site with a watched UPS."
    ),
    query='label_values(haidang_site_power_seconds_total{job=~"$job",instance=~"$instance"}, site)',
    multi=False,
)
HERE: Final = 'site="$site"'
SERVICE_KINDS: Final = "http|smtp|imap|mail|dns|ntp|tcp"
DAY: Final = 86_400


def ups(metric: str) -> str:
    return of_check(f"{metric}{{{HERE}}}")


SERVICES: Final = PanelSpec(
    kind="state-timeline",
    title=Text("Dịch vụ theo thời gian", "Services over time"),
    description=Text(
        "Mỗi dòng một dịch vụ chạy tại đây: cổng thông tin, thư điện tử, tên miền, giờ chuẩn.",
        "A line each service that runs here: portals, mail, name resolution, time.",
    ),
    queries=(PromQuery(expr=of_check(f'haidang_check_state{{{HERE},kind=~"{SERVICE_KINDS}"}}'), legend="{{NAME}}"),),
    words=STATES,
    width=14,
    height=10,
)
RESPONSE: Final = PanelSpec(
    kind="timeseries",
    title=Text("Thời gian đáp ứng", "Response times"),
    description=Text(
        "Từ lúc hỏi đến lúc có câu trả lời đầy đủ, lần đo mới nhất. Tăng dần thường là dấu hiệu sớm của quá tải.",
        "From the question to the whole answer, by the newest look. A slow rise is often the first sign of overload.",
    ),
    queries=(
        PromQuery(expr=of_check(f'haidang_check_latency_seconds{{{HERE},kind=~"{SERVICE_KINDS}"}}'), legend="{{NAME}}"),
    ),
    unit="s",
    lowest=0,
    width=10,
    height=10,
)
CERTIFICATES: Final = PanelSpec(
    kind="table",
    title=Text("Chứng chỉ SSL/TLS theo số ngày còn lại", "SSL/TLS certificates by days left"),
    description=Text(
        "Mọi chứng chỉ trong tỉnh mà một mục giám sát nhìn thấy, gần hết hạn nhất ở trên. Dưới 21 ngày: gia hạn ngay.",
        "Every certificate in the province that a check sees, the first to expire on top. Below 21 days: renew now.",
    ),
    queries=(
        PromQuery(
            expr="("
            + of_check(f"(haidang_tls_certificate_expiry_timestamp_seconds - time()) / {DAY}")
            + ") or ("
            + of_check(f"(haidang_http_certificate_expiry_timestamp_seconds - time()) / {DAY}")
            + ")"
        ),
    ),
    unit="d",
    width=12,
    height=12,
    columns=(
        PanelColumn(field="NAME", title=Text("Mục giám sát", "Check")),
        PanelColumn(field="agency", title=Text("Cơ quan", "Agency"), width=200, link="agency?agency=agency"),
        PanelColumn(
            field="Value #A",
            title=Text("Còn lại", "Days left"),
            unit="d",
            decimals=0,
            thresholds=((None, RED), (21, AMBER), (45, GREEN)),
            width=120,
        ),
    ),
    sort=("Value #A", False),
)
DAYS: Final = PanelSpec(
    kind="timeseries",
    title=Text("Chứng chỉ sớm hết hạn nhất", "The certificate that expires first"),
    description=Text(
        "Số ngày còn lại của chứng chỉ gần hết hạn nhất theo từng loại mục; vạch đứt: 21 ngày.",
        "Days left of the certificate that expires first, by kind of check; dashed: 21 days.",
    ),
    queries=(
        PromQuery(expr=f"min((haidang_tls_certificate_expiry_timestamp_seconds - time()) / {DAY})", legend="TLS"),
        PromQuery(expr=f"min((haidang_http_certificate_expiry_timestamp_seconds - time()) / {DAY})", legend="HTTPS"),
    ),
    unit="d",
    thresholds=((None, RED), (21, GREEN)),
    lowest=0,
    width=12,
    height=12,
)
SOURCE: Final = PanelSpec(
    kind="timeseries",
    title=Text("Nguồn điện", "What it runs on"),
    description=Text(
        "Phần thời gian chạy bằng điện lưới, ắc quy, hay không có điện, cả điểm cộng lại theo cách UPS cấp điện.",
        "Share of the time on mains, on battery, without power, of the site as a whole, by what feeds it.",
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
)
BATTERY: Final = PanelSpec(
    kind="timeseries",
    title=Text("UPS: ắc quy và tải", "UPS: charge and load"),
    description=Text(
        "Ắc quy còn bao nhiêu và tải chiếm bao nhiêu công suất. Khi mất điện lưới, ắc quy tụt dần.",
        "How full the battery is, and how much of its power the load takes. Without mains the charge falls.",
    ),
    queries=(
        PromQuery(expr=ups("haidang_ups_charge_ratio"), legend=Text("{{NAME}}: ắc quy", "{{NAME}}: charge")),
        PromQuery(expr=ups("haidang_ups_load_ratio"), legend=Text("{{NAME}}: tải", "{{NAME}}: load"), dashed=True),
    ),
    unit="percentunit",
    lowest=0,
    highest=1,
    width=12,
)
UPS_NOW: Final = PanelSpec(
    kind="table",
    title=Text("UPS bây giờ", "UPSs now"),
    description=Text(
        "Đang chạy ắc quy không, còn chạy được bao lâu, nhiệt độ, có phải thay ắc quy không.",
        "Whether on battery, for how long yet, the temperature, whether the battery is to be replaced.",
    ),
    queries=(
        PromQuery(expr=ups("haidang_ups_on_battery")),
        PromQuery(expr=ups("haidang_ups_runtime_seconds")),
        PromQuery(expr=ups("haidang_ups_temperature_celsius")),
        PromQuery(expr=ups("haidang_ups_replace_battery")),
    ),
    unit="short",
    width=24,
    height=6,
    columns=(
        PanelColumn(field="NAME", title=Text("UPS", "UPS")),
        PanelColumn(field="Value #A", title=Text("Chạy ắc quy", "On battery"), words=ALARM, width=150),
        PanelColumn(
            field="Value #B",
            title=Text("Còn chạy được", "Runtime left"),
            unit="dtdurations",
            thresholds=((None, RED), (600, AMBER), (1_200, GREEN)),
            width=180,
        ),
        PanelColumn(
            field="Value #C",
            title=Text("Nhiệt độ", "Temperature"),
            unit="celsius",
            decimals=0,
            thresholds=((None, GREEN), (35, AMBER), (45, RED)),
            width=130,
        ),
        PanelColumn(field="Value #D", title=Text("Phải thay ắc quy", "Replace battery"), words=ALARM, width=170),
    ),
    empty=Text("UPS không nói gì", "No UPS says anything"),
)
DISKS: Final = PanelSpec(
    kind="bargauge",
    title=Text("Đĩa đầy nhất", "Fullest disks"),
    description=Text(
        "Mười máy có hệ tệp đầy nhất, cả máy giám sát ở các cơ quan.",
        "The ten machines with the fullest file system, the agents' own among them.",
    ),
    queries=(PromQuery(expr="topk(10, haidang_host_disk_used_ratio)", legend="{{agent}}", instant=True),),
    unit="percentunit",
    lowest=0,
    highest=1,
    thresholds=((None, GREEN), (0.8, AMBER), (0.9, RED)),
    width=8,
    height=10,
)
MACHINES: Final = PanelSpec(
    kind="timeseries",
    title=Text("Máy chủ: bộ xử lý và bộ nhớ", "Servers: processor and memory"),
    description=Text("Phần bộ xử lý bận và bộ nhớ đã dùng.", "Share of processor time busy, and of memory in use."),
    queries=(
        PromQuery(
            expr=f"haidang_host_cpu_used_ratio{{{HERE}}}",
            legend=Text("{{agent}}: bộ xử lý", "{{agent}}: processor"),
        ),
        PromQuery(
            expr=f"haidang_host_memory_used_ratio{{{HERE}}}",
            legend=Text("{{agent}}: bộ nhớ", "{{agent}}: memory"),
            dashed=True,
        ),
    ),
    unit="percentunit",
    lowest=0,
    highest=1,
    width=8,
    height=10,
    empty=Text("Không có máy chủ nào được đo ở đây", "No server is measured here"),
    may_be_empty="a site without a check of kind host",
)
SWITCHES: Final = PanelSpec(
    kind="timeseries",
    title=Text("Thiết bị mạng: lưu lượng", "Switches and routers: traffic"),
    description=Text(
        "Vào (trên) và ra (dưới) qua các cổng được theo dõi, tính bằng bit mỗi giây.",
        "In (above) and out (below) through the watched interfaces, in bits per second.",
    ),
    queries=(
        PromQuery(
            expr=of_check(f"haidang_snmp_in_bytes_per_second{{{HERE}}} * 8"),
            legend=Text("{{NAME}}: vào", "{{NAME}}: in"),
        ),
        PromQuery(
            expr=of_check(f"haidang_snmp_out_bytes_per_second{{{HERE}}} * -8"),
            legend=Text("{{NAME}}: ra", "{{NAME}}: out"),
        ),
    ),
    unit="bps",
    width=8,
    height=10,
    empty=Text("Không có thiết bị SNMP nào ở đây", "No device is asked by SNMP here"),
    may_be_empty="a site without a check of kind snmp",
)
PORTS: Final = PanelSpec(
    kind="table",
    title=Text("Thiết bị mạng bây giờ", "Switches and routers now"),
    description=Text(
        "Cổng đang ngừng dù được bật, lỗi mỗi giây, cổng bận nhất, và thiết bị đã chạy bao lâu.",
        "Interfaces down though switched on, errors per second, the busiest interface, and for how long the "
        "device runs.",
    ),
    queries=(
        PromQuery(expr=ups("haidang_snmp_interfaces_down")),
        PromQuery(expr=ups("haidang_snmp_errors_per_second")),
        PromQuery(expr=ups("haidang_snmp_utilisation_ratio")),
        PromQuery(expr=ups("haidang_snmp_uptime_seconds")),
    ),
    unit="short",
    width=24,
    height=7,
    columns=(
        PanelColumn(field="NAME", title=Text("Thiết bị", "Device")),
        PanelColumn(
            field="Value #A",
            title=Text("Cổng ngừng", "Interfaces down"),
            decimals=0,
            thresholds=((None, GREEN), (1, RED)),
            width=150,
        ),
        PanelColumn(
            field="Value #B",
            title=Text("Lỗi mỗi giây", "Errors per second"),
            unit="cps",
            decimals=1,
            thresholds=((None, GREEN), (1, AMBER)),
            width=160,
        ),
        PanelColumn(
            field="Value #C",
            title=Text("Cổng bận nhất", "Busiest interface"),
            unit="percentunit",
            decimals=0,
            thresholds=((None, GREEN), (0.8, AMBER)),
            width=160,
        ),
        PanelColumn(field="Value #D", title=Text("Đã chạy", "Up for"), unit="dtdurations", width=160),
    ),
    empty=Text("Không có thiết bị SNMP nào ở đây", "No device is asked by SNMP here"),
    may_be_empty="a site without a check of kind snmp",
)
ON_MAINS: Final = PanelSpec(
    kind="stat",
    title=Text("Có điện lưới", "On mains"),
    description=Text("Có, khi mọi UPS ở đây chạy bằng điện lưới.", "Yes while every UPS here runs on the mains."),
    queries=(PromQuery(expr=f"min(haidang_ups_on_mains{{{HERE}}})", instant=True),),
    words=YES_NO,
    width=4,
    height=4,
    empty=Text("UPS không nói gì", "No UPS says anything"),
)
RUNTIME: Final = PanelSpec(
    kind="stat",
    title=Text("Ắc quy chạy được", "Battery would last"),
    description=Text(
        "Thời gian ắc quy yếu nhất giữ được tải hiện nay.", "How long the weakest battery would carry the present load."
    ),
    queries=(PromQuery(expr=f"min(haidang_ups_runtime_seconds{{{HERE}}})", instant=True),),
    unit="dtdurations",
    thresholds=((None, RED), (600, AMBER), (1_200, GREEN)),
    width=5,
    height=4,
    empty=Text("UPS không nói gì", "No UPS says anything"),
)
STATE_COUNTS: Final = PanelSpec(
    kind="stat",
    title=Text("Mục giám sát tại đây", "Checks here"),
    description=Text("Bao nhiêu mục của điểm này ở mỗi trạng thái.", "How many checks of this site are in each state."),
    queries=count_by_state("haidang_check_state", HERE),
    thresholds=((None, GREEN),),
    width=15,
    height=4,
)
DATA_CENTRE_BOARD: Final = DashboardSpec(
    slug="data-centre",
    title=Text("Hải Đăng · Trung tâm dữ liệu", "Hải Đăng · Data centre"),
    description=Text(
        "Dịch vụ, chứng chỉ, nguồn điện, máy chủ và thiết bị mạng của trung tâm dữ liệu.",
        "Services, certificates, power, servers and switches of the data centre.",
    ),
    variables=(SITE,),
    rows=(
        RowSpec(title=Text("Bây giờ", "Now"), panels=(STATE_COUNTS, ON_MAINS, RUNTIME)),
        RowSpec(title=Text("Dịch vụ", "Services"), panels=(SERVICES, RESPONSE)),
        RowSpec(title=Text("Chứng chỉ", "Certificates"), panels=(CERTIFICATES, DAYS)),
        RowSpec(title=Text("Nguồn điện", "Power"), panels=(SOURCE, BATTERY, UPS_NOW)),
        RowSpec(
            title=Text("Máy chủ và thiết bị mạng", "Servers and switches"), panels=(DISKS, MACHINES, SWITCHES, PORTS)
        ),
    ),
)
