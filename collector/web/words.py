"""The pages' words. English is what stands in the templates; this is the Vietnamese of it, in NFC."""

import math
from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

LANGUAGES = ("vi", "en")

VIETNAMESE: Mapping[str, str] = {
    "Hải Đăng": "Hải Đăng",
    "availability that can be defended": "số liệu sẵn sàng có thể bảo vệ",
    "up": "hoạt động",
    "degraded": "suy giảm",
    "down": "ngừng",
    "unknown": "không rõ",
    "Agencies": "Cơ quan",
    "All agencies": "Tất cả cơ quan",
    "Agents": "Trạm giám sát",
    "Goals": "Mục tiêu",
    "Wrong now": "Đang có sự cố",
    "Nothing is known to be wrong.": "Chưa thấy sự cố nào.",
    "%(count)s of %(all)s checks": "%(count)s trong %(all)s phép kiểm tra",
    "Check": "Phép kiểm tra",
    "Kind": "Loại",
    "Agent": "Trạm",
    "State": "Trạng thái",
    "Since": "Từ lúc",
    "Why": "Lý do",
    "Latency": "Độ trễ",
    "24 hours": "24 giờ",
    "30 days": "30 ngày",
    "proven": "chứng minh được",
    "seen": "có số liệu",
    "Agency": "Cơ quan",
    "Backups": "Sao lưu",
    "Backup": "Bản sao lưu",
    "Newest good copy": "Bản tốt mới nhất",
    "Size": "Dung lượng",
    "Last restore": "Phục hồi thử gần nhất",
    "%(age)s ago": "%(age)s trước",
    "not known": "chưa rõ",
    "pings": "tác vụ",
    "files": "tệp sao lưu",
    "repository": "kho sao lưu",
    "drill": "thử phục hồi",
    "Site": "Điểm mạng",
    "Last seen": "Lần cuối liên lạc",
    "Backlog": "Tồn đọng",
    "Version": "Phiên bản",
    "Checks": "Phép kiểm tra",
    "never": "chưa bao giờ",
    "revoked": "đã thu hồi",
    "stopped": "đã dừng",
    "Goal": "Mục tiêu",
    "Window": "Kỳ",
    "Objective": "Chỉ tiêu",
    "Figure": "Kết quả",
    "Verdict": "Kết luận",
    "met": "đạt",
    "missed": "không đạt",
    "not proven": "chưa chứng minh được",
    "no evidence": "chưa có bằng chứng",
    "day": "ngày",
    "week": "tuần",
    "month": "tháng",
    "quarter": "quý",
    "year": "năm",
    "last %(days)s days": "%(days)s ngày qua",
    "No agency is in the inventory yet.": "Danh mục chưa có cơ quan nào.",
    "No goal is in the inventory yet.": "Danh mục chưa có mục tiêu nào.",
    "No check has been handed to an agent yet.": "Chưa có phép kiểm tra nào được giao cho trạm.",
    "all %(count)s checks are up": "cả %(count)s phép kiểm tra đều hoạt động",
    "all %(count)s checks": "cả %(count)s phép kiểm tra",
    "The inventory has mistakes; the last good one stays in force:": (
        "Danh mục có lỗi; bản đúng gần nhất vẫn được dùng:"
    ),
    "The collector does not trust its own clock; results are placed in time later.": (
        "Máy thu thập chưa tin đồng hồ của chính nó; kết quả được xếp thời gian sau."
    ),
    "and %(count)s more": "và %(count)s nữa",
    "as of": "tính đến",
    "no look yet": "chưa kiểm tra lần nào",
    "nothing heard": "không nhận được tin",
    "agent stopped": "trạm đã dừng",
    "Best figure [proven – possible], share of time with evidence.": (
        "Số liệu tốt nhất [chứng minh được – có thể], tỷ lệ thời gian có số liệu."
    ),
    "Nothing is here.": "Không có gì ở đây.",
    "told by the agent, not in the ledger yet": "do trạm báo, chưa vào sổ",
}
_UNITS = {"vi": ("giây", "phút", "giờ", "ngày"), "en": ("s", "min", "h", "d")}


class Tongue:
    """One language: words, numbers, times."""

    def __init__(self, language: str, zone: ZoneInfo) -> None:
        self.language = language
        self._zone = zone

    def __call__(self, words: str, **values: object) -> str:
        """The words in this language; what is not in the catalogue stands as it is."""
        text = VIETNAMESE.get(words, words) if self.language == "vi" else words
        return text % values if values else text

    def percent(self, ratio: float | None, *, up: bool = False) -> str:
        """Cut off, not rounded: 99.999% is not shown as 100%. ``up``: an upper bound, cut off upwards."""
        if ratio is None:
            return "–"
        cut = (math.ceil(ratio * 10_000 - 1e-9) if up else math.floor(ratio * 10_000 + 1e-9)) / 100
        text = "100" if cut >= 100 else f"{cut:.2f}"
        return f"{text.replace('.', ',') if self.language == 'vi' else text}%"

    def moment(self, ms: int | None, now: int) -> str:
        """A time in the province's zone; the day only when it is not today."""
        if ms is None:
            return ""
        then, today = (datetime.fromtimestamp(at / 1000, self._zone) for at in (ms, now))
        form = "%H:%M:%S" if then.date() == today.date() else "%d/%m/%Y %H:%M"
        return then.strftime(form)

    def length(self, ms: int) -> str:
        """A duration in its two largest units."""
        second, minute, hour, day = _UNITS[self.language]
        whole = max(ms, 0) // 1000
        if whole < 60:
            return f"{whole} {second}"
        if whole < 3600:
            return f"{whole // 60} {minute}"
        if whole < 86_400:
            return f"{whole // 3600} {hour} {whole % 3600 // 60:02} {minute}"
        return f"{whole // 86_400} {day} {whole % 86_400 // 3600} {hour}"

    def latency(self, seconds: float | None) -> str:
        if seconds is None:
            return ""
        text = f"{seconds * 1000:.3g}" if seconds < 0.1 else f"{seconds * 1000:.0f}"
        return f"{text.replace('.', ',') if self.language == 'vi' else text} ms"

    def window(self, name: str) -> str:
        if name.startswith("rolling-"):
            return self("last %(days)s days", days=name.removeprefix("rolling-").removesuffix("d"))
        return self(name)


def chosen(asked: str | None, accept_language: str) -> str:
    """``lang`` of the query, else the first accepted language that we have, else Vietnamese."""
    if asked in LANGUAGES:
        return asked
    weighed = []
    for place, part in enumerate(accept_language.split(",")[:20]):
        name, _, weight = part.strip().partition(";q=")
        try:
            weighed.append((-float(weight or 1), place, name.strip().lower()[:2]))
        except ValueError:
            continue
    return next((name for weight, _, name in sorted(weighed) if name in LANGUAGES and weight < 0), "vi")
