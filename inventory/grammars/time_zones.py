"""Names of time zones, as IANA has them: the library takes any text for a path and looks where that leads."""

import re
from typing import TYPE_CHECKING, Final

from inventory.base.text import quoted

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

MAX_LENGTH: Final = 64  # characters; the longest there is has 32
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,3}", re.ASCII)


def zone_named(name: str) -> "ZoneInfo":
    """Raises ValueError in words."""
    from zoneinfo import ZoneInfo  # it brings much along that most agents never need

    try:
        if len(name) <= MAX_LENGTH and _NAME.fullmatch(name):
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # no such zone, no such name, a directory
        pass
    raise ValueError(f"there is no time zone {quoted(name)}; write it like Asia/Ho_Chi_Minh")
