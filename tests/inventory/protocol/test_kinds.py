"""What the inventory knows of the kinds of probe without loading one."""

import pytest

from inventory.protocol import kinds


def test_who_tells_of_what() -> None:
    assert kinds.about("power") == {"power"}
    assert kinds.about("line") == {"path", "throughput"}
    assert kinds.about("host") == {"icmp"}
    assert kinds.about("the weather") == frozenset()
    own = {name for name, kind in kinds.load().items() if kind.on_own_machine}
    assert own == {"host", "backup", "job", "drill"}


def test_a_kind_of_a_newer_agent_declares_nothing() -> None:
    kind = kinds.of("of a newer agent")
    assert (kind.target, kind.measures, kind.exported, kind.on_own_machine) == ((), (), (), False)
    assert not kind.mails["down"].steps and not kind.mails["degraded"].headline


@pytest.mark.parametrize(
    ("kind", "given", "shown"),
    [
        ("tcp", {"host": "192.0.2.1", "port": 25}, "192.0.2.1"),
        ("dns", {"server": "192.0.2.53", "name": "host.example"}, "192.0.2.53"),
        ("http", {"url": "https://192.0.2.1/"}, "https://192.0.2.1/"),
        ("mail", {"imap_host": "192.0.2.3", "smtp_host": "192.0.2.2"}, "192.0.2.2"),
        ("lan", {"network": "192.0.2.0/24", "register": 3}, "192.0.2.0/24"),
        ("backup", {"path": "/srv", "evidence": "borg"}, "/srv"),
        ("job", {"job": "db"}, "db"),
        ("host", {}, None),
    ],
)
def test_what_a_person_is_shown_as_the_target(kind: str, given: dict[str, str], shown: str | None) -> None:
    assert next((given[name] for name in kinds.load()[kind].shown_target if name in given), None) == shown


def test_what_evidence_of_a_backup_means_and_who_names_it() -> None:
    known = kinds.load()
    meant = {key: known.of_evidence(key) for key in ("pings", "files", "repository", "drill", "second")}
    assert meant == {"pings": "job", "files": "backup", "repository": "backup", "drill": "drill", "second": None}
    assert {name: kind.named_by for name, kind in known.items() if kind.named_by} == {"job": "job", "drill": "drill"}


def test_what_is_exported_of_the_kinds_that_a_province_has_by_the_thousand() -> None:
    exported = {
        name: {measure.name for measure in kinds.load()[name].exported} for name in ("icmp", "tcp", "http", "dns")
    }
    assert exported == {
        "icmp": {"loss_ratio", "jitter_seconds", "mos_score"},
        "tcp": set(),
        "http": {"http_status", "certificate_expiry_timestamp_seconds"},
        "dns": {"answers"},
    }
