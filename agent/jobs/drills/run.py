"""Runs one restore drill (``haidang-agent drill NAME run``) in an empty directory, within its limits.

The command comes from the agent's own file. It runs in a session of its own with its limits set; whatever it starts
stays below this process and is killed with it, when it ends, oversteps, or this process is told to stop.
"""

import contextlib
import ctypes
import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

from agent.config import DrillSettings
from agent.jobs.drills.store import DrillResult, DrillStore
from agent.jobs.tail import OutputTail, drain
from agent.jobs.tree import measure_tree, space_used
from inventory.base import files
from inventory.base.clock import Clock
from inventory.base.types import duration_text
from inventory.protocol.reasons import sentence

LOOK_EVERY: Final = 0.2  # seconds between looks at what it takes; more when a look itself takes long
KEPT_OUTPUT: Final = 4_000  # bytes
NICE: Final = 10
SET_PDEATHSIG, SET_CHILD_SUBREAPER = 1, 36  # prctl(2)


class DrillNotStarted(Exception):
    """The drill could not even begin; the text says why."""


class DrillStopped(BaseException):
    """This process was told to stop."""


class LimitExceeded(Exception):
    """The drill took more than it may."""


def run(name: str, settings: DrillSettings, store: DrillStore, clock: Clock) -> DrillResult:
    """Runs the drill and records it. Raises CannotDrill, Stopped (nothing is recorded then), OSError."""
    place = files.make_directory(settings.scratch or store.directory / "scratch")
    with _exclusive(store.directory, name), _stoppable():
        _remove_leftovers(place, name)
        started = store.now()
        store.record_start(name, started)
        scratch = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=place))
        try:
            result = _Drill(name, settings, scratch, clock).run()
        except DrillStopped:
            store.record_abort(name)
            raise
        finally:
            _remove(scratch)
        result = msgspec.structs.replace(result, at=started)
        store.record_result(name, result)
        return result


