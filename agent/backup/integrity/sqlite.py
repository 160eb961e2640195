"""Check SQLite databases: header and size, then SQLite's own integrity check, read-only, no file beside it."""

import os
import sqlite3
from pathlib import Path
from typing import Final

from agent.backup.integrity.meter import BrokenCopy, CannotVerify, MeteredFile, ReadStopped
from inventory.protocol.reasons import sentence

MAGIC: Final = b"SQLite format 3\0"
_STEPS: Final = 200_000  # of SQLite's machine between looks at the meter


def check(source: MeteredFile) -> bool:
    """Whether there is anything in it. Raises Broken, Cannot, Stopped."""
    header = source.read_at(0, 100)
    page = int.from_bytes(header[16:18], "big")
    page = 65_536 if page == 1 else page
    if page < 512 or page & (page - 1):
        raise BrokenCopy(sentence("its header makes no sense"))
    pages = int.from_bytes(header[28:32], "big")
    if header[24:28] == header[92:96] and pages and pages * page > source.size:
        raise BrokenCopy(
            sentence("it is cut off: {size} of {pages} bytes are there", size=source.size, pages=pages * page)
        )
    while source.read():
        pass  # at the rate that is allowed; the check then finds it in memory, or reads once more
    return _own_check(source)


def _own_check(source: MeteredFile) -> bool:
    stopped: list[ReadStopped] = []

    def check_meter() -> int:
        try:
            source.meter.consume(0)
        except ReadStopped as stop:
            stopped.append(stop)
        return len(stopped)

    try:
        database = sqlite3.connect(f"file:/proc/self/fd/{source.descriptor}?mode=ro&immutable=1", uri=True)
    except sqlite3.Error as error:
        raise CannotVerify(sentence("SQLite does not open it: {error}", error=error)) from None
    try:
        database.set_progress_handler(check_meter, _STEPS)
        database.execute("PRAGMA trusted_schema=OFF")
        database.execute("PRAGMA cell_size_check=ON")
        objects = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not _same_file(source.descriptor):
            raise CannotVerify(sentence("it was put in another's place while it was opened"))
        problems = [str(row[0]) for row in database.execute("PRAGMA integrity_check(3)")]
    except sqlite3.Error as error:
        if stopped:
            raise stopped[0] from None
        raise BrokenCopy(sentence("SQLite finds it damaged: {error}", error=error)) from None
    finally:
        database.close()
    if problems != ["ok"]:
        raise BrokenCopy(
            sentence(
                "SQLite finds it damaged: {problems}",
                problems=problems[0].splitlines()[0] if problems else sentence("it says nothing"),
            )
        )
    return bool(objects)


def _same_file(descriptor: int) -> bool:
    """SQLite opens by name: is what it has open the very file that was judged to be inside?"""
    mine = os.fstat(descriptor)
    same = 0
    for name in Path("/proc/self/fd").iterdir():
        try:
            other = name.stat()
        except OSError:
            continue
        same += (other.st_dev, other.st_ino) == (mine.st_dev, mine.st_ino)
    return same >= 2
