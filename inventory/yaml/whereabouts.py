"""Where the inventory is: the directory that the collector's own file names."""

from pathlib import Path
from typing import Final

from inventory.base.problems import Invalid, Problem
from inventory.yaml import nodes
from inventory.yaml.scalars import shown

CONFIG: Final = Path("/etc/haidang/collector.yaml")


def named_in(file: Path) -> Path:
    """The directory that ``inventory:`` in a collector's file names; nothing else there is read. Raises Invalid."""
    problems: list[Problem] = []
    node = nodes.read(file, str(file), problems)
    if problems:
        raise Invalid(problems)
    named = node.items.get("inventory") if isinstance(node, nodes.Mapping) else None
    if not isinstance(named, nodes.Scalar) or named.empty:
        what = (
            "does not name the inventory's directory" if named is None else f"ought to be a path, found {shown(named)}"
        )
        raise Invalid([Problem(str(file), named.line if named is not None else 0, "inventory", what)])
    return file.parent / named.text
