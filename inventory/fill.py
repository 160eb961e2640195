"""Placeholders of templates: {gateway} becomes what the site says."""

import re

from inventory.tree import List, Mapping, Node, Scalar
from inventory.words import Text

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class Lacking(Exception):
    """A placeholder that the site cannot fill."""


def split(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def filled(node: Node, facts: dict[str, str], line: int) -> Node:
    """The node with placeholders filled; a filled text counts as written plain, so that it may be a number."""
    if isinstance(node, Scalar):
        if "{" not in node.text:
            return node
        return Scalar(PLACEHOLDER.sub(lambda found: _fact(facts, found[1]), node.text), line, True)
    if isinstance(node, List):
        entries = List(line)
        entries.items = [filled(item, facts, line) for item in node.items]
        return entries
    made = Mapping(line)
    made.items = {key: filled(value, facts, line) for key, value in node.items.items()}
    made.lines = dict.fromkeys(node.items, line)
    return made


def _fact(facts: dict[str, str], name: str) -> str:
    if name not in facts:
        raise Lacking(name)
    return facts[name]


def named(text: str, facts: dict[str, str], names: dict[str, Text], language: str) -> str:
    """A title with its placeholders filled; one that is not known stays as it is."""
    known = {**facts, **{name: name_.in_(language) for name, name_ in names.items()}}
    return PLACEHOLDER.sub(lambda found: known.get(found[1], found[0]), text)
