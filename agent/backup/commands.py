"""Run other programs on a backup: no shell, no terminal, bounded output, ended with all they started."""

import ctypes
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

MOST_OUTPUT: Final = 64 << 20  # bytes
MOST_WORDS: Final = 16_384  # bytes of what a program says of its trouble: the end counts
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandResult(msgspec.Struct, frozen=True):
    """How a program ended. ``code`` negative: by a signal."""

    code: int
    out: bytes
    words: str

    @property
    def last_error(self) -> str:
        """The last line it said of its trouble."""
        lines = [line.strip() for line in self.words.splitlines() if line.strip()]
        return lines[-1][:200] if lines else f"exit code {self.code}"


class CommandTimeout(Exception):
    """The program was ended at its time limit."""


class CommandOutputTooLarge(Exception):
    """The program said more than anybody can want."""


def find_program(*names: str) -> str | None:
    """The first of these programs that this machine has."""
    return next((path for name in names if (path := shutil.which(name, path=_PATH))), None)


def run(
    argv: Sequence[str],
    *,
    seconds: float,
    environment: Mapping[str, str] | None = None,
    descriptors: Sequence[int] = (),
    quiet: bool = False,
    tick: Callable[[], None] = lambda: None,
) -> CommandResult:
    """Run to the end, in a process group of its own. ``tick`` is called every second and may raise to end it.

    ``quiet``: what it prints is thrown away. Raises TookTooLong, TooMuch, OSError.
    """
    process = subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if quiet else subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": _PATH, "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", **(environment or {})},
        pass_fds=tuple(descriptors),
        cwd="/",
        process_group=0,
        preexec_fn=_die_with_parent,  # one thread only: nothing can be held by another at the fork
    )
    try:
        out, errors = _read_pipes(process, time.monotonic() + seconds, tick)
        return CommandResult(process.wait(timeout=5), out, errors.decode("utf-8", "replace"))
    except subprocess.TimeoutExpired:
        raise CommandTimeout from None
    finally:
        _kill_group(process)


_libc = ctypes.CDLL(None)


def _die_with_parent() -> None:
    """The program ends when the process that started it does (prctl's PR_SET_PDEATHSIG)."""
    _libc.prctl(1, signal.SIGKILL)


def _read_pipes(process: "subprocess.Popen[bytes]", until: float, tick: Callable[[], None]) -> tuple[bytes, bytes]:
    """What it prints and what it says of its trouble, until it closes both."""
    out, errors = bytearray(), bytearray()
    pipes = {
        pipe.fileno(): buffer for pipe, buffer in ((process.stdout, out), (process.stderr, errors)) if pipe is not None
    }
    ticked = time.monotonic()
    while pipes:
        ready, _, _ = select.select(list(pipes), [], [], 1.0)
        now = time.monotonic()
        if now >= until:
            raise CommandTimeout
        if now - ticked >= 1.0:
            ticked = now
            tick()
        for descriptor in ready:
            piece = os.read(descriptor, 65_536)
            pipes[descriptor].extend(piece)
            if not piece:
                del pipes[descriptor]
        del errors[:-MOST_WORDS]
        if len(out) > MOST_OUTPUT:
            raise CommandOutputTooLarge
    return bytes(out), bytes(errors)


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    """The program and whatever it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # all of them have ended
    try:
        process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        pass  # it hangs in the kernel; it dies when the kernel lets go
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
