"""The agent's identity: its name, its collector, its key and certificates, in one file replaced atomically.

``identity.pem`` holds a few ``name: value`` lines, which TLS libraries skip, then the private key, the agent's
certificate and the collector's private CA. Only its owner can read it; the key never leaves the machine.
Validity is kept in the lines, so that the running agent needs no library to read certificates.
"""

import re
from pathlib import Path
from typing import Final

import msgspec

from inventory.base import files

FILE: Final = "identity.pem"
_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----\n?", re.DOTALL)


class NoIdentity(Exception):
    """This machine is not enrolled, or its identity cannot be read; the text says which and what to do."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """``issued`` and ``expires`` are the certificate's validity in ms since the Unix epoch, by the collector's time."""

    agent: str
    url: str
    key: str
    certificate: str
    authority: str
    issued: int
    expires: int

    @property
    def renew_at(self) -> int:
        """Two thirds of the certificate's life, ms since the Unix epoch."""
        return self.issued + (self.expires - self.issued) * 2 // 3


def path_in(state_dir: Path) -> Path:
    return state_dir / FILE


def store(state_dir: Path, identity: Identity) -> None:
    """Raises OSError. The old identity, if any, is whole until the new one is."""
    lines = [f"{name}: {getattr(identity, name)}" for name in ("agent", "url", "issued", "expires")]
    blocks = [block.strip() for block in (identity.key, identity.certificate, identity.authority)]
    files.replace(path_in(state_dir), "\n".join([*lines, *blocks, ""]).encode(), mode=0o600)


def load(state_dir: Path) -> Identity:
    """Raises NoIdentity."""
    path = path_in(state_dir)
    try:
        text = files.read(path).decode()
    except FileNotFoundError:
        raise NoIdentity(
            f"This machine is not enrolled: there is no {path}. "
            "Get a code from the collector (haidang-collector code AGENT), then: haidang-agent enroll URL"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise NoIdentity(f"{path} cannot be read: {error}. Run this as the agent's own user, or as root.") from None
    blocks = {"key": "", "certificate": "", "authority": ""}
    for match in _BLOCK.finditer(text):
        name = "key" if "KEY" in match[1] else "authority" if blocks["certificate"] else "certificate"
        blocks[name] = match[0].strip() + "\n"
    head = text[: text.find("-----BEGIN")].splitlines()
    lines = dict(line.split(": ", 1) for line in head if ": " in line)
    try:
        return Identity(
            agent=lines["agent"],
            url=lines["url"],
            issued=int(lines["issued"]),
            expires=int(lines["expires"]),
            key=_whole(blocks["key"]),
            certificate=_whole(blocks["certificate"]),
            authority=_whole(blocks["authority"]),
        )
    except (KeyError, ValueError):
        raise NoIdentity(f"{path} is damaged. Enrol this machine again: haidang-agent enroll URL") from None


def _whole(block: str) -> str:
    if not block:
        raise ValueError
    return block
