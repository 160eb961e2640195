"""Incidents on exact timelines: opened, told, grown, recovered; roots revised, merged, split."""

import re

from msgspec.structs import replace

from alerts.incident.problem import PastProblem
from tests.support.incident_world import HOUR, MINUTE, SECOND, START, IncidentDriver, down, recipients


def test_a_trouble_is_told_after_the_window_and_its_recovery_when_it_is_over():
    world = IncidentDriver()
    world.fails("north-web")
    assert world.step() == []
    (incident,) = world.open
    assert (incident.opened, incident.noticed, incident.cause.root) == (START, START, "service:north-web")
    first = world.run(2 * SECOND)
    assert recipients(first) == [("north-admin", "trouble"), ("ops", "trouble")]
    assert {notice.at for notice in first} == {START + 2 * SECOND}
    assert world.run(10 * MINUTE, MINUTE) == []

    world.recovers("north-web")
    over = world.at
    assert world.step() == []
    assert world.run(59 * SECOND) == []
    assert world.open[0].recovering == over
    last = world.run(4 * SECOND)
    assert recipients(last) == [("north-admin", "recovery"), ("ops", "recovery")]
    assert [notice.thread for notice in last] == [notice.ident for notice in first]
    assert world.open == [] and world.closed[0].resolution == "recovered" and world.closed[0].ended == over
    assert world.run(10 * MINUTE, MINUTE) == []


def test_what_is_over_within_the_window_is_told_to_nobody_and_is_on_record():
    world = IncidentDriver()
    world.fails("north-web")
    world.run(1 * SECOND)
    world.recovers("north-web")
    assert world.run(5 * MINUTE) == []
    assert [incident.resolution for incident in world.closed] == ["recovered"]


def test_what_is_not_confirmed_opens_nothing_joins_nothing_and_keeps_open():
    world = IncidentDriver()
    world.fails("north-web", confirmed=False)
    assert world.run(5 * SECOND) == [] and world.open == []
    world.fails("north-web")
    world.fails("north-dns", root="service:north-web", confirmed=False)
    world.run(5 * SECOND)
    (incident,) = world.open
    assert set(incident.members) == {"down:north-web"}
    world.recovers("north-dns")
    world.fails("north-web", confirmed=False)  # up for one look: not yet over
    world.run(5 * MINUTE, 10 * SECOND)
    assert world.open[0].recovering is None
    world.recovers("north-web")
    world.run(2 * MINUTE)
    assert world.open == []


def test_a_doubtful_look_in_the_quiet_time_starts_it_again_without_a_relapse():
    world = IncidentDriver()
    world.fails("north-web")
    world.run(5 * SECOND)
    world.recovers("north-web")
    world.run(50 * SECOND)
    world.fails("north-web", confirmed=False)
    world.run(5 * SECOND)
    world.recovers("north-web")
    assert world.run(59 * SECOND) == []
    assert [entry.what for entry in world.open[0].history if entry.what == "relapsed"] == []
    assert len(world.run(5 * SECOND)) == 2


def test_a_relapse_within_the_quiet_time_is_the_same_incident_and_no_mail():
    world = IncidentDriver()
    world.fails("north-web")
    world.run(5 * SECOND)
    key = world.open[0].key
    world.recovers("north-web")
    world.run(30 * SECOND)
    world.fails("north-web")
    assert world.run(2 * MINUTE) == []
    assert [incident.key for incident in world.open] == [key]
    whats = [entry.what for entry in world.open[0].history]
    assert whats == ["opened", "told", "told", "recovering", "relapsed"]


def test_the_longest_quiet_time_of_the_members_counts():
    world = IncidentDriver()
    world.fails("north-web", root="wan:north")
    world.fails("north-dns", root="wan:north", recover_ms=5 * MINUTE)
    world.run(5 * SECOND)
    world.recovers("north-web", "north-dns")
    assert world.run(4 * MINUTE + 59 * SECOND) == []
    assert recipients(world.run(4 * SECOND)) == [("north-admin", "recovery"), ("ops", "recovery")]


