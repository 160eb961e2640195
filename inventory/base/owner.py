"""Root's commands work as the owner of the directory that they work in.

A service's directory belongs to the service's user. Whatever lies there, that user may have laid; so who comes as root
goes on as that user before anything there is opened: led by a link he reaches no more than that user does, and what he
leaves behind is the service's own.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from inventory.base.files import is_root, open_directory

T = TypeVar("T")

CORE_FILTER: Final = Path("/proc/self/coredump_filter")
NET_RAW: Final = 13  # CAP_NET_RAW: what the agent's unit gives it
_SET_PDEATHSIG, _SET_KEEPCAPS, _CAP_AMBIENT, _AMBIENT_RAISE = 1, 8, 47, 2  # prctl(2)
_CAPABILITIES_3: Final = 0x20080522  # capset(2)


class Owner(msgspec.Struct, frozen=True):
    """A user whom root can become."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str  # "" when the system has no name for the number
    home: str


class AsOwnerFailed(Exception):
    """What was to be done as the owner was not done; the text says why."""


def owner_of(directory: Path) -> Owner | None:
    """The owner of a directory, or of what is above it as far as that is there. None: that is root himself, or this
    process is not root's and has no choice.

    Raises OSError, with ELOOP where a link of another user lies in the way.
    """
    if not is_root():
        return None
    place = directory
    while True:
        try:
            descriptor = open_directory(place)
            break
        except FileNotFoundError:
            place = place.parent
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return None if found.st_uid == 0 else _user(found.st_uid, found.st_gid)


def become(owner: Owner, capabilities: Collection[int] = ()) -> None:
    """From now on this process is that user's, for good; of root's rights it keeps ``capabilities``. Raises OSError."""
    if capabilities and sys.platform == "linux":
        _prctl(_SET_KEEPCAPS, 1)
    os.setgroups(owner.groups)
    os.setresgid(owner.gid, owner.gid, owner.gid)
    os.setresuid(owner.uid, owner.uid, owner.uid)
    if capabilities and sys.platform == "linux":
        _keep(capabilities)
    os.environ.update(HOME=owner.home, USER=owner.name or str(owner.uid), LOGNAME=owner.name or str(owner.uid))


def go_on_as_owner(directory: Path, capabilities: Collection[int] = ()) -> None:
    """If this is root and the directory another user's, this process is that user's from now on. Raises OSError."""
    if (owner := owner_of(directory)) is not None:
        become(owner, capabilities)


def work_as(owner: Owner | None, work: Callable[[], T], kind: type[T], errors: Collection[type[Exception]] = ()) -> T:
    """What ``work`` returns (of ``kind``, by way of JSON), done by a process of the owner's; None: by this one.

    An exception of ``errors`` comes through with its text. Raises AsOwnerFailed for others. The result comes from a
    process with less rights than this one, so it is decoded, not unpickled. To be called while there is one thread.
    """
    if owner is None:
        return work()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _work_and_exit(owner, work, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    by_name = {error.__name__: error for error in errors}
    try:
        name, text, result = msgspec.json.decode(answer, type=tuple[str, str, msgspec.Raw])
        if not name:
            return msgspec.json.decode(result, type=kind)
    except msgspec.DecodeError:
        raise AsOwnerFailed("the process that worked as the owner ended before it was done") from None
    if name in by_name:
        raise by_name[name](text)
    raise AsOwnerFailed(f"{name}: {text}")


def no_core_dumps() -> None:
    """Neither this process nor what it starts leaves its memory, with keys and passwords, on a disk when it crashes."""
    if sys.platform == "win32":
        return
    import resource

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # the limit does not hold where cores go to a program: then they are to be without any memory
    with contextlib.suppress(OSError):
        CORE_FILTER.write_text("0", "ascii")


def _work_and_exit(owner: Owner, work: Callable[[], Any], write: int) -> None:
    answer: tuple[str, str, Any]
    try:
        become(owner)
        if sys.platform == "linux":
            _prctl(_SET_PDEATHSIG, signal.SIGKILL)  # nobody waits for it any more
        answer = ("", "", work())
    except Exception as error:
        answer = (type(error).__name__, str(error), None)
    except BaseException as error:
        answer = (type(error).__name__, "", None)
    try:
        encoded = memoryview(msgspec.json.encode(answer))
        while encoded:
            encoded = encoded[os.write(write, encoded) :]
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(0)


def _user(uid: int, gid: int) -> Owner:
    if sys.platform == "win32":
        raise OSError("users have no numbers here")
    import pwd

    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Owner(uid, gid, (gid,), "", "/")
    return Owner(uid, entry.pw_gid, tuple(os.getgrouplist(entry.pw_name, entry.pw_gid)), entry.pw_name, entry.pw_dir)


def _keep(capabilities: Collection[int]) -> None:
    """Of what root could do, these alone, for this process and what it starts. capget(2), capset(2)."""
    from ctypes import byref, c_int, c_uint32

    header = (c_uint32 * 2)(_CAPABILITIES_3, c_int(0).value)
    sets = (c_uint32 * 6)()  # effective, permitted, inheritable: of numbers below 32, then of those from 32 on
    libc = _libc()
    libc.capget(byref(header), byref(sets))
    for word in (0, 1):
        kept = sum(1 << (number % 32) for number in capabilities if number // 32 == word) & sets[3 * word + 1]
        sets[3 * word : 3 * word + 3] = [kept] * 3
    libc.capset(byref(header), byref(sets))
    for number in capabilities:
        _prctl(_CAP_AMBIENT, _AMBIENT_RAISE, number)
    _prctl(_SET_KEEPCAPS, 0)


def _prctl(option: int, *values: int) -> None:
    from ctypes import c_ulong

    _libc().prctl(option, *(c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]))


def _libc() -> Any:
    import ctypes  # an agent that changes no user does without it, and without its memory

    return ctypes.CDLL(None)
