"""Who a check is, for life."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def uid(agent: str, name: str, kind: str, targets: Mapping[str, Any]) -> str:
    """The first 16 hex digits of SHA-256 over agent, first name, kind and target values, as canonical JSON.

    ``name``: what the check was first called (``formerly``, else its name), so that renaming changes nothing.
    ``targets``: :meth:`inventory.kinds.Kind.targets`; another value there is another check.
    """
    text = json.dumps([agent, name, kind, targets], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
