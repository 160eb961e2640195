"""What one evaluation looks at: the moment, the inventory and what is known at that moment."""

from typing import NamedTuple

from collector.causes.present import PresentCauses
from collector.queries.exclusions import Exclusions
from collector.queries.reader import LedgerReader
from inventory.model.entities import Inventory


class EvaluationContext(NamedTuple):
    """The same for every source of problems."""

    now: int  # ms of the collector's time
    listening_since: int  # when this collector began to listen (ms): nobody was silent before that
    inventory: Inventory
    reader: LedgerReader
    causes: PresentCauses
    exclusions: Exclusions
    met_since: dict[
        str, int
    ]  # by problem's key, when its condition was first met; lasts from one evaluation to the next

    def confirmed(self, key: str, met: bool, pending: bool) -> bool:
        """Met, and what lies on its way was looked at since it began, or was waited for long enough."""
        if not met:
            return False
        since = self.met_since.setdefault(key, self.now)
        return not pending or self.now - since >= self.inventory.alerting.wait_ms
