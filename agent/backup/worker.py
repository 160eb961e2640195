"""``python -m agent.backup.worker look|read``: one scan, or one background read, in a process that can be killed.

A question comes as one line of JSON on standard input, the answer goes out as one (``scan``) or several (``read``)
lines. ``read`` goes on hearing grants on standard input, and ends when that is closed: the agent is gone.
"""

import ctypes
import io
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from agent.backup.facts import BackupFacts, BackupQuery, BackupRefused, ReadGrant, ReadJob, ReadProgress, ReadVerdict
from agent.backup.memory import REPOSITORY, BackupMemory, ReadMark, apply_history
from inventory.base.owner import no_core_dumps
from inventory.protocol.reasons import packed, sentence

if TYPE_CHECKING:
    from agent.backup.integrity.meter import Meter, State

MEMORY_LIMIT: Final = 1 << 30  # bytes of address space beyond what is there at the start
_DEATH_SIGNAL: Final = 1  # PR_SET_PDEATHSIG


def scan(query: BackupQuery, now: float) -> BackupFacts:
    """What there is. A look that cannot be made says so in the facts."""
    facts = BackupFacts(now=now)
    try:
        facts = _scan_evidence(query, now)
    except BackupRefused as refusal:
        if refusal.gone:
            facts.gone = refusal.reason
        else:
            facts.failed = refusal.reason
        return facts
    except OSError as error:
        from agent.backup.place import error_text

        facts.failed = sentence("{path} cannot be looked at: {error}", path=query.path, error=error_text(error))
        return facts
    apply_history(facts, BackupMemory(query.store, query.key), query.settle)
    return facts


def _scan_evidence(query: BackupQuery, now: float) -> BackupFacts:
    if query.evidence == "files":
        from agent.backup.newest import scan
        from inventory.grammars.file_patterns import FilePattern

        return scan(query.path, FilePattern(query.files, query.zone), query.allowed, now)
    from agent.backup import repository

    return repository.scan(query, now)


class BackgroundReader:
    """One background read, and its talk with the agent."""

    def __init__(self, job: ReadJob, grants: io.BufferedReader) -> None:
        self._input = grants
        self._job = job
        self._stamp = job.copy.stamp if job.copy is not None else REPOSITORY
        self._memory = BackupMemory(job.question.store, job.question.key)
        self._saved_mark = self._memory.mark(self._stamp)
        self._before = self._saved_mark.read if self._saved_mark is not None else 0
        self._stage = [""]
        self._total = (job.copy.size or 0) if job.copy is not None else 0

    def run(self, grant: ReadGrant) -> None:
        from agent.backup.integrity.meter import Meter, ReadStopped

        query = self._job.question
        meter = Meter(
            rate=query.rate,
            most_unpacked=query.most_unpacked,
            grant=(grant.bytes, grant.seconds),
            next_grant=self._next_grant,
            report=self._report_progress,
            save=lambda state: self._marks.save(self._stage[0], state),
        )
        try:
            verdict = self._verify(meter)
        except ReadStopped:
            return
        except BackupRefused as refusal:
            _write_line(ReadProgress(failed=refusal.reason, passing=refusal.gone, stamp=self._stamp))
            return
        self._memory.forget_mark()
        self._memory.add_verdict(self._stamp, verdict)
        _write_line(ReadProgress(done=self._before + meter.done, of=self._total, verdict=verdict, stamp=self._stamp))

    def _verify(self, meter: "Meter") -> ReadVerdict:
        from agent.backup.integrity.read import ReadMarks, verify_copy

        self._meter = meter
        self._marks = ReadMarks(self._save_mark, self._saved_mark.state if self._saved_mark is not None else None)
        if self._job.copy is not None:
            return verify_copy(self._job.question, self._job.copy, meter, self._marks, self._stage)
        from agent.backup import repository

        return repository.verify(self._job.question, meter, self._marks, self._stage)

    def _save_mark(self, state: "State") -> None:
        self._memory.save_mark(ReadMark(self._stamp, dict(state), self._before + self._meter.done))

    def _report_progress(self, done: int) -> None:
        if select.select([self._input], [], [], 0)[0] and not self._input.peek(1):
            from agent.backup.integrity.meter import ReadStopped

            raise ReadStopped
        _write_line(ReadProgress(done=self._before + done, of=self._total, stamp=self._stamp))

    def _next_grant(self, done: int) -> tuple[int, float]:
        """Wait for the next grant."""
        from agent.backup.integrity.meter import ReadStopped

        _write_line(ReadProgress(done=self._before + done, of=self._total, paused=True, stamp=self._stamp))
        line = self._input.readline()
        if not line:
            raise ReadStopped
        grant = msgspec.json.decode(line, type=ReadGrant)
        return grant.bytes, grant.seconds


def _write_line(message: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message, enc_hook=packed) + b"\n")
    sys.stdout.buffer.flush()


def _lower_priority(idle: bool) -> None:
    """Behind everybody else, and never alone: it ends with the agent."""
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    try:
        os.nice(19 if idle else 5)
        import psutil

        psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE if idle else psutil.IOPRIO_CLASS_BE, 0 if idle else 7)
    except (OSError, ImportError):
        pass  # some systems do not let one be humble


def _limit_memory() -> None:
    """What a hostile archive makes a library ask for is not given."""
    import resource
    from pathlib import Path

    now = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_LIMIT, now + MEMORY_LIMIT))


def main(argv: Sequence[str]) -> int:
    no_core_dumps()
    background = list(argv) == ["read"]
    _lower_priority(background)
    requests = open(0, "rb", closefd=False)  # noqa: SIM115
    line = requests.readline()
    if not background:
        try:
            _write_line(scan(msgspec.json.decode(line, type=BackupQuery), time.time()))
        except Exception as error:  # a bug is to reach the agent's log, in words
            _write_line(
                BackupFacts(
                    failed=sentence(
                        "the look failed, a fault in it: {name}: {error}", name=type(error).__name__, error=error
                    )
                )
            )
        return 0
    job = msgspec.json.decode(line, type=ReadJob)
    grant = msgspec.json.decode(requests.readline(), type=ReadGrant)
    try:
        if job.copy is not None:
            _limit_memory()
        BackgroundReader(job, requests).run(grant)
    except MemoryError:
        _write_line(ReadProgress(failed=sentence("reading it takes more memory than it may")))
    except Exception as error:
        _write_line(
            ReadProgress(
                failed=sentence(
                    "the read failed, a fault in it: {name}: {error}", name=type(error).__name__, error=error
                )
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