def test_troubles_of_one_root_are_one_incident_and_one_mail():
    world = IncidentDriver()
    for uid in ("north-web", "north-dns", "north-mail"):
        world.fails(uid, root="wan:north")
        world.run(1 * SECOND)
    assert recipients(world.notices) == [("north-admin", "trouble"), ("ops", "trouble")]
    (incident,) = world.open
    assert list(incident.members) == ["down:north-web", "down:north-dns", "down:north-mail"]
    assert [entry.what for entry in incident.history].count("grew") == 2


class TestRoots:
    def test_a_revised_root_keeps_the_key_and_is_said_once_in_the_thread_not_at_once(self):
        world = IncidentDriver()
        world.fails("north-web")
        first = world.run(5 * SECOND)
        key = world.open[0].key
        world.change_root("north-web", "wan:north")
        assert world.run(4 * MINUTE) == []
        updates = world.run(2 * MINUTE)
        assert recipients(updates) == [("north-admin", "update"), ("ops", "update")]
        assert [notice.thread for notice in updates] == [notice.ident for notice in first]
        (incident,) = world.open
        assert (incident.key, incident.cause.root, incident.roots) == (
            key,
            "wan:north",
            ("service:north-web", "wan:north"),
        )
        assert world.run(10 * MINUTE, 10 * SECOND) == []

    def test_a_root_that_is_revised_there_and_back_is_not_said(self):
        world = IncidentDriver()
        world.fails("north-web")
        world.run(5 * SECOND)
        world.change_root("north-web", "wan:north")
        world.run(1 * MINUTE)
        world.change_root("north-web", "service:north-web")
        assert world.run(20 * MINUTE, 10 * SECOND) == []

    def test_a_cause_revised_under_the_same_root_is_an_update(self):
        world = IncidentDriver()
        world.fails("north-web", root="wan:north", cause="not known")
        world.run(5 * SECOND)
        world.change_root("north-web", "wan:north", cause="wan")
        assert recipients(world.run(6 * MINUTE)) == [("north-admin", "update"), ("ops", "update")]

    def test_incidents_that_turn_out_to_be_one_are_merged_into_the_oldest_and_nobody_is_told_anew(self):
        world = IncidentDriver()
        for uid in ("north-web", "north-dns", "north-mail"):
            world.fails(uid)
            world.run(5 * SECOND)
        assert len(world.open) == 3 and len(world.notices) == 6
        oldest = min(world.open, key=lambda incident: incident.opened).key
        threads = {who: notice.ident for notice in reversed(world.notices) for who in [notice.contact]}
        world.notices.clear()
        for uid in ("north-web", "north-dns", "north-mail"):
            world.change_root(uid, "wan:north")
        world.run(10 * SECOND)
        (incident,) = world.open
        assert (incident.key, len(incident.members), len(incident.absorbed)) == (oldest, 3, 2)
        assert {one.resolution: one.into for one in world.closed} == {"merged": oldest}
        world.run(10 * MINUTE, 5 * SECOND)
        assert recipients(world.notices) == [("north-admin", "update"), ("ops", "update")]
        world.recovers("north-web", "north-dns", "north-mail")
        recoveries = world.run(2 * MINUTE)
        assert recipients(recoveries) == [("north-admin", "recovery"), ("ops", "recovery")]
        assert {notice.contact: notice.thread for notice in recoveries} == threads

    def test_who_was_told_of_what_was_merged_learns_the_end_in_the_thread_that_they_have(self):
        world = IncidentDriver()
        world.fails("north-web", root="wan:north")  # told to north's admin
        world.run(5 * SECOND)
        world.run(1 * SECOND)
        world.fails("south-web")  # told to south's
        second = {notice.contact: notice.ident for notice in world.run(5 * SECOND)}
        world.change_root("north-web", "power:hub")
        world.change_root("south-web", "power:hub")
        world.run(10 * SECOND)
        world.recovers("north-web", "south-web")
        recoveries = {notice.contact: notice for notice in world.run(2 * MINUTE)}
        assert set(recoveries) == {"north-admin", "south-admin", "ops"}
        assert recoveries["south-admin"].thread == second["south-admin"]

    def test_a_member_with_another_root_becomes_an_incident_of_its_own_that_is_told(self):
        world = IncidentDriver()
        for uid in ("north-web", "north-dns"):
            world.fails(uid, root="wan:north")
        world.run(5 * SECOND)
        world.notices.clear()
        world.change_root("north-dns", "service:north-dns")
        assert recipients(world.run(5 * SECOND)) == [("north-admin", "trouble"), ("ops", "trouble")]
        assert sorted(incident.cause.root for incident in world.open) == ["service:north-dns", "wan:north"]
        assert all("split" in [entry.what for entry in incident.history] for incident in world.open)
        world.recovers("north-web", "north-dns")
        assert recipients(world.run(2 * MINUTE)) == [("north-admin", "group"), ("ops", "group")]

    def test_a_member_with_the_root_of_another_incident_goes_there(self):
        world = IncidentDriver()
        for uid in ("north-web", "north-dns"):
            world.fails(uid, root="wan:north")
        world.fails("north-mail")
        world.run(5 * SECOND)
        world.change_root("north-dns", "service:north-mail")
        world.run(10 * SECOND)
        assert sorted((one.cause.root, len(one.members)) for one in world.open) == [
            ("service:north-mail", 2),
            ("wan:north", 1),
        ]
        assert len(world.notices) == 2

    def test_roots_that_are_swapped_end_with_one_incident_a_root(self):
        world = IncidentDriver()
        world.fails("north-web")
        world.fails("north-dns")
        world.run(5 * SECOND)
        world.change_root("north-web", "service:north-dns")
        world.change_root("north-dns", "service:north-web")
        world.run(5 * SECOND)
        assert sorted(incident.cause.root for incident in world.open) == ["service:north-dns", "service:north-web"]
        world.recovers("north-web", "north-dns")
        world.run(2 * MINUTE)
        assert world.open == []

    def test_what_comes_back_with_another_root_is_another_incident(self):
        world = IncidentDriver()
        for uid in ("north-web", "north-dns"):
            world.fails(uid, root="wan:north")
        world.run(5 * SECOND)
        world.recovers("north-web", "north-dns")
        world.run(10 * SECOND)
        world.fails("north-dns")
        world.run(5 * SECOND)
        assert sorted(incident.cause.root for incident in world.open) == ["service:north-dns", "wan:north"]
        world.run(1 * MINUTE)
        assert [incident.cause.root for incident in world.open] == ["service:north-dns"]

    def test_what_comes_back_with_an_earlier_root_is_the_same_incident(self):
        world = IncidentDriver()
        world.fails("north-web")
        world.run(5 * SECOND)
        world.change_root("north-web", "wan:north")
        world.run(5 * SECOND)
        world.recovers("north-web")
        world.run(10 * SECOND)
        world.fails("north-web")  # the verdict on the link is still to come
        world.run(5 * SECOND)
        (incident,) = world.open
        assert incident.cause.root == "service:north-web" and len(world.notices) == 2


