"""The kinds of probe: one file each, found by its file and imported only when a plan uses it."""

import pkgutil
import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

import msgspec

from agent.probe import Probe
from inventory.protocol.reasons import Reason, english, plain, sentence, template


class BadProbe(ValueError):
    """A check that cannot be made: no such kind, or parameters that the kind refuses. The text says which."""


@cache
def names() -> tuple[str, ...]:
    """Every kind there is, sorted, without importing any."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


@cache
def load(kind: str) -> type[Probe]:
    """The class of one kind; imports its file and no other's. Raises BadProbe when there is no such kind."""
    if kind not in names():
        raise BadProbe(
            sentence(
                "there is no kind of probe {kind}; this agent knows {names}", kind=repr(kind), names=", ".join(names())
            )
        )
    module = import_module(f"{__name__}.{kind}")
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Probe) and value.__module__ == module.__name__
    ]
    if len(classes) != 1 or classes[0].kind != kind:
        raise TypeError(f"{module.__name__} must define one Probe of kind {kind!r}")
    return classes[0]


def build(kind: str, params: Mapping[str, Any]) -> Probe:
    """The probe of one check. Raises BadProbe, in words for the person who wrote the parameters."""
    probe_class = load(kind)
    try:
        return msgspec.convert(dict(params), probe_class)
    except (msgspec.ValidationError, TypeError) as error:
        raise BadProbe(sentence("{kind}: {why}", kind=kind, why=_reworded(error))) from None


def why_not(kind: str, params: Mapping[str, Any]) -> str:
    """Why a check cannot be made with these parameters, as JSON has them; "" if it can."""
    try:
        build(kind, params)
    except BadProbe as error:
        return english(error.args[0]).removeprefix(f"{kind}: ")
    return ""


_REWORDINGS = (
    (re.compile(r"Object contains unknown field `(?P<name>.+?)`.*"), template("there is no parameter {name}")),
    (re.compile(r"Object missing required field `(?P<name>.+?)`.*"), template("the parameter {name} is missing")),
    (
        re.compile(r"Invalid enum value '(?P<value>.+)' - at `\$\.(?P<name>.+)`"),
        template("{name} cannot be '{value}'"),
    ),
    (re.compile(r"Invalid enum value (?P<value>.+) - at `\$\.(?P<name>.+)`"), template("{name} cannot be {value}")),
    (re.compile(r"Expected (?P<what>.+) - at `\$\.(?P<name>.+)`"), template("{name}: expected {what}")),
    (re.compile(r"(?P<what>.+) - at `\$\.(?P<name>.+)`"), template("{name}: {what}")),
)


def _reworded(error: Exception) -> Reason:
    """A probe's own reason, or msgspec's message as a sentence about a parameter."""
    if isinstance(error.__cause__, ValueError) and isinstance(own := str(error.__cause__), Reason):
        return own
    for pattern, words in _REWORDINGS:
        if matched := pattern.fullmatch(str(error)):
            return sentence(words, **{name: value.replace("`", "") for name, value in matched.groupdict().items()})
    return plain(str(error))
