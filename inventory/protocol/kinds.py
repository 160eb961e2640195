"""The kinds of probe as ``kinds.json`` describes them: all that a kind's class declares, without loading any.

The file is generated from the probes. A kind's parameters are checked by readers compiled once from its JSON
Schema, so that a mistake in a check names file, line and key, and 200,000 checks take a second or two.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from inventory.grammars.formats import FORMATS
from inventory.protocol.mail_words import MailWords
from inventory.protocol.plan import Column
from inventory.yaml import scalars
from inventory.yaml.nodes import MappingNode, Node, ScalarNode
from inventory.yaml.scalars import INVALID, Reader, Source, join

FILE = Path(__file__).parent / "kinds.json"


class MeasureInfo(msgspec.Struct, frozen=True):
    """One measure of a kind."""

    name: str
    unit: str
    help: str
    per: int  # a value v travels as round(v * per)
    cumulative: bool = False  # it only grows: exposed as a counter
    exported: bool = True  # as the series haidang_SERIES_NAME


class KindDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of kinds.json: what a kind declares (:class:`agent.probe.Probe` says what each means)."""

    doc: str
    target: tuple[str, ...]
    params: dict[str, Any]  # JSON Schema
    title: str = ""
    apart: tuple[tuple[str, ...], ...] = ()
    looks_at: str = "address"  # network, machine, directories, reports
    about: str = "service"  # host, line, power, ups
    addressed_by: tuple[str, ...] = ("host",)
    needs: tuple[str, ...] = ()
    evidence_keys: tuple[str, ...] = ()
    series: str = ""
    down_mail: MailWords = MailWords()
    degraded_mail: MailWords = MailWords()
    example: str = ""
    measures: tuple[MeasureInfo, ...] = ()


class Kind:
    """One kind of probe, as described, with readers for its parameters."""

    def __init__(self, name: str, description: KindDescription) -> None:
        self.name = name
        self.title = description.title or name
        self.doc = description.doc
        self.target = description.target
        self.looks_at = description.looks_at
        self.about = description.about
        self.addressed_by = description.addressed_by
        self.needs = description.needs
        self.evidence_keys = description.evidence_keys
        self.example = description.example
        self.schema = description.params
        self.measures = description.measures
        self.series = description.series or name
        self.mails = {"down": description.down_mail, "degraded": description.degraded_mail}  # by state
        self.apart = description.apart
        self.columns = tuple(Column(measure.name, measure.per) for measure in description.measures)  # order of the wire
        self.exported = tuple(measure for measure in description.measures if measure.exported)
        self.units = {"latency": "seconds", **{measure.name: measure.unit for measure in description.measures}}
        properties: dict[str, dict[str, Any]] = self.schema.get("properties", {})
        self.defaults = {name: prop["default"] for name, prop in properties.items() if "default" in prop}
        self.required: tuple[str, ...] = tuple(self.schema.get("required", ()))
        self._readers = {name: from_schema(prop) for name, prop in properties.items()}

    @property
    def on_own_machine(self) -> bool:
        """Whether it looks at the agent's own machine, or at nothing at all."""
        return self.looks_at in ("machine", "directories", "reports")

    @property
    def shown_target(self) -> tuple[str, ...]:
        """Parameters of which the first that is given says to a person what is looked at."""
        return self.addressed_by if self.looks_at == "address" else self.required[:1]

    @property
    def named_by(self) -> str:
        """The parameter by which others name it when they report to the agent; "" for a kind that looks for itself."""
        return self.required[0] if self.looks_at == "reports" and self.required else ""

    def read(self, nodes: dict[str, Node], line: int, path: str, lines: dict[str, int], source: Source) -> Any:
        """The parameters as written (no defaults filled in), or MISSING after problems were reported."""
        values = {}
        valid = True
        for name, node in nodes.items():
            read = self._readers.get(name)
            if read is None:
                valid = False
                continue
            value = read(node, join(path, name), source)
            if value is INVALID:
                valid = False
            values[name] = value
        for name in self.required:
            if name not in values and name not in nodes:
                source.report(line, path, f"the kind {self.name} needs the parameter {name}")
                valid = False
        for fields in self.apart:
            conflicting = [
                name for name in fields if values.get(name, self.defaults.get(name)) != self.defaults.get(name)
            ]
            if len(conflicting) > 1 and valid:
                source.report(
                    lines.get(conflicting[1], line),
                    join(path, conflicting[1]),
                    f"give {' or '.join(conflicting)}, not both",
                )
                valid = False
        if valid:
            return values
        mapping = MappingNode(line)
        mapping.items = nodes
        mapping.lines = {name: lines.get(name, line) for name in nodes}
        scalars.unknown_keys(mapping, self._readers, path, source)
        return INVALID

    def check_params(self, params: MappingNode, path: str, source: Source) -> None:
        """Report what is wrong with single parameters; others may stand elsewhere."""
        for name, node in params.items.items():
            if (read := self._readers.get(name)) is not None:
                read(node, join(path, name), source)
        scalars.unknown_keys(params, self._readers, path, source)

    def targets(self, params: dict[str, Any]) -> dict[str, Any]:
        """The values that say what is looked at. Defaults are left out, so that writing one down changes nothing."""
        return {
            name: params[name]
            for name in self.target
            if name in params and (name not in self.defaults or params[name] != self.defaults[name])
        }


