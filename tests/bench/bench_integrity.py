"""Reading copies through, beside ``gzip -t``, ``xz -t`` and ``zstd -t`` on the same file, without a limit of rate.

A tar archive of text and noise, 200 MB; each side in turns, three rounds, the middle round counts, the file in
memory. Ours walks the tar archive too, and keeps marks. Memory: of a process that reads 8 MB and one that reads it all.
"""

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROUNDS = 3
SIZE = 200_000_000
PEERS = (("gz", ["gzip", "-kf"], ["gzip", "-t"]), ("xz", ["xz", "-1kf"], ["xz", "-t"]),
         ("zst", ["zstd", "-qkf"], ["zstd", "-qt"]))  # fmt: skip
ONE_READ = """
import resource, sys, time
from pathlib import Path
from agent.backup.facts import BackupCopy, BackupQuery
from agent.backup.integrity.meter import Meter
from agent.backup.integrity.read import ReadMarks, verify_copy
path = Path(sys.argv[1])
seen = path.stat()
copy = BackupCopy(name=path.name.encode(), at=0.0, size=seen.st_size, mtime_ns=seen.st_mtime_ns, inode=seen.st_ino)
begun = time.perf_counter()
verdict = verify_copy(
    BackupQuery(evidence="files", path=str(path.parent)), copy, Meter(), ReadMarks(lambda state: None, None), [""]
)
assert verdict.state == "good", verdict
print(time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def run() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="haidang-bench-") as folder:
        return _rows(Path(folder))


def _rows(folder: Path) -> list[dict[str, Any]]:
    small, large = _archive(folder, "small", 8_000_000), _archive(folder, "large", SIZE)
    rows = []
    for ending, pack, test in PEERS:
        name = f"integrity: {ending} read through"
        if shutil.which(test[0]) is None:
            rows.append(_row(name, 0.0, "MB/s", f"{test[0]} is not installed", None, "at least 0.8 x", False))
            continue
        files = []
        for tar in (small, large):
            subprocess.run([*pack, str(tar)], check=True)
            files.append(Path(f"{tar}.{ending}"))
        rounds = [(_ours(files[1]), _peer([*test, str(files[1])])) for _ in range(ROUNDS)]
        seconds = statistics.median(ours[0] for ours, _ in rounds)
        theirs = statistics.median(peer for _, peer in rounds)
        peer = f"{' '.join(test)} {SIZE / theirs / 1e6:.0f} MB/s"
        ratio = theirs / seconds
        rows.append(_row(name, SIZE / seconds / 1e6, "MB/s", peer, ratio, "at least 0.8 x", ratio >= 0.8))
        more = (rounds[0][0][1] - _ours(files[0])[1]) / 1024
        rows.append(
            _row(f"integrity: {ending}, memory for 25 x the size", more, "MiB more", None, None, "at most 8", more <= 8)
        )
        for file in files:
            file.unlink()
    return rows


def _archive(folder: Path, name: str, size: int) -> Path:
    """A tar archive of about ``size`` bytes, a third of it noise."""
    chance = random.Random(size)
    words = [chance.randbytes(5).hex().encode() + b" " for _ in range(2000)]
    text = b"".join(chance.choices(words, k=100_000))
    content = folder / name
    with content.open("wb") as file:
        while file.tell() < size:
            file.write(text[chance.randrange(1000) :])
            file.write(chance.randbytes(len(text) // 2))
    subprocess.run(["tar", "-cf", f"{name}.tar", name], cwd=folder, check=True)
    content.unlink()
    return folder / f"{name}.tar"


def _ours(path: Path) -> tuple[float, int]:
    """(seconds of the read, KiB of memory at most), in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", ONE_READ, str(path)], capture_output=True, text=True, check=True, env={**os.environ}
    )
    seconds, memory = done.stdout.split()
    return float(seconds), int(memory)


def _peer(argv: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(argv, check=True)
    return time.perf_counter() - begun


def _row(
    name: str, value: float, unit: str, peer: str | None, ratio: float | None, target: str, met: bool
) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "peer": peer, "ratio": ratio, "target": target, "met": met}
