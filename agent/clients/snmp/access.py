"""SNMP access from a credential: a community (versions 1 and 2c) or a user (version 3)."""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from agent.failure import ProbeFailed
from agent.probe import Address
from inventory.base.types import Secret
from inventory.protocol.reasons import Why, sentence
from inventory.protocol.states import UNKNOWN

Version = Literal["1", "2c", "3"]
SHORTEST_PASSWORD: Final = 8  # characters; RFC 3414, section 11.2
_AUTH: Final = {"sha1": "sha1", "sha": "sha1", "sha256": "sha256", "sha-256": "sha256"}
_PRIV: Final = {"aes": "aes128", "aes128": "aes128", "aes-128": "aes128"}
_KEYS: Final = ("user", "auth", "auth_password", "priv", "priv_password", "context")


class Community(msgspec.Struct, frozen=True):
    """Versions 1 and 2c: a word that is sent in clear."""

    version: Literal["1", "2c"]
    community: Secret


class SnmpUser(msgspec.Struct, frozen=True):
    """Version 3. Without ``auth_password`` nothing is authenticated, without ``priv_password`` nothing is hidden."""

    user: str
    auth: str = ""  # sha1, sha256
    auth_password: Secret = Secret()
    priv: str = ""  # aes128
    priv_password: Secret = Secret()
    context: str = ""


class SnmpTarget(msgspec.Struct, frozen=True):
    """One device as one credential sees it."""

    address: Address
    port: int
    access: Community | SnmpUser


def access_from_credential(name: str, version: Version, credential: Mapping[str, str]) -> Community | SnmpUser:
    """What a credential says for a version. Raises Trouble (no evidence) naming what is missing or not understood.

    Keys: ``community``; or ``user``, with ``auth_password`` and ``auth`` (sha1 if left out, or sha256), with
    ``priv_password`` and ``priv`` (aes128), and ``context``.
    """
    if version != "3":
        if not credential.get("community"):
            raise ProbeFailed(
                sentence("the credential {name} has no community (community_file)", name=repr(name)), UNKNOWN
            )
        return Community(version, Secret(credential["community"]))
    if wrong := _wrong(credential, sentence("the credential {name}", name=repr(name))):
        raise ProbeFailed(wrong, UNKNOWN)
    auth_password, priv_password = credential.get("auth_password", ""), credential.get("priv_password", "")
    return SnmpUser(
        credential["user"],
        _AUTH[credential.get("auth", "sha1").lower()] if auth_password else "",
        Secret(auth_password),
        _PRIV[credential.get("priv", "aes128").lower()] if priv_password else "",
        Secret(priv_password),
        credential.get("context", ""),
    )


def _wrong(credential: Mapping[str, str], who: str) -> Why:
    """Why this cannot be a user of version 3, without showing any of it."""
    if unknown := sorted(set(credential) - set(_KEYS)):
        keys = ", ".join(_KEYS)
        return sentence(
            "{who} has the key {unknown}; a user of version 3 has {keys}", who=who, unknown=repr(unknown[0]), keys=keys
        )
    if not credential.get("user"):
        return sentence("{who} names no user", who=who)
    for way, ways in (("auth", _AUTH), ("priv", _PRIV)):
        password = f"{way}_password"
        if way in credential and credential[way].lower() not in ways:
            names = ", ".join(dict.fromkeys(ways.values()))
            return sentence("{who} has an {way} that is none of {ways}", who=who, way=way, ways=names)
        if way in credential and password not in credential:
            return sentence(
                "{who} has {way} but no {password} ({password2}_file)",
                who=who,
                way=way,
                password=password,
                password2=password,
            )
        if password in credential and len(credential[password]) < SHORTEST_PASSWORD:
            return sentence(
                "{who} has an {password} of less than {shortest_password} characters",
                who=who,
                password=password,
                shortest_password=SHORTEST_PASSWORD,
            )
    if "priv_password" in credential and "auth_password" not in credential:
        return sentence(
            "{who} has a priv_password but no auth_password: version 3 hides nothing that it does not authenticate",
            who=who,
        )
    return ""
