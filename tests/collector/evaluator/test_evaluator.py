"""From looks to letters, whole: what is mailed when, and what never is."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from alerts.incident.entities import Command
from collector.queries import circuits
from collector.queries.exclusions import declare
from collector.queries.goals import evaluations
from collector.store.errors import StoreError
from inventory.base.types import Text
from inventory.model.entities import Goal
from inventory.model.selectors import Selector
from inventory.protocol.states import DOWN, UP
from tests.support.evaluator_world import DAY, HOUR, INVENTORY, MINUTE, SECOND, EvaluatorWorld, site


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[EvaluatorWorld]:
    centre = EvaluatorWorld(tmp_path)
    await centre.start()
    await centre.step(2 * MINUTE)
    assert centre.sent_kinds() == [] and centre.open == []
    yield centre
    await centre.stop()


async def test_a_service_that_fails_is_one_thread_of_two_mails(centre: EvaluatorWorld) -> None:
    await centre.step(10 * SECOND, web=DOWN)
    assert centre.sent_kinds() == []  # two looks are not three
    began = centre.now
    await centre.step(10 * SECOND)
    assert centre.sent_kinds() == [("truc", "trouble")]
    assert centre.now - began <= 10 * SECOND
    assert centre.only_incident().cause.cause == "service"
    await centre.step(30 * MINUTE)
    assert centre.sent_kinds() == [("truc", "trouble")]
    await centre.step(2 * MINUTE, web=UP)
    assert centre.sent_kinds() == [("truc", "trouble"), ("truc", "recovery")] and centre.open == []
    trouble, recovery = centre.mails
    assert recovery["In-Reply-To"] == trouble["Message-ID"] and trouble["To"].addresses[0].addr_spec
    assert "Cổng thông tin" in trouble.get_body(("plain",)).get_content()
    assert "(sai số tối đa 2 giây)" in trouble.get_body(("plain",)).get_content(), "of fast looks, not of the interval"
    assert "service:" not in recovery.get_body(("plain",)).get_content()


async def test_what_cannot_be_put_in_words_is_told_plainly_and_silences_nothing_else(
    centre: EvaluatorWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*words: object) -> None:
        raise KeyError("words")

    monkeypatch.setattr("alerts.mail.render", broken)
    await centre.step(2 * MINUTE, web=DOWN)
    assert centre.sent_kinds() == [("truc", "trouble")] and "could not be written" in caplog.text
    (mail,) = centre.mails
    plain = mail.get_body(("plain",)).get_content()
    root = centre.only_incident().cause.root
    assert mail["Subject"] == f"[Nghiêm trọng] {root}" and root in plain and "Không soạn được" in plain
    monkeypatch.undo()
    await centre.step(5 * MINUTE, web=UP)
    assert centre.sent_kinds() == [("truc", "trouble"), ("truc", "recovery")]
    assert centre.mails[1]["In-Reply-To"] == mail["Message-ID"]


async def test_a_blip_of_two_looks_tells_nobody_and_is_in_the_ledger(centre: EvaluatorWorld) -> None:
    await centre.step(10 * SECOND, web=DOWN)
    await centre.step(5 * MINUTE, web=UP)
    assert centre.sent_kinds() == [] and centre.open == []
    web = next(check for check in centre.ingest.fleet.checks.values() if check.name == "web")
    rows = await centre.store.database.read(
        lambda db: db.execute("SELECT count(*) FROM spans WHERE check_id = ? AND state = 2", (web.id,)).get
    )
    assert rows == 1


async def test_a_cut_line_is_one_mail_about_the_line_and_the_backlog_adds_none(centre: EvaluatorWorld) -> None:
    """The site's agent is silent and looks on; the hub sees its router gone. 14 minutes later the line is back."""
    centre.disconnected.add("a")
    centre.states["a/hub"] = DOWN
    await centre.step(5 * MINUTE, so_a__from_hub=DOWN)
    incident = centre.only_incident()
    assert (incident.cause.root, incident.cause.cause) == ("wan:so-a", "wan")
    assert {member.partition(":")[0] for member in incident.members} == {"down", "silent"}
    assert {contact for contact, _ in centre.sent_kinds()} == {"an", "truc"}
    assert [kind for _, kind in centre.sent_kinds("an")] == ["trouble"]
    assert "TSLCD-001" in centre.mails[0].get_body(("plain",)).get_content()
    await centre.step(9 * MINUTE)
    centre.disconnected.clear()
    del centre.states["a/hub"]
    await centre.step(5 * MINUTE, so_a__from_hub=UP)
    assert [kind for _, kind in centre.sent_kinds("an")] == ["trouble", "recovery"]
    assert centre.open == []