class TestWhatIsNotKnown:
    def test_members_behind_a_silent_site_stay_as_they_are_and_nothing_is_said_of_them(self):
        world = IncidentDriver()
        world.fails("north-web")
        world.run(5 * SECOND)
        world.recovers("north-web")
        world.silent = frozenset({"down:north-web", "down:north-dns"})
        assert world.run(2 * 24 * 60 * MINUTE, 30 * MINUTE) != []  # the digests
        assert {notice.kind for notice in world.notices[2:]} == {"digest"}
        (incident,) = world.open
        assert incident.recovering is None and not incident.members["down:north-web"].known
        world.silent = frozenset()
        world.run(2 * MINUTE)
        assert world.open == []
        assert [notice.kind for notice in world.notices[-2:]] == ["recovery", "recovery"]

    def test_what_becomes_silent_before_it_was_told_is_told_only_if_it_is_still_wrong(self):
        world = IncidentDriver()
        world.fails("north-web")
        world.run(1 * SECOND)
        trouble = world.problems.pop("down:north-web")
        world.silent = frozenset({"down:north-web"})
        assert world.run(10 * MINUTE) == []
        world.silent = frozenset()
        world.problems[trouble.key] = trouble
        assert len(world.run(3 * SECOND)) == 2

    def test_what_was_up_at_its_last_look_is_not_told_until_it_is_down_again(self):
        world = IncidentDriver()
        world.fails("north-web")
        world.run(SECOND)
        trouble = world.problems["down:north-web"]
        world.problems[trouble.key] = replace(trouble, confirmed=False)
        assert world.run(MINUTE) == []
        world.problems[trouble.key] = trouble
        assert len(world.run(3 * SECOND)) == 2

    def test_what_left_the_inventory_is_withdrawn_at_once_and_said(self):
        world = IncidentDriver()
        world.fails("north-web")
        world.run(5 * SECOND)
        world.recovers("north-web")
        world.gone = frozenset({"down:north-web"})
        assert recipients(world.run(4 * SECOND)) == [("north-admin", "recovery"), ("ops", "recovery")]
        assert world.closed[0].resolution == "withdrawn"


