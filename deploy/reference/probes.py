"""``python -m deploy.reference.probes [--check]``: docs/probes.md, from what the kinds of probe declare."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from alerts.language.catalogue import translations
from collector.metrics.measured import family_of
from inventory.base.generated import write_or_check
from inventory.protocol.kinds import Kind, Kinds, load

FILE: Final = Path(__file__).parents[2] / "docs" / "probes.md"
HEAD: Final = """\
# Kinds of probe

Made from the code by `python -m deploy.reference.probes`: what each kind looks at, its parameters, what it measures and
under which series that is exported. Every check reports its state and, where it has one, its latency beside these
measures. A measure without a series stands in the API alone. How to add a kind: CONTRIBUTING.md.
"""
PLACES: Final = {
    "address": "a host or service, by its address",
    "network": "the network that its agent stands in",
    "machine": "its agent's own machine",
    "directories": "directories of its agent's own machine, which the agent's file has to allow",
    "reports": "nothing by itself: others report to the agent, which keeps it",
}


def render(kinds: Kinds | None = None) -> str:
    """The whole page; the same kinds give the same text."""
    described = load() if kinds is None else kinds
    contents = [f"- [`{name}`](#{name}) {kind.title}" for name, kind in sorted(described.items())]
    sections = ["\n".join(_section(kind)) for _, kind in sorted(described.items())]
    return "\n".join((HEAD, *contents, "", "\n\n".join(sections))) + "\n"


def _section(kind: Kind) -> Iterator[str]:
    vietnamese = translations("vi").pgettext("kind", kind.title)
    yield f"## {kind.name}\n"
    yield f"**{kind.title}** ({vietnamese}). It looks at {PLACES.get(kind.looks_at, kind.looks_at)}.\n"
    yield f"{kind.doc.replace('``', '`')}\n"
    if kind.target:
        yield f"Another value of {_named(kind.target)} is another check.\n"
    for fields in kind.apart:
        yield f"Of {_named(fields)} at most one may be given.\n"
    yield f"```yaml\nkind: {kind.name}\nparams: {kind.example}\n```\n"
    yield from _table(("parameter", "type", "default", "meaning"), _parameters(kind))
    yield ""
    yield from _table(("measure", "unit", "meaning", "series"), _measures(kind))


def _named(fields: tuple[str, ...]) -> str:
    return ", ".join(f"`{field}`" for field in fields)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        cells = (cell.replace("|", "\\|") for cell in row)
        yield f"| {' | '.join(cells)} |"


def _parameters(kind: Kind) -> Iterator[tuple[str, ...]]:
    properties: dict[str, dict[str, Any]] = kind.schema.get("properties", {})
    for name, schema in properties.items():
        default = "required" if name in kind.required else f"`{json.dumps(schema.get('default'), ensure_ascii=False)}`"
        yield f"`{name}`", type_text(schema), default, schema.get("description", "")


def type_text(schema: dict[str, Any]) -> str:
    """A JSON Schema of plain types in a few words."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(type_text(option) for option in schema["anyOf"])
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    kind = schema.get("type", "")
    if kind == "array":
        return f"list of {type_text(schema.get('items', {}))}"
    if kind == "object":
        return "mapping"
    text = words.get(kind, "nothing" if kind == "null" else kind)
    if kind == "string" and "format" in schema:
        name = str(schema["format"])
        return {"lasting": "duration"}.get(name, name.replace("-", " "))
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if low is not None and high is not None:
        return f"{text}, {low} to {high}"
    return f"{text}, from {low}" if low is not None else text


def _measures(kind: Kind) -> Iterator[tuple[str, ...]]:
    for measure in kind.measures:
        series = f"`{family_of(kind, measure).name}`" if measure.exported else ""
        yield f"`{measure.name}`", measure.unit.replace("_", " "), measure.help, series


def main(argv: list[str] | None = None) -> int:
    return write_or_check("deploy.reference.probes", FILE, render, argv)


if __name__ == "__main__":
    sys.exit(main())
