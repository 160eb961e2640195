"""Words and colours that every board shares: a state is always shape, word and colour."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from inventory.base.types import Text

GREEN, AMBER, RED, GREY, SLATE = "#1a7f37", "#9a6700", "#c1272d", "#6e7781", "#57739b"
BLUE: Final = "#0969da"  # of what is neither good nor bad


class Mapped(NamedTuple):
    """What a value is called, and its colour; "" leaves the colour as it is."""

    words: Text
    color: str = ""


ValueWords = Mapping[str, Mapped]

STATES: Final[ValueWords] = {
    "0": Mapped(Text("● hoạt động", "● up"), GREEN),
    "1": Mapped(Text("▲ suy giảm", "▲ degraded"), AMBER),
    "2": Mapped(Text("■ ngừng", "■ down"), RED),
    "3": Mapped(Text("○ không rõ", "○ unknown"), GREY),
    "4": Mapped(Text("◇ không tính", "◇ excluded"), SLATE),
}
STATE_NAMES: Final[ValueWords] = {
    name: STATES[str(code)] for code, name in enumerate(("up", "degraded", "down", "unknown", "excluded"))
}
CAUSES: Final[ValueWords] = {
    "service": Mapped(Text("chính dịch vụ", "the service itself")),
    "lan": Mapped(Text("mạng nội bộ", "local network")),
    "wan": Mapped(Text("đường truyền", "leased line")),
    "power": Mapped(Text("nguồn điện", "power")),
    "agent": Mapped(Text("máy giám sát", "monitoring agent")),
    "collector": Mapped(Text("máy chủ giám sát", "collector")),
    "not_known": Mapped(Text("chưa rõ", "not known")),
}
SEVERITIES: Final[ValueWords] = {
    "critical": Mapped(Text("■ nghiêm trọng", "■ critical"), RED),
    "warning": Mapped(Text("▲ cảnh báo", "▲ warning"), AMBER),
    "info": Mapped(Text("● thông tin", "● information"), BLUE),
}
INCIDENT_STATES: Final[ValueWords] = {
    "open": Mapped(Text("■ chưa ai nhận", "■ nobody has it"), RED),
    "acknowledged": Mapped(Text("▲ đã tiếp nhận", "▲ acknowledged"), AMBER),
    "snoozed": Mapped(Text("◇ tạm hoãn", "◇ snoozed"), SLATE),
    "recovering": Mapped(Text("● đang hồi phục", "● recovering"), GREEN),
}
VERDICTS: Final[ValueWords] = {
    "0": Mapped(Text("● đạt", "● met"), GREEN),
    "1": Mapped(Text("■ không đạt", "■ missed"), RED),
    "2": Mapped(Text("▲ chưa chứng minh được", "▲ not proven"), AMBER),
    "3": Mapped(Text("○ chưa có bằng chứng", "○ no evidence"), GREY),
}
SOURCES: Final[ValueWords] = {
    "mains": Mapped(Text("● điện lưới", "● mains"), GREEN),
    "battery": Mapped(Text("▲ ắc quy", "▲ battery"), AMBER),
    "none": Mapped(Text("■ mất điện", "■ none"), RED),
    "unknown": Mapped(Text("○ không rõ", "○ unknown"), GREY),
}
YES_NO: Final[ValueWords] = {
    "1": Mapped(Text("● có", "● yes"), GREEN),
    "0": Mapped(Text("■ không", "■ no"), RED),
}
ALARM: Final[ValueWords] = {
    "0": Mapped(Text("● không", "● no"), GREEN),
    "1": Mapped(Text("■ có", "■ yes"), RED),
}
ORIGINS: Final[ValueWords] = {
    "inventory": Mapped(Text("trong danh mục", "the inventory")),
    "declared": Mapped(Text("khai báo", "declared")),
}
WINDOWS: Final[ValueWords] = {
    "day": Mapped(Text("hôm nay", "today")),
    "month": Mapped(Text("tháng này", "this month")),
    "quarter": Mapped(Text("quý này", "this quarter")),
    "year": Mapped(Text("năm nay", "this year")),
    "rolling-1d": Mapped(Text("24 giờ qua", "last 24 hours")),
    "rolling-7d": Mapped(Text("7 ngày qua", "last 7 days")),
    "rolling-30d": Mapped(Text("30 ngày qua", "last 30 days")),
}
BOUNDS: Final[ValueWords] = {
    "best": Mapped(Text("ước tính", "best estimate")),
    "lower": Mapped(Text("mức chắc chắn", "proven at least")),
    "upper": Mapped(Text("mức tối đa", "possible at most")),
}
