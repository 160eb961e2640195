"""The uid of a check: its identity for life."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(order="sorted").encode


def uid(agent: str, name: str, kind: str, targets: Mapping[str, Any]) -> str:
    """The first 16 hex digits of SHA-256 over agent, first name, kind and target values, as canonical JSON.

    ``name``: what the check was first called (``formerly``, else its name), so that renaming changes nothing.
    ``targets``: :meth:`inventory.protocol.kinds.Kind.targets`; another value there is another check.
    """
    return hashlib.sha256(_encode((agent, name, kind, targets))).hexdigest()[:16]
