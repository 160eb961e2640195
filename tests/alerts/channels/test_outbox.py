"""The tests' own outboxes keep the contract that the store's keeps."""

from pathlib import Path

import pytest

from tests.support.outboxes import FileOutbox, MemoryOutbox, OutboxContract, OutboxWorld


class TestMemory(OutboxContract):
    @pytest.fixture
    def world(self) -> OutboxWorld:
        box = MemoryOutbox()

        async def again() -> MemoryOutbox:
            return box

        return OutboxWorld(box, box.add, again)


class TestFile(OutboxContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> OutboxWorld:
        box = FileOutbox(tmp_path / "outbox")

        async def again() -> FileOutbox:
            return FileOutbox(tmp_path / "outbox")

        return OutboxWorld(box, box.add, again)
