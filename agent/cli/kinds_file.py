"""``python -m agent.cli.kinds_file [--check]``: write ``inventory/protocol/kinds.json`` from the probes, or say that
it is stale.

The file lets the inventory, the collector and the mails know every kind without loading it; its shape is
:class:`inventory.protocol.kinds.KindDescription`, a mapping by kind.
"""

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

import inventory
from agent import probes
from agent.probe import Probe
from inventory.base.generated import write_or_check
from inventory.protocol.kinds import KindDescription, MeasureInfo

FILE = Path(inventory.__file__).parent / "protocol" / "kinds.json"


def describe(kind: type[Probe]) -> dict[str, Any]:
    """One kind's entry."""
    declared = KindDescription(
        title=kind.title,
        doc=inspect.getdoc(kind) or "",
        target=kind.target,
        apart=kind.apart,
        looks_at=kind.looks_at,
        about=kind.about,
        addressed_by=kind.addressed_by if kind.looks_at == "address" else (),
        needs=kind.needs,
        evidence_keys=kind.evidence_keys,
        series=kind.series or kind.kind,
        down_mail=kind.down_mail,
        degraded_mail=kind.degraded_mail,
        example=kind.example,
        params=_params(kind),
        measures=tuple(
            MeasureInfo(
                name=measure.name,
                unit=measure.unit,
                help=measure.help,
                per=measure.per,
                cumulative=measure.cumulative,
                exported=measure.exported,
            )
            for measure in kind.measures
        ),
    )
    entry: dict[str, Any] = msgspec.to_builtins(declared)
    return entry


def render() -> str:
    """The whole file; the same probes give the same text."""
    kinds = {name: describe(probes.load(name)) for name in probes.names()}
    return json.dumps(kinds, indent=2, ensure_ascii=False) + "\n"


def _params(kind: type[Probe]) -> dict[str, Any]:
    schema = msgspec.json.schema(kind)
    inlined: dict[str, Any] = _inline(schema, schema.get("$defs", {}))
    for redundant_key in ("title", "description", "$defs"):
        inlined.pop(redundant_key, None)
    return inlined


def _inline(node: Any, definitions: dict[str, Any]) -> Any:
    """The schema with every reference replaced by what it names, so that an entry stands by itself."""
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return _inline({**definitions[name], **{key: node[key] for key in node if key != "$ref"}}, definitions)
    return {key: _inline(value, definitions) for key, value in node.items() if key != "$defs"}


def main(argv: list[str] | None = None) -> int:
    return write_or_check("agent.cli.kinds_file", FILE, render, argv)


if __name__ == "__main__":
    sys.exit(main())
