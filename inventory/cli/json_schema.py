"""A JSON Schema of the inventory's files for editors (``# yaml-language-server: $schema=...``)."""

from typing import Any

from msgspec import inspect

from inventory.assembly.file_schema import CheckShape, FileShape
from inventory.assembly.placeholders import PATTERN
from inventory.base.types import SLUG, Secret, Text
from inventory.protocol.kinds import Kinds

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_LIMIT = {"type": ["number", "string"], "description": "in the measure's unit: 0.2, 200ms, 5%"}
_DURATION = r"(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?"
_SCALAR_SCHEMAS: dict[str, dict[str, Any]] = {
    "duration": {"type": "string", "pattern": f"^{_DURATION}$", "examples": ["30s", "5m"]},
    "daily": {"type": "string", "pattern": r"^(([01]\d|2[0-3]):[0-5]\d|never)$", "examples": ["07:00", "never"]},
    "repeat": {
        "type": "string",
        "pattern": f"^({_DURATION}|never)$",
        "examples": ["4h", "never"],
    },
    "ratio": {"type": ["string", "number"], "pattern": r"^(\d{1,3}(\.\d+)?%|[01](\.\d+)?)$", "examples": ["99.5%"]},
    "size": {"type": ["string", "integer"], "pattern": r"^\d+ ?(B|KiB|MiB|GiB|TiB)?$", "examples": ["64MiB"]},
    "slug": {"type": "string", "pattern": SLUG, "maxLength": 63},
}


def schema(kinds: Kinds) -> dict[str, Any]:
    """The schema of one file, with every kind's parameters."""
    builder = _SchemaBuilder(kinds)
    root = builder.schema_of(inspect.type_info(FileShape))
    return {
        "$schema": DIALECT,
        "title": "Hải Đăng: inventory",
        "description": "Agencies, sites, links, checks and goals of a province.",
        **root,
        "$defs": {**builder.definitions},
    }


class _SchemaBuilder:
    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds
        self.definitions: dict[str, Any] = {}

    def schema_of(self, info: inspect.Type) -> dict[str, Any]:
        """The schema of one type as people write it."""
        if isinstance(info, inspect.Metadata):
            if choices := (info.extra or {}).get("choices"):
                return {"enum": sorted(choices())}
            reader_name = (info.extra or {}).get("reader")
            return dict(_SCALAR_SCHEMAS[reader_name]) if reader_name else self.schema_of(info.type)
        if isinstance(info, inspect.StructType):
            if info.cls is Text:
                return self._text()
            return self._struct(info)
        if isinstance(info, inspect.DictType):
            keys = (
                {"pattern": r"^\d+$"} if isinstance(info.key_type, inspect.IntType) else self.schema_of(info.key_type)
            )
            return {"type": "object", "propertyNames": keys, "additionalProperties": self.schema_of(info.value_type)}
        if isinstance(info, inspect.ListType | inspect.VarTupleType):
            return {"type": "array", "items": self.schema_of(info.item_type)}
        if isinstance(info, inspect.UnionType):
            options = [self.schema_of(option) for option in info.types if not isinstance(option, inspect.NoneType)]
            return options[0] if len(options) == 1 else {"anyOf": options}
        if isinstance(info, inspect.LiteralType):
            return {"enum": list(info.values)}
        return _plain(info)

    def _text(self) -> dict[str, Any]:
        both = {"vi": {"type": "string"}, "en": {"type": "string"}}
        fields = {"type": "object", "properties": both, "additionalProperties": False}
        self.definitions.setdefault("Text", {"anyOf": [{"type": "string"}, fields]})
        return {"$ref": "#/$defs/Text"}

    def _struct(self, info: inspect.StructType) -> dict[str, Any]:
        name = info.cls.__name__.removesuffix("Shape")
        if name in self.definitions or name == "File":
            return {"$ref": f"#/$defs/{name}"} if name != "File" else self._fields(info)
        self.definitions[name] = {}  # taken, so that a type may hold itself
        self.definitions[name] = self._fields(info)
        return {"$ref": f"#/$defs/{name}"}

    def _fields(self, info: inspect.StructType) -> dict[str, Any]:
        fields = [field for field in info.fields if field.name != "at"]
        properties = {field.encode_name: self.schema_of(field.type) for field in fields}
        definition: dict[str, Any] = {
            "type": "object",
            "description": (info.cls.__doc__ or "").strip(),
            "properties": properties,
            "additionalProperties": False,
        }
        required = [field.encode_name for field in fields if field.required]
        if required:
            definition["required"] = required
        if info.cls is CheckShape:
            self._check(definition)
        for limit in ("above", "below"):
            if limit in properties:
                properties[limit] = dict(_LIMIT)
        return definition

    def _check(self, definition: dict[str, Any]) -> None:
        """A check's parameters are those of its kind."""
        definition["properties"]["kind"] = {"enum": sorted(self.kinds)}
        definition["properties"]["params"] = {"type": "object"}
        definition["allOf"] = [
            {
                "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
                "then": {"properties": {"params": {**_open(kind.schema), "description": kind.doc}}},
            }
            for name, kind in sorted(self.kinds.items())
        ]


def _open(params: dict[str, Any]) -> dict[str, Any]:
    """A kind's parameters; none is required, for a template may give it, and a placeholder may stand for any."""
    properties = {
        name: {"anyOf": [value, {"type": "string", "pattern": PATTERN}]}
        for name, value in params.get("properties", {}).items()
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _plain(info: inspect.Type) -> dict[str, Any]:
    if isinstance(info, inspect.BoolType):
        return {"type": "boolean"}
    if isinstance(info, inspect.IntType):
        return {"type": "integer"}
    if isinstance(info, inspect.FloatType):
        return {"type": "number"}
    if isinstance(info, inspect.DateType):
        return {"type": "string", "format": "date"}
    if isinstance(info, inspect.DateTimeType):
        return {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?$"}
    if isinstance(info, inspect.StrType) or (isinstance(info, inspect.CustomType) and info.cls is Secret):
        return {"type": "string"}
    return {}
