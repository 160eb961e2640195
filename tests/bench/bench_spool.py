"""The spool: a week of 20 checks at 30 s through it, and what that costs on disk.

The peer is SQLite (WAL, synchronous=FULL, a row a result), the way in which most agents would do it: the same
results, 20 a commit, in the same run on the same disk.
"""

import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from agent.spool import CheckResult, FileOps, Position, Spool
from inventory.protocol.wire import VERSION, Push, Reading, encode_push

CHECKS = 20
EVERY_MS = 30_000
WEEK = 7 * 86_400_000 // EVERY_MS * CHECKS  # 403,200 results
DURABLE = 20_000  # results for the part with real syncs
TURN = 400


class Counting(FileOps):
    def __init__(self) -> None:
        self.syncs = 0

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        super().sync(descriptor)


class NoSync(FileOps):
    def sync(self, descriptor: int) -> None: ...


def results(count: int) -> Iterator[CheckResult]:
    """Looks as they come: spread over the interval, with a latency that varies and one measure."""
    for number in range(count):
        tick, check = divmod(number, CHECKS)
        noise = number * 2_654_435_761 % 1009
        at = tick * EVERY_MS + check * (EVERY_MS // CHECKS) + noise % 7
        yield CheckResult(
            check, at, 2 if noise == 0 else 0, 900 + noise, (10_000 - noise,), "refused" if noise == 0 else ""
        )


def opened(directory: str, ops: FileOps) -> Spool:
    return Spool.open(
        Path(directory) / "spool",
        boot=b"bootboot",
        boot_ms=0,
        plan=b"planplan",
        start={},
        collectors=["one"],
        holds=lambda plan: [70_000] * CHECKS,
        ops=ops,
    )


def fill(spool: Spool, items: Iterable[CheckResult]) -> float:
    """Seconds, 20 results a sync."""
    began = time.perf_counter()
    for number, result in enumerate(items, 1):
        spool.append(result)
        if number % CHECKS == 0:
            spool.sync()
    return time.perf_counter() - began


class Sqlite:
    def __init__(self, directory: str) -> None:
        self.database = sqlite3.connect(Path(directory) / "peer.db", isolation_level=None)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute("PRAGMA synchronous=FULL")
        self.database.execute(
            "CREATE TABLE result(seq INTEGER PRIMARY KEY, at INT, chk INT, state INT, latency INT, value INT, why TEXT)"
        )

    def fill(self, items: Iterable[CheckResult]) -> float:
        """Seconds, 20 results a commit."""
        began = time.perf_counter()
        rows: list[tuple[Any, ...]] = []
        for each in items:
            rows.append((each.at, each.check, each.state, each.latency, each.values[0], each.reason))
            if len(rows) == CHECKS:
                self.database.execute("BEGIN")
                self.database.executemany(
                    "INSERT INTO result(at,chk,state,latency,value,why) VALUES(?,?,?,?,?,?)", rows
                )
                self.database.execute("COMMIT")
                rows.clear()
        return time.perf_counter() - began


def durable() -> tuple[float, float, float]:
    """Results a second of the spool and of SQLite, in turns on the same disk, and the spool's syncs a batch."""
    with tempfile.TemporaryDirectory(dir=".") as directory:
        ops, ours, theirs = Counting(), [], []
        spool, peer = opened(directory, ops), Sqlite(directory)
        stream = results(DURABLE)
        while part := list(islice(stream, TURN)):
            ours.append(fill(spool, part))
            theirs.append(peer.fill(part))
        spool.close()
        peer.database.close()
        return TURN / median(ours), TURN / median(theirs), ops.syncs / (DURABLE / CHECKS)


def read(spool: Spool, count: int) -> float:
    """Results a second, cut into batches of 1,000 and encoded as pushes."""
    began = time.perf_counter()
    while (batch := spool.next_batch("one")) is not None:
        encode_push(Push(version=VERSION, sent=Reading(b"bootboot", 0, 0), batch=batch))
        spool.acknowledged("one", Position(batch.epoch, batch.last))
    return count / (time.perf_counter() - began)


def row(name: str, value: float, unit: str, target: str, met: bool, **peer: Any) -> dict[str, Any]:
    return {
        "peer": None,
        "ratio": None,
        **peer,
        "name": name,
        "value": value,
        "unit": unit,
        "target": target,
        "met": met,
    }


def run() -> list[dict[str, Any]]:
    rows = []
    rate, peer, syncs = durable()
    shown = {"peer": f"SQLite FULL, {peer:,.0f}/s", "ratio": rate / peer}
    met = rate >= 0.5 * peer
    name = "spool: results made durable, 20 a sync"
    rows.append(row(name, rate, "results/s", "at least half of SQLite", met, **shown))
    rows.append(row("spool: syncs for each batch of 20", syncs, "syncs", "at most 1", syncs <= 1.001))
    with tempfile.TemporaryDirectory(dir=".") as directory:
        spool = opened(directory, NoSync())
        fill(spool, results(WEEK))
        spool.sync()
        size = spool.stats()["bytes"] / WEEK
        spool.close()
        began = time.perf_counter()
        spool = opened(directory, NoSync())
        opening = time.perf_counter() - began
        rows.append(row("spool: a result on disk (latency and one measure)", size, "bytes", "under 40", size < 40))
        rows.append(row("spool: start with a week's backlog", opening, "s", "under 5", opening < 5))
        rate = read(spool, WEEK)
        rows.append(row("spool: a week's backlog read and encoded", rate, "results/s", "over 10,000", rate > 10_000))
        spool.close()
    return rows