class Kinds(dict[str, Kind]):
    """All kinds by name."""

    def unknown(self, name: str) -> str:
        """What to say of a name that is none of them."""
        return f"there is no kind {name}; known are: {', '.join(sorted(self))}"

    def of_evidence(self, key: str) -> str | None:
        """The kind that a backup's evidence under this key means where none is written."""
        return next((name for name, kind in self.items() if key in kind.evidence_keys), None)


def parse(text: str | bytes) -> Kinds:
    """From the text of a kinds.json. Raises msgspec.ValidationError if it is not one."""
    descriptions = msgspec.json.decode(text, type=dict[str, KindDescription])
    return Kinds({name: Kind(name, description) for name, description in descriptions.items()})


@cache
def load(path: Path = FILE) -> Kinds:
    """The kinds that this software has."""
    return parse(path.read_bytes())


NO_KIND = Kind("", KindDescription(doc="", target=(), params={}))


def of(name: str) -> Kind:
    """The kind of this name; for one that this software does not have (of a newer agent) one that declares nothing."""
    return load().get(name, NO_KIND)


@cache
def about(what: str) -> frozenset[str]:
    """The names of the kinds whose state tells of this: "power", "line", ..."""
    return frozenset(name for name, kind in load().items() if kind.about == what)


def from_schema(schema: dict[str, Any]) -> Reader:
    """A reader for what msgspec writes as JSON Schema of plain types. Raises TypeError for anything else."""
    if "enum" in schema:
        return _enum(schema["enum"])
    if "const" in schema:
        return _enum([schema["const"]])
    if "anyOf" in schema:
        return _any_of(schema["anyOf"])
    factory = _BY_TYPE.get(schema.get("type", ""))
    if factory is None:
        raise TypeError(f"no reader for the schema {json.dumps(schema)}")
    reader: Reader = factory(schema)
    return reader


def _enum(values: list[Any]) -> Reader:
    by_text = {str(value): value for value in values}
    read = scalars.choice(by_text)

    def enum(node: Node, path: str, source: Source) -> Any:
        text = read(node, path, source)
        return text if text is INVALID else by_text[text]

    return enum


def _any_of(options: list[dict[str, Any]]) -> Reader:
    nullable = any(option.get("type") == "null" for option in options)
    readers = [from_schema(option) for option in options if option.get("type") != "null"]

    def any_of(node: Node, path: str, source: Source) -> Any:
        if nullable and isinstance(node, ScalarNode) and node.empty:
            return None
        if len(readers) == 1:
            return readers[0](node, path, source)
        return scalars.first_that_fits(readers, node, path, source)

    return any_of


def _string(schema: dict[str, Any]) -> Reader:
    format_name = schema.get("format")
    if format_name is not None and format_name not in FORMATS:
        raise TypeError(f"no format {format_name!r}")
    validate = FORMATS[format_name] if format_name is not None else None
    return scalars.text(schema.get("minLength"), schema.get("maxLength"), schema.get("pattern"), validate)


def _integer(schema: dict[str, Any]) -> Reader:
    return scalars.number(scalars.INTEGER, int, "a whole number", *_bounds(schema))


def _decimal(schema: dict[str, Any]) -> Reader:
    return scalars.number(scalars.NUMBER, float, "a number", *_bounds(schema))


def _bounds(schema: dict[str, Any]) -> tuple[float | None, ...]:
    return tuple(schema.get(name) for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"))


def _array(schema: dict[str, Any]) -> Reader:
    items = scalars.list_of(from_schema(schema["items"]))
    low, high = schema.get("minItems", 0), schema.get("maxItems")

    def array(node: Node, path: str, source: Source) -> Any:
        value = items(node, path, source)
        if value is not INVALID and len(value) < low:
            return source.report(node.line, path, f"needs at least {low} entries")
        if value is not INVALID and high is not None and len(value) > high:
            return source.report(node.line, path, f"has more than {high} entries")
        return value

    return array


def _object(schema: dict[str, Any]) -> Reader:
    if "properties" in schema:
        kind = Kind("", KindDescription(doc="", target=(), params=schema))

        def struct(node: Node, path: str, source: Source) -> Any:
            if not isinstance(node, MappingNode):
                return source.report(node.line, path, f"ought to be a mapping, found {scalars.describe(node)}")
            return kind.read(node.items, node.line, path, node.lines, source)

        return struct
    values = schema.get("additionalProperties")
    return scalars.dict_of(scalars.text(), from_schema(values if isinstance(values, dict) else {"type": "string"}))


_BY_TYPE: dict[str, Any] = {
    "string": _string,
    "integer": _integer,
    "number": _decimal,
    "boolean": lambda schema: scalars.boolean,
    "array": _array,
    "object": _object,
}
