"""A restored book and the journal of what was really sent."""

import msgspec
from msgspec.structs import replace

from alerts.incident.reconcile import SentNotice, reconcile
from alerts.incident.state import IncidentState, with_incidents, without_incidents
from inventory.model.alerting import Alerting
from tests.support.incident_world import DAY, HOUR, MINUTE, SECOND, IncidentDriver, province, recipients
from tests.support.notices import sent_notice


class Restored(IncidentDriver):
    """A driver that journals every notice as sent and can go back to an older book."""

    def __init__(self, **more: object) -> None:
        self.journal: list[SentNotice] = []
        super().__init__(province(Alerting(**more)))  # type: ignore[arg-type]

    def step(self, *commands, **more):  # type: ignore[no-untyped-def]
        notices = super().step(*commands, **more)
        self.journal += [sent_notice(notice, self.book) for notice in notices]
        return notices

    def back_to(self, book: IncidentState) -> None:
        written = msgspec.json.encode(self.journal)
        self.book = reconcile(book, msgspec.json.decode(written, type=list[SentNotice]))
        self.notices.clear()


def test_what_was_told_and_is_still_wrong_keeps_key_and_thread_and_is_not_told_anew():
    world = Restored()
    old = world.book
    world.fails("north-web", root="wan:north")
    first = {notice.contact: notice.ident for notice in world.run(10 * SECOND)}
    key = world.open[0].key
    world.back_to(old)
    assert world.run(HOUR, MINUTE) == []
    (incident,) = world.open
    assert (incident.key, incident.cause.root, incident.cause.cause) == (key, "wan:north", "wan")
    assert incident.members["down:north-web"].subject.check == "north-web"
    world.recovers("north-web")
    recoveries = world.run(2 * MINUTE)
    assert recipients(recoveries) == [("north-admin", "recovery"), ("ops", "recovery")]
    assert {notice.contact: notice.thread for notice in recoveries} == first


def test_what_was_told_and_is_over_gets_its_recovery_once():
    world = Restored()
    old = world.book
    world.fails("north-web")
    world.run(10 * SECOND)
    world.recovers("north-web")
    world.back_to(old)
    assert recipients(world.run(2 * MINUTE)) == [("north-admin", "recovery"), ("ops", "recovery")]
    world.back_to(old)
    assert world.run(HOUR, MINUTE) == [] and world.open == []


def test_it_stays_open_while_its_site_is_silent():
    world = Restored()
    old = world.book
    world.fails("north-web")
    world.run(10 * SECOND)
    world.recovers("north-web")
    world.silent = frozenset({"down:north-web"})
    world.back_to(old)
    assert world.run(5 * HOUR, MINUTE) == [] and len(world.open) == 1


def test_a_journal_without_members_gives_them_a_quarter_of_an_hour_to_turn_up():
    world = Restored()
    old = world.book
    world.fails("north-web")
    world.run(10 * SECOND)
    wrong = dict(world.problems)
    world.recovers("north-web")
    journal = world.journal
    world.journal = [replace(entry, members=(), also=(), kinds=()) for entry in journal]
    world.back_to(old)
    assert world.run(14 * MINUTE) == []
    world.problems = wrong
    assert world.run(HOUR, MINUTE) == []
    world.problems = {}
    assert len(world.run(2 * MINUTE)) == 2


def test_a_journal_without_roots_finds_them_by_the_members():
    world = Restored()
    old = world.book
    world.fails("north-web")
    world.run(10 * SECOND)
    world.journal = [replace(entry, roots=()) for entry in world.journal]
    world.back_to(old)
    assert world.run(HOUR, MINUTE) == []
    assert [incident.cause.root for incident in world.open] == ["service:north-web"]


def test_who_was_told_that_it_is_over_is_not_told_again_and_the_others_are():
    world = Restored()
    world.fails("north-web")
    world.run(10 * SECOND)
    old = world.book
    world.recovers("north-web")
    world.run(2 * MINUTE)
    world.journal = [entry for entry in world.journal if (entry.contact, entry.kind) != ("ops", "recovery")]
    world.back_to(old)
    assert recipients(world.run(2 * MINUTE)) == [("ops", "recovery")]


def test_a_recovery_that_is_owed_for_days_is_on_record_with_its_incident():
    world = Restored()
    world.fails("north-web")
    world.run(10 * SECOND)
    old = world.book
    world.recovers("north-web")
    world.run(2 * MINUTE)
    world.journal = [entry for entry in world.journal if (entry.contact, entry.kind) != ("ops", "recovery")]
    world.at += 5 * DAY
    world.back_to(old)
    (recovery,) = [notice for notice in world.run(3 * SECOND) if notice.kind != "digest"]
    assert (recovery.contact, recovery.kind) == ("ops", "recovery")
    incident = world.book.incident(recovery.incidents[0])
    assert incident is not None and incident.notified["ops"].recovered
    assert world.turn is not None and incident in world.turn.changed


def test_what_is_wrong_again_after_its_recovery_is_told_as_new():
    world = Restored()
    world.fails("north-web")
    world.run(10 * SECOND)
    key = world.open[0].key
    old = world.book
    world.recovers("north-web")
    world.run(2 * MINUTE)
    world.back_to(old)
    world.fails("north-web")
    assert recipients(world.run(10 * SECOND)) == [("north-admin", "trouble"), ("ops", "trouble")]
    assert world.open[0].key != key


