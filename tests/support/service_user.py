"""A service with a user of its own, as deploy/systemd has it, for tests that command it as root.

The user is a number that the system has no name for: nothing is made, nothing is left behind.
"""

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

USER = 61_234


class RootsOwn:
    """Files of root's that nobody else may touch, and what they were."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "secret"
        self.folder = directory / "cron.d"
        directory.mkdir(mode=0o700)
        self.folder.mkdir()
        self.file.write_text("of root alone")
        self.file.chmod(0o600)
        self._before = self._look()

    def _look(self) -> list[tuple[str, int, int, int, bytes]]:
        found = []
        for path in sorted((self.directory, *self.directory.rglob("*"))):
            status = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            found.append((str(path), status.st_uid, status.st_gid, status.st_mode, content))
        return found

    def assert_untouched(self, when: object = "") -> None:
        assert self._look() == self._before, when


@contextlib.contextmanager
def outside() -> Iterator[Path]:
    """A directory that every user can walk through, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="haidang-test-", dir="/tmp"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def own(path: Path, user: int = USER) -> Path:
    """Make a directory of the service's."""
    path.mkdir(mode=0o700)
    os.chown(path, user, user)
    return path


def as_service(*argv: str, log: Path, **environment: str) -> "subprocess.Popen[bytes]":
    """Start one of our modules as the service's user."""
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", *argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **environment},
            user=USER,
            group=USER,
            extra_groups=[],
            umask=0o077,
        )


def run(main: Callable[[list[str]], int], *arguments: str, seconds: int = 30) -> tuple[int, str]:
    """A command's ``main`` in a process of its own, as root: its exit code, and what it said. A killed one is -14."""
    import signal

    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            code = 99
            try:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(seconds)
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                sys.stdin, sys.stdout, sys.stderr = (
                    os.fdopen(number, mode, closefd=False) for number, mode in ((0, "r"), (1, "w"), (2, "w"))
                )
                code = main(list(arguments))
            except SystemExit as exited:
                code = int(exited.code or 0)
            except BaseException as error:
                print(f"Traceback: {error!r}", file=sys.stderr)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        return os.waitstatus_to_exitcode(status), said.read().decode("utf-8", "replace")


def foreign(directory: Path) -> list[tuple[str, int]]:
    """What is not the service's below its directory, where it ought to be all."""
    return [
        (str(path.relative_to(directory)), path.lstat().st_uid)
        for path in (directory, *directory.rglob("*"))
        if path.lstat().st_uid != USER
    ]


LAID: dict[str, Callable[[Path, RootsOwn], Any]] = {
    "link to a file": lambda path, root: path.symlink_to(root.file),
    "link to a directory": lambda path, root: path.symlink_to(root.folder),
    "link to nothing there yet": lambda path, root: path.symlink_to(root.folder / "fresh"),
    "second name of a file": lambda path, root: path.hardlink_to(root.file),
    "pipe": lambda path, _: (os.mkfifo(path), os.chown(path, USER, USER)),
}
