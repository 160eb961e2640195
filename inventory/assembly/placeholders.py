"""Placeholders of templates: {gateway} becomes what the site says, {port|22} what it says or else 22."""

import re

from inventory.base.types import Text
from inventory.yaml.nodes import ListNode, MappingNode, Node, ScalarNode

PATTERN = r"\{([a-z][a-z0-9_]*)(?:\|([^{}|]*))?\}"
PLACEHOLDER = re.compile(PATTERN)


class MissingFact(Exception):
    """A placeholder that the site cannot fill."""


def split_list(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def fill(node: Node, facts: dict[str, str], line: int) -> Node:
    """The node with placeholders filled; a filled text counts as written plain, so that it may be a number."""
    if isinstance(node, ScalarNode):
        if "{" not in node.text:
            return node
        text = PLACEHOLDER.sub(lambda match: _fact(facts, match), node.text)
        return ScalarNode(text, line, text != "")  # {x|} is an empty text, not nothing
    if isinstance(node, ListNode):
        entries = ListNode(line)
        for item in node.items:
            is_placeholder = isinstance(item, ScalarNode) and PLACEHOLDER.fullmatch(item.text)
            filled_item = fill(item, facts, line)
            if is_placeholder and isinstance(filled_item, ScalarNode):  # a fact may be a list
                entries.items += [ScalarNode(entry, line, True) for entry in split_list(filled_item.text)]
            else:
                entries.items.append(filled_item)
        return entries
    mapping = MappingNode(line)
    mapping.items = {key: fill(value, facts, line) for key, value in node.items.items()}
    mapping.lines = dict.fromkeys(node.items, line)
    return mapping


def _fact(facts: dict[str, str], match: re.Match[str]) -> str:
    value = facts.get(match[1], match[2])
    if value is None:
        raise MissingFact(match[1])
    return value


def fill_title(text: str, facts: dict[str, str], names: dict[str, Text], language: str) -> str:
    """A title with its placeholders filled; one that is not known stays as it is."""
    values = {**facts, **{name: name_.in_(language) for name, name_ in names.items()}}
    return PLACEHOLDER.sub(lambda match: values.get(match[1], match[2] or match[0]), text)
