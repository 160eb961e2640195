"""Who is told when and how often: repeats, hours, escalation, maintenance, standby, grouping, the cap."""

import itertools
from collections import Counter

import pytest
from msgspec.structs import replace

from inventory.model.alerting import Alerting, Escalation, Group, Route
from inventory.model.entities import Calendar, Hours, Inventory
from inventory.model.selectors import Selector
from tests.support.incident_world import DAY, HOUR, MINUTE, SECOND, START, IncidentDriver, province, recipients

ALL = (0, 1, 2, 3, 4, 5, 6)
OFFICE = Calendar(id="office", name=province().province.name, service=(Hours(ALL, 7 * 60, 17 * 60),))


def routed(*routes: Route, **more: object) -> Inventory:
    return province(Alerting(routes=routes, digest=None, **more), (OFFICE,))  # type: ignore[arg-type]


def ops(**more: object) -> Route:
    return Route(id="ops", to=("ops",), **more)  # type: ignore[arg-type]


class TestRepeats:
    def test_it_is_said_again_at_the_routes_interval_in_the_same_thread(self):
        world = IncidentDriver(routed(ops(repeat_ms=HOUR)))
        world.fails("north-web")
        (first,) = world.run(5 * SECOND)
        repeats = world.run(3 * HOUR, SECOND * 30)
        assert recipients(repeats) == [("ops", "repeat")] * 2
        assert {notice.thread for notice in repeats} == {first.ident}
        apart = [later.at - sooner.at for sooner, later in itertools.pairwise(world.notices)]
        assert all(HOUR <= ms <= HOUR + MINUTE for ms in apart)

    def test_acknowledged_means_no_repeats_and_still_a_recovery(self):
        world = IncidentDriver(routed(ops(repeat_ms=HOUR)))
        world.fails("north-web")
        world.run(5 * SECOND)
        world.command("acknowledge", world.open[0].key)
        assert world.open[0].acked == ("ops", world.at)
        assert world.run(DAY, MINUTE) == []
        world.recovers("north-web")
        assert recipients(world.run(2 * MINUTE)) == [("ops", "recovery")]

    def test_snoozed_means_none_until_then(self):
        world = IncidentDriver(routed(ops(repeat_ms=HOUR)))
        world.fails("north-web")
        world.run(5 * SECOND)
        world.command("snooze", world.open[0].key, until=world.at + 5 * HOUR)
        assert world.run(5 * HOUR - SECOND, MINUTE) == []
        assert recipients(world.run(MINUTE)) == [("ops", "repeat")]
        world.command("snooze", world.open[0].key, until=world.at + 5 * HOUR)
        world.recovers("north-web")
        assert recipients(world.run(2 * MINUTE)) == [("ops", "recovery")]

    def test_repeats_to_one_contact_fall_together(self):
        world = IncidentDriver(routed(ops(repeat_ms=HOUR)))
        for uid in ("north-web", "south-web", "hub-web"):
            world.fails(uid)
            world.run(5 * MINUTE)
        assert len(world.notices) == 3
        repeats = world.run(5 * HOUR, 10 * SECOND)
        assert [(notice.kind, len(notice.incidents)) for notice in repeats] == [("group", 3)] * 5
        assert {kind for notice in repeats for kind in notice.kinds} == {"repeat"}
        world.fails("north-dns")
        assert [len(notice.incidents) for notice in world.run(5 * SECOND)] == [1]  # what is new takes none along

    def test_never_again_if_the_route_says_so(self):
        world = IncidentDriver(routed(ops(repeat_ms=0)))
        world.fails("north-web")
        world.run(5 * SECOND)
        assert world.run(3 * DAY, 10 * MINUTE) == []


