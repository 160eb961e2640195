"""What proves a backup, written together: the checks that come of it, templates and overrides, mistakes by line."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from inventory.assembly.load import load, load_with_problems
from inventory.assembly.planning import plans_of
from inventory.base.types import Text
from inventory.model.entities import Backup, Check, Inventory
from inventory.model.goals import members

HEAD = """\
agencies:
  office:
    name: {vi: Cơ quan, en: Office}
    from: 2011-01-01
    site:
      devices:
        docs: {name: {vi: Văn bản, en: Documents}, address: 192.0.2.81, facts: {backup_rpo: 14h, dir: /srv/d}}
        page: {name: Page, kind: web, address: 192.0.2.80}
"""
OWN = """\
      backups:
        db:
          name: {vi: Cơ sở dữ liệu, en: Database}
          rpo: 14h
          interval: 5m
          objective: 99%
          tags: [night]
          from: 2012-01-01
          evidence:
            pings: {params: {cron: "0 23 * * *"}, interval: 1m}
            files: {params: {path: /srv/db}, tags: [disk]}
            second: {kind: backup, params: {path: /srv/far, rpo: 50h}, name: {vi: Bản xa, en: Far copy}}
            drill: {timeout: 10s}
"""
TEMPLATE = """\
templates:
  centre:
    backups:
      backup:
        name: {vi: "Sao lưu {item_name}", en: "Backup of {item_name}"}
        each: devices
        when: backup_rpo
        rpo: "{backup_rpo}"
        interval: 5m
        evidence:
          pings: {when: job, params: {job: "{job}"}}
          files: {params: {path: "{dir}"}}
          drill: {}
"""


def loaded(directory: Path, text: str) -> Inventory:
    (directory / "all.yaml").write_text(text, "utf-8")
    return load(directory)


def said(directory: Path, text: str) -> list[str]:
    (directory / "all.yaml").write_text(text, "utf-8")
    return [str(problem).removeprefix(f"{directory}/") for problem in load_with_problems(directory)[1]]


def of(made: Inventory, ident: str) -> tuple[Backup, dict[str, Check]]:
    backup = made.backups[ident]
    return backup, {name: made.checks[uid] for name, uid in zip(backup.evidence, backup.checks, strict=True)}


def test_evidence_becomes_checks_of_one_backup(tmp_path: Path) -> None:
    made = loaded(tmp_path, HEAD + OWN)
    backup, checks = of(made, "office-db")
    assert (backup.name, backup.site, backup.rpo) == (Text("Cơ sở dữ liệu", "Database"), "office", 14 * 3_600_000)
    assert {name: (check.key, check.kind) for name, check in checks.items()} == {
        "pings": ("db-pings", "job"), "files": ("db-files", "backup"), "second": ("db-second", "backup"),
        "drill": ("db-drill", "drill"),
    }  # fmt: skip
    assert checks["pings"].params == {"job": "db", "cron": "0 23 * * *", "rpo": "14h"}
    assert checks["files"].params == {"path": "/srv/db", "rpo": "14h"}
    assert checks["second"].params["rpo"] == "50h", "what an evidence says itself counts before the backup's"
    assert checks["drill"].params == {"drill": "db"}
    assert {name: check.interval // 1000 for name, check in checks.items()} == {
        "pings": 60, "files": 300, "second": 300, "drill": 300,
    }  # fmt: skip
    assert checks["files"].tags == ("backup", "night", "disk")
    assert {check.objective for check in checks.values()} == {0.99}
    assert {check.begins for check in checks.values()} == {date(2012, 1, 1)}
    assert {check.backup for check in checks.values()} == {"office-db"}
    assert checks["second"].title.en == "Far copy"
    assert checks["drill"].title == Text("Cơ sở dữ liệu: thử phục hồi", "Database: restore drill")
    assert {check.name for check in plans_of(made)["office"].checks} == {check.name for check in checks.values()}


def test_a_goal_counts_a_backup_as_one(tmp_path: Path) -> None:
    goal = "goals: {g: {name: G, objective: 99%, per: backup, combine: share, select: {tags: [backup]}}}\n"
    lone = "      checks: {lone: {kind: drill, params: {drill: x}, tags: [backup], objective: 90%}}\n"
    made = loaded(tmp_path, HEAD + lone + OWN + goal)
    found = members(made.goals["g"], made)
    assert [(member.name.en, len(member.checks), member.objective) for member in found] == [
        ("lone", 1, 0.9), ("Database", 4, 0.99),
    ]  # fmt: skip
    assert found[1].parts[-1].en == "Database: restore drill"


def test_a_template_makes_a_backup_of_every_device_that_has_an_objective(tmp_path: Path) -> None:
    text = TEMPLATE + HEAD.replace("    site:", "    template: centre\n    site:")
    backup, checks = of(loaded(tmp_path, text), "office-backup-docs")
    assert list(checks) == ["files", "drill"], "nothing says the job's name"
    assert backup.name == Text("Sao lưu Văn bản", "Backup of Documents")
    assert checks["files"].params == {"path": "/srv/d", "rpo": "14h"}
    assert checks["drill"].params == {"drill": "backup-docs"}
    assert list(loaded(tmp_path, text).backups) == ["office-backup-docs"]


def test_a_sites_own_overrides_the_templates_key_by_key(tmp_path: Path) -> None:
    text = TEMPLATE + HEAD.replace("    site:", "    template: centre\n    site:")
    own = """\
      backups:
        backup-docs:
          rpo: 20h
          interval: 10m
          tags: [far]
          evidence:
            files: {params: {files: "*.dump"}, interval: 2m}
            drill: {off: true}
            repository: {params: {evidence: borg, path: /srv/borg}}
