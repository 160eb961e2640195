"""When a job is due: cron against its library's published cases, calendar events against systemd itself."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.grammars.oncalendar import BadCalendar, parse
from inventory.grammars.schedule import BadSchedule, Schedule, schedule_of

ANALYZE = shutil.which("systemd-analyze")
ZONES = ("UTC", "Asia/Ho_Chi_Minh", "Europe/Riga", "America/New_York", "Australia/Lord_Howe")


def dues(schedule: Schedule, start: datetime, count: int) -> list[str]:
    """The next times, as ISO texts in the start's zone."""
    found, moment = [], start.timestamp()
    for _ in range(count):
        due = schedule.next_after(moment)
        if due is None:
            break
        found.append(datetime.fromtimestamp(due, start.tzinfo).isoformat())
        moment = due
    return found


# -- cron: the cases of cronsim's own tests, through our schedule


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 1 L * *", ["2020-01-31T01:01"]),
        ("1 1 * * 5L", ["2020-01-31T01:01", "2020-02-28T01:01", "2020-03-27T01:01", "2020-04-24T01:01"]),
        ("1 1 * * 0L", ["2020-01-26T01:01"]),
        ("1 1 * * 7L", ["2020-01-26T01:01"]),
        ("1 1 * * 1#2", ["2020-01-13T01:01"]),
        ("1 1 1-7 * */7", ["2020-01-05T01:01", "2020-02-02T01:01", "2020-03-01T01:01", "2020-04-05T01:01"]),
        ("1 1 */100,1-7 * MON", ["2020-01-06T01:01", "2020-02-03T01:01", "2020-03-02T01:01", "2020-04-06T01:01"]),
        ("1 1 */100 * MON#4", []),
    ],
)
def test_cron(expression: str, expected: list[str]) -> None:
    found = dues(schedule_of(cron=expression, time_zone="UTC"), datetime(2020, 1, 1, tzinfo=UTC), len(expected) or 1)
    assert [due[:16] for due in found] == expected


@pytest.mark.parametrize(
    ("expression", "start", "expected"),
    [
        ("0 * * * *", (3, 28, 1, 30), ["03-28T02:00:00+02:00", "03-28T04:00:00+03:00"]),
        (
            "0 * * * *",
            (10, 31, 1, 30),
            ["10-31T02:00:00+03:00", "10-31T03:00:00+03:00", "10-31T03:00:00+02:00", "10-31T04:00:00+02:00"],
        ),
        ("*/30 * * * *", (3, 28, 2, 10), ["03-28T02:30:00+02:00", "03-28T04:00:00+03:00", "03-28T04:30:00+03:00"]),
        ("0 */2 * * *", (10, 31, 1, 30), ["10-31T02:00:00+03:00", "10-31T04:00:00+02:00", "10-31T06:00:00+02:00"]),
        ("0 */3 * * *", (10, 31, 1, 30), ["10-31T03:00:00+03:00", "10-31T03:00:00+02:00", "10-31T06:00:00+02:00"]),
        ("0 1,2,3,4,5 * * *", (3, 28, 1, 30), ["03-28T02:00:00+02:00", "03-28T04:00:00+03:00", "03-28T05:00:00+03:00"]),
        (
            "0 1,2,3,4,5 * * *",
            (10, 31, 1, 30),
            ["10-31T02:00:00+03:00", "10-31T03:00:00+03:00", "10-31T04:00:00+02:00"],
        ),
        (
            "30 1,2,3,4,5 * * *",
            (3, 28, 1, 30),
            ["03-28T02:30:00+02:00", "03-28T04:00:00+03:00", "03-28T04:30:00+03:00"],
        ),
        ("0 2 * * *", (3, 28, 1, 30), ["03-28T02:00:00+02:00", "03-29T02:00:00+03:00"]),
    ],
)
def test_cron_where_the_clocks_change(expression: str, start: tuple[int, int, int, int], expected: list[str]) -> None:
    """In Riga in 2021 the clocks went forward at 3:00 on 28 March and back at 4:00 on 31 October."""
    riga = ZoneInfo("Europe/Riga")
    schedule = schedule_of(cron=expression, time_zone="Europe/Riga")
    assert [due[5:] for due in dues(schedule, datetime(2021, *start, tzinfo=riga), len(expected))] == expected


@pytest.mark.parametrize(
    "expression",
    ["* * * *", "* * * * * *", "61 * * * *", "1-1_0 * * * *", "*/0 * * * *", "* * 30 2 *", "* * * * 1#6", "* * 5-1 * *",
     "@daily", "¹ * * * *", "* * * * MONL"],
)  # fmt: skip
def test_bad_cron_is_refused_in_words(expression: str) -> None:
    with pytest.raises(BadSchedule, match="is not a cron expression"):
        schedule_of(cron=expression)