class TestCommands:
    def test_the_first_acknowledgement_counts_and_all_are_in_the_history(self):
        world = IncidentDriver()
        world.fails("north-web")
        world.run(5 * SECOND)
        world.command("acknowledge", world.open[0].key, who="ops")
        world.run(SECOND)
        world.command("acknowledge", world.open[0].key, who="boss", text="on my way")
        (incident,) = world.open
        assert incident.acked is not None and incident.acked[0] == "ops"
        assert [(entry.what, entry.who, entry.text) for entry in incident.history[-2:]] == [
            ("acknowledged", "ops", ""),
            ("acknowledged", "boss", "on my way"),
        ]

    def test_a_command_for_a_merged_incident_is_for_what_is_left(self):
        world = IncidentDriver()
        for uid in ("north-web", "north-dns"):
            world.fails(uid)
            world.run(SECOND)
        gone = max(world.open, key=lambda incident: incident.opened).key
        for uid in ("north-web", "north-dns"):
            world.change_root(uid, "wan:north")
        world.run(SECOND)
        world.command("acknowledge", gone)
        assert world.open[0].key != gone and world.open[0].acked

    def test_what_is_wrong_cannot_be_closed_only_acknowledged(self):
        world = IncidentDriver()
        world.fails("north-web")
        world.run(5 * SECOND)
        world.command("close", world.open[0].key)
        assert world.open[0].acked and world.open[0].open

    def test_what_nobody_hears_of_any_more_can_be_closed_and_comes_anew_if_it_is_still_wrong(self):
        world = IncidentDriver()
        world.fails("north-web")
        world.run(5 * SECOND)
        trouble = world.problems.pop("down:north-web")
        world.silent = frozenset({trouble.key})
        world.run(HOUR, MINUTE)
        world.command("close", world.open[0].key, who="boss")
        assert world.open == [] and world.closed[0].resolution == "by hand"
        assert recipients(world.run(5 * SECOND)) == [("north-admin", "recovery"), ("ops", "recovery")]
        world.problems[trouble.key] = trouble
        world.silent = frozenset()
        assert recipients(world.run(5 * SECOND)) == [("north-admin", "trouble"), ("ops", "trouble")]
        assert len({notice.ident for notice in world.notices}) == 6

    def test_comments_are_kept_also_on_what_is_closed_and_unknown_keys_do_nothing(self):
        world = IncidentDriver()
        world.fails("north-web")
        world.run(5 * SECOND)
        world.recovers("north-web")
        world.run(2 * MINUTE)
        world.command("comment", world.closed[0].key, text="the cable")
        assert world.closed[0].history[-1].text == "the cable"
        assert world.command("acknowledge", "0" * 16) == []


class TestEscalation:
    def inventory(self) -> Inventory:
        steps = (Escalation(after_ms=15 * MINUTE, to=("boss",)), Escalation(after_ms=HOUR, to=("night",)))
        return routed(ops(repeat_ms=0, steps=steps))

    def test_others_are_told_when_nobody_acknowledged(self):
        world = IncidentDriver(self.inventory())
        world.fails("north-web")
        (first,) = world.run(10 * SECOND)
        assert world.run(14 * MINUTE) == []
        (second,) = world.run(2 * MINUTE)
        assert (second.contact, second.kind, second.thread) == ("boss", "escalation", "")
        assert second.at == first.at + 15 * MINUTE + 2 * SECOND
        assert recipients(world.run(HOUR)) == [("night", "escalation")]
        assert [told.step for told in world.open[0].notified.values()] == [0, 1, 2]
        world.recovers("north-web")
        assert recipients(world.run(2 * MINUTE)) == [("boss", "recovery"), ("night", "recovery"), ("ops", "recovery")]

    @pytest.mark.parametrize("what", ["acknowledge", "snooze"])
    def test_not_when_somebody_did(self, what):
        world = IncidentDriver(self.inventory())
        world.fails("north-web")
        world.run(10 * MINUTE, MINUTE)
        world.command(what, world.open[0].key, until=world.at + DAY)
        assert world.run(5 * HOUR, MINUTE) == []

    def test_it_counts_from_the_incident_where_there_is_nobody_to_be_told_first(self):
        world = IncidentDriver(routed(Route(id="nobody", steps=(Escalation(after_ms=5 * MINUTE, to=("boss",)),))))
        world.fails("north-web")
        assert world.run(5 * MINUTE - SECOND) == []
        assert recipients(world.run(5 * SECOND)) == [("boss", "escalation")]


