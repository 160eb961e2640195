"""Outboxes in memory and in a file for the sender's tests, and the contract that every outbox keeps.

An implementation's tests are a subclass of :class:`OutboxContract` with a fixture ``world``.
"""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from alerts.channels.outbox import Outbox, OutgoingMail
from inventory.model.alerting import Severity


def outgoing_mail(ident: str = "hd-1", **fields: Any) -> OutgoingMail:
    """A letter as the evaluator makes them."""
    severity: Severity = fields.pop("severity", "critical")
    defaults: dict[str, Any] = {
        "id": 0,
        "ident": ident,
        "contact": "operator",
        "address": "operator@province.example",
        "kind": "trouble",
        "severity": severity,
        "incidents": ("00000000000000ab",),
        "kinds": ("trouble",),
        "roots": ("wan:so-ttt",),
        "opened": (990_000,),
        "thread": "",
        "made": 1_000_000,
        "subject": f"Mất kết nối {ident}",
        "text": "Sở TTTT mất kết nối WAN.",
    }
    defaults["body"] = (
        f"From: haidang@province.example\r\nTo: operator@province.example\r\nSubject: {ident}\r\n"
        f"Message-ID: <{ident}@province.example>\r\n\r\n.a line that begins with a dot\r\nend\r\n"
    ).encode()
    return OutgoingMail(**{**defaults, **fields})


class OutboxRow(msgspec.Struct, kw_only=True):
    """A mail and what became of it."""

    mail: OutgoingMail
    due: int
    state: str = "waiting"  # waiting, sent or failed
    channel: str = ""


class MemoryOutbox:
    """An outbox in memory."""

    def __init__(self) -> None:
        self.rows: dict[int, OutboxRow] = {}
        self.calls: list[tuple[str, str]] = []  # what was reported of which mail, in order

    async def add(self, *mails: OutgoingMail) -> None:
        for one in mails:
            number = len(self.rows) + 1
            self.rows[number] = OutboxRow(mail=msgspec.structs.replace(one, id=number), due=one.made)
        self.save()

    async def due(self, now: int, limit: int) -> list[OutgoingMail]:
        rows = [row for row in self.rows.values() if row.state == "waiting" and row.due <= now]
        rows.sort(key=lambda row: (row.mail.severity != "critical", row.mail.made, row.mail.id))
        return [row.mail for row in rows[:limit]]

    async def sent(self, mail: OutgoingMail, at: int, channel: str) -> None:
        self._done(mail, "sent", channel)

    async def hooked(self, mail: OutgoingMail, at: int) -> None:
        self._change(mail, hooked=True)
        self._record("hooked", mail)

    async def later(self, mail: OutgoingMail, at: int, error: str) -> None:
        row = self._change(mail, tries=self.rows[mail.id].mail.tries + 1, last_error=error)
        row.due = at
        self._record("later", mail)

    async def failed(self, mail: OutgoingMail, at: int, error: str) -> None:
        self._change(mail, last_error=error)
        self._done(mail, "failed", "")

    async def waiting(self) -> tuple[int, int | None]:
        times = [row.mail.made for row in self.rows.values() if row.state == "waiting"]
        return len(times), min(times, default=None)

    def states(self) -> dict[str, str]:
        """By ident."""
        return {row.mail.ident: row.state for row in self.rows.values()}

    def row(self, ident: str) -> OutboxRow:
        return next(row for row in self.rows.values() if row.mail.ident == ident)

    def save(self) -> None:
        """Nothing to keep."""

    def _done(self, mail: OutgoingMail, state: str, channel: str) -> None:
        row = self.rows[mail.id]
        if row.state == "waiting":
            row.state, row.channel = state, channel
        self._record(state, mail)

    def _change(self, mail: OutgoingMail, **fields: Any) -> OutboxRow:
        row = self.rows[mail.id]
        row.mail = msgspec.structs.replace(row.mail, **fields)
        return row

    def _record(self, what: str, mail: OutgoingMail) -> None:
        self.calls.append((what, mail.ident))
        self.save()