# -- systemd's calendar


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("daily", ["2026-01-02 00:00", "2026-01-03 00:00"]),
        ("weekly", ["2026-01-05 00:00", "2026-01-12 00:00"]),
        ("quarterly", ["2026-04-01 00:00", "2026-07-01 00:00"]),
        ("Mon..Fri 23:30", ["2026-01-01 23:30", "2026-01-02 23:30", "2026-01-05 23:30"]),
        ("Sat,Sun *-*-* 02:00", ["2026-01-03 02:00", "2026-01-04 02:00", "2026-01-10 02:00"]),
        ("*-*~1 04:00", ["2026-01-31 04:00", "2026-02-28 04:00"]),
        ("Mon *-05~07/1", ["2026-05-25 00:00", "2027-05-31 00:00"]),
        ("*-02-29", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("*:0/20", ["2026-01-01 00:20", "2026-01-01 00:40", "2026-01-01 01:00"]),
        ("2025-*-* 10:00", []),
        ("*-02-30", []),
        ("05:00 Asia/Ho_Chi_Minh", ["2026-01-01 22:00", "2026-01-02 22:00"]),
    ],
)
def test_calendar_events(text: str, expected: list[str]) -> None:
    found = dues(schedule_of(oncalendar=text, time_zone="UTC"), datetime(2026, 1, 1, tzinfo=UTC), len(expected) or 1)
    assert [due[:16].replace("T", " ") for due in found] == expected


def test_a_skipped_time_does_not_elapse_and_one_that_comes_twice_elapses_once() -> None:
    york = ZoneInfo("America/New_York")
    spring = dues(schedule_of(oncalendar="02:30", time_zone="America/New_York"), datetime(2026, 3, 7, tzinfo=york), 2)
    assert spring == ["2026-03-07T02:30:00-05:00", "2026-03-09T02:30:00-04:00"]
    autumn = dues(schedule_of(oncalendar="01:30", time_zone="America/New_York"), datetime(2026, 11, 1, tzinfo=york), 2)
    assert autumn == ["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"]
    once = schedule_of(oncalendar="01:30", time_zone="America/New_York")
    second_half_past_one = datetime(2026, 11, 1, 1, 30, fold=1, tzinfo=york)
    assert dues(once, second_half_past_one, 1) == ["2026-11-02T01:30:00-05:00"]


# as an inventory or a plan may hold them: each is answered at once, and in words
HOSTILE = [
    "a" * 26 + "!", "Mon" * 12 + "!", "Mon," * 40 + "!", "," * 3_000, "9" * 5_000, "1:00 Asia", "1:00 " + "A/" * 5_000,
    "*-*-* 0..0/1:00", "*-*~03..1/2", "*-*-007..7/3",
]  # fmt: skip


@pytest.mark.timeout(10)
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12])
def test_a_crafted_calendar_event_holds_nobody_up(text: str) -> None:
    with pytest.raises(BadCalendar):
        parse(text)


@pytest.mark.timeout(10)
def test_a_time_that_the_clocks_always_skip_is_looked_for_within_bounds() -> None:
    skipped = parse("Sun *-03-08..14 02:*:*", ZoneInfo("America/New_York"))
    assert skipped.next_after(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) is None


