"""Who is told of an incident: routes, agencies, groups, rosters, hours, defaults."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from alerts.incident.entities import Incident, IncidentMember, NotifiedContact
from alerts.incident.problem import Cause, Subject
from alerts.notify.routing import audience, operators, recipients
from inventory.model.alerting import Alerting, Escalation, Group, Roster, Rotation, Route, Shift
from inventory.model.entities import Calendar, HolidayDecree, Hours, Inventory
from inventory.model.selectors import Selector
from tests.support.incident_world import DAY, HOUR, MINUTE, START, down, province, same_in_both

ALL = (0, 1, 2, 3, 4, 5, 6)
HANOI = ZoneInfo("Asia/Ho_Chi_Minh")


def incident(*uids: str, cause: str = "service", severity: str = "critical", **more: object) -> Incident:
    troubles = [down(uid, START) for uid in uids or ("north-web",)]
    return Incident(
        key="0" * 16,
        cause=Cause(root="root", cause=cause),
        severity=severity,  # type: ignore[arg-type]
        opened=START,
        noticed=START,
        members={
            one.key: IncidentMember(
                key=one.key, condition="down", subject=one.subject, severity="critical", since=START, joined=START
            )
            for one in troubles
        },
        **more,  # type: ignore[arg-type]
    )


def about(subject: Subject) -> Incident:
    member = IncidentMember(key="x", condition="x", subject=subject, severity="critical", since=START, joined=START)
    return replace(incident(), members={"x": member})


def routed(*routes: Route, calendars: tuple[Calendar, ...] = (), **more: object) -> Inventory:
    return province(Alerting(routes=routes, **more), calendars)  # type: ignore[arg-type]


def who(inventory: Inventory, one: Incident, at: int = START) -> list[str]:
    """Those who are to be told by now."""
    return [recipient.contact for recipient in recipients(inventory, one, at) if recipient.when <= at]


class TestDefaults:
    def test_a_warning_goes_to_the_agencies_touched(self):
        assert who(province(), incident("north-web", "south-dns", severity="warning")) == ["north-admin", "south-admin"]

    def test_what_is_critical_goes_to_the_hub_too(self):
        assert who(province(), incident("north-web")) == ["north-admin", "ops"]

    def test_what_touches_no_agency_with_contacts_goes_to_the_hub(self):
        collector = about(Subject(kind="disk"))
        assert who(province(), replace(collector, severity="warning")) == ["ops"]

    def test_without_a_hub_all_are_told_what_is_critical(self):
        inventory = replace(province(), province=replace(province().province, hub=""))
        assert set(who(inventory, incident())) == set(inventory.contacts)
        assert operators(inventory) == tuple(inventory.contacts)

    def test_info_goes_to_nobody_and_is_in_the_digest(self):
        assert recipients(province(), incident(severity="info"), START) == []
        assert audience(province(), incident(severity="info")) == {"north-admin", "ops"}

    def test_members_that_are_over_touch_nobody_any_more(self):
        one = incident("north-web", "south-web")
        over = replace(one.members["down:north-web"], until=START)
        one = replace(one, members={**one.members, over.key: over})
        assert who(province(), one) == ["south-admin", "ops"]

    def test_an_agency_that_was_taken_over_has_its_successors_contacts(self):
        inventory = province()
        ended = replace(inventory.agencies["north"], ends=date(2026, 11, 1), successor="south")
        inventory = replace(inventory, agencies={**inventory.agencies, "north": ended})
        assert who(inventory, incident("north-web", severity="warning")) == ["south-admin"]
        assert who(inventory, incident("north-web", severity="warning"), START - 60 * DAY) == []
        early = replace(incident("north-web", severity="warning"), noticed=START - 60 * DAY)
        assert who(inventory, early, START - 60 * DAY) == ["north-admin"]


class TestRoutes:
    def test_select_severity_and_cause_choose(self):
        inventory = routed(
            Route(id="north", select=Selector(sites=("north",)), to=("north-admin",)),
            Route(id="mild", severities=("warning",), to=("night",)),
            Route(id="lines", causes=("wan",), to=("boss",)),
            Route(id="dns", select=Selector(tags=("dns",)), to=("ops",)),
        )
        assert who(inventory, incident("north-web")) == ["north-admin"]
        assert who(inventory, incident("south-web", severity="warning")) == ["night"]
        assert who(inventory, incident("south-web", cause="wan")) == ["boss"]
        assert who(inventory, incident("south-web", "south-dns")) == ["ops"]
        assert who(inventory, incident("south-web")) == []

    def test_a_member_in_maintenance_is_not_what_it_is_about(self):
        inventory = routed(Route(id="north", select=Selector(sites=("north",)), to=("north-admin",)))
        one = incident("north-web", "south-web")
        resting = replace(one.members["down:north-web"], excluded=True)
        assert who(inventory, replace(one, members={**one.members, resting.key: resting})) == []

    def test_what_is_no_check_is_chosen_by_what_it_has(self):
        def chosen(selector: Selector, subject: Subject) -> bool:
            return who(routed(Route(id="x", select=selector, to=("ops",))), about(subject)) == ["ops"]

        agent = Subject(agency="north", site="north", agent="north")
        link = Subject(agency="north", site="north", link="north")
        assert chosen(Selector(sites=("north",)), agent) and not chosen(Selector(sites=("south",)), agent)
        assert chosen(Selector(agents=("north",)), agent) and not chosen(Selector(agents=("south",)), agent)
        assert chosen(Selector(agency_kinds=("district",)), agent)
        assert not chosen(Selector(agency_kinds=("centre",)), agent)
        assert chosen(Selector(providers=("vnpt",)), link) and not chosen(Selector(providers=("fpt",)), link)
        assert not chosen(Selector(checks=("*",)), agent) and not chosen(Selector(tags=("web",)), agent)
        assert chosen(Selector(without_tags=("web",)), agent)
        assert chosen(Selector(kinds=("disk",)), Subject(kind="disk"))

    def test_groups_contacts_of_agencies_and_names_that_are_none(self):
        team = Group(id="team", name=same_in_both("team"), members=("ops", "inner", "nobody"))
        inner = Group(id="inner", name=same_in_both("inner"), members=("boss", "team"))
        route = Route(id="all", to=("team", "ops"), agency_contacts=True)
        inventory = routed(route, groups={"team": team, "inner": inner})
        assert who(inventory, incident("south-web")) == ["ops", "boss", "south-admin"]

    def test_only_ends_the_search_where_it_holds_now(self):
        office = Calendar(id="office", name=same_in_both("office"), service=(Hours(ALL, 7 * 60, 17 * 60),))
        desk = Route(id="desk", calendar="office", to=("ops",), only=True)
        inventory = routed(desk, Route(id="duty", to=("night",)), calendars=(office,))
        assert who(inventory, incident()) == ["ops"]
        evening = START + 10 * HOUR
        assert who(inventory, replace(incident(), noticed=evening), evening) == ["night"]

    def test_of_two_routes_to_one_contact_the_earlier_hour_and_the_shorter_repeat_hold(self):
        office = Calendar(id="office", name=same_in_both("office"), service=(Hours(ALL, 13 * 60, 17 * 60),))
        inventory = routed(
            Route(id="later", calendar="office", to=("ops",), repeat_ms=HOUR),
            Route(id="now", to=("ops",), repeat_ms=0),
            calendars=(office,),
        )
        (one,) = recipients(inventory, incident(), START)
        assert (one.route, one.when, one.repeat_ms) == ("now", START, HOUR)

    def test_steps_count_from_the_first_notice_and_end_with_an_acknowledgement(self):
        steps = (Escalation(after_ms=15 * MINUTE, to=("boss",)), Escalation(after_ms=HOUR, to=("night", "ops")))
        inventory = routed(Route(id="x", to=("ops",), steps=steps))
        assert who(inventory, incident(), START + DAY) == ["ops"]  # nobody was told yet
        told = {"ops": NotifiedContact(contact="ops", thread="t", first=START + MINUTE, last=START + MINUTE)}
        found = recipients(inventory, incident(notified=told), START + DAY)
        assert [(one.contact, one.step, one.when - START) for one in found] == [
            ("ops", 0, 0),
            ("boss", 1, 16 * MINUTE),
            ("night", 2, 61 * MINUTE),
        ]
        assert who(inventory, incident(notified=told, acked=("ops", START)), START + DAY) == ["ops"]

    def test_the_audience_is_all_whom_it_may_concern_at_any_hour(self):
        roster = Roster(
            id="duty", name=same_in_both("duty"), shifts=(Shift(hours=(Hours(ALL, 0, 60),), who=("night",)),)
        )
        routes = (
            Route(id="x", severities=("warning",), to=("duty",), steps=(Escalation(after_ms=1, to=("boss",)),)),
            Route(id="y", select=Selector(sites=("south",)), to=("ops",)),
        )
        inventory = routed(*routes, rosters={"duty": roster})
        assert audience(inventory, incident("north-web")) == {"night", "boss"}
        told = {"south-admin": NotifiedContact(contact="south-admin", thread="t", first=1, last=1)}
        assert audience(inventory, incident("north-web", notified=told)) == {"night", "boss", "south-admin"}


class TestHours:
    OFFICE = Calendar(
        id="office",
        name=same_in_both("office"),
        service=(Hours((0, 1, 2, 3, 4), 7 * 60, 11 * 60 + 30), Hours((0, 1, 2, 3, 4), 13 * 60, 17 * 60)),
        holidays="vietnam",
    )

    def when(self, day: str, clock: str, decreed: dict[int, HolidayDecree] | None = None) -> str:
        at = round(datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=HANOI).timestamp() * 1000)
        inventory = routed(Route(id="x", calendar="office", to=("ops",)), calendars=(self.OFFICE,))
        inventory = replace(inventory, decreed=decreed or {})
        (one,) = recipients(inventory, replace(incident(), noticed=at), at)
        return datetime.fromtimestamp(one.when / 1000, HANOI).strftime("%Y-%m-%d %H:%M")

    @pytest.mark.parametrize(
        ("day", "clock", "when"),
        [
            ("2026-11-26", "10:00", "2026-11-26 10:00"),
            ("2026-11-26", "11:30", "2026-11-26 13:00"),
            ("2026-11-26", "17:00", "2026-11-27 07:00"),
            ("2026-11-27", "18:00", "2026-11-30 07:00"),  # over the weekend
            ("2026-09-01", "17:30", "2026-09-03 07:00"),  # over the national days
            ("2026-02-13", "17:30", "2026-02-23 07:00"),  # over Tết of the year of the horse, with decreed days
        ],
    )
    def test_what_comes_outside_waits_for_the_next(self, day, clock, when):
        decreed = {2026: HolidayDecree(off=(date(2026, 2, 16), date(2026, 2, 20)))}
        assert self.when(day, clock, decreed) == when

    def test_hours_that_were_looked_up_once_still_end(self):
        inventory = routed(Route(id="x", calendar="office", to=("ops",)), calendars=(self.OFFICE,))
        at = START
        open_at = []
        while at < START + 8 * DAY:
            (one,) = recipients(inventory, incident(), at)
            if one.when <= at:
                open_at.append(at)
            at += 15 * MINUTE
        assert len(open_at) == 6 * (18 + 16)

    def test_a_calendar_that_never_opens_tells_nobody(self):
        shut = Calendar(id="shut", name=same_in_both("shut"), off=(Hours(ALL, 0, 1440),))
        inventory = routed(Route(id="x", calendar="shut", to=("ops",)), calendars=(shut,))
        assert who(inventory, incident(), START) == [] == who(inventory, incident(), START + 60 * DAY)


class TestDuty:
    def duty(self, roster: Roster, at: datetime) -> list[str]:
        moment = round(at.timestamp() * 1000)
        inventory = routed(Route(id="x", to=("duty",)), rosters={"duty": roster})
        return who(inventory, replace(incident(), noticed=moment), moment)

    def test_shifts_then_turns_then_otherwise(self):
        roster = Roster(
            id="duty",
            name=same_in_both("duty"),
            shifts=(Shift(hours=(Hours((0, 1, 2, 3, 4), 8 * 60, 17 * 60),), who=("ops",)),),
            rotation=Rotation(begins=date(2026, 11, 1), days=7, turns=(("boss",), ("night",))),
            otherwise=("north-admin",),
        )
        assert self.duty(roster, datetime(2026, 11, 26, 10, tzinfo=HANOI)) == ["ops"]
        assert self.duty(roster, datetime(2026, 11, 26, 20, tzinfo=HANOI)) == ["night"]
        assert self.duty(roster, datetime(2026, 11, 29, 20, tzinfo=HANOI)) == ["boss"]
        assert self.duty(roster, datetime(2026, 10, 31, 20, tzinfo=HANOI)) == ["north-admin"]

    def test_the_hours_are_those_of_the_rosters_zone_across_a_change_of_the_clocks(self):
        paris = ZoneInfo("Europe/Paris")
        roster = Roster(
            id="duty",
            name=same_in_both("duty"),
            time_zone="Europe/Paris",
            shifts=(
                Shift(hours=(Hours(ALL, 0, 2 * 60 + 30),), who=("night",)),
                Shift(hours=(Hours(ALL, 2 * 60 + 30, 1440),), who=("ops",)),
            ),
        )
        # 29 March 2026: 02:00 to 03:00 does not exist
        assert self.duty(roster, datetime(2026, 3, 29, 1, 59, tzinfo=paris)) == ["night"]
        assert self.duty(roster, datetime(2026, 3, 29, 3, 0, tzinfo=paris)) == ["ops"]
        # 25 October: 02:00 to 03:00 is twice
        assert self.duty(roster, datetime(2026, 10, 25, 2, 15, fold=1, tzinfo=paris)) == ["night"]
        assert self.duty(roster, datetime(2026, 10, 25, 2, 45, fold=0, tzinfo=paris)) == ["ops"]

    def test_who_comes_on_duty_is_found_a_minute_later(self):
        roster = Roster(
            id="duty",
            name=same_in_both("duty"),
            shifts=(
                Shift(hours=(Hours(ALL, 0, 12 * 60),), who=("ops",)),
                Shift(hours=(Hours(ALL, 720, 1440),), who=("boss",)),
            ),
        )
        inventory = routed(Route(id="x", to=("duty",)), rosters={"duty": roster})
        one = incident()
        noon = START + 2 * HOUR
        assert who(inventory, one, noon - 1) == ["ops"] and who(inventory, one, noon) == ["boss"]
