"""The people who may come in: those of the users' file, read anew when it changes, and those of the configuration."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import yaml

from collector.config import OperatorUser, Role
from inventory.base.files import is_root, replace
from inventory.base.problems import Invalid
from inventory.base.types import Secret
from inventory.yaml import settings

log = logging.getLogger("collector.access")

MODE: Final = 0o640
_HEAD: Final = "# Users of the operators' pages: see haidang-collector user --help\n"

_UNREACHABLE: Final = (-1, -1, -1, 0)
_Signature = tuple[int, int, int, int] | None


class KnownUser(msgspec.Struct, frozen=True, kw_only=True):
    """A person as the users' file has them. ``password``: a hash, "" for whom only a proxy can vouch."""

    role: Role = "viewer"
    password: Secret = Secret()


class UsersFile(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    users: dict[Annotated[str, msgspec.Meta(min_length=1)], KnownUser] = {}


class UserDirectory:
    """All users by name. What is broken keeps what was read last; a file that vanished means that nobody is left."""

    def __init__(self, path: Path, configured: Sequence[OperatorUser] = ()) -> None:
        self._path = path
        self._configured = {one.name: KnownUser(role=one.role, password=one.password) for one in configured}
        self._of_file: Mapping[str, KnownUser] = {}
        self._signature: _Signature = None
        self.seen = False  # whether there ever was a file
        self._refresh()

    @property
    def of_file(self) -> Mapping[str, KnownUser]:
        """Those of the file alone."""
        self._refresh()
        return self._of_file

    @property
    def digest(self) -> str:
        """Of the file's users, roles and salted hashes: SHA-256 in hex, which gives nothing away."""
        said = [[name, one.role, str(one.password)] for name, one in sorted(self.of_file.items())]
        return hashlib.sha256(msgspec.json.encode(said)).hexdigest()

    @property
    def guarded(self) -> bool:
        """Whether people have to say who they are: once there was a file, for as long as this process lives."""
        self._refresh()
        return self.seen or bool(self._configured)

    def find(self, name: str) -> KnownUser | None:
        """One of that name; the configuration's before the file's."""
        self._refresh()
        return self._configured.get(name) or self._of_file.get(name)

    def _refresh(self) -> None:
        """Costs a microsecond while nothing has changed, so that a change counts with the next request."""
        signature = _signature(self._path)
        if signature == self._signature:
            return
        self._signature = signature
        self.seen = self.seen or signature is not None
        if signature == _UNREACHABLE:
            log.error("%s cannot be looked at by this user: the users are as they were read last", self._path)
            return
        if signature is None:
            self._of_file = {}
            log.warning("%s is gone: nobody of it can log in", self._path)
            return
        try:
            self._of_file = read_users(self._path)
        except Invalid as invalid:
            log.error("the users are as they were read last: %s", invalid)
        if signature[3] & 0o007:
            log.warning("%s can be read by everybody on this machine: chmod o= it", self._path)


def read_users(path: Path) -> dict[str, KnownUser]:
    """Those of the file, none where there is no file. Raises inventory.base.problems.Invalid."""
    return dict(settings.read_settings(path, UsersFile).users) if path.exists() else {}


def write_users(path: Path, users: Mapping[str, KnownUser], state_dir: Path) -> None:
    """Replace the file in one step, readable for the service whose ``state_dir`` it is. Raises OSError."""
    content = {"users": {name: {"role": one.role, "password": str(one.password)} for name, one in users.items()}}
    text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=1000)
    elsewhere = is_root() and path.parent != state_dir and state_dir.exists()
    # in root's own directory the file is root's, and the service's group reads it
    replace(path, (_HEAD + text).encode(), mode=MODE, group=state_dir.stat().st_gid if elsewhere else None)


def _signature(path: Path) -> _Signature:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return _UNREACHABLE
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode
