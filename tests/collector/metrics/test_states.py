"""States, names and counts for boards: every series is there from the first scrape on, and says what is known."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from collector.config import AgentsConfig, CollectorConfig, OperatorsConfig
from collector.metrics.agencies import WORST_FIRST, worst
from collector.queries.exclusions import declare
from collector.services.agency_availability import WINDOWS
from deploy.reference.metrics import series_of_province
from inventory.assembly import load
from inventory.model.entities import Inventory
from inventory.model.selectors import Selector
from inventory.protocol.causes import CAUSES
from inventory.protocol.states import DOWN, UP
from tests.bench import metrics_server
from tests.collector.web.test_api import Feeder, Running, now_ms

INVENTORY = """\
province: {id: p, name: {vi: Tỉnh, en: Province}, push_every: 30s, hub: centre}
providers: {mang-a: {name: {vi: Mạng A, en: Provider A}}}
calendars:
  never: {name: {vi: Không bao giờ, en: Never}, hours: {}, off: {mon-sun: ["00:00-24:00"]}}
agencies:
  centre:
    name: {vi: Trung tâm, en: Centre}
    site:
      agent: centre
      gateway: 192.0.2.1
      wan: 192.0.2.2
      checks: {web: {kind: tcp, name: {vi: Cổng, en: 'Portal "1"'}, params: {host: 192.0.2.9, port: 80}}}
    backups: {db: {rpo: 14h, evidence: {files: {params: {path: /srv/db}}, drill: {}}}}
  ke-sach:
    name: {vi: Huyện Kế Sách, en: Ke Sach}
    kind: district
    register: {staff: 9, pcs: 8, on_lan: 7}
    site:
      agent: ke-sach
      gateway: 198.51.100.1
      wan: 203.0.113.1
      link: {provider: mang-a, circuit: TSLCD-1}
      checks:
        hub: {kind: icmp, params: {host: 192.0.2.2}, link: true}
        from-hub: {kind: icmp, params: {host: 203.0.113.1}, link: true, agent: hub}
  ke-sach-tu-phap:
    name: {vi: Phòng Tư pháp, en: Justice Division}
    parent: ke-sach
    site: {agent: tu-phap, checks: {gate: {kind: tcp, params: {host: 192.0.2.3, port: 80}}}}
goals:
  g1: {name: {vi: Mục tiêu, en: Goal}, objective: 99%, combine: mean, select: {kinds: [tcp]}, windows: [rolling-1d]}