class TestHours:
    def test_what_comes_outside_of_them_waits_for_the_next_and_what_is_over_by_then_is_not_sent(self):
        world = IncidentDriver(routed(ops(calendar="office")))
        world.run(8 * HOUR, HOUR)  # 18:00
        world.fails("north-web")
        world.fails("south-web")
        assert world.run(6 * HOUR, MINUTE) == []
        world.recovers("south-web")
        assert world.run(7 * HOUR - MINUTE, MINUTE) == []
        notices = world.run(2 * MINUTE)
        assert recipients(notices) == [("ops", "trouble")]
        assert notices[0].at == START + 21 * HOUR + 2 * SECOND
        assert world.book.incident(notices[0].incidents[0]).cause.root == "service:north-web"

    def test_repeats_wait_and_recoveries_do_not(self):
        world = IncidentDriver(routed(ops(calendar="office", repeat_ms=HOUR)))
        world.run(6 * HOUR + 30 * MINUTE, HOUR)  # 16:30
        world.fails("north-web")
        assert len(world.run(MINUTE)) == 1
        assert world.run(14 * HOUR, MINUTE) == []
        assert recipients(world.run(HOUR, MINUTE)) == [("ops", "repeat")]
        world.run(10 * HOUR, MINUTE)
        world.recovers("north-web")
        assert recipients(world.run(2 * MINUTE)) == [("ops", "recovery")]


class TestExcluded:
    def test_maintenance_is_tracked_and_told_when_it_ends_and_it_is_still_wrong(self):
        world = IncidentDriver()
        world.fails("north-web", excluded=True)
        assert world.run(2 * HOUR, MINUTE) == []
        assert world.open[0].excluded
        world.fails("north-web", excluded=False)
        assert recipients(world.run(3 * SECOND)) == [("north-admin", "trouble"), ("ops", "trouble")]
        assert [entry.what for entry in world.open[0].history] == ["opened", "excluded", "included", "told", "told"]

    def test_no_repeats_in_it_and_the_recovery_goes_even_so(self):
        world = IncidentDriver(routed(ops(repeat_ms=HOUR)))
        world.fails("north-web")
        world.run(MINUTE)
        world.fails("north-web", excluded=True)
        assert world.run(5 * HOUR, MINUTE) == []
        world.recovers("north-web")
        assert recipients(world.run(2 * MINUTE)) == [("ops", "recovery")]

    def test_what_is_over_before_maintenance_ends_is_told_to_nobody(self):
        world = IncidentDriver()
        world.fails("north-web", excluded=True)
        world.run(HOUR, MINUTE)
        world.recovers("north-web")
        assert world.run(HOUR, MINUTE) == [] and world.open == []

    def test_one_member_that_is_not_in_maintenance_is_told(self):
        world = IncidentDriver()
        world.fails("north-web", root="wan:north", excluded=True)
        world.fails("north-dns", root="wan:north", severity="warning")
        assert recipients(world.run(5 * SECOND)) == [("north-admin", "trouble")]
        assert world.open[0].severity == "warning"


class TestStandby:
    def test_a_muted_collector_tells_nothing_and_once_what_is_still_wrong_when_that_ends(self):
        world = IncidentDriver()
        world.muted = True
        world.fails("north-web")
        world.fails("south-web")
        assert world.run(2 * DAY, 10 * MINUTE) == []
        world.recovers("south-web")
        world.run(2 * MINUTE)
        world.muted = False
        assert recipients(world.run(5 * SECOND)) == [("north-admin", "trouble"), ("ops", "trouble")]
        assert world.run(HOUR, MINUTE) == []

    def test_who_was_told_by_it_learns_the_end_even_when_it_is_muted_again(self):
        world = IncidentDriver()
        world.fails("north-web")
        world.run(5 * SECOND)
        world.muted = True
        world.recovers("north-web")
        assert recipients(world.run(2 * MINUTE)) == [("north-admin", "recovery"), ("ops", "recovery")]