class TestSeverity:
    def test_a_severity_that_rises_is_said_once_and_told_to_those_whom_it_concerns_now(self):
        world = IncidentDriver()
        world.fails("north-web", severity="warning")
        assert recipients(world.run(5 * SECOND)) == [("north-admin", "trouble")]
        world.fails("north-dns", root="service:north-web")
        assert recipients(world.run(5 * SECOND)) == [("north-admin", "update"), ("ops", "trouble")]
        world.recovers("north-dns")
        world.run(1 * MINUTE)
        assert world.open[0].severity == "warning"
        world.fails("north-dns", root="service:north-web")
        world.run(1 * MINUTE)
        assert world.open[0].severity == "critical" and len(world.notices) == 3
        world.recovers("north-web", "north-dns")
        assert recipients(world.run(2 * MINUTE)) == [("north-admin", "recovery"), ("ops", "recovery")]

    def test_info_is_told_to_nobody(self):
        world = IncidentDriver()
        world.fails("north-web", severity="info")
        assert world.run(10 * MINUTE) == [] and world.open[0].severity == "info"


class TestKeys:
    def test_the_same_history_gives_the_same_keys_and_idents(self):
        def play() -> list[tuple[str, str, tuple[str, ...]]]:
            world = IncidentDriver()
            world.fails("north-web")
            world.fails("south-web", root="wan:south")
            world.run(5 * SECOND)
            world.recovers("north-web")
            world.run(2 * MINUTE)
            return [(notice.ident, notice.thread, notice.incidents) for notice in world.notices]

        assert play() == play()

    def test_two_incidents_of_one_root_and_beginning_have_two_keys(self):
        world = IncidentDriver()
        world.fails("north-web")
        world.run(5 * SECOND)
        world.recovers("north-web")
        world.run(2 * MINUTE)
        world.problems["down:north-web"] = down("north-web", START)
        world.run(5 * SECOND)
        assert world.open[0].opened == world.closed[0].opened == START
        assert world.open[0].key != world.closed[0].key
        assert len({notice.ident for notice in world.notices}) == len(world.notices) == 6
        assert all(re.fullmatch(r"[a-z0-9.-]{1,40}", notice.ident) for notice in world.notices)
        assert all(re.fullmatch(r"[0-9a-f]{16}", one.key) for one in (*world.open, *world.closed))


