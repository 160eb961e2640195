"""Readers of scalars, lists and mappings: each answers the value, or a marker after it reported a problem."""

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from inventory.base.problems import Problem
from inventory.base.text import ELLIPSIS, clean_line, quoted
from inventory.base.types import Text, duration_ms, minute_of_day, ratio, repeat_ms, size_bytes
from inventory.yaml.nodes import ListNode, MappingNode, Node, ScalarNode

MAX_UNKNOWN: Final = 20  # keys of one mapping that are told: to look for what each was meant to be takes its time
MAX_KEY: Final = 100  # characters of a key that are shown
INVALID: Final = object()  # what a reader answers after it has reported a problem
INTEGER = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)


class Source:
    """The file being read: collects its problems. ``directory``: what relative paths are relative to."""

    __slots__ = ("directory", "file", "problems")

    def __init__(self, file: str, problems: list[Problem], directory: Path | None = None) -> None:
        self.file = file
        self.problems = problems
        self.directory = directory

    def report(self, line: int, path: str, message: str) -> Any:
        """Note a problem; answers MISSING."""
        self.problems.append(Problem(self.file, line, path, message))
        return INVALID


Reader = Callable[[Node, str, Source], Any]


def describe(node: Node) -> str:
    """A node in a problem's words."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, ListNode):
        return "a list"
    if node.empty:
        return "nothing"
    text = node.text if len(node.text) <= 60 else node.text[:57] + "..."
    return repr(text) if node.plain else f"the quoted text {text!r}"


def converted(convert: Callable[[str], Any]) -> Reader:
    """A reader of one word by a function that raises ValueError in words."""

    def reader(node: Node, path: str, source: Source) -> Any:
        if not isinstance(node, ScalarNode) or node.empty:
            return source.report(node.line, path, f"ought to be one value, found {describe(node)}")
        try:
            return convert(node.text)
        except ValueError as error:
            return source.report(node.line, path, str(error))

    return reader


def day(text: str) -> date:
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f"{quoted(text)} is not a date; write it like 2026-11-30")


def moment(text: str) -> datetime:
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?", text, re.ASCII):
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f"{quoted(text)} is not a date and time; write it like 2026-11-30 17:30")


SCALAR_CONVERTERS: Final[dict[str, Callable[[str], Any]]] = {
    "daily": minute_of_day,
    "duration": duration_ms,
    "ratio": ratio,
    "repeat": repeat_ms,
    "size": size_bytes,
}


def slug(node: Node, path: str, source: Source) -> Any:
    if not isinstance(node, ScalarNode) or not is_slug(node.text):
        return source.report(node.line, path, f"ought to be an id, found {describe(node)}; {SLUG_RULE}")
    return node.text


SLUG_RULE = "an id is lower-case letters, digits and single hyphens, at most 63"
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)


def is_slug(text: str) -> bool:
    return len(text) <= 63 and _SLUG.fullmatch(text) is not None


def bilingual_text(node: Node, path: str, source: Source) -> Any:
    if isinstance(node, ScalarNode) and not node.empty:
        shown = clean_line(node.text)  # it goes onto pages and into mails
        return Text(shown, shown)
    if not isinstance(node, MappingNode):
        message = f"ought to be a text or {{vi: ..., en: ...}}, found {describe(node)}"
        return source.report(node.line, path, message)
    valid = unknown_keys(node, ("vi", "en"), path, source)
    texts = {}
    for key, value in node.items.items():
        if key not in ("vi", "en"):
            continue
        if not isinstance(value, ScalarNode) or value.empty:
            source.report(value.line, join(path, key), f"ought to be a text, found {describe(value)}")
            valid = False
        else:
            texts[key] = clean_line(value.text)
    if not valid:
        return INVALID
    return Text(texts.get("vi", ""), texts.get("en", ""))


def file_path(node: Node, path: str, source: Source) -> Any:
    if not isinstance(node, ScalarNode) or node.empty:
        return source.report(node.line, path, f"ought to be a path, found {describe(node)}")
    return (source.directory or Path()) / Path(node.text).expanduser()


def boolean(node: Node, path: str, source: Source) -> Any:
    if isinstance(node, ScalarNode) and node.plain and node.text in ("true", "false"):
        return node.text == "true"
    return source.report(node.line, path, f"ought to be true or false, found {describe(node)}")


def text(
    low: int | None = None,
    high: int | None = None,
    form: str | None = None,
    validate: Callable[[str], None] | None = None,
) -> Reader:
    """A reader of a text within lengths, in which a pattern is found; ``judge`` raises ValueError in words."""
    pattern = re.compile(form) if form else None

    def reader(node: Node, path: str, source: Source) -> Any:
        if not isinstance(node, ScalarNode) or node.empty:
            return source.report(node.line, path, f"ought to be a text, found {describe(node)}")
        if low is not None and len(node.text) < low:
            return source.report(node.line, path, f"is shorter than {low} characters")
        if high is not None and len(node.text) > high:
            return source.report(node.line, path, f"is longer than {high} characters")
        if pattern is not None and pattern.search(node.text) is None:
            return source.report(node.line, path, f"{describe(node)} does not have the form {form}")
        if validate is not None and node.text:
            try:
                validate(node.text)
            except ValueError as error:
                return source.report(node.line, path, str(error))
        return node.text

    return reader


def number(
    form: re.Pattern[str],
    make: Callable[[str], Any],
    description: str,
    ge: float | None = None,
    le: float | None = None,
    gt: float | None = None,
    lt: float | None = None,
) -> Reader:
    """A reader of plain decimals within bounds."""

    def reader(node: Node, path: str, source: Source) -> Any:
        # twenty digits are more than any number here has, and int() of a million is slow
        if not isinstance(node, ScalarNode) or not node.plain or len(node.text) > 20 or not form.fullmatch(node.text):
            return source.report(
                node.line, path, f"ought to be {description} in plain decimals, found {describe(node)}"
            )
        value = make(node.text)
        if ge is not None and value < ge:
            return source.report(node.line, path, f"{node.text} is less than {ge}")
        if gt is not None and value <= gt:
            return source.report(node.line, path, f"{node.text} is not more than {gt}")
        if le is not None and value > le:
            return source.report(node.line, path, f"{node.text} is more than {le}")
        if lt is not None and value >= lt:
            return source.report(node.line, path, f"{node.text} is not less than {lt}")
        return value

    return reader


def choice(values: Iterable[str]) -> Reader:
    """A reader of one of some words."""
    choices = tuple(values)

    def reader(node: Node, path: str, source: Source) -> Any:
        if isinstance(node, ScalarNode) and node.text in choices:
            return node.text
        listed = ", ".join(word or "''" for word in choices)
        return source.report(node.line, path, f"ought to be one of {listed}; found {describe(node)}")

    return reader


def list_of(item: Reader, make: Callable[[list[Any]], Any] = list) -> Reader:
    def reader(node: Node, path: str, source: Source) -> Any:
        if not isinstance(node, ListNode):
            return source.report(node.line, path, f"ought to be a list, found {describe(node)}")
        values = [item(value, f"{path}[{index}]", source) for index, value in enumerate(node.items)]
        return INVALID if any(value is INVALID for value in values) else make(values)

    return reader


def dict_of(key_reader: Reader, value_reader: Reader) -> Reader:
    def reader(node: Node, path: str, source: Source) -> Any:
        if not isinstance(node, MappingNode):
            return source.report(node.line, path, f"ought to be a mapping, found {describe(node)}")
        values = {}
        valid = True
        for key, child in node.items.items():
            here = join(path, key)
            name = key_reader(ScalarNode(key, node.lines[key], True), here, source)
            value = value_reader(child, here, source)
            if name is INVALID or value is INVALID:
                valid = False
            else:
                values[name] = value
        return values if valid else INVALID

    return reader


def first_that_fits(readers: list[Reader], node: Node, path: str, source: Source) -> Any:
    """The value by the first reader that has no complaint; else the complaints of the one with the fewest."""
    fewest_problems: list[Problem] | None = None
    for reader in readers:
        trial = Source(source.file, [], source.directory)
        value = reader(node, path, trial)
        if value is not INVALID:
            return value
        if fewest_problems is None or len(trial.problems) < len(fewest_problems):
            fewest_problems = trial.problems
    source.problems.extend(fewest_problems or [])
    return INVALID


def join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def unknown_keys(node: MappingNode, allowed: Iterable[str], path: str, source: Source) -> bool:
    """True if every key is known; else a problem for each that is not."""
    names = list(allowed)
    unknown = [key for key in node.items if key not in names]
    for key in unknown[:MAX_UNKNOWN]:
        near = get_close_matches(key, names, 1) if len(key) <= MAX_KEY else ()
        hint = f"did you mean {near[0]}?" if near else f"known are: {', '.join(names)}"
        shown = key if len(key) <= MAX_KEY else key[: MAX_KEY - 1] + ELLIPSIS
        source.report(node.lines[key], join(path, shown), f"is not a key known here; {hint}")
    if len(unknown) > MAX_UNKNOWN:
        more = len(unknown) - MAX_UNKNOWN
        source.report(node.lines[unknown[MAX_UNKNOWN]], path, f"has {more} more keys that are not known here")
    return not unknown
