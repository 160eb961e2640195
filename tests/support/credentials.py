"""Credentials as an agent's own file gives them: real ones, whose values are secrets and are bound."""

from collections.abc import Mapping

from agent.credentials import Credentials
from inventory.base.types import Secret


def known(name: str, keys: Mapping[str, str]) -> Credentials:
    """An agent that has this one credential."""
    return Credentials({name: {key: Secret(value) for key, value in keys.items()}})


def several(named: Mapping[str, Mapping[str, str]]) -> Credentials:
    return Credentials({name: {key: Secret(value) for key, value in keys.items()} for name, keys in named.items()})
