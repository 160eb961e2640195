"""The outages that mails are judged by: a link, the collector, a week's backlog, a night of flapping in maintenance."""

from alerts.incident.problem import ActiveProblem, Cause, PastProblem, Subject
from tests.support.incident_world import DAY, HOUR, MINUTE, SECOND, SITES, START, IncidentDriver, down, recipients

CHECKS = tuple(f"{site}-{what}" for site in SITES for what in ("web", "dns", "mail"))


def keys(*sites: str) -> frozenset[str]:
    return frozenset(f"down:{uid}" for uid in CHECKS if uid.partition("-")[0] in sites)


def silent(site: str, since: int, root: str) -> ActiveProblem:
    return ActiveProblem(
        key=f"silent:{site}",
        condition="silent",
        subject=Subject(agency=site, site=site, agent=site),
        severity="warning",
        since=since,
        evidence=since,
        cause=Cause(root=root, cause=root.partition(":")[0], certainty="provisional"),
    )


def test_a_wan_cut_is_one_mail_about_the_link_and_none_about_what_lies_behind_it():
    world = IncidentDriver()
    world.silent = keys("north")
    world.run(3 * MINUTE, 10 * SECOND)
    world.problems["silent:north"] = silent("north", START, "wan:north")
    assert recipients(world.run(MINUTE)) == [("north-admin", "trouble")]
    world.problems["link"] = down("hub-web", world.at, "wan:north", key="down:link-north")  # as the centre sees it
    assert recipients(world.run(MINUTE)) == [("north-admin", "update"), ("ops", "trouble")]
    assert world.run(3 * HOUR, MINUTE) == []

    # it is heard again, and its backlog says that two things were down meanwhile and one still is
    world.problems.clear()
    world.silent = frozenset()
    world.fails("north-mail")
    world.step(
        past=tuple(
            PastProblem(problem=down(uid, START + HOUR), until=START + 2 * HOUR, late_ms=HOUR)
            for uid in ("north-web", "north-dns")
        )
    )
    mails = world.run(3 * MINUTE)
    assert {(notice.contact, kind) for notice in mails for kind in notice.kinds} == {
        ("north-admin", "trouble"),
        ("north-admin", "recovery"),
        ("ops", "trouble"),
        ("ops", "recovery"),
    }
    assert [incident.cause.root for incident in world.open] == ["service:north-mail"]
    assert sorted(incident.resolution for incident in world.closed) == ["late", "late", "recovered"]


def test_power_lost_in_a_wan_cut_is_the_same_incident_and_the_same_thread():
    world = IncidentDriver()
    world.silent = keys("north")
    world.problems["silent:north"] = silent("north", START, "wan:north")
    (first,) = world.run(5 * SECOND)
    world.problems["silent:north"] = silent("north", START, "power:north")
    (update,) = world.run(6 * MINUTE, SECOND * 10)
    assert (update.kind, update.thread) == ("update", first.ident)
    world.problems.clear()
    (recovery,) = world.run(2 * MINUTE)
    assert (recovery.kind, recovery.thread) == ("recovery", first.ident)


def test_a_collector_that_was_down_for_an_hour_mails_nothing_about_sites():
    world = IncidentDriver()
    world.run(MINUTE)
    world.at += HOUR
    world.silent = keys(*SITES)  # it has not heard anybody yet
    assert world.run(45 * SECOND) == []
    world.silent = frozenset()
    failed = tuple(
        PastProblem(problem=down(uid, START + 10 * MINUTE), until=START + 20 * MINUTE, late_ms=HOUR) for uid in CHECKS
    )
    assert world.step(past=failed) == []
    assert world.run(20 * MINUTE, 10 * SECOND) == []
    assert world.open == [] and len(world.closed) == len(CHECKS)


def test_what_was_told_before_the_collector_went_down_is_not_told_again_after_it():
    world = IncidentDriver()
    world.fails("north-web")
    first = world.run(5 * SECOND)
    world.at += HOUR
    trouble = world.problems.pop("down:north-web")
    world.silent = keys(*SITES)
    assert world.run(45 * SECOND) == []
    world.silent = frozenset()
    world.problems[trouble.key] = trouble
    assert world.run(HOUR, MINUTE) == []
    world.recovers("north-web")
    assert [notice.thread for notice in world.run(2 * MINUTE)] == [notice.ident for notice in first]


def test_a_backlog_of_seven_days_is_in_the_digest_and_only_what_is_still_wrong_is_mailed():
    world = IncidentDriver()
    world.run(HOUR, MINUTE)
    past = tuple(
        PastProblem(
            problem=down("north-web", START - (7 * DAY - hour * HOUR)),
            until=START - (7 * DAY - hour * HOUR) + 20 * MINUTE,
            late_ms=7 * DAY - hour * HOUR,
        )
        for hour in range(0, 7 * 24, 6)
    )
    world.fails("north-dns")
    world.step(past=past)
    assert recipients(world.run(5 * MINUTE)) == [("north-admin", "trouble"), ("ops", "trouble")]
    late = {incident.key for incident in world.closed}
    assert len(late) == len(past)
    digests = [notice for notice in world.run(DAY, MINUTE) if notice.kind == "digest"]
    assert {notice.contact for notice in digests} == {"north-admin", "ops"}
    assert all(late < set(notice.incidents) for notice in digests)
    assert not [notice for notice in world.notices if notice.kind != "digest" and late & set(notice.incidents)]


def test_flapping_in_maintenance_is_not_told():
    world = IncidentDriver()
    world.fails("north-web")
    world.run(5 * SECOND)
    world.notices.clear()
    for _ in range(6):
        world.fails("north-web", excluded=True)
        world.run(10 * SECOND)
        world.recovers("north-web")
        world.run(10 * SECOND)
    assert world.open[0].flapping and world.notices == []
    world.fails("north-web")
    assert recipients(world.run(5 * SECOND)) == [("north-admin", "update"), ("ops", "update")]
