"""Whatever one agent sends, in every field of every wire type: it is taken, set aside or refused; and everybody else,
every page, answer, scrape, report and incident, now, after a kill and after a restart, goes on."""

from pathlib import Path

from collector.commands import offline
from collector.ingest.limits import PushError
from inventory.protocol.records import RECORD_KINDS
from inventory.protocol.states import DOWN, UP
from tests.support.collector_service import CollectorHouse, PushingAgent, evaluated
from tests.support.extremes import (
    RECORD_EXAMPLES,
    PushExample,
    body_of,
    changed,
    changes,
    raw_of,
    unfilled,
)


def example(agent: PushingAgent) -> PushExample:
    sent = agent.reading()
    agent.epoch += 1
    return PushExample(
        agent.boot,
        sent.boot_ms,
        sent.wall_ms,
        agent.echo,
        agent.watermark,
        agent.epoch,
        agent.encoded_plan,
        agent.widths,
    )


def test_the_examples_say_something_in_every_field() -> None:
    assert RECORD_EXAMPLES.keys() == RECORD_KINDS.keys()
    for kind, data in RECORD_EXAMPLES.items():
        assert tuple(data) == RECORD_KINDS[kind].__struct_fields__, kind


async def test_no_extreme_of_any_field_harms_anybody(tmp_path: Path) -> None:
    house = CollectorHouse(tmp_path / "house")
    verdicts: dict[str, int] = {}
    async with house.running():
        hostile, honest = PushingAgent(house, "so-ttt"), PushingAgent(house, "so-tc", b"honest--")
        await hostile.look([UP, UP, UP])
        await hostile.push()
        first = example(hostile).push()
        assert list(unfilled(first)) == []
        every = list(changes(raw_of(first)))
        assert len(every) > 2_000
        for number, (path, what, how) in enumerate(every):
            body = body_of(changed(raw_of(example(hostile).push()), path, how))
            try:
                verdict = (await hostile.send(body)).verdict
            except PushError as refused:
                verdict = str(refused.status)
                assert refused.status == 400, (path, what, refused)
            if verdict == "taken":
                await house.service.ingest.committer.save(["so-ttt"])
                await evaluated(house, 1)
                assert house.held == set(), (path, what)
            if number % 100 == 0:
                assert await house.broken_answers() == [], (path, what)
            verdicts[verdict] = verdicts.get(verdict, 0) + 1
            if path[0] in (1, 2):  # its clocks are believed no longer
                hostile.rebooted()
                await hostile.push()
                await hostile.push()
            if verdict == "reposition":
                await hostile.push()
        assert house.held == set()
        assert verdicts["taken"] > 500 and verdicts["400"] > 200, verdicts
        await forget_checkpoints(house)
        killed = house.killed_copy("killed")  # all of it has to be replayed
        await everybody_is_served(house, honest)
    async with killed.running():
        await everybody_is_served(killed, PushingAgent(killed, "so-tc", b"honest--"))
    async with house.running():  # after a clean stop
        await everybody_is_served(house, PushingAgent(house, "so-tc", b"honest--"))


async def forget_checkpoints(house: CollectorHouse) -> None:
    """As if no checkpoint had been saved since the start."""
    sql = "UPDATE streams SET batch = 0, body = NULL; UPDATE replay SET after = 0"
    await house.service.store.database.write(lambda db: db.execute(sql))


async def everybody_is_served(house: CollectorHouse, honest: PushingAgent) -> None:
    """Pages, answers, scrapes and reports are whole; an honest agent's trouble becomes an incident."""
    for _ in range(4):
        await honest.push()  # the watermark, and an echo
        assert (await honest.look([DOWN])).verdict == "taken"
    await house.service.goal_cache.refresh()
    await evaluated(house)
    gate = next(check.uid for check in house.service.reader.all_checks() if check.name.endswith("gate"))
    assert any(
        f"down:{gate}" in incident.members for incident in house.service.alerting.evaluator.incidents.open.values()
    )
    assert await house.broken_answers() == []
    assert house.held == set()
    assert house.service.ingest.fleet.quarantine.rows_failed.total() == 0
    report = await offline.report(house.config, "", csv=True, agency="")
    assert any("gate" in line for line in report)


async def test_what_an_older_collector_took_harms_nobody(tmp_path: Path) -> None:
    """Findings with numbers that cannot be are in the store already."""
    house = CollectorHouse(tmp_path / "house")
    async with house.running():
        honest = PushingAgent(house, "so-tc", b"honest--")
        at = house.service.reader.wall()
        events = [
            ("agent dropped", '{"epoch": 1, "first": -9223372036854775808, "last": 18446744073709551615}'),
            ("agent damaged", '{"epoch": 1, "first": 1e400, "last": [1]}'),
            ("agent clock", '{"step_ms": -9223372036854775808}'),
            ("dead letters", '{"count": "many", "reason": 5}'),
            ("unplaceable", '{"results": 18446744073709551615}'),
            ("frames unaccounted", '{"frames": -1}'),
            ("agent start", "[]"),
        ]
        sql = "INSERT INTO events VALUES (NULL, ?, 'so-ttt', NULL, ?, ?, 1)"
        rows = [(at, kind, data) for kind, data in events]
        await house.service.store.database.write(lambda db: db.executemany(sql, rows))
        await everybody_is_served(house, honest)
