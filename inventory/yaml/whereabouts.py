"""Find the inventory's directory: the collector's own file names it."""

from pathlib import Path
from typing import Final

from inventory.base.problems import Invalid, Problem
from inventory.yaml import nodes
from inventory.yaml.scalars import describe

CONFIG: Final = Path("/etc/haidang/collector.yaml")


def inventory_directory(file: Path) -> Path:
    """The directory that ``inventory:`` in a collector's file names; nothing else there is read. Raises Invalid."""
    problems: list[Problem] = []
    node = nodes.read(file, str(file), problems)
    if problems:
        raise Invalid(problems)
    path_node = node.items.get("inventory") if isinstance(node, nodes.MappingNode) else None
    if not isinstance(path_node, nodes.ScalarNode) or path_node.empty:
        message = (
            "does not name the inventory's directory"
            if path_node is None
            else f"ought to be a path, found {describe(path_node)}"
        )
        raise Invalid([Problem(str(file), path_node.line if path_node is not None else 0, "inventory", message)])
    return file.parent / path_node.text
