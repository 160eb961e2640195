"""Backups: is there a good copy, how old is it, is its size as ever, was it verified and restored?"""

from typing import Final

from deploy.grafana.boards.shared import count_by_state
from deploy.grafana.promql import KEYS, named
from deploy.grafana.spec import DashboardSpec, DashboardVariable, PanelColumn, PanelSpec, PromQuery, RowSpec
from deploy.grafana.words import AMBER, GREEN, RED, STATES
from inventory.base.types import Text

BACKUP: Final = DashboardVariable(
    name="backup",
    label=Text("Bản sao lưu", "Backup"),
    description=Text("Chỉ những bản sao lưu này.", "Only these backups."),
    query='query_result(haidang_backup_info{job=~"$job",instance=~"$instance"})',
    regex='/backup="(?<value>[^"]*)".*,NAME="(?<text>[^"]*)"/',
)
OF: Final = 'backup=~"$backup"'


def of_backup(metric: str, how: str = "max") -> str:
    """One figure a backup, with its name."""
    return named(f"{how} by ({KEYS}, agency, backup) ({metric}{{{OF}}})", "backup", "haidang_backup_info")


COUNTS: Final = PanelSpec(
    kind="stat",
    title=Text("Bản sao lưu theo trạng thái", "Backups by state"),
    description=Text(
        "Một bản sao lưu chỉ tốt khi mọi bằng chứng đều tốt: có chạy, có tệp, kiểm tra được, khôi phục được.",
        "A backup is up only while all of its evidence is: it ran, there are files, they are whole, they were "
        "restored.",
    ),
    queries=count_by_state("haidang_backup_state", OF),
    thresholds=((None, GREEN),),
    width=16,
    height=4,
)
BROKEN: Final = PanelSpec(
    kind="stat",
    title=Text("Quá hạn RPO", "Older than allowed"),
    description=Text(
        "Số bản sao lưu mà bản tốt mới nhất cũ hơn mức cho phép.",
        "Backups whose newest good copy is older than allowed.",
    ),
    queries=(PromQuery(expr="count(backup:haidang_backup_age_of_rpo:ratio > 1) or vector(0)", instant=True),),
    thresholds=((None, GREEN), (1, RED)),
    width=8,
    height=4,
)
TABLE: Final = PanelSpec(
    kind="table",
    title=Text("Từng bản sao lưu", "Each backup"),
    description=Text(
        "Tuổi của bản sao tốt mới nhất so với mức cho phép (RPO); đã thử khôi phục lần cuối khi nào.",
        "Age of the newest good copy against what is allowed (RPO), and when a restore was last tried.",
    ),
    queries=(
        PromQuery(expr=of_backup("haidang_backup_state")),
        PromQuery(expr=of_backup("haidang_backup_age_seconds")),
        PromQuery(expr=of_backup("haidang_backup_rpo_seconds")),
        PromQuery(
            expr=named(
                "max by (job, instance, agency, backup) (backup:haidang_backup_age_of_rpo:ratio)",
                "backup",
                "haidang_backup_info",
            )
        ),
        PromQuery(expr=of_backup("haidang_backup_restore_age_seconds", "min")),
    ),
    unit="short",
    width=24,
    height=9,
    columns=(
        PanelColumn(field="NAME", title=Text("Bản sao lưu", "Backup")),
        PanelColumn(field="Value #A", title=Text("Trạng thái", "State"), words=STATES, width=150),
        PanelColumn(
            field="Value #B",
            title=Text("Tuổi bản tốt mới nhất", "Age of newest good copy"),
            unit="dtdurations",
            width=220,
        ),
        PanelColumn(field="Value #C", title=Text("Cho phép", "Allowed"), unit="dtdurations", width=150),
        PanelColumn(
            field="Value #D",
            title=Text("Phần đã dùng", "Share of allowed"),
            unit="percentunit",
            decimals=0,
            thresholds=((None, GREEN), (0.8, AMBER), (1, RED)),
            width=150,
        ),
        PanelColumn(
            field="Value #E", title=Text("Khôi phục thử cách đây", "Last restore"), unit="dtdurations", width=200
        ),
    ),
    sort=("Value #D", True),
)
AGES: Final = PanelSpec(
    kind="timeseries",
    title=Text("Tuổi so với mức cho phép", "Age against what is allowed"),
    description=Text(
        "Răng cưa là tốt: tuổi tăng đến khi có bản mới rồi về không. Vượt vạch 100% là quá hạn.",
        "A saw is good: the age grows until there is a new copy. Above the line at 100% it is too old.",
    ),
    queries=(
        PromQuery(
            expr=named(
                "max by (job, instance, backup) (backup:haidang_backup_age_of_rpo:ratio)",
                "backup",
                "haidang_backup_info",
            ),
            legend="{{NAME}}",
        ),
    ),
    unit="percentunit",
    thresholds=((None, GREEN), (1, RED)),
    lowest=0,
    width=12,
    height=9,
)
SIZES: Final = PanelSpec(
    kind="timeseries",
    title=Text("Kích thước bản mới nhất so với thường lệ", "Size of the newest copy against its history"),
    description=Text(
        "100% là như thường lệ. Nhỏ hẳn đi thường nghĩa là sao lưu thiếu dữ liệu, dù lệnh báo thành công.",
        "100% is as ever. Much smaller usually means that data is missing, though the job said that all was well.",
    ),
    queries=(PromQuery(expr=of_backup("haidang_backup_size_ratio", "min"), legend="{{NAME}}"),),
    unit="percentunit",
    thresholds=((None, RED), (0.5, AMBER), (0.8, GREEN)),
    lowest=0,
    width=12,
    height=9,
    empty=Text("Chưa đủ bản để so", "Not enough copies to compare yet"),
    may_be_empty="fewer copies than a history needs",
)
VERIFIED: Final = PanelSpec(
    kind="table",
    title=Text("Đã kiểm tra", "Verified"),
    description=Text(
        "Bản sao đã được đọc hết và thấy nguyên vẹn cách đây bao lâu, có bao nhiêu bản, bao nhiêu bản hỏng.",
        "How long ago a copy was read through and found whole, how many copies there are, how many are broken.",
    ),
    queries=(
        PromQuery(expr=of_backup("haidang_backup_verified_age_seconds", "min")),
        PromQuery(expr=of_backup("haidang_backup_bad_copies")),
        PromQuery(expr=of_backup("haidang_backup_copies")),
        PromQuery(expr=of_backup("haidang_backup_size_bytes")),
    ),
    unit="short",
    width=12,
    height=9,
    columns=(
        PanelColumn(field="NAME", title=Text("Bản sao lưu", "Backup")),
        PanelColumn(field="Value #A", title=Text("Đọc kiểm cách đây", "Read through"), unit="dtdurations", width=150),
        PanelColumn(
            field="Value #B",
            title=Text("Bản hỏng", "Broken"),
            decimals=0,
            thresholds=((None, GREEN), (1, RED)),
            width=100,
        ),
        PanelColumn(field="Value #C", title=Text("Số bản", "Copies"), decimals=0, width=90),
        PanelColumn(field="Value #D", title=Text("Kích thước", "Size"), unit="bytes", decimals=1, width=110),
    ),
)
DRILLS: Final = PanelSpec(
    kind="table",
    title=Text("Diễn tập khôi phục", "Restore drills"),
    description=Text(
        "Sao lưu chỉ chắc chắn khi đã thử khôi phục: lần tốt cuối cách đây bao lâu, mất bao lâu, bao nhiêu tệp.",
        "A backup is sure only once it was restored: how long ago, how long it took, how many files came back.",
    ),
    queries=(
        PromQuery(expr=of_backup("haidang_backup_restore_age_seconds", "min")),
        PromQuery(expr=of_backup("haidang_backup_restore_duration_seconds")),
        PromQuery(expr=of_backup("haidang_backup_restored_files")),
    ),
    unit="short",
    width=12,
    height=9,
    columns=(
        PanelColumn(field="NAME", title=Text("Bản sao lưu", "Backup")),
        PanelColumn(
            field="Value #A", title=Text("Lần tốt cuối cách đây", "Last one that worked"), unit="dtdurations", width=190
        ),
        PanelColumn(field="Value #B", title=Text("Mất", "Took"), unit="dtdurations", width=130),
        PanelColumn(field="Value #C", title=Text("Số tệp", "Files"), decimals=0, width=100),
    ),
    empty=Text("Chưa diễn tập lần nào", "No drill yet"),
    may_be_empty="no drill was made yet",
)
BACKUPS_BOARD: Final = DashboardSpec(
    slug="backups",
    title=Text("Hải Đăng · Sao lưu", "Hải Đăng · Backups"),
    description=Text(
        "Có bản sao tốt không, cũ bao nhiêu so với mức cho phép, kích thước, kiểm tra, diễn tập khôi phục.",
        "Is there a good copy, how old against what is allowed, size, verification, restore drills.",
    ),
    variables=(BACKUP,),
    time="now-7d",
    rows=(
        RowSpec(title=Text("Bây giờ", "Now"), panels=(COUNTS, BROKEN, TABLE)),
        RowSpec(title=Text("Theo thời gian", "Over time"), panels=(AGES, SIZES)),
        RowSpec(title=Text("Kiểm tra và diễn tập", "Verification and drills"), panels=(VERIFIED, DRILLS)),
    ),
)
