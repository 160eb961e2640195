"""Collects the sentences that agents (and the collector) give as reasons, by reading their source.

A reason travels as English text, so the only list of what can be said is the program itself. Every string and f-string
of the modules that look is taken for a sentence or a piece of one, unless the place where it stands says otherwise
(documentation, logs, comparisons, commands to servers). Too much is found rather than too little: what is no reason is
named in :mod:`deploy.words.sentence_lists`, with why.

What an f-string puts in becomes a named field: ``f"{self.host} did not answer within {timeout:g} s"`` is found as
``{host} did not answer within {timeout:n} s``. ``:n`` is a number, ``:d`` a duration; what else comes may be anything,
a reason too. Fields that stand side by side are one.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from deploy.words.sentence_lists import (
    ASSEMBLED,
    ERRORS,
    MODULES_OF_REASONS,
    MODULES_WITHOUT_REASONS,
    NO_REASONS,
    PREDICATES,
)

ROOT: Final = Path(__file__).parents[2]

# Calls whose strings are not said: documentation, logs, faults of the program, what is sent to or read from others.
_CALLS: Final = frozenset(
    (
        "Meta",
        "MailWords",
        "Measure",
        "Codes",
        "TypeError",
        "RuntimeError",
        "MemoryError",
        "AssertionError",
        "DerError",
        "create_task",
        "Thread",
        "TypeVar",
        "print",
        "command",
        "execute",
        "encode",
        "startswith",
        "endswith",
        "removeprefix",
        "removesuffix",
        "replace",
        "split",
        "partition",
        "strip",
        "open",
        "field",
        "search",
        "match",
        "fullmatch",
        "compile",
        "sub",
        "findall",
        "unpack_from",
        "pack",
        "debug",
        "info",
        "warning",
        "error",
        "exception",
        "from_bytes",
        "setdefault",
        "getattr",
    )
)
_DURATIONS: Final = frozenset(("span", "_span", "spoken", "duration_text"))
_FIELD: Final = re.compile(r"\{(\w+)(:\w)?\}")


class Sentence(NamedTuple):
    """``words`` with named fields; where it stands."""

    words: str
    file: str
    line: int


def sentences() -> Iterator[Sentence]:
    """All that may be said as a reason, by agents and by the collector itself."""
    for path in sorted((ROOT / "agent").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(MODULES_WITHOUT_REASONS):
            for one in of_source(path.read_text("utf-8"), name):
                if one.words not in NO_REASONS:
                    yield one
    yield from (Sentence(words, "deploy/words/sentence_lists.py", 0) for words in (*ASSEMBLED, *ERRORS))
    # a threshold that was passed names the measure
    kinds = json.loads((ROOT / "inventory" / "protocol" / "kinds.json").read_text("utf-8"))
    measures = {measure["name"] for kind in kinds.values() for measure in kind["measures"]} | {"latency"}
    yield from (Sentence(f"{name} {{value:n}}", "inventory/protocol/kinds.json", 0) for name in sorted(measures))
    for path in sorted((ROOT / "collector").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        look_for = of_source if name.startswith(MODULES_OF_REASONS) else of_collector
        yield from (one for one in look_for(path.read_text("utf-8"), name) if one.words not in NO_REASONS)


def distinct() -> dict[str, list[str]]:
    """Each sentence once, whatever its fields are called in several places; with the files that say it."""
    named: dict[str, set[str]] = {}
    files: dict[str, set[str]] = {}
    for one in sentences():
        shape = _FIELD.sub(r"{\2}", one.words)
        named.setdefault(shape, set()).add(one.words)
        files.setdefault(shape, set()).add(one.file)
    return {min(words): sorted(files[shape]) for shape, words in named.items()}


def of_source(source: str, file: str) -> Iterator[Sentence]:
    """Of a module in which every string is a reason unless its place says otherwise."""
    for node, around in _walk(ast.parse(source), ()):
        if isinstance(node, ast.Constant | ast.JoinedStr) and not _is_excluded(around):
            words = _sentence(node)
            if words and _is_sentence(words):
                yield Sentence("{who} " + words if _predicate(file, around) else words, file, node.lineno)


def of_collector(source: str, file: str) -> Iterator[Sentence]:
    """The strings that the collector hands to ``step`` and ``CheckStatus``, directly or as a constant of the module."""
    tree = ast.parse(source)
    constants = {
        node.target.id: node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("step", "CheckStatus"):
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                value = constants.get(argument.id) if isinstance(argument, ast.Name) else argument
                if isinstance(value, ast.Constant | ast.JoinedStr) and (words := _sentence(value)):
                    yield Sentence(words, file, value.lineno)


def _walk(node: ast.AST, around: tuple[ast.AST, ...]) -> Iterator[tuple[ast.AST, tuple[ast.AST, ...]]]:
    """Every node with what it stands in, innermost first; the texts of an f-string belong to it, not by themselves."""
    yield node, around
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "format_spec"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not (isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)):
                yield from _walk(child, (node, *around))


def _is_excluded(around: tuple[ast.AST, ...]) -> bool:
    for inner, outer in zip(around, (*around[1:], None), strict=True):
        if inner is around[0] and isinstance(inner, ast.Expr):
            return True  # documentation
        if isinstance(inner, ast.Assign) and isinstance(outer, ast.ClassDef):
            return True  # what a class declares
        if isinstance(inner, ast.Compare | ast.Subscript):
            return True  # what is compared with or looked up
        if isinstance(inner, ast.Call) and _callee_name(inner) in _CALLS:
            return True
        if isinstance(inner, ast.Attribute) and isinstance(outer, ast.Call) and _callee_name(outer) in _CALLS:
            return True  # "text".encode()
        if isinstance(inner, ast.stmt):
            return False
    return False


def _callee_name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def _predicate(file: str, around: tuple[ast.AST, ...]) -> bool:
    names = set()
    for node in around:
        if isinstance(node, ast.Raise):
            break  # what is raised is a whole sentence, unless the call around it says otherwise
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Call):
            names.add(_callee_name(node))
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return any(where == file and name in names for where, name in PREDICATES)


def _sentence(node: ast.Constant | ast.JoinedStr) -> str:
    """With named fields; "" for what is no text. Pieces that are put after another say so by a field before them."""
    if isinstance(node, ast.Constant):
        words = node.value if isinstance(node.value, str) else ""
    else:
        words = _with_fields(node)
    words = words.rstrip("; \n").removeprefix(": ").removeprefix("; ").removeprefix(", and ")
    if words.endswith(":"):
        words = words[:-1]
    return (
        "{so} " + words.lstrip()
        if words[:1] == " " and words.strip()
        else "{so}" + words
        if words[:1] == ","
        else words
    )


def _with_fields(node: ast.JoinedStr) -> str:
    used_names: list[str] = []
    words = ""
    for part in node.values:
        if isinstance(part, ast.Constant):
            words += str(part.value)
        elif isinstance(part, ast.FormattedValue):
            if re.search(r"\{\w+(:\w)?\} *$", words):
                # side by side nobody can tell where one ends: together they are anything
                words = re.sub(r"(:\w)?\} *$", "}", words)
                continue
            name = base = _field_name(part.value)
            while name in used_names:
                name = f"{base}{sum(one.startswith(base) for one in used_names) + 1}"
            used_names.append(name)
            words += "{" + name + _format_suffix(part) + "}"
    return words


def _format_suffix(part: ast.FormattedValue) -> str:
    if isinstance(part.value, ast.Call) and _callee_name(part.value) in _DURATIONS:
        return ":d"
    spec = part.format_spec
    text = (
        "".join(str(one.value) for one in spec.values if isinstance(one, ast.Constant))
        if isinstance(spec, ast.JoinedStr)
        else ""
    )
    return ":n" if re.search(r"[efg%,d]$", text) and "%Y" not in text else ""


def _field_name(value: ast.expr) -> str:
    """A name for what is put in, from the expression that makes it."""
    match value:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            if name in ("strerror", "reason", "value", "name") and isinstance(value, ast.Attribute):
                return "error" if name == "strerror" else name
            return name.strip("_").lower()
        case ast.Call(func=ast.Attribute(value=inner, attr=attr), args=[]):
            return attr.strip("_") if isinstance(inner, ast.Name) and inner.id == "self" else _field_name(inner)
        case ast.Call(func=ast.Attribute(attr="join"), args=[one]) | ast.Call(func=ast.Name(id="map"), args=[_, one]):
            return _field_name(one)
        case ast.Call(args=[first, *_]):
            return _field_name(first)
        case ast.BinOp(left=left) | ast.BoolOp(values=[left, *_]) | ast.UnaryOp(operand=left):
            return _field_name(left)
        case ast.Subscript(value=inner, slice=ast.Constant(value=str(key))):
            return key
        case ast.Subscript(value=inner):
            return _field_name(inner)
        case ast.IfExp(body=body):
            return _field_name(body)
    return "it"


def _is_sentence(words: str) -> bool:
    """At least two words of which one is an ordinary one: names, keys and formats are none."""
    bare = _FIELD.sub("\0", words)
    return " " in bare.strip() and re.search(r"(?<![\w%:<.-])[a-z']{2,}(?![\w(=])", bare) is not None
