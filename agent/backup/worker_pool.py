"""The agent's pool of backup worker processes: started, followed, and killed when they hang.

A process a look: a mount that hangs takes one process with it, no thread and no slot of anybody else. One that even
a kill does not end (the kernel waits for the mount) is left; its check is not looked at again while it is there.
Background reads take turns, two at once, and pause between grants.
"""

import asyncio
import os
import signal
import sys
import time
from typing import Final

import msgspec

from agent.backup.facts import BackupFacts, BackupQuery, BackupRefused, ReadGrant, ReadJob, ReadProgress
from inventory.protocol.reasons import packed, sentence

SCANS_AT_ONCE: Final = 8  # looks
READS_AT_ONCE: Final = 2
MOST_READERS: Final = 6  # alive, paused ones too
SILENCE: Final = 900.0  # seconds without a word after which a background read is ended
KILL_WAIT: Final = 1.0  # seconds that a killed process may take
MOST_ANSWER: Final = 4 << 20  # bytes of a line
PATIENCE: Final = 6 * 3600.0  # seconds without a grant after which a paused read is ended: its check has gone
ANSWER_MARGIN: Final = 0.2  # seconds before the look's end, so that the plain reason comes first


class BackupWorkerPool:
    """Shared by all checks of backups."""

    def __init__(self) -> None:
        self._scan_slots = asyncio.Semaphore(SCANS_AT_ONCE)
        self._read_slots = asyncio.Semaphore(READS_AT_ONCE)
        self._stuck: dict[str, asyncio.subprocess.Process] = {}
        self._reads: dict[str, BackgroundRead] = {}

    async def scan(self, query: BackupQuery) -> BackupFacts:
        """What there is. Raises Refused when that cannot be said in time."""
        self._drop_idle_reads()
        stuck = self._stuck.get(query.key)
        if stuck is not None and stuck.returncode is None:
            raise BackupRefused(
                sentence("{path} does not answer: the look before this one still hangs there", path=query.path)
            )
        until = time.monotonic() + query.timeout - ANSWER_MARGIN
        try:
            async with asyncio.timeout(query.timeout - ANSWER_MARGIN):
                await self._scan_slots.acquire()
        except TimeoutError:
            raise BackupRefused(sentence("too many other looks at backups were under way")) from None
        try:
            process = await _start("look")
            try:
                async with asyncio.timeout(max(until - time.monotonic(), 0.0)):
                    out, _ = await process.communicate(msgspec.json.encode(query, enc_hook=packed) + b"\n")
            except TimeoutError:
                raise BackupRefused(
                    sentence(
                        "{path} was not looked through within {timeout:n} s", path=query.path, timeout=query.timeout
                    )
                ) from None
            finally:
                if not await _end(process):
                    self._stuck[query.key] = process
        finally:
            self._scan_slots.release()
        try:
            return msgspec.json.decode(out, type=BackupFacts)
        except msgspec.DecodeError:
            raise BackupRefused(
                sentence(
                    "the process that looks ended by itself (exit code {returncode})", returncode=process.returncode
                )
            ) from None

    async def read(self, job: ReadJob, grant: ReadGrant, seconds: float) -> ReadProgress | None:
        """Begin a real read, or let it go on; how it stands after at most ``seconds``. None: others are at it.

        A read of this key that is under way is finished first, whatever copy it is of.
        """
        background_read = self._reads.get(job.question.key)
        if background_read is None:
            if len(self._reads) >= MOST_READERS and not self._evict_idle_read():
                return None
            background_read = self._reads[job.question.key] = BackgroundRead(job, self._read_slots)
        progress = await background_read.resume(grant, seconds)
        if background_read.finished:
            self._reads.pop(job.question.key, None)
        return progress

    def _drop_idle_reads(self) -> None:
        """End the reads that nobody asks for any more. Their marks stay."""
        long_ago = time.monotonic() - PATIENCE
        for key, background_read in tuple(self._reads.items()):
            if background_read.finished or (
                background_read.paused_at is not None and background_read.paused_at < long_ago
            ):
                self._reads.pop(key).stop()

    def _evict_idle_read(self) -> bool:
        """End the read that has been paused for longest: its check may have gone. Its mark stays."""
        paused = [
            (background_read.paused_at, key)
            for key, background_read in self._reads.items()
            if background_read.paused_at is not None
        ]
        finished = [key for key, background_read in self._reads.items() if background_read.finished]
        key = finished[0] if finished else min(paused)[1] if paused else None
        if key is None:
            return False
        self._reads.pop(key).stop()
        return True

    async def close(self) -> None:
        for background_read in self._reads.values():
            background_read.stop()
        ending = [background_read.task for background_read in self._reads.values()]
        self._reads.clear()
        if ending:
            await asyncio.wait(ending, timeout=KILL_WAIT + 1)


