"""Ask the installed probes' own code whether a check's parameters go together.

kinds.json knows each parameter by itself; what only the probe knows (two that do not go together, an address that is
none) it says through an entry point, so that the inventory depends on no probe and loads none unless it is asked to.
"""

from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Final

ENTRY_POINT_GROUP: Final = "haidang.kinds"
ParamsValidator = Callable[[str, Mapping[str, Any]], str]  # (kind, parameters) -> what is wrong, or ""


@cache
def installed_validator() -> ParamsValidator | None:
    """The probes' own judge; None where only the inventory is installed."""
    for point in entry_points(group=ENTRY_POINT_GROUP, name="judge"):
        validator: ParamsValidator = point.load()
        return validator
    return None
