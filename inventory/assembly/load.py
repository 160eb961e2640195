"""Load a directory of YAML files as an Inventory, or the list of all its problems."""

import gc
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from inventory.assembly import directory
from inventory.assembly.assemble import assemble
from inventory.assembly.crosschecks.entities import crosscheck
from inventory.assembly.file_schema import FileShape
from inventory.assembly.sections import Sections
from inventory.base.problems import Invalid, Problem, decode_text
from inventory.grammars.probe_judges import ParamsValidator
from inventory.model.entities import Inventory
from inventory.protocol import kinds as kinds_module
from inventory.protocol.kinds import Kinds
from inventory.yaml import nodes, reader, scalars
from inventory.yaml.scalars import Source

TEMPLATES = Path(__file__).parents[1] / "templates"


def load(folder: Path | str, kinds: Kinds | None = None) -> Inventory:
    """The inventory in a directory (all its *.yaml and *.yml, folders inside too). Raises Invalid."""
    inventory, problems = load_with_problems(folder, kinds)
    if inventory is None or any(not problem.warning for problem in problems):
        raise Invalid(problems)
    return inventory


def load_with_problems(
    folder: Path | str, kinds: Kinds | None = None, judge: ParamsValidator | None = None
) -> tuple[Inventory | None, list[Problem]]:
    """The inventory as far as it can be made out, and all problems and warnings in order.

    ``judge``: what else to ask about each check's parameters, such as
    inventory.grammars.probe_judges.installed_validator.
    """
    collecting = gc.isenabled()
    gc.disable()  # millions of small objects and no cycles among them: collecting would double the time
    try:
        return _load(Path(folder), kinds_module.load() if kinds is None else kinds, judge)
    finally:
        if collecting:
            gc.enable()


def _load(base: Path, kinds: Kinds, validate_params: ParamsValidator | None) -> tuple[Inventory | None, list[Problem]]:
    problems: list[Problem] = []
    sections = Sections()
    for file in sorted(TEMPLATES.glob("*.yaml")):
        _read_file(TEMPLATES, file, f"(shipped) {file.name}", sections, problems)
    sections.shipped = frozenset(sections.templates)
    files = directory.files_of(base)
    if len(files) > directory.MAX_FILES:
        return None, [Problem(str(base), 0, "", f"holds more than {directory.MAX_FILES} .yaml files")]
    if not files:
        message = "holds no .yaml files" if base.is_dir() else "is not a directory"
        return None, [Problem(str(base), 0, "", message)]
    for file in files:
        _read_file(base, file, str(file), sections, problems)
    inventory = assemble(sections, kinds, problems, validate_params)
    problems.extend(crosscheck(inventory, sections, kinds))
    for node, path, source in sections.unread:
        _check_params(node, path, source, kinds)
    problems = sorted(set(problems))
    warnings = tuple(str(problem) for problem in problems if problem.warning)
    return msgspec.structs.replace(inventory, warnings=warnings), problems


_PLAUSIBLE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,40}", re.ASCII)
_FIELDS = {field.encode_name: field for field in msgspec.structs.fields(FileShape)}


def _read_file(base: Path, file: Path, shown: str, sections: Sections, problems: list[Problem]) -> None:
    node = _parse_file(base, file, shown, problems)
    if node is None:
        return
    source = Source(shown, problems, file.parent)
    _report_unknown_sections(node, source)
    for name, section in node.items.items():
        if name not in _FIELDS:
            continue
        if isinstance(inspect.type_info(_FIELDS[name].type), inspect.DictType):
            _read_section(name, section, source, sections)
        else:
            _read_single(name, section, node.lines[name], source, sections)


def _parse_file(base: Path, file: Path, shown: str, problems: list[Problem]) -> nodes.MappingNode | None:
    """The sections of a file that is an inventory's; None, with its problems, of every other one.

    Of a file that is none of ours nothing is told but that: whoever put it here may have wanted to see what is in it.
    """
    try:
        text = decode_text(directory.read(base, file, nodes.MAX_BYTES), shown, problems)
    except directory.NotRead as refused:
        problems.append(Problem(shown, 0, "", str(refused)))
        return None
    found: list[Problem] = []
    node = nodes.parse(text, shown, found) if text is not None else None
    if isinstance(node, nodes.MappingNode):
        if not node.items or any(map(_is_like_a_section, node.items)):
            problems.extend(found)
            return node
        known = ", ".join(_FIELDS)
        problems.append(Problem(shown, node.line, "", f"has no section of an inventory; known are: {known}"))
    elif node is not None:
        what = "a list" if isinstance(node, nodes.ListNode) else "a text"
        problems.append(Problem(shown, node.line, "", f"ought to be a mapping of sections, found {what}"))
    else:
        problems.extend(problem for problem in found if not problem.key)  # a key is what stands in the file
    return None


