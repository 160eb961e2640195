"""YAML as people write it, made into a tree of plain nodes that know their lines.

Only what needs no explanation is accepted: mappings, lists, scalars. Anchors, aliases, tags, merge keys, a second
document and duplicate keys are mistakes, each named with its line. What a scalar means is decided by whoever
reads it (``no`` is text where text is meant). One pass over the parser's events: depth and size are bounded before
anything is built, so that no file takes more than its share.
"""

import unicodedata
from pathlib import Path
from typing import Any

import yaml

from inventory.problems import Problem

MAX_BYTES = 32 << 20
MAX_DEPTH = 24

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Scalar:
    """A text; ``plain``: written without quotes, so that it may be a number, true or false."""

    __slots__ = ("line", "plain", "text")

    def __init__(self, text: str, line: int, plain: bool) -> None:
        self.text = text
        self.line = line
        self.plain = plain

    @property
    def empty(self) -> bool:
        return self.plain and self.text in ("", "null", "~")


class Mapping:
    """``lines``: the line of each key."""

    __slots__ = ("items", "line", "lines")

    def __init__(self, line: int) -> None:
        self.line = line
        self.items: dict[str, Node] = {}
        self.lines: dict[str, int] = {}


class List:
    __slots__ = ("items", "line")

    def __init__(self, line: int) -> None:
        self.line = line
        self.items: list[Node] = []


Node = Scalar | Mapping | List


class _Refused(Exception):
    """The file cannot be read further."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def read(path: Path, shown: str, problems: list[Problem]) -> Node | None:
    """The tree of a file, None if it is empty or unusable. ``shown`` is the file's name in problems."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        problems.append(Problem(shown, 0, "", f"cannot be read: {error.strerror}"))
        return None
    if len(data) > MAX_BYTES:
        problems.append(Problem(shown, 0, "", f"is larger than {MAX_BYTES >> 20} MiB"))
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.append(Problem(shown, line, "", "is not UTF-8 text; save it as UTF-8"))
        return None
    return parse(text, shown, problems)


def parse(text: str, shown: str, problems: list[Problem]) -> Node | None:
    """The tree of a text; adds every problem found to ``problems``."""
    found: list[Problem] = []
    try:
        root = _Builder(text, shown, found).build()
    except _Refused as refused:
        found.append(Problem(shown, refused.line, "", refused.message))
        root = None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(filter(None, (error.context, error.problem)))
        found.append(Problem(shown, mark.line + 1 if mark else 0, "", f"is not YAML here: {what}"))
        root = None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        found.append(Problem(shown, line, "", f"has a character that YAML does not allow (code {error.character:#x})"))
        root = None
    problems.extend(found)
    return root


class _Builder:
    def __init__(self, text: str, shown: str, problems: list[Problem]) -> None:
        self.parser = _Loader(text)
        self.shown = shown
        self.problems = problems
        self.root: Node | None = None
        self.stack: list[Mapping | List] = []
        self.keys: list[tuple[str, int] | None] = []  # for each open node, the key whose value is awaited
        self.names: list[str] = []  # for each open node, its own name in its parent

    def build(self) -> Node | None:
        parser = self.parser
        documents = 0
        try:
            while (event := parser.get_event()) is not None:
                kind = type(event)
                if kind is yaml.ScalarEvent:
                    self._scalar(event)
                elif kind is yaml.MappingStartEvent:
                    self._open(event, Mapping(event.start_mark.line + 1))
                elif kind is yaml.SequenceStartEvent:
                    self._open(event, List(event.start_mark.line + 1))
                elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                    self.stack.pop()
                    self.keys.pop()
                    self.names.pop()
                elif kind is yaml.AliasEvent:
                    raise _Refused(event.start_mark.line + 1, f"the alias *{event.anchor} is not allowed: write it out")
                elif kind is yaml.DocumentStartEvent:
                    documents += 1
                    if documents > 1:
                        raise _Refused(
                            event.start_mark.line + 1, "a second document (---) is not allowed: use two files"
                        )
        finally:
            parser.dispose()
        if isinstance(self.root, Scalar) and self.root.empty:
            return None
        return self.root

    def _plain(self, event: Any) -> None:
        if event.anchor is not None:
            raise _Refused(event.start_mark.line + 1, f"the anchor &{event.anchor} is not allowed: write it out")
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise _Refused(event.start_mark.line + 1, f"the tag {tag} is not allowed: leave it out")

    def _scalar(self, event: Any) -> None:
        if event.anchor is not None or event.tag is not None:
            self._plain(event)
        text: str = event.value
        if not text.isascii():
            text = unicodedata.normalize("NFC", text)
        line = event.start_mark.line + 1
        if self.stack and type(self.stack[-1]) is Mapping and self.keys[-1] is None:
            plain = event.implicit[0]
            if plain and text == "<<":
                raise _Refused(line, "the merge key << is not allowed: write it out")
            self.keys[-1] = (text, line)
            return
        self._add(Scalar(text, line, event.implicit[0]))

    def _open(self, event: Any, node: Mapping | List) -> None:
        self._plain(event)
        if len(self.stack) >= MAX_DEPTH:
            raise _Refused(node.line, f"is nested more than {MAX_DEPTH} deep")
        if self.stack and type(self.stack[-1]) is Mapping and self.keys[-1] is None:
            raise _Refused(node.line, "a key must be a plain word; if it begins with { or [ put it in quotes")
        self.names.append(self._add(node))
        self.stack.append(node)
        self.keys.append(None)

    def _add(self, node: Node) -> str:
        """Put the node into the open one; answers its name there."""
        if not self.stack:
            self.root = node
            return ""
        parent = self.stack[-1]
        if isinstance(parent, List):
            parent.items.append(node)
            return f"[{len(parent.items) - 1}]"
        key = self.keys[-1]
        assert key is not None  # a value follows its key: both callers see to it
        name, line = key
        self.keys[-1] = None
        if not isinstance(node, Scalar):
            node.line = line  # a mapping is where its key is, not where its first entry is
        if name in parent.items:
            path = ".".join([*self.names, name]).lstrip(".").replace(".[", "[")
            message = f"is written twice, first on line {parent.lines[name]}"
            self.problems.append(Problem(self.shown, line, path, message))
        else:
            parent.items[name] = node
            parent.lines[name] = line
        return name
