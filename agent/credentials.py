"""Credentials of the agent by name: communities, users, passwords. They never leave this machine.

A plan names a credential; the agent's own file says what it is (``credentials:`` in ``agent.yaml``)::

    credentials:
      core-switches: {community_file: /etc/haidang/secrets/core-switches}
      mail-robot: {user: robot, password_file: secrets/mail-robot}

A key ``x_file`` is the key ``x`` with what that file holds, less its last line break; a file that changes is read anew.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from agent.failure import ProbeFailed
from inventory.base.problems import Place, Problem
from inventory.base.types import Secret
from inventory.protocol.reasons import sentence
from inventory.protocol.states import UNKNOWN

ENDING: Final = "_file"
LARGEST: Final = 65_536  # bytes of a secret's file

NamedCredentials = Mapping[str, Mapping[str, Secret]]
_Stamp = tuple[int, int, int]


class Credentials:
    """The credentials of one agent by name. ``file``: where they are configured, to name it in reasons."""

    def __init__(self, named: NamedCredentials | None = None, file: str = sentence("the agent's file")) -> None:
        self._named = named or {}
        self._file = file
        self._read: dict[Path, tuple[_Stamp, Secret]] = {}

    def __call__(self, name: str) -> Mapping[str, Secret]:
        """One credential, files read. Raises Trouble (no evidence) when there is none, or a file gives nothing."""
        if name not in self._named:
            raise ProbeFailed(
                sentence("there is no credential {name} in {file} (credentials:)", name=repr(name), file=self._file),
                UNKNOWN,
            )
        credential = {}
        for key, value in self._named[name].items():
            if key.endswith(ENDING):
                credential[key.removesuffix(ENDING)] = self._secret_in(Path(value), name)
            else:
                credential[key] = value
        return credential

    def _secret_in(self, file: Path, name: str) -> Secret:
        try:
            file_stat = file.stat()
            stamp = (file_stat.st_mtime_ns, file_stat.st_size, file_stat.st_ino)
            if file not in self._read or self._read[file][0] != stamp:
                if not stat.S_ISREG(file_stat.st_mode) or file_stat.st_size > LARGEST:
                    raise ProbeFailed(
                        sentence("the credential {name}: {file} is not a small file", name=repr(name), file=file),
                        UNKNOWN,
                    )
                self._read[file] = stamp, Secret(file.read_text("utf-8").rstrip("\r\n"))
        except OSError as error:
            raise ProbeFailed(
                sentence(
                    "the credential {name}: cannot read {file}: {error}",
                    name=repr(name),
                    file=file,
                    error=error.strerror,
                ),
                UNKNOWN,
            ) from None
        except UnicodeDecodeError:
            raise ProbeFailed(
                sentence("the credential {name}: {file} is not UTF-8 text", name=repr(name), file=file), UNKNOWN
            ) from None
        secret = self._read[file][1]
        if not secret:
            raise ProbeFailed(sentence("the credential {name}: {file} is empty", name=repr(name), file=file), UNKNOWN)
        return secret


def resolve(named: NamedCredentials, place: Place) -> tuple[dict[str, dict[str, Secret]], list[Problem]]:
    """As written in the file at ``place``, with paths relative to it made whole; and what is wrong."""
    problems, directory = [], Path(place.file).parent
    whole: dict[str, dict[str, Secret]] = {}
    for name, keys in named.items():
        whole[name] = dict(keys)
        for key, value in keys.items():
            if not key.endswith(ENDING):
                continue
            whole[name][key] = Secret(directory / Path(value).expanduser())
            if (plain := key.removesuffix(ENDING)) in keys:
                problems.append(place.problem(f"credentials.{name}.{key}", f"give {plain} or {key}, not both"))
    return whole, problems


def exposed_files(named: NamedCredentials, file: str) -> Iterator[tuple[Path, str]]:
    """(file, what is wrong) for each file that others may read, or that this user cannot."""
    secrets = [Path(value) for keys in named.values() for key, value in keys.items() if key.endswith(ENDING)]
    written_out = any(not key.endswith(ENDING) and key != "user" for keys in named.values() for key in keys)
    for path in dict.fromkeys([*secrets, *([Path(file)] if written_out and file else [])]):
        try:
            mode = path.stat().st_mode
        except OSError as error:
            yield path, f"cannot be read: {error.strerror}"
            continue
        if not os.access(path, os.R_OK):
            yield path, "cannot be read by this user"
        elif os.name == "posix" and mode & stat.S_IROTH:
            yield path, "can be read by everybody on this machine"