def _is_like_a_section(key: str) -> bool:
    return key in _FIELDS or bool(_PLAUSIBLE.fullmatch(key) and get_close_matches(key, _FIELDS, 1, cutoff=0.8))


def _report_unknown_sections(node: nodes.MappingNode, source: Source) -> None:
    """Keys beside the sections are named where they look like keys."""
    plausible = nodes.MappingNode(node.line)
    for key, child in node.items.items():
        if key in _FIELDS or _PLAUSIBLE.fullmatch(key):
            plausible.items[key], plausible.lines[key] = child, node.lines[key]
        else:
            source.report(node.lines[key], "", f"a key here is no section; known are: {', '.join(_FIELDS)}")
    scalars.unknown_keys(plausible, _FIELDS, "", source)


def _read_single(name: str, node: nodes.Node, line: int, source: Source, sections: Sections) -> None:
    value: Any = reader.reader_of(_FIELDS[name].type)(node, name, source)
    if value is scalars.INVALID:
        sections.broken.setdefault(name, set()).add("")
    elif name == "revoked":
        sections.revoked.update(dict.fromkeys(value, (source.file, line)))
    elif (earlier := getattr(sections, name)) is not None:
        earlier_at = earlier.at
        source.report(line, name, f"is described twice, first in {earlier_at.file}:{earlier_at.line}")
    else:
        setattr(sections, name, value)


def _read_section(name: str, node: nodes.Node, source: Source, sections: Sections) -> None:
    """Entry by entry, so that one mistake does not hide what else is wrong."""
    if not isinstance(node, nodes.MappingNode):
        if not (isinstance(node, nodes.ScalarNode) and node.empty):
            source.report(node.line, name, f"ought to be a mapping by id, found {scalars.describe(node)}")
        return
    info = inspect.type_info(_FIELDS[name].type)
    assert isinstance(info, inspect.DictType)
    read_key, read_value = reader.compile_reader(info.key_type), reader.compile_reader(info.value_type)
    entries = getattr(sections, name)
    for key, child in node.items.items():
        path = f"{name}.{key}"
        ident = read_key(nodes.ScalarNode(key, node.lines[key], True), path, source)
        value = read_value(child, path, source)
        if ident is scalars.INVALID or value is scalars.INVALID:
            sections.broken.setdefault(name, set()).add(key)
            if name == "agencies":
                sections.unread.append((child, path, source))
        elif ident in entries and not (name == "templates" and ident in sections.shipped):
            first = entries[ident].at
            source.report(node.lines[key], path, f"is described twice, first in {first.file}:{first.line}")
        else:
            entries[ident] = value


def _check_params(node: nodes.Node, path: str, source: Source, kinds: Kinds) -> None:
    """Kinds and parameters of the checks of an entry that could not be read: a mistake elsewhere must not hide them."""
    if not isinstance(node, nodes.MappingNode):
        return
    for section in ("checks", "evidence"):
        checks = node.items.get(section)
        for key, check in checks.items.items() if isinstance(checks, nodes.MappingNode) else ():
            check_path = f"{path}.{section}.{key}"
            kind_node = check.items.get("kind") if isinstance(check, nodes.MappingNode) else None
            name = kind_node.text if isinstance(kind_node, nodes.ScalarNode) and not kind_node.empty else ""
            name = name or (kinds.of_evidence(key) or "" if section == "evidence" else "")
            if not isinstance(check, nodes.MappingNode) or not name:
                continue
            params = check.items.get("params")
            if (kind := kinds.get(name)) is None:
                source.report(check.lines.get("kind", check.line), f"{check_path}.kind", kinds.unknown(name))
            elif isinstance(params, nodes.MappingNode):
                kind.check_params(params, f"{check_path}.params", source)
    for key, child in node.items.items():
        if key not in ("checks", "evidence"):
            _check_params(child, f"{path}.{key}", source, kinds)
