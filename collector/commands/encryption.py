"""Backups that only their recipients can read, in age's format: ``age -d`` reads them, and they read what age wrote."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyrage

from collector.config import CommandFailed
from inventory.base import files

MAGIC: Final = b"age-encryption.org/v1"
MOST_KEYS: Final = 65_536  # bytes of a file of keys

Recipients = list[Any]  # of pyrage, which names no common type


def parse_recipients(texts: Sequence[str]) -> Recipients:
    """Public keys, or files with one on a line (# begins a comment). Raises CommandFailed."""
    found: Recipients = []
    for text in texts:
        lines = [text] if text.startswith(("age1", "ssh-")) else _lines(Path(text))
        if not lines:
            raise CommandFailed(f"{text} holds no public key")
        found += [_recipient(line) for line in lines]
    return found


def encrypt(source: BinaryIO, target: BinaryIO, recipients: Recipients) -> None:
    """Raises OSError."""
    pyrage.encrypt_io(source, target, recipients)


def reader(source: BinaryIO, file: Path, identity: Path | None) -> Callable[[BinaryIO], None]:
    """What copies a backup, decrypted if it is encrypted, to a file. The identity is read at once.

    Raises CommandFailed: it is encrypted and no identity was given, or one was and it is not. What it gives raises
    CommandFailed for the wrong identity and for what is damaged.
    """
    encrypted = source.read(len(MAGIC)) == MAGIC
    source.seek(0)
    if not encrypted:
        if identity is not None:
            raise CommandFailed(f"{file} is not encrypted: restore it without --identity, if it is what you mean")
        return lambda target: shutil.copyfileobj(source, target, 1 << 20)
    if identity is None:
        raise CommandFailed(f"{file} is encrypted: give the key that it is for, --identity FILE")
    identities = [_identity(line, identity) for line in _identity_texts(identity)]

    def decrypt(target: BinaryIO) -> None:
        try:
            pyrage.decrypt_io(source, target, identities)
        except (pyrage.DecryptError, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # a disk that is full; what age finds wrong with its input has no number
            raise CommandFailed(
                f"{file} cannot be decrypted: it is for another key than {identity}, or damaged ({error})"
            ) from None

    return decrypt


def _lines(path: Path) -> list[str]:
    try:
        with open(files.open_to_read(path), encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # a descriptor
            text = file.read(MOST_KEYS)
    except OSError as error:
        raise CommandFailed(
            f"{path} is no public key, and cannot be read as a file of some: {error.strerror}"
        ) from None
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _recipient(text: str) -> Any:
    make = pyrage.ssh.Recipient.from_str if text.startswith("ssh-") else pyrage.x25519.Recipient.from_str
    try:
        return make(text)
    except pyrage.RecipientError as error:
        raise CommandFailed(f"{text!r} is not a public key of age or ssh: {error}") from None


def _identity_texts(path: Path) -> list[str]:
    """age's own keys stand on a line each, an ssh key is the whole file."""
    lines = _lines(path)
    return ["\n".join([*lines, ""])] if lines and lines[0].startswith("-----BEGIN") else lines


def _identity(text: str, path: Path) -> Any:
    try:
        if text.startswith("-----BEGIN"):
            return pyrage.ssh.Identity.from_buffer(text.encode())
        return pyrage.x25519.Identity.from_str(text)
    except pyrage.IdentityError:
        raise CommandFailed(f"{path} is not a private key of age or ssh") from None
