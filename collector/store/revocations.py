"""Revoked certificates, asked at every request.

A revocation is one line in a file beside the store, synced before it counts, and a row in the store. The file is
what the listener reads: it is outside the store, so that restoring an older copy does not un-revoke, and looking
whether it has changed costs a microsecond, so that another process's revocation counts at once.
"""

import logging
import os
from collections.abc import Collection
from pathlib import Path

import msgspec

from collector.store.records import Revocation
from inventory.base.files import sync

log = logging.getLogger(__name__)


_decoder = msgspec.json.Decoder(Revocation)


class Revocations:
    """The file, read again when it has changed; and the agents that the inventory marks revoked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._signature: tuple[int, int, int] | None = None
        self._up_to: dict[str, int] = {}
        self.inventory: Collection[str] = frozenset()  # agents revoked there, whatever their certificate

    def is_revoked(self, agent: str, serial: int) -> bool:
        """Whether this certificate of this agent is revoked."""
        self._refresh()
        return agent in self.inventory or serial <= self._up_to.get(agent, -1)

    def up_to(self, agent: str) -> int:
        """The highest void serial of the agent, -1 when none is."""
        self._refresh()
        return self._up_to.get(agent, -1)

    def add(self, revocation: Revocation) -> None:
        """Counts, durably, when this returns. Raises OSError when it could not be written."""
        new = not self._path.exists()
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            # a line torn by a power cut must not swallow this one: begin on a new line
            os.write(file, b"\n" + msgspec.json.encode(revocation) + b"\n")
            os.fsync(file)
        finally:
            os.close(file)
        if new:
            sync(self._path.parent)

    def merge(self, stored: Collection[Revocation]) -> None:
        """Take over revocations from the store that the file does not have (a collector moved without its file)."""
        for revocation in stored:
            if int(revocation.up_to, 16) > self.up_to(revocation.agent):
                self.add(revocation)

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            signature = (0, 0, 0)
        else:
            signature = (status.st_ino, status.st_size, status.st_mtime_ns)
        if signature == self._signature:
            return
        up_to: dict[str, int] = {}
        for line in self._path.read_bytes().splitlines() if signature[0] else ():
            if not line:
                continue
            try:
                revocation = _decoder.decode(line)
                serial = int(revocation.up_to, 16)
            except (msgspec.DecodeError, ValueError):
                log.warning("%s: a damaged line is ignored", self._path)
                continue
            up_to[revocation.agent] = max(serial, up_to.get(revocation.agent, -1))
        self._up_to = up_to
        self._signature = signature
