"""Cache values that are computed from an inventory for as long as that inventory is in use."""

from collections.abc import Callable
from typing import Any, TypeVar

from inventory.model.entities import Inventory

_Value = TypeVar("_Value")

MAX_INVENTORIES = 4  # inventories: the present one, the one before, and those of tests
_caches: list[tuple[Inventory, dict[object, Any]]] = []


def cached_by_inventory(inventory: Inventory, compute: Callable[[Inventory], _Value]) -> _Value:
    """``compute(inventory)``, computed once. An inventory is known by identity: it never changes."""
    values = next((value for cached_inventory, value in _caches if cached_inventory is inventory), None)
    if values is None:
        values = {}
        _caches.insert(0, (inventory, values))
        del _caches[MAX_INVENTORIES:]
    if compute not in values:
        values[compute] = compute(inventory)
    value: _Value = values[compute]
    return value