"""
    backup, checks = of(loaded(tmp_path, text + own), "office-backup-docs")
    assert list(checks) == ["files", "repository"]
    assert checks["files"].params == {"path": "/srv/d", "files": "*.dump", "rpo": "20h"}
    assert (checks["files"].interval, checks["repository"].interval) == (120_000, 600_000)
    assert checks["repository"].params == {"evidence": "borg", "path": "/srv/borg", "rpo": "20h"}
    assert {check.tags for check in checks.values()} == {("backup", "far")}
    assert backup.rpo == 20 * 3_600_000
    away = text + "      backups: {backup-docs: {off: true}}\n"
    assert loaded(tmp_path, away).backups == {}


def test_a_check_that_becomes_evidence_keeps_its_history(tmp_path: Path) -> None:
    before = "      checks: {old: {kind: backup, params: {path: /srv/db}}}\n"
    (check,) = loaded(tmp_path, HEAD + before).checks.values()
    after = "      backups: {db: {evidence: {files: {params: {path: /srv/db}, formerly: old}}}}\n"
    assert list(loaded(tmp_path, HEAD + after).checks) == [check.uid]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("rpo: 14h", "rpo: often"), "all.yaml:12: agencies.office.site.backups.db.evidence.pings.params.rpo: "),
        (('"0 23 * * *"', '"0 23 * *"'), "all.yaml:18: agencies.office.site.backups.db.evidence.pings.params.cron: "),
        (("interval: 5m", "interval: 2d"), "all.yaml:13: agencies.office.site.backups.db.evidence.files.interval: "),
        (("kind: backup, ", ""), "all.yaml:20: agencies.office.site.backups.db.evidence.second: needs the key kind"),
        (("from: 2012-01-01", "to: 1-1"), "all.yaml:16: agencies.office.site.backups.db.to: "),
        (("drill: {", "drill: {calendar: never, "), "all.yaml:21: agencies.office.site.backups.db.evidence.drill.cal"),
        (("tags: [night]", "calendar: never"), "all.yaml:15: agencies.office.site.backups.db.calendar: "),
        (("path: /srv/db", "pth: /srv/db"), "all.yaml:19: agencies.office.site.backups.db.evidence.files.params.pth: "),
    ],
)
def test_mistakes_are_told_with_their_lines(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    assert change[0] in HEAD + OWN
    found = said(tmp_path, HEAD + OWN.replace(*change, 1))
    assert any(one.startswith(expected) for one in found), found


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("      backups: {db: {rpo: 1d}}\n", "agencies.office.site.backups.db: needs the key evidence: what proves it"),
        ("      backups: {db: {off: true}}\n", "backups.db.off: there is no such backup to leave out"),
        (
            OWN + "    backups: {db: {evidence: {drill: {}}}}\n",
            "agencies.office.backups.db: is given for the agency and for its site",
        ),
        (
            OWN + "    sites:\n      a: {backups: {b-c: {evidence: {drill: {}}}}}\n      a-b: {backups: {c: {evidence: "
            "{drill: {}}}}}\n",
            "the backup id office-a-b-c is taken by another site's",
        ),
        ("      checks: {db-drill: {kind: drill, params: {drill: x}}}\n" + OWN, "already has a check db-drill"),
    ],
)
def test_what_cannot_be(tmp_path: Path, more: str, expected: str) -> None:
    found = said(tmp_path, HEAD + more)
    assert len([one for one in found if expected in one]) == 1, found


def test_a_mistake_in_the_agency_hides_none_in_its_backups(tmp_path: Path) -> None:
    text = HEAD.replace("from: 2011-01-01", "kin: x") + OWN.replace('"0 23 * * *"', '"0 23 * *"')
    found = said(tmp_path, text)
    assert any("agencies.office.kin" in one for one in found)
    assert any("all.yaml:18: agencies.office.site.backups.db.evidence.pings.params.cron" in one for one in found)


def test_the_schema_lets_editors_know_of_backups() -> None:
    from inventory.cli.json_schema import schema
    from inventory.protocol import kinds

    made: dict[str, Any] = schema(kinds.load())["$defs"]
    assert made["Site"]["properties"]["backups"]["additionalProperties"] == {"$ref": "#/$defs/Backup"}
    assert made["Backup"]["properties"]["evidence"]["additionalProperties"] == {"$ref": "#/$defs/Check"}
