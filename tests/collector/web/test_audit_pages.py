"""The audit as administrators see it: page and API, chosen from and paged."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from collector.store.audit_chain import GENESIS, chained
from collector.web.audit_lines import AuditPageAnswer
from collector.web.pages.audit import ROWS
from tests.collector.web.test_api import Running, config_for
from tests.support.people import basic, guarded

DAY = 86_400_000
START = 1_795_662_000_000  # 10:00 on 26 November 2026 in Việt Nam


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with Running(config_for(tmp_path)) as running:
        for number in range(ROWS + 20):
            row = (START + number * DAY // 10, f"who{number % 2} <b>", "code", {"agent": f"agent-{number % 3}"})
            await running.service.store.write(lambda tx, row=row: tx.audit.add(*row))
        yield running


async def test_the_api_gives_rows_that_prove_themselves(running: Running) -> None:
    answer = await running.json("/api/v1/audit", AuditPageAnswer)
    held = GENESIS
    for one in reversed(answer.rows):
        held = chained(held, one.number, one.at, one.who, one.what, one.data)
        assert one.hash == held.hex()
    assert answer.head == f"{len(answer.rows)}:{held.hex()}"
    assert answer.rows[-1].what == "change of inventory"  # the first of all
    some = await running.json("/api/v1/audit?agent=agent-1&limit=5", AuditPageAnswer)
    assert len(some.rows) == 5 and all('"agent-1"' in one.data for one in some.rows)
    more = await running.json(f"/api/v1/audit?agent=agent-1&limit=5&before={some.rows[-1].number}", AuditPageAnswer)
    assert more.rows[0].number == some.rows[-1].number - 3
    times = await running.json(f"/api/v1/audit?from={START}&to={START + DAY}", AuditPageAnswer)
    assert len(times.rows) == 10
    for wrong in ("limit=x", "from=-1", "colour=red", "who=" + "x" * 201):
        assert (await running.get(f"/api/v1/audit?{wrong}"))[0] == 400


async def test_the_page_is_filtered_and_paged(running: Running) -> None:
    status, body = await running.get("/audit?lang=en&who=who1 <b>")
    page = body.decode()
    assert status == 200 and page.count("<tr>") == 61 and "who1 &lt;b&gt;" in page and "<b>" not in page
    assert "Older ones" not in page
    page = (await running.get("/audit?lang=en"))[1].decode()
    assert page.count("<tr>") == ROWS + 1 and "Older ones" in page
    [older] = re.findall(r'<a href="/audit\?([^"]*before=\d+)"', page.replace("&amp;", "&"))
    page = (await running.get(f"/audit?{older}"))[1].decode()
    assert 'lang="en"' in page and "change of inventory" in page
    page = (await running.get("/audit?lang=en&who=who1 <b>&agent=agent-1"))[1].decode()
    assert '"/audit?lang=vi&amp;who=who1+%3Cb%3E&amp;agent=agent-1"' in page, "the other language shows the same rows"
    page = (await running.get("/audit?lang=en&since=2026-11-26&until=2026-11-26"))[1].decode()
    assert page.count("<tr>") == 1 + 6  # 10:00 to 24:00, one every 2.4 hours
    for wrong in ("since=yesterday", "until=9999-12-31", "since=0001-01-01"):
        assert (await running.get(f"/audit?{wrong}"))[0] in (200, 400)


async def test_a_changed_inventory_is_a_row_once_also_over_a_restart(tmp_path: Path) -> None:
    config = config_for(tmp_path)

    async def rows(running: Running) -> list[dict]:
        found = await running.service.store.read(lambda tx: tx.audit.all())
        return [data for _, _, what, data in found if what == "change of inventory"]

    async with Running(config) as running:
        assert len(await rows(running)) == 1
        file = tmp_path / "inventory" / "all.yaml"
        text = file.read_text()
        file.write_text(text + "# a word\n")
        assert await running.service.inventories.refresh()
        file.write_text("province: {")
        await running.service.inventories.refresh()
        assert len(await rows(running)) == 2  # what is broken does not come into force
        file.write_text(text + "# a word\n")
        await running.service.inventories.refresh()
        assert len(await rows(running)) == 2
    async with Running(config) as running:
        assert len(await rows(running)) == 2
    file.write_text(text)
    async with Running(config) as running:
        first, second, third = await rows(running)
    assert first["before"] is None and first["after"] == second["before"] == third["after"]
    assert (second["after"], second["checks"], second["agents"]) == (third["before"], 3, 2)


async def test_a_users_file_changed_by_hand_is_a_row_without_hashes(tmp_path: Path) -> None:
    config = guarded(config_for(tmp_path))
    async with Running(config) as running:
        assert (await running.get("/audit", headers=basic("admin")))[0] == 200
        for _ in range(2):
            status, body = await running.get("/api/v1/audit?what=change of users", headers=basic("admin"))
            assert status == 200 and body.count(b'"what":"change of users"') == 1
        assert b"scrypt" not in body and b"operator" in body
