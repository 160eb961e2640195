"""What is worked out of an inventory once, for as long as that inventory is the one in use."""

from collections.abc import Callable
from typing import Any, TypeVar

from inventory.model.entities import Inventory

_Made = TypeVar("_Made")

KEPT = 4  # inventories: the present one, the one before, and those of tests
_made: list[tuple[Inventory, dict[object, Any]]] = []


def by_inventory(inventory: Inventory, make: Callable[[Inventory], _Made]) -> _Made:
    """``make(inventory)``, made once. An inventory is known by identity: it never changes."""
    found = next((made for known, made in _made if known is inventory), None)
    if found is None:
        found = {}
        _made.insert(0, (inventory, found))
        del _made[KEPT:]
    if make not in found:
        found[make] = make(inventory)
    made: _Made = found[make]
    return made
