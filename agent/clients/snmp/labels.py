"""Texts that devices give as names of their parts, and matching them against people's patterns."""

import re
from collections.abc import Callable, Sequence
from fnmatch import translate

from agent.clients.snmp.ber import Value
from inventory.base.forms import one_form
from inventory.protocol.reasons import sentence

SHOWN = 4  # names in one reason


def text(value: Value | None) -> str:
    """A device's text as one line of at most 80 characters; "" for none."""
    if not isinstance(value, bytes):
        return ""
    line = value.rstrip(b"\0").decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in line).split())[:80]


def matcher(patterns: Sequence[str]) -> Callable[[Sequence[str]], bool]:
    """Whether one of some names fits one of the patterns (``*``, ``?``, ``[a-z]``), whatever the case."""
    nothing = r"(?!)"  # fits nothing
    compiled = re.compile("|".join(translate(one_form(pattern).casefold()) for pattern in patterns) or nothing)
    return lambda names: any(compiled.match(one_form(name).casefold()) for name in names if name)


def short_list(names: Sequence[str]) -> str:
    """The first few of them."""
    more = len(names) - SHOWN
    shown = ", ".join(names[:SHOWN])
    return sentence("{so} and {gone} more", so=shown, gone=more) if more > 0 else shown
