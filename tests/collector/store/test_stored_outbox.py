"""The store's outbox keeps the contract that the sender relies on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alerts.channels.outbox import Letter
from collector.store.database import Database
from collector.store.outbox import StoredOutbox, put
from tests.support.outboxes import OutboxContract, World, letter


class TestStored(OutboxContract):
    @pytest.fixture
    async def world(self, tmp_path: Path) -> AsyncIterator[World]:
        database = Database.open(tmp_path / "collector.db")

        async def add(*letters: Letter) -> None:
            await database.write(lambda db: put(db, letters))

        async def again() -> StoredOutbox:
            return StoredOutbox(database)

        yield World(StoredOutbox(database), add, again)
        await database.close()

    async def test_a_letter_that_is_decided_again_is_not_put_in_again(self, world: World) -> None:
        await world.add(letter("a"))
        await world.add(letter("a", subject="decided again"), letter("b"))
        assert [one.ident for one in await world.outbox.due(2_000_000, 10)] == ["a", "b"]
