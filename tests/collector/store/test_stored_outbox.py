"""The store's outbox keeps the contract that the sender relies on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alerts.channels.outbox import OutgoingMail
from collector.store.opening import open_store
from collector.store.outbox import StoredOutbox
from tests.support.outboxes import OutboxContract, OutboxWorld, outgoing_mail


class TestStored(OutboxContract):
    @pytest.fixture
    async def world(self, tmp_path: Path) -> AsyncIterator[OutboxWorld]:
        store = open_store(tmp_path / "collector.db")

        async def add(*letters: OutgoingMail) -> None:
            await store.write(lambda tx: tx.outbox.put(letters))

        async def again() -> StoredOutbox:
            return StoredOutbox(store)

        yield OutboxWorld(StoredOutbox(store), add, again)
        await store.close()

    async def test_a_letter_that_is_decided_again_is_not_put_in_again(self, world: OutboxWorld) -> None:
        await world.add(outgoing_mail("a"))
        await world.add(outgoing_mail("a", subject="decided again"), outgoing_mail("b"))
        assert [one.ident for one in await world.outbox.due(2_000_000, 10)] == ["a", "b"]
