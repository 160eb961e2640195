"""The kinds of probe: one file each, found by its file and imported only when a plan uses it."""

import pkgutil
import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

import msgspec

from agent.probe import Probe
from inventory.protocol.reasons import sentence


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
        raise BadProbe(f"{kind}: {_reworded(str(error))}") from None


def why_not(kind: str, params: Mapping[str, Any]) -> str:
    """Why a check cannot be made with these parameters, as JSON has them; "" if it can."""
    try:
        build(kind, params)
    except BadProbe as error:
        return str(error).removeprefix(f"{kind}: ")
    return ""


_REWORDINGS = (
    (r"^Object contains unknown field `(.+?)`.*$", r"there is no parameter \1"),
    (r"^Object missing required field `(.+?)`.*$", r"the parameter \1 is missing"),
    (r"^Invalid enum value (.+) - at `\$\.(.+)`$", r"\2 cannot be \1"),
    (r"^Expected (.+) - at `\$\.(.+)`$", r"\2: expected \1"),
    (r"^(.+) - at `\$\.(.+)`$", r"\2: \1"),
)


def _reworded(message: str) -> str:
    """msgspec's message as a sentence about a parameter."""
    for pattern, words in _REWORDINGS:
        if re.match(pattern, message):
            return re.sub(pattern, words, message).replace("`", "")
    return message