"""

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def collector_config(tmp_path: Path, inventory: str) -> CollectorConfig:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "all.yaml").write_text(inventory, "utf-8")
    return CollectorConfig(
        state_dir=tmp_path / "state",
        inventory=tmp_path / "inventory",
        agents=AgentsConfig(listen="127.0.0.1:0"),
        operators=OperatorsConfig(listen="127.0.0.1:0"),
    )


@pytest.fixture
async def province(tmp_path: Path) -> AsyncIterator[Running]:
    async with Running(collector_config(tmp_path, INVENTORY)) as running:
        yield running


async def scraped(running: Running) -> Samples:
    _, body = await running.get("/metrics")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def values(samples: Samples, name: str, *labels: str) -> dict[str | tuple[str, ...], float]:
    """By the values of these labels."""
    found: dict[str | tuple[str, ...], float] = {}
    for (full, pairs), value in samples.items():
        if full == name:
            key = tuple(dict(pairs).get(label, "") for label in labels)
            found[key[0] if len(labels) == 1 else key] = value
    return found


async def test_before_anybody_was_heard_every_series_is_there(province: Running) -> None:
    samples = await scraped(province)
    inventory = province.service.reader.inventory
    names = {check.name for check in inventory.checks.values()}
    assert values(samples, "haidang_check_state", "check") == dict.fromkeys(names, 3)
    settled = values(samples, "haidang_check_seconds_total", "check", "state")
    assert settled == dict.fromkeys(
        ((name, state) for name in names for state in ("up", "degraded", "down", "unknown")), 0
    )
    assert {name for name, *_ in values(samples, "haidang_check_info", "check", "name", "name_en")} == names
    assert ("web", "Cổng", 'Portal "1"') in values(samples, "haidang_check_info", "check", "name", "name_en")
    assert values(samples, "haidang_agency_state", "agency") == {"centre": 3, "ke-sach": 3, "ke-sach-tu-phap": 3}
    assert values(samples, "haidang_agency_checks_up_ratio", "agency") == {}
    assert values(samples, "haidang_backup_state", "backup") == {"centre-db": 3}
    assert values(samples, "haidang_link_state", "link", "provider") == {("ke-sach", "mang-a"): 3}
    down = values(samples, "haidang_link_down_seconds_total", "provider", "cause")
    assert len(down) == len(CAUSES) and set(down.values()) == {0}
    assert values(samples, "haidang_agent_enrolled", "agent") == {"centre": 0, "ke-sach": 0, "tu-phap": 0}
    assert values(samples, "haidang_agent_results_taken_total", "agent") == {"centre": 0, "ke-sach": 0, "tu-phap": 0}
    opened = values(samples, "haidang_incidents_opened_total", "cause", "severity")
    assert len(opened) == len(CAUSES) * 3 and set(opened.values()) == {0}
    for histogram in ("acknowledge", "recover", "fault_to_mail"):
        assert values(samples, f"haidang_incident_{histogram}_seconds_count") == {(): 0}
    assert values(samples, "haidang_excluded_checks") == {(): 0}


async def test_names_for_people(province: Running) -> None:
    samples = await scraped(province)
    agencies = values(samples, "haidang_agency_info", "agency", "name", "name_en", "kind", "district")
    assert set(agencies) == {
        ("centre", "Trung tâm", "Centre", "", ""),
        ("ke-sach", "Huyện Kế Sách", "Ke Sach", "district", "ke-sach"),
        ("ke-sach-tu-phap", "Phòng Tư pháp", "Justice Division", "", "ke-sach"),
    }
    assert set(values(samples, "haidang_link_info", "link", "site", "provider", "circuit")) == {
        ("ke-sach", "ke-sach", "mang-a", "TSLCD-1")
    }
    assert set(values(samples, "haidang_goal_info", "goal", "name", "name_en")) == {("g1", "Mục tiêu", "Goal")}
    assert set(values(samples, "haidang_provider_info", "provider", "name")) == {("mang-a", "Mạng A")}
    assert values(samples, "haidang_backup_rpo_seconds", "backup") == {"centre-db": 14 * 3600}
    assert values(samples, "haidang_agency_registered_pcs", "agency") == {"ke-sach": 7}


async def test_what_was_seen_and_what_is_excluded(province: Running) -> None:
    service, now = province.service, now_ms()
    await Feeder(service, "ke-sach").tell({"hub": [(now - 60_000, UP), (now - 1_000, DOWN)]})
    await Feeder(service, "centre").tell({"web": [(now - 60_000, UP), (now - 1_000, UP)]})
    await service.availability.refresh()
    samples = await scraped(province)
    state = values(samples, "haidang_check_state", "check")
    assert (state["hub"], state["web"], state["ke-sach.from-hub"]) == (2, 0, 3)
    assert values(samples, "haidang_link_state", "link") == {"ke-sach": 2}
    assert values(samples, "haidang_agency_state", "agency") == {"centre": 3, "ke-sach": 2, "ke-sach-tu-phap": 3}
    by_state = values(samples, "haidang_agency_checks", "agency", "state")
    assert (by_state["centre", "up"], by_state["centre", "unknown"], by_state["ke-sach", "down"]) == (1, 2, 1)
    assert values(samples, "haidang_agency_checks_up_ratio", "agency") == {"centre": 1, "ke-sach": 0}
    availability = values(samples, "haidang_agency_availability_ratio", "agency", "window", "bound")
    assert availability["centre", "rolling-1d", "best"] == 1
    assert {window for _, window, _ in availability} == set(WINDOWS)
    assert 0 < availability["ke-sach", "rolling-1d", "best"] < 1

    inventory = service.reader.inventory
    await service.store.write(
        lambda tx: declare(
            tx, Selector(agencies=("ke-sach",)), now - 1_000, now + 60_000, 'Thay "bộ định tuyến"', "an", now
        )
    )
    await service.exclusions.refresh()
    samples = await scraped(province)
    assert values(samples, "haidang_check_state", "check")["hub"] == 4
    assert values(samples, "haidang_check_up", "check")["hub"] == 0  # as ever: nobody looks away
    assert values(samples, "haidang_link_state", "link") == {"ke-sach": 4}
    assert values(samples, "haidang_agency_state", "agency")["ke-sach"] == 4
    assert set(values(samples, "haidang_exclusion_info", "origin", "reason")) == {("declared", 'Thay "bộ định tuyến"')}
    assert values(samples, "haidang_exclusion_end_timestamp_seconds", "exclusion") == {"1": (now + 60_000) / 1000}
    about = sum(check.agency == "ke-sach" for check in inventory.checks.values())
    assert values(samples, "haidang_excluded_checks") == {(): about}


@given(st.lists(st.integers(0, 9), min_size=5, max_size=5))
def test_the_worst_is_never_better_than_anything_that_is_wrong(counts: list[int]) -> None:
    state = worst(counts)
    assert not any(counts) or counts[state]
    better = WORST_FIRST[: WORST_FIRST.index(state)] if any(counts) else ()
    assert not any(counts[code] for code in better)


async def count_series(tmp_path: Path, agencies: int, checks: int) -> int:
    tmp_path.mkdir()
    inventory = metrics_server.inventory(agencies, checks, 0)
    async with Running(collector_config(tmp_path, inventory)) as running:
        for number in range(agencies):
            await metrics_server.tell(running.service, f"body-{number}")
        await running.service.availability.refresh()
        samples = await scraped(running)
        named = {name for name, _ in samples}
        assert len(named) > 60  # it is the whole page
        return sum(bool({"agency"} & dict(pairs).keys()) for _, pairs in samples)


async def test_the_number_of_series_is_what_the_documentation_says(tmp_path: Path) -> None:
    """What grows with the province grows by so much an agency and so much a check, and by nothing else."""
    for agencies, checks in ((3, 5), (6, 5), (6, 9)):
        counted = await count_series(tmp_path / f"{agencies}-{checks}", agencies, checks)
        assert counted == series_of_province(agencies, agencies, agencies * checks)
    assert series_of_province(10_000, 10_000, 100_000) < 1_500_000
    text = " ".join(Path("docs/metrics.md").read_text("utf-8").split())
    assert f"{series_of_province(10_000, 10_000, 100_000):,} series" in text


def test_agencies_of_the_example_have_districts(tmp_path: Path) -> None:
    province: Inventory = load.load(Path("inventory/examples/soctrang"))
    assert sum(one.kind == "district" for one in province.agencies.values()) == 7
