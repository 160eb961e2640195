"""Pings of a job that root runs: told by a process of the agent's user, for what lies in that user's directory is his.

A job's command runs as who started it. The way to the agent (its socket) and the pings that wait for it (files) are in
the agent's own directory, where root does nothing as root. The process is made before anything else happens here, gets
each ping through a pipe, and delivers them in their order.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Final, NoReturn

import msgspec

from agent.jobs.delivery import WaitingPing
from inventory.base.owner import Owner, become

PASSED_BY: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")  # meant for the job; this ends when the pipe does


class DelegatedPings:
    """``deliver`` works as the owner and returns when the ping is delivered, or left behind."""

    def __init__(self, owner: Owner, deliver: Callable[[WaitingPing], None]) -> None:
        """Raises OSError when there can be no such process. To be called while there is one thread."""
        read, self._write = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._write)
            _deliver_all(owner, read, deliver)
        os.close(read)

    def deliver(self, waiting: WaitingPing) -> None:
        """In the background; after what was given before."""
        line = memoryview(msgspec.json.encode(waiting) + b"\n")
        try:
            while line:
                line = line[os.write(self._write, line) :]
        except BrokenPipeError:
            pass  # it has said why

    def finish(self) -> None:
        """Wait until all of them are delivered, or left behind."""
        os.close(self._write)
        os.waitpid(self._child, 0)


def _deliver_all(owner: Owner, read: int, deliver: Callable[[WaitingPing], None]) -> NoReturn:
    try:
        for name in PASSED_BY:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        become(owner)
        with os.fdopen(read, "rb") as pipe:
            for line in pipe:
                deliver(msgspec.json.decode(line, type=WaitingPing))
        sys.stderr.flush()
    except OSError as error:
        print(f"haidang-agent job: the agent is not told: {error.strerror}", file=sys.stderr, flush=True)
    finally:
        os._exit(0)
