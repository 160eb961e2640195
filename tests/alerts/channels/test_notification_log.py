"""The journal outlives kills, torn lines and restored databases, and does not grow for ever."""

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.channels.notification_log import WEBHOOK, NotificationLog, NotificationLogEntry, log_entry, sent_notices
from inventory.model.alerting import DAY
from tests.support.outboxes import outgoing_mail
from tests.support.smtp_relay import FakeRelay, SenderWorld, relays_running

T0 = 1_795_000_000_000  # some noon of November 2026, about


def put(journal: NotificationLog, ident: str, at: int = T0, channel: str = "relay:25") -> None:
    journal.add(log_entry(outgoing_mail(ident, made=at - 1000), at, channel))


def test_what_was_added_is_known_to_the_next_process(tmp_path: Path) -> None:
    journal = NotificationLog(tmp_path / "journal")
    put(journal, "hd-1")
    put(journal, "hd-2", channel=WEBHOOK)
    for again in (journal, NotificationLog(tmp_path / "journal")):
        assert again.contains("hd-1", T0)
        assert not again.contains("hd-1", T0, WEBHOOK)
        assert again.contains("hd-2", T0, WEBHOOK)
        assert not again.contains("hd-2", T0)  # its mail is still to be sent
        assert [one.ident for one in again.mail_entries()] == ["hd-1"]
        assert [one.ident for one in again.webhook_entries()] == ["hd-2"]
    journal.close()


def test_an_entry_says_what_the_incident_machine_needs(tmp_path: Path) -> None:
    journal = NotificationLog(tmp_path)
    one = outgoing_mail(
        "hd-9", kind="group", kinds=("trouble", "recovery"), incidents=("aa", "bb"), roots=("wan:x", "lan:y")
    )
    one = msgspec.structs.replace(one, opened=(1, 2), thread="hd-8", also=(("cc",), ()), members=(("down:u",), ()))
    journal.add(log_entry(one, T0, "relay:25"))
    journal.close()
    (found,) = NotificationLog(tmp_path).mail_entries(T0)
    assert found == NotificationLogEntry(
        ident="hd-9",
        contact="operator",
        kind="group",
        at=T0,
        decided_at=1_000_000,
        channel="relay:25",
        severity="critical",
        incidents=("aa", "bb"),
        kinds=("trouble", "recovery"),
        roots=("wan:x", "lan:y"),
        opened=(1, 2),
        also=(("cc",), ()),
        members=(("down:u",), ()),
        thread="hd-8",
    )
    assert list(NotificationLog(tmp_path).mail_entries(T0 + 1)) == []
    (told,) = sent_notices([found, found, msgspec.structs.replace(found, ident="hd-7", channel=WEBHOOK)])
    assert (told.ident, told.at, told.kind, told.also, told.members) == (
        "hd-9",
        1_000_000,
        "group",
        found.also,
        found.members,
    )


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 400), garbage=st.binary(max_size=20))
def test_a_torn_end_costs_only_its_own_line(tmp_path_factory: pytest.TempPathFactory, cut: int, garbage: bytes) -> None:
    directory = tmp_path_factory.mktemp("journal")
    journal = NotificationLog(directory)
    for n in range(3):
        put(journal, f"hd-{n}")
    journal.close()
    (file,) = directory.iterdir()
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    last = lines[-1][: max(0, len(lines[-1]) - 1 - cut)]  # at least its end is lost
    file.write_bytes(b"".join(lines[:2]) + last + garbage.replace(b"\n", b"?"))
    journal = NotificationLog(directory)
    put(journal, "hd-after")
    journal.close()
    again = NotificationLog(directory)
    assert [again.contains(f"hd-{n}", T0) for n in range(2)] == [True, True]
    assert again.contains("hd-after", T0)


def test_old_days_are_let_go_by_count_not_by_a_clock_that_may_be_wrong(tmp_path: Path) -> None:
    journal = NotificationLog(tmp_path, keep_days=30)
    for day in range(40):
        put(journal, f"hd-{day}", T0 + day * DAY)
    assert len(list(tmp_path.iterdir())) == 30
    put(journal, "hd-of-2099", T0 + 73 * 365 * DAY)
    again = NotificationLog(tmp_path, keep_days=30)
    assert len(list(tmp_path.iterdir())) == 30
    assert again.contains("hd-39", T0 + 39 * DAY)
    assert not again.contains("hd-9", T0 + 9 * DAY)
    journal.close()


def test_memory_is_bounded_and_forgets_nothing(tmp_path: Path) -> None:
    journal = NotificationLog(tmp_path, in_memory=10)
    for n in range(50):
        put(journal, f"hd-{n}", T0 + n * DAY // 10)
    assert len(journal._recent_keys) == 10
    for one in (journal, NotificationLog(tmp_path, in_memory=10)):
        assert all(one.contains(f"hd-{n}", T0 + n * DAY // 10 - 1000) for n in range(50))
        assert not one.contains("hd-50", T0)
    journal.close()


def test_it_is_for_our_eyes_only(tmp_path: Path) -> None:
    journal = NotificationLog(tmp_path / "journal")
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
    journal.close()


async def test_a_restored_database_sends_nothing_twice(tmp_path: Path) -> None:
    server = FakeRelay()
    async with relays_running(server):
        desk = SenderWorld(tmp_path, server.relay())
        await desk.outbox.add(outgoing_mail("hd-1"), outgoing_mail("hd-2"))
        await desk.send()
        for row in desk.outbox.rows.values():
            row.state, row.due = "waiting", 0  # as yesterday's copy has it
        await desk.close()
        desk.start()
        await desk.outbox.add(outgoing_mail("hd-3"))
        await desk.send()
        assert server.idents == ["hd-1", "hd-2", "hd-3"]
        assert set(desk.outbox.states().values()) == {"sent"}
        assert desk.counts.duplicates_avoided == 2
        await desk.close()


async def test_a_journal_that_cannot_be_written_stops_no_mail_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = FakeRelay()
    async with relays_running(server):
        desk = SenderWorld(tmp_path, server.relay())
        await desk.outbox.add(outgoing_mail("hd-1"), outgoing_mail("hd-2", made=1_060_000))

        def full(handle: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            await desk.send()
        assert desk.outbox.states()["hd-1"] == "sent"
        ((what, said),) = desk.counts.problems(desk.clock.wall_ms())
        assert (what, said.values["reason"]) == ("journal", "No space left on device")
        await desk.advance(60)
        assert server.idents == ["hd-1", "hd-2"]
        assert desk.counts.problems(desk.clock.wall_ms()) == []
        await desk.close()


async def test_a_full_disk_that_takes_neither_line_nor_row_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Journal and database are on one disk, and fail together."""
    server = FakeRelay()
    async with relays_running(server):
        desk = SenderWorld(tmp_path, server.relay())
        await desk.outbox.add(outgoing_mail("hd-1"))

        def full(*arguments: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            patched.setattr(desk.outbox, "_done", full)
            for _ in range(5):
                assert await desk.sender._run_once_guarded() > 0
        assert server.idents == ["hd-1"]
        await desk.send()
        await desk.outbox.add(outgoing_mail("hd-2"))
        await desk.send()
        assert server.idents == ["hd-1", "hd-2"]
        assert desk.outbox.states() == {"hd-1": "sent", "hd-2": "sent"}
        await desk.close()
        again = NotificationLog(tmp_path / "journal")
        assert [one.ident for one in sent_notices(again.mail_entries())] == ["hd-1", "hd-2"]  # the line was made up for
