"""Read YAML nodes into typed structs: every mistake is reported, each with file, line and key.

A type is compiled once into a reader. A scalar is read as its field's type means it: ``no`` and ``12:30`` are text
where text is meant, a number is a plain decimal, a duration is ``30s``. A struct with a field ``at`` of type
:class:`inventory.base.problems.Place` gets to know where it was written.
"""

from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from msgspec import inspect

from inventory.base.problems import Place
from inventory.base.types import Secret, Text
from inventory.yaml import scalars
from inventory.yaml.nodes import ListNode, MappingNode, Node, ScalarNode
from inventory.yaml.scalars import INVALID, Reader, Source, describe, join, unknown_keys

T = TypeVar("T")


def read(node: Node, type_: type[T], source: Source, path: str = "") -> T | None:
    """The value, or None after problems were added to the source."""
    value: Any = reader_of(type_)(node, path, source)  # type: ignore[arg-type]  # types are hashable
    return None if value is INVALID else value


@cache
def reader_of(type_: Any) -> Reader:
    """The compiled reader of a type."""
    return compile_reader(inspect.type_info(type_))


def compile_reader(info: inspect.Type) -> Reader:
    """The reader of a type as msgspec describes it."""
    if isinstance(info, inspect.Metadata):
        if choices := (info.extra or {}).get("choices"):
            return lambda node, path, source: scalars.choice(sorted(choices()))(node, path, source)
        reader_name = (info.extra or {}).get("reader")
        if reader_name == "slug":
            return scalars.slug
        if reader_name == "credential":
            return _credential_value
        return scalars.converted(scalars.SCALAR_CONVERTERS[reader_name]) if reader_name else compile_reader(info.type)
    if isinstance(info, inspect.StrType):
        return scalars.text(info.min_length, info.max_length, info.pattern)
    if isinstance(info, inspect.IntType):
        return scalars.number(scalars.INTEGER, int, "a whole number", info.ge, info.le, info.gt, info.lt)
    if isinstance(info, inspect.FloatType):
        return scalars.number(scalars.NUMBER, float, "a number", info.ge, info.le, info.gt, info.lt)
    if isinstance(info, inspect.LiteralType):
        return scalars.choice([str(value) for value in info.values])
    if isinstance(info, inspect.ListType | inspect.VarTupleType):
        return scalars.list_of(
            compile_reader(info.item_type), tuple if isinstance(info, inspect.VarTupleType) else list
        )
    if isinstance(info, inspect.DictType):
        return scalars.dict_of(compile_reader(info.key_type), compile_reader(info.value_type))
    if isinstance(info, inspect.UnionType):
        return _union_reader(info)
    if isinstance(info, inspect.StructType):
        return scalars.bilingual_text if info.cls is Text else _StructReader(info)
    return _plain_reader(info)


def _credential_value(node: Node, path: str, source: Source) -> Any:
    if path.endswith(".hosts") and isinstance(node, ListNode):
        return scalars.list_of(scalars.text(), tuple)(node, path, source)
    return scalars.converted(Secret)(node, path, source)


def _plain_reader(info: inspect.Type) -> Reader:
    if isinstance(info, inspect.BoolType):
        return scalars.boolean
    if isinstance(info, inspect.DateType):
        return scalars.converted(scalars.day)
    if isinstance(info, inspect.DateTimeType):
        return scalars.converted(scalars.moment)
    if isinstance(info, inspect.AnyType):
        return lambda node, path, source: node
    if isinstance(info, inspect.CustomType) and info.cls is Path:
        return scalars.file_path
    if isinstance(info, inspect.CustomType) and info.cls is Secret:
        return scalars.converted(Secret)
    raise TypeError(f"no reader for {info}")


def _union_reader(info: inspect.UnionType) -> Reader:
    optional = any(isinstance(option, inspect.NoneType) for option in info.types)
    options = [option for option in info.types if not isinstance(option, inspect.NoneType)]
    readers = [compile_reader(option) for option in options]

    def reader(node: Node, path: str, source: Source) -> Any:
        if optional and isinstance(node, ScalarNode) and node.empty:
            return None
        if len(readers) == 1:
            return readers[0](node, path, source)
        return scalars.first_that_fits(readers, node, path, source)

    return reader


class _StructReader:
    """The reader of a struct. Its fields are compiled at first use, so that types may nest in themselves."""

    def __init__(self, info: inspect.StructType) -> None:
        self.info = info
        self.fields: dict[str, tuple[str, Reader]] | None = None
        self.required: tuple[str, ...] = ()
        self.secrets: dict[str, str] = {}  # x_file: x
        self.has_place = False

    def _prepare(self) -> dict[str, tuple[str, Reader]]:
        self.fields = {}
        self.has_place = any(field.name == "at" for field in self.info.fields)
        fields = [field for field in self.info.fields if field.name != "at"]
        self.fields = {field.encode_name: (field.name, compile_reader(field.type)) for field in fields}
        self.required = tuple(field.encode_name for field in fields if field.required)
        self.secrets = {f"{field.encode_name}_file": field.encode_name for field in fields if _is_secret(field.type)}
        return self.fields

    def __call__(self, node: Node, path: str, source: Source) -> Any:
        fields = self.fields if self.fields is not None else self._prepare()
        if not isinstance(node, MappingNode):
            return source.report(node.line, path, f"ought to be a mapping, found {describe(node)}")
        values: dict[str, Any] = {}
        valid = True
        for key, child in node.items.items():
            field_reader = fields.get(key)
            if field_reader is not None:
                value = field_reader[1](child, join(path, key), source)
                if value is INVALID:
                    valid = False
                values[field_reader[0]] = value
            elif key not in self.secrets:
                valid = False
        if not valid or len(values) < len(node.items):
            valid = unknown_keys(node, (*fields, *self.secrets), path, source) and valid
            valid = self._read_secrets(node, path, source, values, fields) and valid
        for key in self.required:
            if fields[key][0] not in values:
                source.report(node.line, path, f"needs the key {key}")
                valid = False
        if not valid:
            return INVALID
        if self.has_place:
            values["at"] = Place(source.file, node.line, path, node.lines)
        try:
            return self.info.cls(**values)
        except ValueError as error:
            return source.report(node.line, path, str(error))

    def _read_secrets(
        self,
        node: MappingNode,
        path: str,
        source: Source,
        values: dict[str, Any],
        fields: dict[str, tuple[str, Reader]],
    ) -> bool:
        valid = True
        for key, name in self.secrets.items():
            if key not in node.items:
                continue
            key_path, line = join(path, key), node.lines[key]
            field = fields[name][0]
            if field in values:
                source.report(line, key_path, f"give {name} or {key}, not both")
                valid = False
                continue
            file = scalars.file_path(node.items[key], key_path, source)
            values[field] = INVALID if file is INVALID else _secret_in(file, line, key_path, source)
            valid = valid and values[field] is not INVALID
        return valid


def _secret_in(file: Path, line: int, path: str, source: Source) -> Any:
    try:
        secret = file.read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        return source.report(line, path, f"cannot read {file}: {error.strerror}")
    except UnicodeDecodeError:
        return source.report(line, path, f"{file} is not UTF-8 text")
    return Secret(secret) if secret else source.report(line, path, f"{file} is empty")


def _is_secret(info: inspect.Type) -> bool:
    if isinstance(info, inspect.Metadata):
        return _is_secret(info.type)
    if isinstance(info, inspect.UnionType):
        return any(_is_secret(option) for option in info.types)
    return isinstance(info, inspect.CustomType) and info.cls is Secret
