"""Parse YAML into plain nodes that know their lines.

Only what needs no explanation is accepted: mappings, lists, scalars. Anchors, aliases, tags, merge keys, a second
document and duplicate keys are mistakes, each named with its line. What a scalar means is decided by whoever
reads it (``no`` is text where text is meant). One pass over the parser's events: depth and size are bounded before
anything is built, so that no file takes more than its share.
"""

import re
import unicodedata
from pathlib import Path
from typing import Any

import yaml

from inventory.base.problems import Problem, read_text

MAX_BYTES = 32 << 20
MAX_DEPTH = 24

_WORDS_OF_THE_FILE = re.compile(r"'[^'<]{5,}'")
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ScalarNode:
    """A text; ``plain``: written without quotes, so that it may be a number, true or false."""

    __slots__ = ("line", "plain", "text")

    def __init__(self, text: str, line: int, plain: bool) -> None:
        self.text = text
        self.line = line
        self.plain = plain

    @property
    def empty(self) -> bool:
        return self.plain and self.text in ("", "null", "~")


class MappingNode:
    """``lines``: the line of each key."""

    __slots__ = ("items", "line", "lines")

    def __init__(self, line: int) -> None:
        self.line = line
        self.items: dict[str, Node] = {}
        self.lines: dict[str, int] = {}


class ListNode:
    __slots__ = ("items", "line")

    def __init__(self, line: int) -> None:
        self.line = line
        self.items: list[Node] = []


Node = ScalarNode | MappingNode | ListNode


class _UnreadableFile(Exception):
    """The file cannot be read further."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def read(path: Path, file_name: str, problems: list[Problem]) -> Node | None:
    """The tree of a file, None if it is empty or unusable. ``shown`` is the file's name in problems."""
    text = read_text(path, file_name, problems, limit=MAX_BYTES)
    return None if text is None else parse(text, file_name, problems)


def parse(text: str, file_name: str, problems: list[Problem], loader: type[Any] = _Loader) -> Node | None:
    """The tree of a text; adds every problem found to ``problems``. ``loader``: PyYAML's, in C where there is one."""
    new_problems: list[Problem] = []
    try:
        root = _Builder(loader(text), file_name, new_problems).build()
    except _UnreadableFile as refused:
        new_problems.append(Problem(file_name, refused.line, "", refused.message))
        root = None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # PyYAML's Python half quotes what it stumbles over; what a file of somebody else's has is not shown
        message = _WORDS_OF_THE_FILE.sub("(...)", ", ".join(filter(None, (error.context, error.problem))))
        new_problems.append(Problem(file_name, mark.line + 1 if mark else 0, "", f"is not YAML here: {message}"))
        root = None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        new_problems.append(
            Problem(file_name, line, "", f"has a character that YAML does not allow (code {error.character:#x})")
        )
        root = None
    problems.extend(new_problems)
    return root


class _Builder:
    """One pass over a parser's events. ``top`` is the open node, ``key`` the key whose value is awaited in it."""

    def __init__(self, parser: Any, file_name: str, problems: list[Problem]) -> None:
        self.parser = parser
        self.file_name = file_name
        self.problems = problems
        self.root: Node | None = None
        self.top: MappingNode | ListNode | None = None
        self.key: str | None = None
        self.key_line = 0
        self.open: list[
            tuple[MappingNode | ListNode | None, str]
        ] = []  # the nodes around ``top``, and top's name in each

    def build(self) -> Node | None:
        next_event = self.parser.get_event
        documents = 0
        try:
            while (event := next_event()) is not None:
                kind = type(event)
                if kind is yaml.ScalarEvent:
                    self._scalar(event)
                elif kind is yaml.MappingStartEvent:
                    self._begin(event, MappingNode(event.start_mark.line + 1))
                elif kind is yaml.SequenceStartEvent:
                    self._begin(event, ListNode(event.start_mark.line + 1))
                elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                    self.top = self.open.pop()[0]
                elif kind is yaml.AliasEvent:
                    raise _UnreadableFile(event.start_mark.line + 1, "an alias (*) is not allowed: write it out")
                elif kind is yaml.DocumentStartEvent:
                    documents += 1
                    if documents > 1:
                        raise _UnreadableFile(
                            event.start_mark.line + 1, "a second document (---) is not allowed: use two files"
                        )
        finally:
            self.parser.dispose()
        if isinstance(self.root, ScalarNode) and self.root.empty:
            return None
        return self.root

    def _scalar(self, event: Any) -> None:
        if event.anchor is not None or event.tag is not None:
            _refuse_anchor_or_tag(event)
        text: str = event.value
        if not text.isascii():
            text = unicodedata.normalize("NFC", text)
        line: int = event.start_mark.line + 1
        plain: bool = event.implicit[0]
        top = self.top
        if type(top) is MappingNode:
            key = self.key
            if key is None:
                if plain and text == "<<":
                    raise _UnreadableFile(line, "the merge key << is not allowed: write it out")
                self.key = text
                self.key_line = line
            elif key in top.items:
                self._duplicate_key(top, key)
            else:
                self.key = None
                top.items[key] = ScalarNode(text, line, plain)
                top.lines[key] = self.key_line
        elif type(top) is ListNode:
            top.items.append(ScalarNode(text, line, plain))
        else:
            self.root = ScalarNode(text, line, plain)

    def _begin(self, event: Any, node: MappingNode | ListNode) -> None:
        if event.anchor is not None or event.tag is not None:
            _refuse_anchor_or_tag(event)
        if len(self.open) >= MAX_DEPTH:
            raise _UnreadableFile(node.line, f"is nested more than {MAX_DEPTH} deep")
        top, key, name = self.top, self.key, ""
        if type(top) is MappingNode:
            if key is None:
                raise _UnreadableFile(
                    node.line, "a key must be a plain word; if it begins with { or [ put it in quotes"
                )
            node.line = self.key_line  # a mapping is where its key is, not where its first entry is
            name = key
            if key in top.items:
                self._duplicate_key(top, key)
            else:
                top.items[key] = node
                top.lines[key] = node.line
            self.key = None
        elif type(top) is ListNode:
            name = f"[{len(top.items)}]"
            top.items.append(node)
        else:
            self.root = node
        self.open.append((top, name))
        self.top = node

    def _duplicate_key(self, top: MappingNode, key: str) -> None:
        path = ".".join([*(name for _, name in self.open), key]).lstrip(".").replace(".[", "[")
        message = f"is written twice, first on line {top.lines[key]}"
        self.problems.append(Problem(self.file_name, self.key_line, path, message))
        self.key = None


def _refuse_anchor_or_tag(event: Any) -> None:
    line = event.start_mark.line + 1
    if event.anchor is not None:
        raise _UnreadableFile(line, "an anchor (&) is not allowed: write it out")
    raise _UnreadableFile(line, "a tag (!) is not allowed: leave it out")