async def test_silence_is_not_down(centre: EvaluatorWorld) -> None:
    """An agent dies while its router answers: a warning about the agent, and nothing about what lies behind it."""
    centre.stopped.add("a")
    await centre.step(2 * MINUTE)
    assert centre.sent_kinds() == []
    await centre.step(3 * MINUTE)
    incident = centre.only_incident()
    assert incident.cause.root == "agent:a" and incident.severity == "warning"
    assert list(incident.members) == ["silent:a"]
    assert [kind for _, kind in centre.sent_kinds("an")] == ["trouble"]
    await centre.step(HOUR)
    assert [kind for _, kind in centre.sent_kinds("an")] == ["trouble"]
    centre.stopped.clear()
    await centre.step(3 * MINUTE)
    assert [kind for _, kind in centre.sent_kinds("an")] == ["trouble", "recovery"]


async def test_a_collector_that_was_off_for_an_hour_mails_nothing_about_sites(centre: EvaluatorWorld) -> None:
    await centre.restart(off=HOUR)
    await centre.evaluator.evaluate()
    centre.disconnected.add("a")  # one comes back later than the others, and is not silent for that
    await centre.step(90 * SECOND)
    centre.disconnected.clear()
    await centre.step(10 * MINUTE)
    assert centre.sent_kinds() == [] and centre.open == []


async def test_what_failed_and_recovered_while_the_collector_was_off_is_recorded_and_not_paged(
    centre: EvaluatorWorld,
) -> None:
    await centre.stop()
    centre.disconnected |= centre.agents.keys()
    await centre._let_time_pass(10 * MINUTE)
    centre.states["web"] = DOWN
    await centre._let_time_pass(20 * MINUTE)
    centre.states["web"] = UP
    await centre._let_time_pass(30 * MINUTE)
    centre.disconnected.clear()
    await centre._open()
    for agent in centre.agents.values():
        agent.ingest = centre.ingest
    await centre.step(2 * MINUTE)
    assert centre.sent_kinds() == [] and centre.open == []
    [late] = centre.evaluator.incidents.closed.values()
    assert late.resolution == "late" and late.cause.cause == "service"
    assert abs((late.ended or 0) - late.opened - 20 * MINUTE) <= 10 * SECOND


