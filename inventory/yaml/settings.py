"""Read the programs' own files (agent.yaml, collector.yaml) by the same rules as the inventory."""

from pathlib import Path
from typing import TypeVar

import msgspec

from inventory.base.problems import Invalid, Problem
from inventory.yaml import nodes, reader
from inventory.yaml.scalars import Source

T = TypeVar("T", bound=msgspec.Struct)


def read_settings(path: Path | str, type_: type[T]) -> T:
    """The settings in a file, as ``type_`` (a frozen struct): unknown and duplicate keys are refused.

    A field of type :class:`inventory.base.types.Secret` may be given as ``x: ...`` or as ``x_file: PATH``; a relative
    path (``pathlib.Path`` fields too) is relative to the file. Raises :class:`inventory.base.problems.Invalid` with all
    that is wrong.
    """
    file = Path(path)
    problems: list[Problem] = []
    node = nodes.read(file, str(file), problems)
    value = None
    if node is None and not problems:
        node = nodes.MappingNode(1)  # an empty file: all defaults
    if node is not None:
        value = reader.read(node, type_, Source(str(file), problems, file.parent))
    if problems or value is None:
        raise Invalid(problems)
    return value