def test_incidents_that_were_merged_since_the_copy_end_once():
    world = Restored()
    for uid in ("north-web", "south-web"):
        world.fails(uid)
        world.run(5 * SECOND)
    old = world.book
    for uid in ("north-web", "south-web"):
        world.change_root(uid, "power:hub")
    world.run(10 * MINUTE, 5 * SECOND)
    world.recovers("north-web", "south-web")
    assert len(world.run(2 * MINUTE)) == 3
    world.back_to(old)
    assert world.run(HOUR, MINUTE) == [] and world.open == [] and world.book.ended == {}


def test_the_books_incident_and_the_journals_of_the_same_root_become_one():
    world = Restored()
    world.fails("north-web", severity="info")  # told to nobody
    world.run(10 * SECOND)
    old = world.book
    world.recovers("north-web")
    world.run(2 * MINUTE)
    world.fails("north-web")
    world.run(10 * SECOND)
    assert len(world.notices) == 2
    world.back_to(old)
    assert world.run(HOUR, MINUTE) == []
    assert [incident.cause.root for incident in world.open] == ["service:north-web"]
    world.recovers("north-web")
    assert recipients(world.run(2 * MINUTE)) == [("north-admin", "recovery"), ("ops", "recovery")]


def test_a_root_that_was_revised_since_the_copy_is_taken_over():
    world = Restored()
    world.fails("north-web")
    world.run(10 * SECOND)
    old = world.book
    world.change_root("north-web", "wan:north")
    world.run(10 * MINUTE, 5 * SECOND)
    world.fails("north-dns", root="wan:north")
    world.recovers("north-web")
    world.back_to(old)
    assert world.run(HOUR, MINUTE) == []
    (incident,) = world.open
    assert incident.cause.root == "wan:north" and len(incident.notified) == 2


def test_a_member_that_became_an_incident_of_its_own_since_the_copy_is_in_that_one():
    world = Restored()
    for uid in ("north-web", "north-dns"):
        world.fails(uid, root="wan:north")
    world.run(10 * SECOND)
    old = world.book
    world.change_root("north-dns", "service:north-dns")
    assert len(world.run(10 * SECOND)) == 2
    world.back_to(old)
    where = {name: one.cause.root for one in world.open for name in one.members}
    assert where == {"down:north-web": "wan:north", "down:north-dns": "service:north-dns"}
    assert sum(len(one.members) for one in world.open) == 2
    assert world.run(HOUR, MINUTE) == []
    world.recovers("north-dns")
    assert recipients(world.run(2 * MINUTE)) == [("north-admin", "recovery"), ("ops", "recovery")]
    assert [one.cause.root for one in world.open] == ["wan:north"]


def test_repeats_and_the_cap_go_on_from_what_was_sent():
    world = Restored(cap=1)
    old = world.book
    world.fails("north-web")
    world.run(20 * HOUR + 30 * MINUTE, MINUTE)
    assert [kind for who, kind in recipients(world.notices) if who == "ops"] == ["trouble", *["repeat"] * 5]
    last = world.notices[-1].at
    world.back_to(old)
    assert world.run(10 * MINUTE, MINUTE) == []
    world.fails("north-dns")
    assert [notice.kind for notice in world.run(5 * SECOND) if notice.contact == "ops"] == ["summary"]
    repeats = [notice.at - last for notice in world.run(4 * HOUR, MINUTE) if "repeat" in notice.kinds]
    assert len(repeats) == 2 and all(4 * HOUR <= ms < 4 * HOUR + 2 * MINUTE for ms in repeats)


def test_a_digest_that_was_sent_is_not_sent_again():
    world = Restored()
    world.run(HOUR, MINUTE)
    old = world.book
    world.run(21 * HOUR, MINUTE)
    assert recipients(world.notices) == [("ops", "digest")]
    world.back_to(old)
    assert world.run(2 * HOUR, MINUTE) == []
    assert recipients(world.run(22 * HOUR, MINUTE)) == [("ops", "digest")]


def test_a_copy_of_the_very_moment_takes_up_what_went_out_then():
    world = Restored()
    world.fails("north-web")
    world.run(10 * SECOND)
    world.command("comment", world.open[0].key, text="seen")  # the book is written, nobody is told
    old = world.book
    world.fails("north-dns")
    world.inventory = province(Alerting(group_ms=0))
    assert recipients(world.step()) == [("north-admin", "trouble"), ("ops", "trouble")]
    assert world.journal[-1].at == old.at
    world.back_to(old)
    assert world.run(HOUR, MINUTE) == []


def test_what_the_book_knows_changes_nothing():
    world = Restored()
    world.fails("north-web")
    world.run(DAY, 10 * MINUTE)
    assert reconcile(world.book, world.journal) is world.book
    assert reconcile(IncidentState(), []) == IncidentState()


def test_a_store_may_keep_each_incident_in_a_row_of_its_own():
    world = IncidentDriver()
    world.fails("north-web")
    world.fails("south-web")
    world.run(10 * SECOND)
    world.recovers("south-web")
    world.run(61 * SECOND)
    assert world.book.open and world.book.ended
    rows = {**world.book.ended, **world.book.open}
    again = with_incidents(without_incidents(world.book), rows.values())
    assert again == world.book
    assert without_incidents(world.book).open == {} and without_incidents(world.book).queues == world.book.queues
