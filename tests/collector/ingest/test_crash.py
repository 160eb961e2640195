"""A real ingest process on a real file: killed at every commit boundary, and on a disk that fills up.

The child reads a push a line (agent and body in hex) and answers with the ack in hex. It can be told to end itself
with SIGKILL in its n-th commit, before or after the commit itself.
"""

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from collector.ingest.steps.place import REFUSED_PLACING
from inventory.protocol.wire import Ack, Echo, Position, decode_ack, decode_push, encode_push
from tests.support.push_source import CHECKS, PushSource

CHILD = """
import asyncio, os, resource, signal, sys
from pathlib import Path
from collector.ingest.limits import PushError
from collector.ingest.ingest import Ingest
from collector.store.sqlite.database import Database
from collector.store.sqlite.store import SqliteStore
from inventory.protocol.wire import encode_ack
from tests.support.push_source import PushSource

path, where, when = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

class Mortal(Database):
    commits = -1000
    def _finish(self, work):
        self.commits += 1
        fatal = self.commits == when
        if fatal and where == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = super()._finish(work)
        if fatal and where == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

async def main():
    database = Mortal.open(path)
    ingest = Ingest(SqliteStore(database))
    await ingest.start()
    source = PushSource(0)
    await ingest.serve_plan(source.agent, source.plan.encode())
    database.commits = 0
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        word, _, rest = line.strip().partition(" ")
        if word == "save":
            await ingest.committer.save_all()
            print("saved", flush=True)
        elif word == "limit":
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(rest) if rest else hard, hard))
            print("limited", flush=True)
        else:
            try:
                print(encode_ack(await ingest.push(word, bytes.fromhex(rest))).hex(), flush=True)
            except PushError as error:
                print("refused", error.status, error.message, flush=True)
    await ingest.stop()
    await database.close()

asyncio.run(main())
"""