class FileOutbox(MemoryOutbox):
    """The same, whole in a file that is replaced and synced at every change: outlives its process."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        if path.exists():
            rows = msgspec.msgpack.decode(path.read_bytes(), type=list[OutboxRow])
            self.rows = {row.mail.id: row for row in rows}

    def save(self) -> None:
        fresh = self.path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(msgspec.msgpack.encode(list(self.rows.values())))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)


class OutboxWorld(msgspec.Struct):
    """``add`` puts mails in as the evaluator does; ``again`` is the same outbox as another process finds it."""

    outbox: Outbox
    add: Callable[..., Awaitable[None]]
    reopen: Callable[[], Awaitable[Outbox]]


class OutboxContract:
    """What a sender relies on."""

    async def test_gives_what_was_put_in_as_it_was(self, world: OutboxWorld) -> None:
        put = outgoing_mail(
            "hd-1", thread="hd-0", kinds=("recovery",), roots=("power:so-y-te",), opened=(5,), body=b"\x00\xff"
        )
        await world.add(put)
        (mail,) = await world.outbox.due(1_000_000, 10)
        assert msgspec.structs.replace(mail, id=0) == put

    async def test_critical_ones_come_first_then_the_oldest(self, world: OutboxWorld) -> None:
        await world.add(
            outgoing_mail("c", severity="warning", made=1_000),
            outgoing_mail("a", severity="critical", made=3_000),
            outgoing_mail("b", severity="critical", made=4_000),
            outgoing_mail("d", severity="info", made=2_000),
        )
        assert [one.ident for one in await world.outbox.due(5_000, 10)] == ["a", "b", "c", "d"]
        assert [one.ident for one in await world.outbox.due(5_000, 3)] == ["a", "b", "c"]

    async def test_what_was_put_off_is_not_due_before_its_time(self, world: OutboxWorld) -> None:
        await world.add(outgoing_mail("a"))
        (mail,) = await world.outbox.due(1_000_000, 10)
        await world.outbox.later(mail, 1_060_000, "450 greylisted")
        assert await world.outbox.due(1_059_999, 10) == []
        (again,) = await (await world.reopen()).due(1_060_000, 10)
        assert (again.ident, again.tries, again.last_error) == ("a", 1, "450 greylisted")

    async def test_what_was_sent_is_not_due_any_more(self, world: OutboxWorld) -> None:
        await world.add(outgoing_mail("a"), outgoing_mail("b", made=1_000_001))
        first, second = await world.outbox.due(2_000_000, 10)
        await world.outbox.sent(first, 2_000_000, "mail.example:25")
        assert [one.ident for one in await world.outbox.due(9_000_000, 10)] == ["b"]
        assert [one.ident for one in await (await world.reopen()).due(9_000_000, 10)] == ["b"]
        await world.outbox.sent(first, 2_000_001, "the journal")  # reported twice: nothing changes
        assert await world.outbox.waiting() == (1, second.made)

    async def test_what_failed_is_not_due_any_more(self, world: OutboxWorld) -> None:
        await world.add(outgoing_mail("a"))
        (mail,) = await world.outbox.due(2_000_000, 10)
        await world.outbox.failed(mail, 2_000_000, "550 no such user")
        assert await (await world.reopen()).due(9_000_000_000, 10) == []
        assert await world.outbox.waiting() == (0, None)

    async def test_what_went_by_the_webhook_is_still_due(self, world: OutboxWorld) -> None:
        await world.add(outgoing_mail("a"))
        (mail,) = await world.outbox.due(2_000_000, 10)
        assert not mail.hooked
        await world.outbox.hooked(mail, 2_000_000)
        (again,) = await (await world.reopen()).due(2_000_000, 10)
        assert again.hooked

    async def test_what_is_reported_of_a_mail_undoes_nothing_reported_before(self, world: OutboxWorld) -> None:
        await world.add(outgoing_mail("a"))
        (mail,) = await world.outbox.due(2_000_000, 10)
        await world.outbox.hooked(mail, 2_000_000)
        await world.outbox.later(mail, 2_060_000, "not now")  # by the mail as it was before
        await world.outbox.later(mail, 2_120_000, "not now either")
        (again,) = await world.outbox.due(2_120_000, 10)
        assert (again.hooked, again.tries, again.last_error) == (True, 2, "not now either")

    async def test_says_how_many_wait_and_since_when(self, world: OutboxWorld) -> None:
        assert await world.outbox.waiting() == (0, None)
        await world.add(outgoing_mail("a", made=7_000), outgoing_mail("b", made=3_000))
        assert await world.outbox.waiting() == (2, 3_000)
        (mail,) = [one for one in await world.outbox.due(9_000, 10) if one.ident == "b"]
        await world.outbox.later(mail, 99_000, "not now")
        assert await world.outbox.waiting() == (2, 3_000)  # one that was put off waits, too