BAD = [
    "", "5", "*", "Mon..", "Sat..Mon", "2..0:00", "24:00", "10:60", "10:00:60", "*-13-01", "*-00-01", "*-*-32",
    "*-*~31", "*:*/5", "10:5/0", "Mon Tue 10:00", "10:00 Mon", "*-*-*T10:00",
    "10:00 Nowhere/City", "someday", "10:00:00:00", "-5:00", "1.5:00",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_bad_calendar_events_are_refused_in_words(text: str) -> None:
    with pytest.raises(BadCalendar):
        parse(text)


LIKE_SYSTEMD = [
    "minutely", "hourly", "daily", "monthly", "weekly", "yearly", "annually", "quarterly", "semiannually", "DAILY utc",
    "Sat,Thu,Mon..Wed,Sat..Sun", "Mon,Sun 28-*-* 2,1:23", "Wed *-1", "Wed..Wed,Wed *-1", "Wed, 17:48",
    "Wed..Sat,Tue 28-10-15 1:2:3", "*-*-7 0:0:0", "10-15", "monday *-12-* 17:00", "Mon,Fri *-*-3,1,2 *:30:45",
    "12,14,13,12:20,10,30", "12..14:10,20,30", "mon,fri *-1/2-1,3 *:30:45", "03-05 08:05:40", "08:05:40", "05:40",
    "Sat,Sun 12-05 08:05:40", "Sat,Sun 08:05:40", "2027-03-05 05:40", "2027-02..04-05", "2027-03-05 05:40 UTC",
    "2027-03-05", "03-05", "*:2/3", "weekly Pacific/Auckland", "*-*~01..03", "*-*~5/2", "*-02~03", "Mon *-05~07/1",
    "2026/3-01-01", "*-1-1..5/2", "00..23/2:00", "*:0..40/15", "1..1-1", "Mon-Fri 9:00", "*-*-31", "*-*-* *:*:*",
    "*-*-* 02:30 America/New_York", "*:15 America/New_York", "0/2:30 America/New_York", "03:30 Europe/Riga",
    "2:15 Australia/Lord_Howe", "*-02-29 12:00", "Fri *-*-13 13:13", "*:*:0/15", "6:1..21/28", "7,0,7..9/3:27:51",
]  # fmt: skip
STARTS = ("2026-03-07 00:00:00", "2026-10-24 23:10:07", "2027-12-31 23:59:59", "2028-02-28 12:00:00")


@pytest.mark.real
@pytest.mark.parametrize("start", STARTS)
def test_systemd_says_the_same(start: str) -> None:
    if ANALYZE is None:
        pytest.skip("needs systemd-analyze")
    wrong = {}
    for text in LIKE_SYSTEMD:
        theirs = systemd_says(text, start)
        moment = datetime.fromisoformat(start).replace(tzinfo=UTC)
        ours = [due[:19].replace("T", " ") for due in dues(schedule_of(oncalendar=text, time_zone="UTC"), moment, 5)]
        if theirs != ours:
            wrong[text] = (theirs, ours)
    assert not wrong


@pytest.mark.real
def test_systemd_refuses_the_same() -> None:
    if ANALYZE is None:
        pytest.skip("needs systemd-analyze")
    taken = [text for text in BAD if text and systemd_says(text, STARTS[0]) is not None]
    assert not taken


def systemd_says(text: str, start: str) -> list[str] | None:
    """The next five times in UTC; None when it refuses the text."""
    done = subprocess.run(
        [str(ANALYZE), "calendar", "--iterations=5", f"--base-time={start} UTC", text],
        capture_output=True, text=True, timeout=30, env={"TZ": "UTC", "LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    if done.returncode:
        return None
    lines = [line.strip() for line in done.stdout.splitlines()]
    return [line.split()[-3] + " " + line.split()[-2] for line in lines if line.startswith(("Next elapse: ", "Iter"))
            and not line.endswith("never")]  # fmt: skip


# -- properties


def number(low: int, high: int) -> st.SearchStrategy[str]:
    return st.integers(low, high).map(str)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    zone = draw(st.sampled_from(ZONES))
    minute = draw(st.one_of(st.just("*"), number(0, 59), st.integers(1, 29).map(lambda n: f"0/{n}")))
    hour = draw(st.one_of(st.just("*"), number(0, 23)))
    day = draw(st.one_of(st.just("*"), number(1, 28)))
    how = draw(st.sampled_from(("every", "cron", "oncalendar")))
    if how == "every":
        return schedule_of(every=f"{draw(st.integers(1, 10**6))}s", time_zone=zone)
    if how == "cron":
        weekday = draw(st.one_of(st.just("*"), number(0, 7)))
        return schedule_of(cron=f"{minute.replace('0/', '*/')} {hour} {day} * {weekday}", time_zone=zone)
    weekdays = draw(st.sampled_from(("", "Mon ", "Sat,Sun ", "Mon..Fri ")))
    mark = draw(st.sampled_from("-~"))
    return schedule_of(oncalendar=f"{weekdays}*-*{mark if day != '*' else '-'}{day} {hour}:{minute}", time_zone=zone)


MOMENTS = st.floats(1_700_000_000, 2_000_000_000)


@given(schedules(), MOMENTS, st.floats(0, 10_000_000))
def test_the_next_time_is_after_now_and_never_goes_back(schedule: Schedule, moment: float, later: float) -> None:
    first = schedule.next_after(moment)
    assert first is not None
    assert first > moment
    second = schedule.next_after(moment + later)
    assert second is not None
    assert second >= first
    if not schedule.regular and moment + later < first:
        assert second == first  # nothing lies between now and the next time


@given(st.text(max_size=30))
def test_any_text_is_a_calendar_event_or_refused(text: str) -> None:
    try:
        parse(text, UTC).next_after(1_790_000_000)
    except BadCalendar:
        pass


@given(st.text(alphabet="0123456789*/-~.,: MonTueWdFriSa", max_size=25))
def test_what_looks_like_one_is_a_calendar_event_or_refused(text: str) -> None:
    try:
        due = parse(text, UTC).next_after(1_790_000_000)
    except BadCalendar:
        return
    assert due is None or due > 1_790_000_000


# -- what people write


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"every": "soon"}, "not a duration"),
        ({"every": "0s"}, "due at some time"),
        ({"every": ""}, "not a duration"),
        ({"cron": "0 1 * * *", "oncalendar": "daily"}, "not both"),
        ({"cron": "0 1 * * *", "time_zone": "Asia/Soctrang"}, "no time zone"),
        ({"every": "1d", "time_zone": "../etc/passwd"}, "no time zone"),
        ({"oncalendar": "daily", "time_zone": "Asia"}, "no time zone"),
    ],
)
def test_what_is_wrong_is_said(given_: dict[str, str], words: str) -> None:
    with pytest.raises(BadSchedule, match=words):
        schedule_of(**given_)


def test_a_schedule_in_no_zone_is_in_the_machines_own(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Ho_Chi_Minh")
    time.tzset()
    try:
        start = datetime(2026, 6, 1, tzinfo=UTC)
        for schedule in (schedule_of(cron="0 5 * * *"), schedule_of(oncalendar="05:00")):
            due = schedule.next_after(start.timestamp())
            assert due == (start + timedelta(hours=22)).timestamp()
    finally:
        monkeypatch.undo()
        time.tzset()