class BackgroundRead:
    """One background read. ``paused_at``: since when it waits for a grant (monotonic seconds)."""

    def __init__(self, job: ReadJob, read_slots: asyncio.Semaphore) -> None:
        self._job = job
        self._read_slots = read_slots
        self._grant: ReadGrant | None = None
        self._granted = asyncio.Event()
        self._idle = asyncio.Event()
        self._progress = ReadProgress()
        self.paused_at: float | None = None
        self.task = asyncio.create_task(self._run(), name="backup read")

    @property
    def finished(self) -> bool:
        return self.task.done()

    def stop(self) -> None:
        self.task.cancel()

    async def resume(self, grant: ReadGrant, seconds: float) -> ReadProgress:
        if not self._granted.is_set() and not self.finished:
            self._grant = grant
            self._idle.clear()
            self._granted.set()
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            pass  # it goes on by itself
        if self._progress.verdict is not None or self._progress.failed:
            await asyncio.wait((self.task,), timeout=KILL_WAIT + 1)
        return self._progress

    async def _run(self) -> None:
        await self._granted.wait()
        try:
            process = await _start("read")
        except BackupRefused as refusal:
            self._progress = ReadProgress(failed=refusal.reason)
            self._idle.set()
            return
        try:
            await self._follow(process)
        except TimeoutError:
            self._progress = ReadProgress(
                failed=sentence("the read said nothing for {silence:n} s and was ended", silence=SILENCE)
            )
        except (ConnectionError, msgspec.DecodeError, ValueError):
            self._progress = ReadProgress(failed=sentence("the process that reads ended by itself"))
        finally:
            self._idle.set()
            await _end(process)

    async def _follow(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(msgspec.json.encode(self._job, enc_hook=packed) + b"\n")
        while True:
            await self._granted.wait()
            self.paused_at = None
            async with self._read_slots:
                process.stdin.write(msgspec.json.encode(self._grant) + b"\n")
                await process.stdin.drain()
                while not self._progress.paused or self._granted.is_set():
                    async with asyncio.timeout(SILENCE):
                        line = await process.stdout.readline()
                    self._progress = msgspec.json.decode(line, type=ReadProgress)
                    if self._progress.verdict is not None or self._progress.failed:
                        return
                    if self._progress.paused:
                        self._granted.clear()
            self.paused_at = time.monotonic()
            self._idle.set()


async def _start(mode: str) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent.backup.worker", mode,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True, limit=MOST_ANSWER,
        )  # fmt: skip
    except OSError as error:
        raise BackupRefused(
            sentence("this machine does not start the process that looks: {error}", error=error.strerror)
        ) from None


async def _end(process: asyncio.subprocess.Process) -> bool:
    """End a process with all it started; False when even that does not help."""
    if process.returncode is not None:
        return True
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # gone
    try:
        async with asyncio.timeout(KILL_WAIT):
            await process.wait()
    except TimeoutError:
        return False
    return True