class TestGrouping:
    def test_what_comes_within_the_window_is_one_mail_and_begins_the_thread_of_each(self):
        world = IncidentDriver(routed(ops(repeat_ms=HOUR)))
        world.fails("north-web", severity="warning")
        world.run(SECOND)
        world.fails("south-web")
        (group,) = world.run(5 * SECOND)
        assert (group.kind, group.kinds, group.thread, group.severity) == ("group", ("trouble",) * 2, "", "critical")
        roots = [world.book.incident(key).cause.root for key in group.incidents]
        assert roots == ["service:south-web", "service:north-web"]  # the worst first
        world.recovers("south-web")
        (recovery,) = world.run(2 * MINUTE)
        assert (recovery.kind, recovery.thread) == ("recovery", group.ident)
        (repeat,) = world.run(HOUR)
        assert (repeat.kind, repeat.thread) == ("repeat", group.ident)

    def test_recoveries_together_go_on_in_the_thread_of_the_oldest(self):
        world = IncidentDriver(routed(ops()))
        for uid in ("north-web", "south-web"):
            world.fails(uid)
            world.run(5 * SECOND)
        world.recovers("north-web", "south-web")
        (group,) = world.run(2 * MINUTE)
        assert (group.kind, group.kinds) == ("group", ("recovery", "recovery"))
        assert group.thread == world.notices[0].ident

    def test_something_new_in_it_begins_a_thread(self):
        world = IncidentDriver(routed(ops()))
        world.fails("north-web")
        world.run(5 * SECOND)
        world.recovers("north-web")
        world.run(59 * SECOND)
        world.fails("south-web")
        (group,) = world.run(5 * SECOND)
        assert set(group.kinds) == {"trouble", "recovery"} and group.thread == ""


class TestCap:
    def test_beyond_it_summaries_say_all_the_rest_and_everybody_learns_everything(self):
        world = IncidentDriver(routed(ops(), cap=3))
        for minute in range(60):
            for site in ("north", "south"):
                world.problems.clear()
                world.fails(f"{site}-web", root=f"service:{site}-{minute}")
                world.run(20 * SECOND)
        world.problems.clear()
        world.run(2 * HOUR, 5 * SECOND)
        kinds = Counter(notice.kind for notice in world.notices)
        assert kinds["summary"] >= 4
        for notice in world.notices:
            hour = [one for one in world.notices if notice.at - HOUR < one.at <= notice.at]
            assert sum(one.kind != "summary" for one in hour) <= 3
            assert sum(one.kind == "summary" for one in hour) <= 6
        told = Counter((key, kind) for one in world.notices for key, kind in zip(one.incidents, one.kinds, strict=True))
        assert set(told.values()) == {1}
        assert {key for key, kind in told if kind == "trouble"} == {key for key, kind in told if kind == "recovery"}

    def test_the_first_summary_goes_at_once_and_the_next_ten_minutes_later(self):
        world = IncidentDriver(routed(ops(), cap=1))
        for root in ("one", "two", "three"):
            world.fails(f"north-{['web', 'dns', 'mail'][len(world.notices)]}", root=f"service:{root}")
            world.run(5 * SECOND)
            if root == "three":
                break
        assert [notice.kind for notice in world.notices] == ["trouble", "summary"]
        assert world.run(9 * MINUTE) == []
        assert [notice.kind for notice in world.run(MINUTE)] == ["summary"]

    def test_repeats_wait_for_the_hour_and_make_no_summary(self):
        world = IncidentDriver(routed(ops(repeat_ms=10 * MINUTE), cap=2))
        world.fails("north-web")
        world.run(5 * SECOND)
        assert [notice.kind for notice in world.run(HOUR - MINUTE)] == ["repeat"]
        assert [notice.kind for notice in world.run(2 * MINUTE)] == ["repeat"]