class Child:
    def __init__(self, children: "list[Child]", path: Path, where: str = "never", when: int = 0) -> None:
        command = [sys.executable, "-c", CHILD, str(path), where, str(when)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        children.append(self)
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, line: str) -> str:
        """Its answer; "" when it died of it."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return ""
        return self._line()

    def push(self, agent: str, body: bytes) -> Ack | None:
        answer = self.say(f"{agent} {body.hex()}")
        return decode_ack(bytes.fromhex(answer)) if answer else None

    def end(self) -> int:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        code = self.process.wait(20)
        self.process.stdout.close()
        return code


@pytest.fixture
def children() -> Iterator[list[Child]]:
    started: list[Child] = []
    yield started
    for child in started:
        if child.process.poll() is None:
            child.process.kill()
            child.end()


class Story:
    """An agent with ``pushes`` to tell; it goes by the acks, as an agent does."""

    def __init__(self, pushes: int) -> None:
        self.source = PushSource(0)
        self.source.begin(pushes)
        self.bodies: list[bytes] = []
        self.ends: list[int] = []
        self.pushes = pushes
        self.acknowledged = 0
        self.verdicts: list[str] = []

    def hello(self, child: Child) -> int | None:
        """Learn the watermark: the number of pushes that it covers; None: the child died of it."""
        ack = child.push(self.source.agent, self.source.hello())
        if ack is None:
            return None
        if not self.bodies:
            echo = Echo(ack.sent_ms, self.source.now())
            for _ in range(self.pushes):
                push = self.source.push(1, echo, list(self.source.results(1)))
                self.bodies.append(encode_push(push))
                self.ends.append(self.source.seq)
        return self.told(ack.watermark)

    def told(self, watermark: Position | None) -> int:
        return 0 if watermark is None else self.ends.index(watermark.seq) + 1

    def tell(self, child: Child) -> bool:
        """Push until all is told; False when the child died on the way."""
        at = self.hello(child)
        if at is None:
            return False
        assert at >= self.acknowledged, "what was acknowledged is gone"
        while at < self.pushes:
            ack = child.push(self.source.agent, self.bodies[at])
            if ack is None:
                return False
            self.verdicts.append(ack.verdict)
            self.acknowledged = max(self.acknowledged, self.told(ack.watermark))
            at = self.told(ack.watermark)
            if at == self.pushes // 2:
                child.say("save")
        return True


def ledger_of(path: Path) -> tuple[list[tuple[int, int, int]], dict[int, list[tuple[int, int]]], int]:
    """(ranges stored, looks by check as (state, looks) in order, results counted), read with nothing of ingest."""
    from collector.ingest.states import state as states

    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    ranges = db.execute("SELECT epoch, first, last FROM batches ORDER BY id").fetchall()
    looks: dict[int, list[tuple[int, int]]] = {}
    for check, state, count in db.execute("SELECT check_id, state, looks FROM spans ORDER BY id"):
        looks.setdefault(check, []).append((state, count))
    (row,) = db.execute("SELECT agent, id, batch, body FROM streams").fetchall()
    kept = states.decode_state(*row)
    for check, tail in kept.tails.items():
        looks.setdefault(check, []).append((tail.state, tail.looks))
    assert db.execute("PRAGMA integrity_check").get == "ok"
    assert db.execute("SELECT count(*) FROM batches WHERE placing IS NULL OR placing = ?", (REFUSED_PLACING,)).get == 0
    db.close()
    return ranges, looks, kept.results


PUSHES = 10


def expected_looks(bodies: list[bytes]) -> list[list[tuple[int, int]]]:
    """By place: runs of one state with how many looks, counted by hand from the pushes."""
    runs: list[list[tuple[int, int]]] = [[] for _ in range(CHECKS)]
    for body in bodies:
        batch = decode_push(body).batch
        assert batch is not None
        for place, code in enumerate(batch.states):
            if runs[place] and runs[place][-1][0] == code:
                runs[place][-1] = (code, runs[place][-1][1] + 1)
            else:
                runs[place].append((code, 1))
    return runs


@pytest.mark.parametrize("where", ["before", "after"])
def test_killed_at_every_commit_nothing_is_lost_and_nothing_counts_twice(
    tmp_path: Path, children: list[Child], where: str
) -> None:
    """Each life ends in its first, second or third commit: the agent's row, a push, a checkpoint."""
    path = tmp_path / "c.db"
    story = Story(PUSHES)
    died = 0
    while True:
        child = Child(children, path, where, when=1 + died % 3)
        told = story.tell(child)
        code = child.end()
        if told and code == 0:
            break
        assert code == -9
        died += 1
        assert died < 4 * PUSHES
    assert died >= PUSHES // 2
    ranges, looks, results = ledger_of(path)
    at = 0
    for _, first, last in ranges:
        assert first == at + 1, "a hole, or something twice"
        at = last
    assert at == PUSHES * CHECKS == results
    assert list(looks.values()) and [looks[row] for row in sorted(looks)] == expected_looks(story.bodies)
    assert "conflict" not in story.verdicts


def test_a_full_disk_acknowledges_nothing_and_recovers(tmp_path: Path, children: list[Child]) -> None:
    path = tmp_path / "c.db"
    child = Child(children, path)
    story = Story(6)
    assert story.hello(child) == 0
    assert child.push(story.source.agent, story.bodies[0]).verdict == "taken"  # type: ignore[union-attr]
    wal = path.with_name("c.db-wal").stat().st_size
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    assert child.say(f"limit {wal + 2_000}") == "limited"
    for _ in range(3):
        answer = child.say(f"{story.source.agent} {story.bodies[1].hex()}")
        assert answer.startswith("refused 503"), answer
    ack = child.push(story.source.agent, story.source.hello())
    assert ack is not None and story.told(ack.watermark) == 1
    assert child.say("limit") == "limited"
    assert story.tell(child)
    assert child.end() == 0
    ranges, looks, results = ledger_of(path)
    assert [last for _, _, last in ranges] == story.ends and results == 6 * CHECKS
    assert [looks[row] for row in sorted(looks)] == expected_looks(story.bodies)
