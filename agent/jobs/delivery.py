"""Sends pings to the agent; those it does not answer wait in a directory where it finds them later.

Every ping says when it was, by both clocks, and has an id of its own: one that comes late is put in its place, one
that comes twice counts once.
"""

import contextlib
import http.client
import os
import socket
import stat
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from agent.jobs.stamp import SLACK_MS, Stamp, seconds_between, to_wall_time
from agent.jobs.state import FAIL, LOG, PAUSE, RESUME, START, SUCCESS, PingEvent
from agent.jobs.store import MOST_BODY, JobStore
from inventory.base import files
from inventory.grammars.job_names import is_name

CONNECT: Final = 3.0  # seconds for one attempt
AGAIN: Final = (0.5, 2.0)  # seconds between attempts when the agent says that it is busy
ENDING: Final = ".ping"
LARGEST: Final = 2 * MOST_BODY  # bytes of a waiting file: its body is in base64
MOST_WAITING: Final = 1_000  # files taken at once
FORGOTTEN: Final = 30 * 86_400  # seconds after which a ping for a job that no plan has is dropped
ACTIONS: Final = (START, SUCCESS, FAIL, LOG, PAUSE, RESUME)


class WaitingPing(msgspec.Struct, frozen=True):
    """One ping, ready to be sent."""

    job: str
    action: str
    at: Stamp
    id: str
    rid: str = ""
    exit: int | None = None
    body: bytes = b""

    @property
    def path(self) -> str:
        word = "" if self.action == SUCCESS and self.exit is None else f"/{self.action}"
        if self.exit is not None:
            word = f"/{self.exit}"
        return f"/ping/{self.job}{word}" + (f"?rid={self.rid}" if self.rid else "")


class Undelivered(Exception):
    """Nobody took the ping now; the text says why."""


class Denied(Exception):
    """The agent does not want the ping, now or later; the text says why."""


def ping(job: str, action: str, at: Stamp, **fields: object) -> WaitingPing:
    waiting = WaitingPing(job, action, at, str(uuid.uuid4()))
    return msgspec.structs.replace(waiting, **fields)


# -- to the agent


class _Unix(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=CONNECT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CONNECT)
        self.sock.connect(str(self._path))


Opener = Callable[[], http.client.HTTPConnection]


def curl_line(name: str, host: str, port: int) -> str:
    """What a job's own script may end with, to say that it ended well."""
    return f"curl -fsS -m 10 --retry 3 http://{f'[{host}]' if ':' in host else host}:{port}/ping/{name}"


def openers_of(host: str, port: int, unix: Path | None) -> tuple[Opener, ...]:
    """The ways to the agent of this machine."""
    openers: list[Opener] = [lambda: http.client.HTTPConnection(host, port, timeout=CONNECT)]
    if unix is not None and hasattr(socket, "AF_UNIX"):
        openers.append(lambda: _Unix(unix))
    return tuple(openers)


def send(waiting: WaitingPing, openers: Sequence[Opener], sleep: Callable[[float], None] = time.sleep) -> None:
    """Raises Undelivered when it may be tried again later, Denied when not."""
    why = ""
    for pause in (*AGAIN, None):
        for open_connection in openers:
            try:
                status, reply = _exchange(waiting, open_connection())
            except (OSError, http.client.HTTPException) as error:
                why = why or getattr(error, "strerror", None) or str(error) or type(error).__name__
                continue
            if status == 200:
                return
            if status not in (408, 429, 500, 503):
                raise Denied(reply)
            why = reply
            break
        else:
            break  # no door is open: asking again at once does not help
        if pause is not None:
            sleep(pause)
    raise Undelivered(why)


def _exchange(waiting: WaitingPing, connection: http.client.HTTPConnection) -> tuple[int, str]:
    at = waiting.at
    headers = {"Haidang-Ping-Id": waiting.id, "Haidang-Ping-At": f"{at.boot} {at.boot_ms} {at.wall_ms}"}
    with contextlib.closing(connection):
        connection.request("POST", waiting.path, waiting.body, headers)
        response = connection.getresponse()
        return response.status, response.read(1_000).decode(errors="replace").strip()


# -- the directory


def store_ping(waiting: WaitingPing, directories: Sequence[Path], *, shared: Path | None = None) -> Path | None:
    """Put a ping where the agent, or the next run, finds it: the first directory that takes it. None: nowhere.

    ``shared``: one that other users write to as well; what is left there is without its body.
    """
    for directory in directories:
        stored, mode = (msgspec.structs.replace(waiting, body=b""), 0o644) if directory == shared else (waiting, 0o600)
        try:
            if directory != shared:
                files.make_directory(directory)
            path = directory / f"{waiting.id}{ENDING}"
            files.replace(path, msgspec.json.encode(stored), mode=mode)
        except OSError:
            continue
        return path
    return None


def stored_pings(directory: Path) -> Iterator[tuple[Path, WaitingPing | None]]:
    """The waiting pings of a directory, oldest first; None: a file that is none. Links are not followed."""
    by_mtime: list[tuple[int, str]] = []
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(ENDING) and not entry.name.startswith("."):  # that one is being written
                by_mtime.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
    for _, name in sorted(by_mtime)[:MOST_WAITING]:
        with contextlib.suppress(OSError):
            yield directory / name, _read(directory / name)


def _read(path: Path) -> WaitingPing | None:
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags)
    with open(descriptor, "rb") as file:  # noqa: PTH123  # a descriptor
        file_stat = os.fstat(descriptor)
        if not stat.S_ISREG(file_stat.st_mode) or file_stat.st_size > LARGEST:
            return None
        try:
            waiting = msgspec.json.decode(file.read(LARGEST), type=WaitingPing)
        except msgspec.DecodeError:
            return None
    sound = is_name(waiting.job) and waiting.action in ACTIONS and len(waiting.id) == 36 and len(waiting.rid) in (0, 36)
    return waiting if sound and (waiting.exit is None or 0 <= waiting.exit <= 255) else None


def import_stored_pings(store: JobStore, directories: Sequence[Path], jobs: Collection[str]) -> int:
    """At the agent: keep what waits for its jobs. How many pings; raises OSError when they cannot be kept."""
    imported, now = 0, store.now()
    for directory in directories:
        for path, waiting in stored_pings(directory):
            if waiting is not None and waiting.job not in jobs:
                age = seconds_between(waiting.at, now)
                if age is None or age < FORGOTTEN:
                    continue  # a plan may yet have it
            elif waiting is not None and to_wall_time(now, waiting.at).at_ms <= now.wall_ms + SLACK_MS:
                event = PingEvent(
                    action=waiting.action,
                    at=waiting.at,
                    rid=waiting.rid,
                    exit=waiting.exit,
                    bytes=len(waiting.body),
                    id=waiting.id,
                )
                store.add_ping(waiting.job, event, waiting.body)
                imported += 1
            with contextlib.suppress(OSError):
                path.unlink()
    return imported


def send_stored_pings(directories: Sequence[Path], openers: Sequence[Opener]) -> None:
    """At the wrapper: what earlier runs could not deliver, as long as the agent takes it."""
    for directory in directories:
        for path, waiting in stored_pings(directory):
            try:
                if waiting is not None:
                    send(waiting, openers, sleep=lambda _: None)
            except Undelivered:
                return
            except Denied:
                pass  # now or later: it would only be asked again
            with contextlib.suppress(OSError):
                path.unlink()