class TestDigest:
    def test_it_goes_once_a_day_at_its_hour_to_whom_it_concerns_and_to_operators_always(self):
        world = IncidentDriver()
        world.fails("north-web")
        world.run(MINUTE)
        world.recovers("north-web")
        world.run(HOUR, MINUTE)
        key = world.closed[0].key
        world.notices.clear()
        world.run(2 * DAY, MINUTE)
        first, second, third = world.notices
        assert recipients([first, second, third]) == [("ops", "digest"), ("north-admin", "digest"), ("ops", "digest")]
        assert first.at == second.at == START + 21 * HOUR
        assert first.day == "2026-11-27" and third.day == "2026-11-28"
        assert first.incidents == second.incidents == (key,)
        assert third.incidents == ()

    def test_what_is_still_open_is_in_every_digest_and_what_was_never_sent_is_in_it(self):
        world = IncidentDriver(
            replace(routed(ops(calendar="office")), alerting=Alerting(routes=(ops(calendar="office"),)))
        )
        world.run(10 * HOUR, HOUR)
        world.fails("north-web", severity="info")
        world.fails("south-web")
        world.run(HOUR, MINUTE)
        world.recovers("south-web")
        (digest,) = world.run(DAY, MINUTE)
        roots = {world.book.incident(key).cause.root for key in digest.incidents}
        assert roots == {"service:north-web", "service:south-web"}
        (digest,) = world.run(DAY, MINUTE)
        assert {world.book.incident(key).cause.root for key in digest.incidents} == {"service:north-web"}

    def test_after_days_without_a_collector_one_goes(self):
        world = IncidentDriver()
        world.run(HOUR)
        world.at += 4 * DAY
        assert recipients(world.step()) == [("ops", "digest")]
        assert world.notices[-1].day == "2026-11-30"
        assert recipients(world.run(DAY, MINUTE)) == [("ops", "digest")]

    def test_nobody_gets_one_who_does_not_want_it_nor_where_it_is_off(self):
        quiet = province()
        contacts = {**quiet.contacts, "ops": replace(quiet.contacts["ops"], digest=False)}
        assert IncidentDriver(replace(quiet, contacts=contacts)).run(3 * DAY, HOUR) == []
        assert IncidentDriver(province(Alerting(digest=None))).run(3 * DAY, HOUR) == []


class TestInventoryThatChanges:
    def test_a_recovery_goes_to_those_whom_no_route_names_any_more(self):
        world = IncidentDriver(routed(ops()))
        world.fails("north-web")
        world.run(5 * SECOND)
        world.inventory = routed(Route(id="other", select=Selector(sites=("south",)), to=("boss",)))
        world.run(HOUR, MINUTE)
        world.recovers("north-web")
        assert recipients(world.run(2 * MINUTE)) == [("ops", "recovery")]

    def test_a_new_route_tells_what_is_open_already(self):
        world = IncidentDriver(routed(ops()))
        world.fails("north-web")
        world.run(5 * SECOND)
        team = Group(id="team", name=OFFICE.name, members=("boss", "ops"))
        world.inventory = routed(ops(), Route(id="other", to=("team",)), groups={"team": team})
        assert recipients(world.run(5 * SECOND)) == [("boss", "trouble")]

    def test_who_left_the_inventory_is_forgotten_and_holds_nothing_open(self):
        world = IncidentDriver(routed(ops(), Route(id="other", to=("boss",))))
        world.fails("north-web")
        world.run(5 * SECOND)
        contacts = {who: contact for who, contact in world.inventory.contacts.items() if who != "boss"}
        world.inventory = replace(world.inventory, contacts=contacts)
        world.recovers("north-web")
        assert recipients(world.run(2 * MINUTE)) == [("ops", "recovery")]
        assert world.book.ended == {} and "boss" not in world.book.queues


def test_the_machine_says_when_it_wants_to_be_asked_again():
    world = IncidentDriver(routed(ops()))
    assert world.turn.wake_at is None
    world.fails("north-web")
    world.step()
    assert world.turn.wake_at == START + 2 * SECOND
    world.run(5 * SECOND)
    assert world.turn.wake_at is None
    world.recovers("north-web")
    world.step()
    assert world.turn.wake_at == START + 65 * SECOND


def test_what_is_closed_is_forgotten_when_the_digests_have_told_it():
    world = IncidentDriver()
    world.fails("north-web")
    world.run(5 * SECOND)
    world.recovers("north-web")
    world.run(2 * MINUTE)
    world.run(25 * HOUR, 10 * MINUTE)
    assert world.closed
    world.run(2 * HOUR, 10 * MINUTE)
    assert world.closed == []


def test_a_history_is_kept_to_its_first_and_latest_lines():
    world = IncidentDriver()
    world.fails("north-web")
    world.run(5 * SECOND)
    for number in range(700):
        world.at += SECOND
        world.command("comment", world.open[0].key, text=str(number))
    history = world.open[0].history
    assert len(history) == 500 and history[0].what == "opened" and history[-1].text == "699"
