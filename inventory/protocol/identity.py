"""The identity of a check for life: whose it is, and its uid."""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

_encode = msgspec.json.Encoder(order="sorted").encode


class CheckIdentity(NamedTuple):
    """What a registered check is found by. A uid alone names none: whoever can see an inventory can work it out."""

    agent: str  # whose check it is
    uid: str


def uid(agent: str, name: str, kind: str, targets: Mapping[str, Any]) -> str:
    """The first 16 hex digits of SHA-256 over agent, first name, kind and target values, as canonical JSON.

    ``name``: what the check was first called (``formerly``, else its name), so that renaming changes nothing.
    ``targets``: :meth:`inventory.protocol.kinds.Kind.targets`; another value there is another check.
    """
    return hashlib.sha256(_encode((agent, name, kind, targets))).hexdigest()[:16]
