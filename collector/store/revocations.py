"""Void certificates, asked at every request: revoked by a person, or of a machine that another has replaced.

A revocation is one line in a file beside the store, synced before it counts, and a row in the store. The file is
what the listener reads: it is outside the store, so that restoring an older copy does not un-revoke, and looking
whether it has changed costs a microsecond, so that another process's revocation counts at once. A file that cannot be
read keeps nobody from working: what was known goes on to count, and the next start makes the file anew from the store.
"""

import errno
import logging
import os
from collections.abc import Collection
from pathlib import Path

import msgspec

from collector.store.records import Revocation
from inventory.base import files

log = logging.getLogger(__name__)


_decoder = msgspec.json.Decoder(Revocation)


class Revocations:
    """The file, read again when it has changed; and the agents that the inventory marks revoked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = os.fspath(path)
        self._signature: tuple[int, int, int] | None = None
        self._up_to: dict[str, int] = {}
        self._revoked_up_to: dict[str, int] = {}  # by a person
        self._unreadable = ""
        self.inventory: Collection[str] = frozenset()  # agents revoked there, whatever their certificate

    def is_revoked(self, agent: str, serial: int) -> bool:
        """Whether this certificate of this agent is void."""
        return self.why_void(agent, serial) != ""

    def why_void(self, agent: str, serial: int) -> str:
        """ "revoked" or "replaced"; "" for a certificate that counts."""
        self._refresh()
        if agent in self.inventory or serial <= self._revoked_up_to.get(agent, -1):
            return "revoked"
        return "replaced" if serial <= self._up_to.get(agent, -1) else ""

    def up_to(self, agent: str) -> int:
        """The highest void serial of the agent, -1 when none is."""
        self._refresh()
        return self._up_to.get(agent, -1)

    def add(self, revocation: Revocation) -> None:
        """Counts, durably, when this returns. Raises OSError when it could not be written."""
        file = files.open_to_append(self._path)
        try:
            # a line torn by a power cut must not swallow this one: begin on a new line
            os.write(file, b"\n" + msgspec.json.encode(revocation) + b"\n")
            os.fsync(file)
        finally:
            os.close(file)

    def merge(self, stored: Collection[Revocation]) -> None:
        """Take over revocations from the store that the file does not have (a collector moved without its file).

        A file that cannot be read, or is none, is put aside first: its place is in our own directory.
        """
        self._refresh()
        if self._unreadable:
            aside = self._path.with_name(files.fresh_name(self._path.name).removesuffix(".new") + ".unreadable")
            log.error("%s cannot be read (%s): it is kept as %s", self._path, self._unreadable, aside.name)
            self._path.rename(aside)
        for revocation in stored:
            known = self._revoked_up_to if revocation.how == "revoked" else self._up_to
            if int(revocation.up_to, 16) > known.get(revocation.agent, -1):
                self.add(revocation)
                self._refresh()

    def _refresh(self) -> None:
        try:
            status = os.stat(self._name)  # noqa: PTH116  at every request, and a path's own takes twice as long
            signature = (status.st_ino, status.st_size, status.st_mtime_ns)
        except FileNotFoundError:
            signature = (0, 0, 0)
        except OSError as error:
            self._cannot_read(error)
            return
        if signature == self._signature:
            return
        try:
            lines = self._lines() if signature[0] else []
        except OSError as error:
            self._cannot_read(error)
            return
        up_to: dict[str, int] = {}
        revoked_up_to: dict[str, int] = {}
        for line in lines:
            if not line:
                continue
            try:
                revocation = _decoder.decode(line)
                serial = int(revocation.up_to, 16)
            except (msgspec.DecodeError, ValueError):
                log.warning("%s: a damaged line is ignored", self._path)
                continue
            for known in (up_to, revoked_up_to) if revocation.how == "revoked" else (up_to,):
                known[revocation.agent] = max(serial, known.get(revocation.agent, -1))
        self._up_to, self._revoked_up_to = up_to, revoked_up_to
        self._signature, self._unreadable = signature, ""

    def _lines(self) -> list[bytes]:
        with files.Directory(self._path.parent) as directory:
            descriptor = directory.open_regular(self._path.name, os.O_RDONLY)
        with os.fdopen(descriptor, "rb") as file:
            return file.read().splitlines()

    def _cannot_read(self, error: OSError) -> None:
        """What was known goes on to count. It is said once."""
        words = error.strerror or errno.errorcode.get(error.errno or 0, "")
        if words != self._unreadable:
            log.error("%s cannot be read (%s): revocations go by what was known before", self._path, words)
        self._unreadable = words
