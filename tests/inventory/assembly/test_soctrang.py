"""The shipped example: the whole province of plan 21/KH-UBND, checked against the plan's own figures."""

import unicodedata
from collections import Counter
from datetime import date, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import inventory
from inventory.assembly.load import load
from inventory.assembly.planning import plans_of
from inventory.cli import show_alerting
from inventory.model import entities
from inventory.model.goals import members
from inventory.model.rosters import contacts_of
from inventory.protocol import kinds
from inventory.times.calendars import epoch_ms

DIRECTORY = Path(inventory.__file__).parent / "examples" / "soctrang"
DOCUMENTATION = [ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")]

# appendix 1, in its order
APPENDIX_1 = """Sở Công thương tỉnh Sóc Trăng
Sở Giáo dục - Đào tạo tỉnh Sóc Trăng
Sở Giao thông vận tải tỉnh Sóc Trăng
Sở Văn hóa, Thể thao và Du lịch tỉnh Sóc Trăng
Sở Khoa học và Công nghệ tỉnh Sóc Trăng
Sở Kế hoạch Đầu tư tỉnh Sóc Trăng
Sở Lao động - Thương binh & Xã hội tỉnh Sóc Trăng
Sở Nông nghiệp và Phát triển Nông thôn tỉnh Sóc Trăng
Sở Nội vụ tỉnh Sóc Trăng
Sở Tài chính tỉnh Sóc Trăng
Sở Tài nguyên và Môi trường tỉnh Sóc Trăng
Sở Tư pháp tỉnh Sóc Trăng
Sở Xây dựng tỉnh Sóc Trăng
Sở Y tế tỉnh Sóc Trăng
Sở Thông tin và Truyền thông tỉnh Sóc Trăng
Thanh tra tỉnh Sóc Trăng
Văn phòng Đoàn Đại biểu Quốc hội và HĐND Tỉnh
Văn phòng UBND Tỉnh
Văn phòng HĐND & UBND TP Sóc Trăng
Văn phòng HĐND & UBND huyện Kế Sách
Văn phòng HĐND & UBND huyện Long Phú
Văn phòng HĐND & UBND huyện Mỹ Tú
Văn phòng HĐND & UBND huyện Vĩnh Châu
Văn phòng HĐND & UBND huyện Cù Lao Dung
Ủy ban nhân dân huyện Châu Thành
Trung tâm Công nghệ thông tin và Truyền thông
Trường Cao đẳng Cộng đồng Sóc Trăng
Trường Cao đẳng Nghề Sóc Trăng
Ban Quản lý các Công trình Xây dựng
Ban Quản lý các Khu công nghiệp tỉnh Sóc Trăng
Ban QLDA PT KVH Hồ Nước Ngọt""".splitlines()


@pytest.fixture(scope="module")
def province() -> entities.Inventory:
    return load(DIRECTORY)


def totals(agencies: list[entities.Agency]) -> tuple[int, int, int]:
    """PCs, on the Internet, on a LAN."""
    registers = [agency.register for agency in agencies]
    return (
        sum(register.pcs or 0 for register in registers),
        sum(register.on_internet or 0 for register in registers),
        sum(register.on_lan or 0 for register in registers),
    )


def test_it_is_fine(province: entities.Inventory) -> None:
    assert province.warnings == ()


def test_every_body_of_appendix_1_is_there_in_both_languages(province: entities.Inventory) -> None:
    names = {agency.name.vi: agency for agency in province.agencies.values()}
    assert [name for name in APPENDIX_1 if unicodedata.normalize("NFC", name) not in names] == []
    assert len(APPENDIX_1) == 31
    for agency in province.agencies.values():
        assert agency.name.en and agency.name.en != agency.name.vi
        assert unicodedata.is_normalized("NFC", agency.name.vi)


def test_the_register_of_the_provincial_units_sums_up_as_the_plan_prints_it(province: entities.Inventory) -> None:
    provincial = [agency for agency in province.agencies.values() if agency.kind != "district-unit"]
    assert totals(provincial) == (1001, 830, 816)
    # the plan's own percentages: 82.9% on the Internet, 81.5% on a LAN
    assert (round(830 / 1001 * 100, 1), round(816 / 1001 * 100, 1)) == (82.9, 81.5)
    assert sum(agency.register.pcs is not None for agency in provincial) == 27


def test_the_register_of_the_district_units_is_the_sum_of_its_rows(province: entities.Inventory) -> None:
    units = [agency for agency in province.agencies.values() if agency.kind == "district-unit"]
    assert len(units) == 22
    assert totals(units) == (1345, 868, 634)
    assert sum(agency.register.staff or 0 for agency in units) == 2163


def test_seven_districts_and_41_linked_bodies(province: entities.Inventory) -> None:
    kinds = Counter(agency.kind for agency in province.agencies.values() if agency.sites)
    assert kinds["district"] == 7
    assert sum(kinds.values()) == 41
    assert all(province.sites[ident].links for agency in province.agencies.values() for ident in agency.sites[:1])


def test_one_main_and_28_component_portals(province: entities.Inventory) -> None:
    pages = [check for check in province.checks.values() if check.kind == "http" and "portal" in check.tags]
    component = [check for check in pages if check.key == "portal"]
    assert len(component) == 28 and len({check.agency for check in component}) == 28
    assert [check.key for check in pages if check not in component] == ["web-cong-chinh"]


def test_nothing_that_exists_is_a_target(province: entities.Inventory) -> None:
    targets = []
    for check in province.checks.values():
        kind = kinds.load()[check.kind]
        if kind.on_own_machine or check.params.get("url") == "hub":
            continue  # or the collector it belongs to
        given = [str(check.params[name]) for name in kind.shown_target if name in check.params]
        assert given, check
        host = urlsplit(given[0]).hostname if "://" in given[0] else given[0]
        targets.append(str(host).partition("/")[0])
    for device in province.devices.values():
        targets.append(device.address)
    for collector in province.province.collectors:
        targets.append(urlsplit(collector.url).hostname or "")
    for target in targets:
        address = ip_address(target)
        assert any(address in network for network in DOCUMENTATION if network.version == address.version), target
    assert all(contact.email.endswith(".example") for contact in province.contacts.values())


def test_every_goal_of_the_plan_is_measured_or_says_what_it_lacks(province: entities.Inventory) -> None:
    assert {f"g{number}" for number in range(1, 11)} <= set(province.goals)
    counted = {}
    for goal in province.goals.values():
        found = members(goal, province, date(2026, 11, 23))
        counted[goal.id] = len(found)
        assert bool(found) != bool(goal.lacks)
        assert all(text.vi and text.en for text in goal.lacks)
        assert set(goal.targets) == {2011, 2012, 2013, 2014, 2015}
        values = [goal.targets[year] for year in sorted(goal.targets)]
        assert values == sorted(values)
        if goal.combine == "share":
            assert all(member.objective is not None for member in found)
    assert counted == {
        "g1": 8,
        "g2": 2,
        "g3": 41,
        "g3-districts": 26,
        "g4": 41,
        "g4-throughput": 41,
        "g5": 26,
        "g6": 8,
        "g7": 28,
        "g8": 26,
        "g9": 2,
        "g9-round-trip": 1,
        "g10": 0,
    }
    assert [goal.id for goal in province.goals.values() if goal.lacks] == ["g10"]
    assert province.goals["g3"].objective_in(2015) == 0.9
    assert province.goals["g7"].objective_in(2026) == 1.0


def test_the_centres_power_is_watched_and_known_to_feed_what(province: entities.Inventory) -> None:
    centre = "so-thong-tin-truyen-thong-thdl"
    power = {check.key: check for check in province.checks.values() if check.kind == "power"}
    assert {key: (check.agent, check.thresholds) for key, check in power.items()} == {
        "power-ups": ("thdl", ()),  # degraded is to mean the battery alone
        "power-ups-mang": ("thdl", ()),
    }
    for key, check in power.items():
        health = next(one for one in province.checks.values() if one.key == key.replace("power", "ups", 1))
        assert health.kind == "ups" and health.params == check.params
    assert province.goals["g2"].degraded == "up"
    assert province.devices[f"{centre}-loi"].fed_by == (f"{centre}-ups", f"{centre}-ups-mang")
    fed = {device.id for device in province.devices.values() if device.fed_by}
    assert fed == {ident for ident in province.sites[centre].devices if province.devices[ident].kind != "ups"}


def test_every_backup_has_its_objective_and_a_restore_drill(province: entities.Inventory) -> None:
    assert len(province.backups) == 8
    for backup in province.backups.values():
        assert backup.rpo is not None and 14 <= backup.rpo / 3_600_000 <= 50
        assert "drill" in backup.evidence and len(backup.evidence) > 1
        for uid in backup.checks:
            check = province.checks[uid]
            assert (check.backup, check.site) == (backup.id, backup.site) and "backup" in check.tags
    of_documents = province.backups["so-thong-tin-truyen-thong-thdl-backup-van-ban"]
    assert of_documents.name.vi == "Sao lưu Quản lý văn bản và điều hành"
    assert of_documents.evidence == ("pings", "files", "drill")
    grouped = {member.id: member for member in members(province.goals["g6"], province)}
    assert grouped[of_documents.id].checks == of_documents.checks
    assert grouped[of_documents.id].parts[2].en == "Backup of Document management and direction: restore drill"


def test_pcs_are_counted_against_the_register_in_office_hours(province: entities.Inventory) -> None:
    counted = {check.agency: check for check in province.checks.values() if check.kind == "lan"}
    for ident, check in counted.items():
        assert check.params["register"] == province.agencies[ident].register.pcs
        assert check.calendar == "gio-hanh-chinh"
    assert sum(int(str(check.params["register"])) for check in counted.values()) == 1001


def test_every_agent_has_a_plan_of_kinds_that_exist(province: entities.Inventory) -> None:
    plans = plans_of(province, date(2026, 11, 23))
    assert len(plans) == 43
    assert all(plan.checks for plan in plans.values())
    assert len(plans["thdl"].checks) > 80
    assert sum(len(plan.checks) for plan in plans.values()) == len(province.checks)


def test_the_standby_centre_begins_in_2013(province: entities.Inventory) -> None:
    ident = "so-thong-tin-truyen-thong-du-phong"
    assert not plans_of(province, date(2012, 12, 31))[ident].checks
    assert plans_of(province, date(2013, 1, 1))[ident].checks


CENTRE = "so-thong-tin-truyen-thong-thdl"


def test_who_is_told_is_said_in_both_languages(province: entities.Inventory) -> None:
    told = province.alerting
    named = (*province.contacts.values(), *told.groups.values(), *told.rosters.values())
    assert len(named) == 15
    for one in named:
        assert one.name.vi and one.name.en and one.name.vi != one.name.en
        assert unicodedata.is_normalized("NFC", one.name.vi)
    assert {contact.language for contact in province.contacts.values()} == {"vi"}
    assert told.digest == 7 * 60


def test_the_centres_faults_go_to_who_is_on_duty_and_then_to_the_leadership(province: entities.Inventory) -> None:
    route = {one.id: one for one in province.alerting.routes}["trung-tam-nghiem-trong"]
    assert (route.select.sites[0], route.severities, route.only) == (CENTRE, ("critical",), True)
    steps = [(step.after_ms // 60_000, _people(province, step.to, "2026-11-25 09:00")) for step in route.steps]
    assert steps == [(15, ("giam-doc-trung-tam",)), (60, ("giam-doc-trung-tam", "lanh-dao-so"))]
    assert _people(province, route.to, "2026-11-25 09:00") == ("truc-ca",)
    weeks = ("2026-11-21 12:00", "2026-11-22 23:00", "2026-11-28 12:00", "2026-12-05 12:00", "2026-12-12 12:00")
    nights = [_people(province, route.to, moment) for moment in weeks]
    assert nights[0] == nights[1] == nights[4] and {*nights} == {(f"ky-thuat-{n}",) for n in (1, 2, 3)}


def _people(province: entities.Inventory, names: tuple[str, ...], moment: str) -> tuple[str, ...]:
    at = epoch_ms(datetime.fromisoformat(moment), province.province.zone)
    return contacts_of(names, province.alerting, at, province.province.zone)


def test_each_district_has_its_own_administrator(province: entities.Inventory) -> None:
    districts = [agency for agency in province.agencies.values() if agency.kind == "district"]
    assert [agency.contacts for agency in districts] == [(f"quan-tri-{agency.id}",) for agency in districts]
    assert len({province.contacts[agency.contacts[0]].email for agency in districts}) == 7
    rows = show_alerting.notification_rows(province, "ke-sach", 0)
    assert [row[0] for row in rows[1:]] == ["duong-truyen", "cong-thanh-phan", "huyen", "con-lai"]
    assert rows[1][1].startswith("warning, critical by wan")  # the line's provider is called by the desk


def test_every_route_takes_something_of_somebody(province: entities.Inventory) -> None:
    taken = {
        row[0]
        for ident in (*province.agencies, *province.sites)
        for row in show_alerting.notification_rows(province, ident, 0)[1:]
    }
    assert taken == {route.id for route in province.alerting.routes}


def test_a_link_that_changed_hands_keeps_its_history(province: entities.Inventory) -> None:
    link = province.links["ke-sach"]
    assert link.provider_on(date(2012, 6, 30)) == "nha-mang-b"
    assert link.provider_on(date(2012, 7, 1)) == "nha-mang-a"
