"""``haidang-agent job NAME -- COMMAND…``: runs a command, and pings the agent when it starts and how it ends.

The command comes first: whatever is wrong with the agent, it runs, it gets the signals that this gets, its output goes
where it would have gone, and its exit code is this one's. What it said last is kept with the ping.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final, Protocol

from agent.config import Settings
from agent.jobs.delegate import DelegatedPings
from agent.jobs.delivery import (
    Denied,
    Opener,
    Undelivered,
    WaitingPing,
    openers_of,
    ping,
    send,
    send_stored_pings,
    store_ping,
)
from agent.jobs.stamp import stamp
from agent.jobs.state import FAIL, START, SUCCESS
from agent.jobs.store import MOST_BODY
from agent.jobs.tail import OutputTail
from inventory.base.clock import Clock, SystemClock
from inventory.base.owner import owner_of

PASSED_ON: Final = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT")
    if hasattr(signal, name)
)
BY_KERNEL: Final = 0x80  # si_code of a signal that the terminal sent: the command's group got it as well
AFTER_END: Final = 1.0  # seconds for output of what the command left running behind it
NOT_FOUND, NOT_RUN = 127, 126  # as shells say it


class PingDelivery(Protocol):
    """Delivers the pings of one run, in their order, beside the command; what cannot be delivered is left behind."""

    def deliver(self, waiting: WaitingPing) -> None:
        """In the background; after what was given before."""

    def finish(self) -> None:
        """Wait until all of them are delivered, or left behind."""


def ping_delivery(settings: Settings, warn: Callable[[str], None]) -> PingDelivery:
    """As this user; root's pings go by a process of the agent's user. To be called while there is one thread."""
    address = settings.pings.address(settings.pings.listen)
    try:
        agent = owner_of(settings.state_dir)
    except OSError as error:  # nothing is done in such a directory
        warn(f"{error.filename}: {error.strerror}")
        return PingSender(openers_of(*address, None), home_directories(), None, warn)
    openers = openers_of(*address, settings.ping_socket)
    if agent is not None:
        sender = PingSender(openers, settings.waiting_pings, settings.pings.waiting, warn)
        return DelegatedPings(agent, sender.deliver_now)
    return PingSender(openers, (*settings.waiting_pings, *home_directories()), settings.pings.waiting, warn)


class PingSender:
    """Delivers pings in threads of this process. ``waiting``: where they wait else; ``shared``: one of these that all
    users write to."""

    def __init__(
        self, openers: Sequence[Opener], waiting: Sequence[Path], shared: Path | None, warn: Callable[[str], None]
    ) -> None:
        self._openers = openers
        self._waiting = waiting
        self._shared = shared
        self._warn = warn
        self._before = False  # whether one was delivered before
        self._thread: threading.Thread | None = None

    def deliver(self, waiting: WaitingPing) -> None:
        """In the background; after what was given before."""
        before = self._thread
        self._thread = threading.Thread(target=self._deliver, args=(waiting, before), daemon=True)
        self._thread.start()

    def finish(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _deliver(self, waiting: WaitingPing, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        self.deliver_now(waiting)

    def deliver_now(self, waiting: WaitingPing) -> None:
        """The first one after what earlier runs left behind."""
        if not self._before:
            self._before = True
            send_stored_pings(self._waiting, self._openers)
        try:
            send(waiting, self._openers)
        except Denied as error:
            self._warn(f"the agent does not take the ping: {error}")
        except Undelivered as error:
            path = store_ping(waiting, self._waiting, shared=self._shared)
            where = f"it waits in {path}" if path is not None else "it is lost: no directory takes it"
            self._warn(f"the agent does not answer ({error}); {where}")


def run(
    job: str, command: Sequence[str], settings: Settings, *, keep_output: bool = True, clock: Clock | None = None
) -> int:
    """The command's exit code; 128 + its number when a signal ended it, as shells say it."""
    clock = clock or SystemClock()
    pinger = ping_delivery(settings, lambda message: print(f"haidang-agent job {job}: {message}", file=sys.stderr))
    _hold_signals()
    rid = str(uuid.uuid4())
    start = ping(job, START, stamp(clock), rid=rid)
    tail = OutputTail(MOST_BODY)
    # told once the command runs: there are no threads before, and it waits for nothing
    code = _run(command, tail if keep_output else None, lambda: pinger.deliver(start))
    action = FAIL if code else SUCCESS
    pinger.deliver(ping(job, action, stamp(clock), rid=rid, exit=code, body=tail.last()))
    pinger.finish()
    return code


def _run(command: Sequence[str], tail: OutputTail | None, started: Callable[[], None]) -> int:
    pipe = None if tail is None else subprocess.PIPE
    try:
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, preexec_fn=_release_signals)
    except OSError as error:
        message = f"{command[0]}: {error.strerror}"
        print(f"haidang-agent job: {message}", file=sys.stderr)
        if tail is not None:
            tail.add(message.encode())
        started()
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUN
    started()
    readers = [
        threading.Thread(target=_pass_on, args=(source, there, tail), daemon=True)
        for source, there in ((process.stdout, 1), (process.stderr, 2))
        if source is not None and tail is not None
    ]
    for reader in readers:
        reader.start()
    code = _wait(process)
    until = time.monotonic() + AFTER_END
    for reader in readers:
        reader.join(max(0.0, until - time.monotonic()))
    return 128 - code if code < 0 else code


def _pass_on(source: IO[bytes], there: int, tail: OutputTail) -> None:
    """From the command's output to ours. When nobody reads ours any more, the command is to feel it too."""
    descriptor = source.fileno()
    while data := os.read(descriptor, 65_536):
        tail.add(data)
        try:
            while data:
                data = data[os.write(there, data) :]
        except OSError:
            break
    with contextlib.suppress(OSError):
        source.close()


def _hold_signals() -> None:
    """From now on signals wait until they are asked for, in every thread: none may end this before the last ping."""
    if hasattr(signal, "pthread_sigmask"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # who started this may have had it ignored
        signal.pthread_sigmask(signal.SIG_BLOCK, (*PASSED_ON, signal.SIGCHLD))


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*PASSED_ON, signal.SIGCHLD))


def _wait(process: "subprocess.Popen[bytes]") -> int:
    """The return code; meanwhile every signal that comes here is passed on."""
    if not hasattr(signal, "sigwaitinfo"):
        return process.wait()
    while (code := process.poll()) is None:
        siginfo = signal.sigwaitinfo((*PASSED_ON, signal.SIGCHLD))
        if siginfo.si_signo != signal.SIGCHLD and siginfo.si_code != BY_KERNEL:
            process.send_signal(siginfo.si_signo)
    return code


def home_directories() -> tuple[Path, ...]:
    """Where pings wait when the agent's own directory is not for this user: the next run delivers them."""
    if base := os.environ.get("XDG_STATE_HOME", ""):
        return (Path(base) / "haidang" / "pings",)
    home = os.environ.get("HOME", "")
    return (Path(home) / ".local" / "state" / "haidang" / "pings",) if home else ()