class TestLateEvidence:
    def test_what_was_over_when_it_came_to_light_is_recorded_and_told_to_nobody(self):
        world = IncidentDriver()
        past = tuple(
            PastProblem(problem=down(uid, START - 3 * HOUR, "wan:north"), until=START - 2 * HOUR, late_ms=2 * HOUR)
            for uid in ("north-web", "north-dns")
        )
        assert world.step(past=past) == []
        (incident,) = world.closed
        assert (incident.resolution, incident.opened, incident.ended) == ("late", START - 3 * HOUR, START - 2 * HOUR)
        assert set(incident.members) == {"down:north-web", "down:north-dns"}
        assert world.run(10 * MINUTE, MINUTE) == []
        world.step(past=past)
        assert len(world.closed) == 1

    def test_two_stretches_of_one_root_are_two(self):
        world = IncidentDriver()
        world.step(
            past=tuple(
                PastProblem(
                    problem=down("north-web", START - hours * HOUR), until=START - (hours - 1) * HOUR, late_ms=HOUR
                )
                for hours in (9, 3)
            )
        )
        assert len(world.closed) == 2

    def test_what_came_and_went_within_a_longer_one_is_one(self):
        world = IncidentDriver()
        stretches = (("north-web", 9, 2), ("north-dns", 8, 7), ("north-dns", 5, 4))
        past = tuple(
            PastProblem(problem=down(uid, START - since * HOUR, "lan:north"), until=START - until * HOUR, late_ms=HOUR)
            for uid, since, until in stretches
        )
        world.step(past=past)
        world.step(past=past)
        (incident,) = world.closed
        member = incident.members["down:north-dns"]
        assert (member.since, member.until) == (START - 8 * HOUR, START - 4 * HOUR)

    def test_the_true_end_of_what_was_open_is_taken_over_and_it_is_recorded_once(self):
        world = IncidentDriver()
        world.fails("north-web")
        world.run(5 * SECOND)
        world.recovers("north-web")
        world.silent = frozenset({"down:north-web"})
        world.run(3 * HOUR, MINUTE)
        world.silent = frozenset()
        past = PastProblem(problem=down("north-web", START), until=START + HOUR, late_ms=2 * HOUR)
        world.step(past=(past,))
        world.run(2 * MINUTE)
        (incident,) = world.closed
        assert (incident.resolution, incident.ended) == ("recovered", START + HOUR)
        assert [notice.kind for notice in world.notices[-2:]] == ["recovery", "recovery"]


class TestFlapping:
    def flap(self, world: IncidentDriver, times: int, up: int = 20 * SECOND) -> None:
        for _ in range(times):
            world.fails("north-web")
            world.run(20 * SECOND)
            world.recovers("north-web")
            world.run(up)

    def test_it_is_said_once_then_it_is_quiet_until_it_has_been_well_for_long(self):
        world = IncidentDriver()
        self.flap(world, 2)
        assert recipients(world.notices) == [
            ("north-admin", "trouble"),
            ("ops", "trouble"),
            ("north-admin", "update"),
            ("ops", "update"),
        ]
        self.flap(world, 50)
        assert len(world.notices) == 4
        (incident,) = world.open
        assert incident.flapping and len(incident.changes) == 104
        assert [entry.what for entry in incident.history].count("relapsed") == 1
        world.run(14 * MINUTE)
        assert world.open and len(world.notices) == 4
        assert recipients(world.run(2 * MINUTE)) == [("north-admin", "recovery"), ("ops", "recovery")]

    def test_it_is_said_when_it_stays_down_after_all(self):
        world = IncidentDriver()
        self.flap(world, 3)
        world.notices.clear()
        world.fails("north-web")
        assert world.run(14 * MINUTE) == []
        assert recipients(world.run(2 * MINUTE)) == [("north-admin", "update"), ("ops", "update")]
        assert not world.open[0].flapping
        assert len(world.run(5 * HOUR, MINUTE)) == 2  # repeats again

    def test_slow_flapping_across_closed_incidents_counts(self):
        world = IncidentDriver()
        self.flap(world, 2, up=3 * MINUTE)
        kinds = [kind for who, kind in recipients(world.notices) if who == "ops"]
        assert kinds == ["trouble", "recovery", "trouble", "update"]
        self.flap(world, 3, up=3 * MINUTE)
        assert len(world.notices) == 8
        assert len(world.open) == 1 and len(world.closed) == 1

    def test_turns_an_hour_apart_are_no_flapping(self):
        world = IncidentDriver()
        self.flap(world, 4, up=65 * MINUTE)
        assert [kind for who, kind in recipients(world.notices) if who == "ops"] == ["trouble", "recovery"] * 4