class _Drill:
    """One run. ``restored`` is what it restores into, ``beside`` is for its temporary files."""

    def __init__(self, name: str, settings: DrillSettings, scratch: Path, clock: Clock) -> None:
        self.name = name
        self.settings = settings
        self.scratch = scratch
        self.restored = scratch / "restored"
        self.beside = scratch / "tmp"
        self.clock = clock
        self.begun = clock.boot_ms()
        self.tail = OutputTail(KEPT_OUTPUT)

    def run(self) -> DrillResult:
        self.restored.mkdir()
        self.beside.mkdir()
        _adopt_orphans()
        code, why = None, ""
        try:
            process = self._start()
        except OSError as error:
            return self._result(
                False,
                sentence("{command} cannot be run: {error}", command=self.settings.command[0], error=error.strerror),
                None,
            )
        assert process.stdout is not None
        reader = threading.Thread(target=drain, args=(process.stdout, self.tail), daemon=True)
        reader.start()
        try:
            code = self._watch(process)
        except LimitExceeded as error:
            why = str(error)
        finally:
            _kill_all()
            process.wait()
        reader.join()  # nobody is left to write
        process.stdout.close()
        if not why and code:
            why = (
                sentence("it ended with exit code {code}", code=code)
                if code > 0
                else sentence("it was ended by signal {code}", code=-code)
            )
        return self._conclude(why, code)

    def _start(self) -> "subprocess.Popen[bytes]":
        environment = {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": str(self.beside),
            "TMPDIR": str(self.beside),
            "HAIDANG_DRILL": self.name,
            "HAIDANG_RESTORE_TO": str(self.restored),
        }
        return subprocess.Popen(
            self.settings.command, cwd=self.restored, env=environment, start_new_session=True, close_fds=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=self._confine,
        )  # fmt: skip

    def _confine(self) -> None:
        """In the child, before the command."""
        _prctl(SET_PDEATHSIG, signal.SIGKILL)
        os.nice(NICE)
        cpu = max(1, self.settings.limits.cpu // 1000)
        for what, limit in ((resource.RLIMIT_CPU, cpu), (resource.RLIMIT_FSIZE, self.settings.limits.space)):
            hard = resource.getrlimit(what)[1]
            limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(what, (limit, hard if what == resource.RLIMIT_CPU else limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def _watch(self, process: "subprocess.Popen[bytes]") -> int:
        """The return code. Raises Overstep."""
        limits = self.settings.limits
        while True:
            before = time.monotonic()
            if self.clock.boot_ms() - self.begun >= limits.time:
                raise LimitExceeded(sentence("it did not end within {time:d}", time=duration_text(limits.time)))
            if cpu_used() * 1000 >= limits.cpu:
                raise LimitExceeded(sentence("it used more than {cpu:d} of CPU time", cpu=duration_text(limits.cpu)))
            if space_used(self.scratch, limits.space) > limits.space:
                raise LimitExceeded(sentence("it took more than {space} bytes of space", space=limits.space))
            took = time.monotonic() - before
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(max(LOOK_EVERY, 10 * took))

    def _conclude(self, why: str, code: int | None) -> DrillResult:
        left = self.settings.limits.time - (self.clock.boot_ms() - self.begun)
        until = time.monotonic() + max(left, 0) / 1000
        count, size, checksum = measure_tree(self.restored, until)
        if not why and count < self.settings.least_files:
            why = sentence(
                "it brought back {count} files, at least {least_files} are wanted",
                count=count,
                least_files=self.settings.least_files,
            )
        return self._result(not why, why, code, count, size, checksum)

    def _result(
        self, ok: bool, note: str, code: int | None, count: int | None = None, size: int | None = None, sum_: str = ""
    ) -> DrillResult:
        return DrillResult(
            at=DrillStore(self.scratch, self.clock).now(),
            ok=ok,
            note=note,
            seconds=(self.clock.boot_ms() - self.begun) / 1000,
            exit=code,
            files=count,
            bytes=size,
            checksum=sum_,
            output=self.tail.last().decode(errors="replace"),
        )


def cpu_used() -> float:
    """CPU seconds of everything below this process."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            cpu_times = process.cpu_times()
            total += cpu_times.user + cpu_times.system + cpu_times.children_user + cpu_times.children_system
    return total


def _kill_all() -> None:
    """Everything below this process, and what that starts meanwhile."""
    for _ in range(100):
        below = [child for child in psutil.Process().children(recursive=True) if _alive(child)]
        if not below:
            return
        for process in below:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.01)


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        _LIBC.prctl(option, value, 0, 0, 0)


_LIBC: Final[Any] = ctypes.CDLL(None) if sys.platform == "linux" else None


def _adopt_orphans() -> None:
    """What the command leaves behind becomes a child of this process, so that it can be found."""
    _prctl(SET_CHILD_SUBREAPER, 1)


@contextlib.contextmanager
def _exclusive(directory: Path, name: str) -> Iterator[None]:
    """One run of a drill at a time. Raises CannotDrill."""
    files.make_directory(directory)
    with os.fdopen(files.open_to_append(directory / f".{name}.running"), "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DrillNotStarted(sentence("the drill {name} runs already", name=name)) from None
        yield


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and SIGINT raise Stopped, once."""

    def stop(*_: object) -> None:
        for sign in before:
            signal.signal(sign, signal.SIG_IGN)
        raise DrillStopped

    before: dict[signal.Signals, Any] = {}
    for sign in (signal.SIGTERM, signal.SIGINT):
        before[sign] = signal.signal(sign, stop)
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)


def _remove_leftovers(place: Path, name: str) -> None:
    """What a run left behind that was killed."""
    for left in place.glob(f"{name}.*"):
        if left.is_dir() and not left.is_symlink():
            _remove(left)


def _remove(tree: Path) -> None:
    """A tree, even if what was restored may not be written to."""

    def open_up(_: Callable[..., Any], path: str, __: Any) -> None:
        with contextlib.suppress(OSError):
            Path(path).parent.chmod(0o700)
            if Path(path).is_dir() and not Path(path).is_symlink():
                Path(path).chmod(0o700)
                shutil.rmtree(path, ignore_errors=True)
            else:
                Path(path).unlink()

    shutil.rmtree(tree, onerror=open_up)
    shutil.rmtree(tree, ignore_errors=True)
