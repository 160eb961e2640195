"""The tests' own outboxes keep the contract that the store's keeps."""

from pathlib import Path

import pytest

from tests.support.outboxes import FileOutbox, MemoryOutbox, OutboxContract, World


class TestMemory(OutboxContract):
    @pytest.fixture
    def world(self) -> World:
        box = MemoryOutbox()

        async def again() -> MemoryOutbox:
            return box

        return World(box, box.add, again)


class TestFile(OutboxContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        box = FileOutbox(tmp_path / "outbox")

        async def again() -> FileOutbox:
            return FileOutbox(tmp_path / "outbox")

        return World(box, box.add, again)