async def test_a_backlog_pages_only_what_is_still_wrong(centre: EvaluatorWorld) -> None:
    """The agent was cut off for a day; its printer failed then and still is down, and only the overlay says so yet."""
    centre.stopped.add("a")
    centre.states["so-a.from-hub"] = UP
    await centre.step(DAY // 48)
    assert centre.only_incident().cause.root == "agent:a"
    mails = len(centre.sent_kinds())
    await centre.push_present("a", printer=DOWN)
    await centre._evaluate()
    await centre.step(MINUTE)
    for _ in range(6):
        await centre.push_present("a", printer=DOWN)
        await centre.step(10 * SECOND)
    new = [one for one in centre.sent_kinds()[mails:] if one == ("an", "trouble")]
    assert len(new) == 1
    roots = {incident.cause.root for incident in centre.open}
    printer = next(check.uid for check in centre.inventory.checks.values() if check.key == "printer")
    assert f"service:{printer}" in roots


async def test_a_turn_that_could_not_be_committed_is_made_again_and_says_it_once(centre: EvaluatorWorld) -> None:
    await centre.step(10 * SECOND, web=DOWN)
    centre.clock.advance(5 * SECOND)
    await centre._run_checks()
    write, failing = centre.store.write, [2]

    async def refuse(work):  # a full disk, twice
        if failing[0]:
            failing[0] -= 1
            raise StoreError("no room")
        return await write(work)

    centre.store.write = refuse
    for _ in range(2):
        with pytest.raises(StoreError):
            await centre.evaluator.evaluate()
        await centre.evaluator.evaluate_safely() if failing[0] == 0 else None
    await centre.step(MINUTE)
    assert centre.sent_kinds() == [("truc", "trouble")]


@pytest.mark.parametrize("delivered", [True, False])
async def test_a_restarted_collector_repeats_nothing_and_forgets_nothing(
    centre: EvaluatorWorld, delivered: bool
) -> None:
    await centre.step(10 * SECOND, web=DOWN)
    centre.clock.advance(5 * SECOND)
    await centre._run_checks()
    await centre.evaluator.evaluate()  # committed; then the process dies before or after the mail goes
    if delivered:
        await centre.deliver()
    await centre.restart(off=MINUTE)
    await centre.step(5 * MINUTE)
    assert centre.sent_kinds() == [("truc", "trouble")]
    await centre.step(3 * MINUTE, web=UP)
    assert centre.sent_kinds() == [("truc", "trouble"), ("truc", "recovery")]


async def test_a_restored_store_repeats_nothing_that_was_sent_and_tells_of_the_end(centre: EvaluatorWorld) -> None:
    kept = centre.back_up()
    await centre.step(5 * MINUTE, web=DOWN)
    await centre.step(2 * MINUTE, mail=DOWN)
    await centre.step(3 * MINUTE, mail=UP)
    before = centre.sent_kinds()
    assert before == [("truc", "trouble"), ("truc", "trouble"), ("truc", "recovery")]
    await centre.restore(kept)
    await centre.step(10 * MINUTE)
    assert centre.sent_kinds() == before  # still wrong, and known
    await centre.step(3 * MINUTE, web=UP)
    assert centre.sent_kinds() == [*before, ("truc", "recovery")]
    assert centre.mails[-1]["In-Reply-To"] == centre.mails[0]["Message-ID"]


async def test_acknowledged_means_no_repeats(centre: EvaluatorWorld) -> None:
    await centre.step(MINUTE, web=DOWN)
    await centre.step(4 * HOUR + MINUTE)
    assert centre.sent_kinds() == [("truc", "trouble"), ("truc", "repeat")]
    key = centre.only_incident().key
    task = centre.evaluator.command(Command(incident=key, what="acknowledge", who="an", at=centre.now))
    waiting = asyncio.create_task(task)
    await asyncio.sleep(0)
    await centre.evaluator.evaluate()
    found = await waiting
    assert found is not None and found.acked is not None and found.acked[0] == "an"
    await centre.step(9 * HOUR)
    assert centre.sent_kinds() == [("truc", "trouble"), ("truc", "repeat")]
    await centre.step(3 * MINUTE, web=UP)
    assert centre.sent_kinds()[-1] == ("truc", "recovery")


async def test_maintenance_is_measured_and_told_to_nobody(centre: EvaluatorWorld) -> None:
    begin = centre.now
    await centre.store.write(
        lambda tx: declare(tx, Selector(checks=("web",)), begin, begin + HOUR, "new disks", "binh", begin)
    )
    await centre.step(30 * MINUTE, web=DOWN)
    assert centre.sent_kinds() == [] and centre.only_incident().excluded
    await centre.step(31 * MINUTE)  # it is over, and still down
    assert centre.sent_kinds() == [("truc", "trouble")]


async def test_a_muted_standby_tells_when_its_primary_is_gone(centre: EvaluatorWorld) -> None:
    centre.muted = True
    await centre.step(10 * MINUTE, web=DOWN)
    assert centre.sent_kinds() == [] and centre.only_incident().notified == {}
    centre.muted = False
    await centre.step(30 * SECOND)
    assert centre.sent_kinds() == [("truc", "trouble")]


async def test_the_hub_itself_cut_off_is_one_mail_and_no_provider_is_blamed(tmp_path: Path) -> None:
    """Everyone silent but fine: all lines go at once, seen from both sides. That is no 6 faults of 6 lines."""
    more = "cdef"
    centre = EvaluatorWorld(tmp_path, INVENTORY + "".join(site(name, 3 + n) for n, name in enumerate(more)))
    await centre.start()
    await centre.step(2 * MINUTE)
    everyone = "ab" + more
    centre.disconnected |= set(everyone)
    centre.states |= {f"so-{name}.from-hub": DOWN for name in everyone} | {f"{name}/hub": DOWN for name in everyone}
    await centre.step(10 * MINUTE)
    incident = centre.only_incident()
    assert (incident.cause.root, incident.cause.cause) == ("lan:so-ttt", "lan")
    assert sorted(centre.sent_kinds()) == [("an", "trouble"), ("truc", "trouble")]
    centre.states.clear()
    centre.disconnected.clear()
    await centre.step(25 * MINUTE)
    assert sorted(centre.sent_kinds()) == [
        ("an", "recovery"),
        ("an", "trouble"),
        ("truc", "recovery"),
        ("truc", "trouble"),
    ]
    assert list(centre.evaluator.incidents.closed) == [incident.key]  # the sites' own side of it is no news
    await centre.circuits.count()
    assert {(provider, cause) for _, provider, cause in centre.circuits.down} == {("nha-mang-a", "lan")}
    await centre.stop()


async def test_a_digest_goes_once_a_day_with_what_there_was(centre: EvaluatorWorld) -> None:
    await centre.step(MINUTE, web=DOWN)
    await centre.step(5 * MINUTE, web=UP)
    for _ in range(24):
        centre.clock.advance(HOUR - MINUTE)
        await centre.step(MINUTE)
    digests = [mail for letter, mail in zip(centre.outgoing, centre.mails, strict=True) if letter.kind == "digest"]
    assert len([one for one in centre.outgoing if (one.contact, one.kind) == ("truc", "digest")]) == 1
    assert "Cổng thông tin" in digests[0].get_body(("plain",)).get_content()


async def test_time_down_is_counted_by_provider_and_cause_once_it_is_settled(centre: EvaluatorWorld) -> None:
    centre.disconnected.add("a")
    centre.states |= {"so-a.from-hub": DOWN, "a/hub": DOWN}
    await centre.step(10 * MINUTE)
    await centre.circuits.count()
    assert centre.circuits.down == {}  # the site's own side is still to come
    centre.states |= {"so-a.from-hub": UP, "a/hub": UP}
    centre.disconnected.clear()
    await centre.step(30 * MINUTE)
    await centre.circuits.count()
    found = {key: ms for key, ms in centre.circuits.down.items() if key[0] == "so-a"}
    assert set(found) == {("so-a", "nha-mang-a", "wan")}
    assert abs(found["so-a", "nha-mang-a", "wan"] - 10 * MINUTE) <= 10 * SECOND
    await centre.circuits.count()
    await centre.restart()
    await centre.circuits.count()
    assert {key: ms for key, ms in centre.circuits.down.items() if key[0] == "so-a"} == found
    outages = await circuits.outages(centre.reader, (centre.now - HOUR, centre.now), "so-a")
    assert [(one.provider, one.cause.cause) for one in outages] == [("nha-mang-a", "wan")] and outages[0].cause.because


async def test_a_cause_that_was_provisional_is_judged_anew_when_the_backlog_is_in(centre: EvaluatorWorld) -> None:
    """The hub sees a site's line gone; that it was the site's own router only its agent knows, and tells it later."""
    centre.disconnected.add("a")
    centre.states |= {"a/gateway": DOWN, "a/hub": DOWN}
    await centre.step(10 * MINUTE, so_a__from_hub=DOWN)
    incident = centre.only_incident()
    assert (incident.cause.cause, incident.cause.certainty) == ("wan", "provisional")
    centre.states |= {"a/gateway": UP, "a/hub": UP}
    await centre.step(5 * MINUTE, so_a__from_hub=UP)  # the agent cannot reach the collector yet
    told = len(centre.sent_kinds())
    centre.disconnected.clear()
    await centre.step(15 * MINUTE)
    found = await centre.store.read(lambda tx: tx.incidents.find(incident.key))
    assert found is not None and found.closed is not None
    assert (found.cause.root, found.cause.cause) == ("lan:so-a", "lan")
    assert found.cause.certainty == "sure" and "lan:so-a" in [one.text for one in found.history if one.what == "cause"]
    assert {kind for _, kind in centre.sent_kinds()[told:]} <= {"recovery"}
    await centre.restart()
    await centre.step(2 * MINUTE)
    assert await centre.store.read(lambda tx: tx.incidents.find(incident.key)) == found


async def test_goals_leave_out_the_causes_that_are_not_theirs(centre: EvaluatorWorld) -> None:
    """A goal over services counts no WAN cut; the same time counts for a goal over everything."""
    inventory = centre.inventory
    goals = {
        name: Goal(
            id=name,
            name=Text(name, name),
            objective=0.99,
            select=Selector(checks=("hub",), agencies=("so-a",)),
            windows=("rolling-1d",),
            causes=causes,
        )
        for name, causes in {"all": (), "services": ("service", "lan", "power")}.items()
    }
    centre.source.current = msgspec.structs.replace(inventory, goals=goals)
    centre.source.version += 1
    centre.states |= {"a/hub": DOWN, "so-a.from-hub": DOWN}
    await centre.step(10 * MINUTE)
    centre.states |= {"a/hub": UP, "so-a.from-hub": UP}
    await centre.step(30 * MINUTE)
    found = {one.goal: one for one in await evaluations(centre.reader)}
    assert found["all"].upper is not None and found["all"].upper < 0.8
    assert found["services"].upper == 1.0 and found["services"].best == 1.0
    assert found["services"].coverage is not None and found["services"].coverage < 0.8


async def test_two_of_three_looks_where_the_inventory_says_so(tmp_path: Path) -> None:
    centre = EvaluatorWorld(tmp_path, INVENTORY + "conditions: {down: {looks: 2, out_of: 3}}\n")
    await centre.start()
    await centre.step(2 * MINUTE)
    for state in (DOWN, UP):
        await centre.step(5 * SECOND, web=state)
    assert centre.open == []
    await centre.step(5 * SECOND, web=DOWN)
    assert centre.only_incident().severity == "critical"
    await centre.step(5 * SECOND)
    assert centre.sent_kinds("truc") == [("truc", "trouble")]
    await centre.stop()


async def test_an_incident_says_since_when_also_while_it_recovers(centre: EvaluatorWorld) -> None:
    await centre.step(5 * MINUTE, web=DOWN)
    [before] = centre.only_incident().members.values()
    await centre.step(5 * SECOND, web=UP)
    [after] = centre.only_incident().members.values()
    assert after.until is None, "one look is not enough"
    assert (after.since, after.reason) == (before.since, before.reason)


async def test_old_evidence_of_a_silent_site_pages_nobody(tmp_path: Path) -> None:
    """What the last looks before a silence found is told when somebody is there again to say it."""
    old = "web: {kind: icmp, params: {host: 192.0.2.80}, interval: 30s, name: {vi: Cổng thông tin, en: Portal}}"
    assert old in INVENTORY
    centre = EvaluatorWorld(tmp_path, INVENTORY.replace(old, f"{old[:-1]}, hold: 9h}}"))
    await centre.start()
    await centre.step(2 * MINUTE)
    centre.muted = True
    await centre.step(MINUTE, web=DOWN)
    centre.stopped.add("hub-agent")
    await centre.step(20 * MINUTE)
    centre.muted = False
    await centre.step(5 * MINUTE)
    assert not any("Cổng thông tin" in str(mail["Subject"]) for mail in centre.mails)
    centre.stopped.clear()
    await centre.step(MINUTE)
    assert any("Cổng thông tin" in str(mail["Subject"]) for mail in centre.mails)
    await centre.stop()
