"""Incidents on exact timelines: opened, told, grown, recovered; roots revised, merged, split."""

from tests.incident_world import MINUTE, SECOND, START, Driver, said


def test_a_trouble_is_told_after_the_window_and_its_recovery_when_it_is_over():
    world = Driver()
    world.fails("north-web")
    assert world.step() == []
    (incident,) = world.open
    assert (incident.opened, incident.noticed, incident.cause.root) == (START, START, "service:north-web")
    first = world.run(2 * SECOND)
    assert said(first) == [("north-admin", "trouble"), ("ops", "trouble")]
    assert {notice.at for notice in first} == {START + 2 * SECOND}
    assert world.run(10 * MINUTE, MINUTE) == []

    world.works("north-web")
    over = world.at
    assert world.step() == []
    assert world.run(59 * SECOND) == []
    assert world.open[0].recovering == over
    last = world.run(4 * SECOND)
    assert said(last) == [("north-admin", "recovery"), ("ops", "recovery")]
    assert [notice.thread for notice in last] == [notice.ident for notice in first]
    assert world.open == [] and world.closed[0].why == "recovered" and world.closed[0].ended == over
    assert world.run(10 * MINUTE, MINUTE) == []
