"""The conditions as shipped, before an inventory changes any."""

from typing import Final

from inventory.model.alerting import Condition, default_conditions

DEFAULT_CONDITIONS: Final[tuple[Condition, ...]] = default_conditions()
