"""The audit cannot be changed by way of the store, and shows it when it is changed by another."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.store.records import AuditFilter
from collector.store.sqlite.audit import SqliteAudit
from collector.store.sqlite.database import MIGRATIONS, migrate
from collector.store.sqlite.store import SqliteStore

TRIGGERS = ("audit_is_not_changed", "audit_is_not_deleted", "audit_is_appended_to")


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[Path]:
    """A store with five rows, closed."""
    store = SqliteStore.open(tmp_path / "store.db")
    for number in range(5):
        await store.write(lambda tx, number=number: tx.audit.add(number, "an", "code", {"agent": f"a{number}"}))
    await store.close()
    yield tmp_path / "store.db"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET who = 'nobody'",
        "UPDATE audit SET id = 9 WHERE id = 5",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE id = 5",
        "INSERT OR REPLACE INTO audit VALUES (3, 1, 'x', 'y', '{}', x'00')",
        "REPLACE INTO audit VALUES (5, 1, 'x', 'y', '{}', x'00')",
        "INSERT INTO audit VALUES (7, 1, 'x', 'y', '{}', x'00')",
        "INSERT INTO audit VALUES (-1, 1, 'x', 'y', '{}', x'00')",
        "INSERT INTO audit (at, who, what, data, hash) VALUES (1, 'x', 'y', '{}', x'00')",
        "UPDATE OR IGNORE audit SET data = '{}'",
    ],
)
async def test_the_store_refuses(file: Path, statement: str) -> None:
    store = SqliteStore.open(file)
    before = store.read_now(lambda tx: (tx.audit.all(), tx.audit.head()))
    with pytest.raises(apsw.ConstraintError, match="audit"):
        await store.database.write(lambda db: db.execute(statement).fetchall())
    assert store.read_now(lambda tx: (tx.audit.all(), tx.audit.head())) == before
    await store.close()


CHANGES = {
    "UPDATE audit SET who = 'bình' WHERE id = 3": 3,
    "UPDATE audit SET what = 'cod' WHERE id = 1": 1,
    "UPDATE audit SET at = at + 1 WHERE id = 5": 5,
    """UPDATE audit SET data = '{"agent":"a9"}' WHERE id = 2""": 2,
    """UPDATE audit SET data = '{"agent": "a1"}' WHERE id = 2""": 2,
    "UPDATE audit SET hash = (SELECT hash FROM audit WHERE id = 4) WHERE id = 3": 3,
    "DELETE FROM audit WHERE id = 2": 3,
    "DELETE FROM audit WHERE id = 1": 2,
    "UPDATE audit SET id = 9 WHERE id = 5": 9,
    "UPDATE audit SET id = CASE id WHEN 2 THEN 30 ELSE 20 END WHERE id IN (2, 3)": 4,
    "INSERT INTO audit SELECT 6, at, who, what, data, hash FROM audit WHERE id = 5": 6,
}


@pytest.mark.parametrize("change", CHANGES)
async def test_who_writes_around_the_store_is_found_out(file: Path, change: str) -> None:
    with sqlite3.connect(file) as db:
        for trigger in TRIGGERS:
            db.execute(f"DROP TRIGGER {trigger}")
        db.execute(change)
    db.close()
    store = SqliteStore.open(file)
    assert store.read_now(lambda tx: tx.audit.first_broken()) == CHANGES[change]
    await store.close()


async def test_only_a_noted_head_shows_what_was_cut_off(file: Path) -> None:
    store = SqliteStore.open(file)
    noted = store.read_now(lambda tx: tx.audit.head())
    await store.close()
    with sqlite3.connect(file) as db:
        db.execute("DROP TRIGGER audit_is_not_deleted")
        db.execute("DELETE FROM audit WHERE id > 3")
    db.close()
    store = SqliteStore.open(file)
    assert store.read_now(lambda tx: tx.audit.first_broken()) is None
    assert store.read_now(lambda tx: tx.audit.head()) != noted
    await store.close()


rows = st.tuples(
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=20) | st.just("\udcff"),
    st.text(max_size=20),
    st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.floats() | st.text(max_size=10), max_size=3),
)


@settings(max_examples=60)
@given(st.lists(rows, max_size=5))
def test_whatever_is_written_is_kept_whole(written: list[tuple[int, str, str, dict[str, Any]]]) -> None:
    db = apsw.Connection(":memory:")
    migrate(db)
    audit = SqliteAudit(db)
    for row in written:
        audit.add(*row)
    assert audit.first_broken() is None
    assert audit.head().number == len(written)
    assert [at for at, *_ in audit.all()] == [row[0] for row in written]
    audit.newest(AuditFilter(agent="a"), 99)  # every row is JSON
    db.close()


@given(st.lists(st.tuples(st.integers(1, 60), st.text(max_size=8)), max_size=12, unique_by=lambda one: one[0]))
@settings(max_examples=30)
def test_rows_of_before_are_chained_under_their_numbers(before: list[tuple[int, str]]) -> None:
    """Also where there are gaps between them."""
    db = apsw.Connection(":memory:")
    steps = sorted(MIGRATIONS.glob("*.sql"))
    chained = next(path for path in steps if "audit_before" in path.read_text("utf-8"))
    for path in steps[: steps.index(chained)]:
        db.execute(path.read_text("utf-8"))
    db.execute(f"PRAGMA user_version = {int(chained.name[:4]) - 1}")
    for number, who in before:
        db.execute("INSERT INTO audit VALUES (?, 1, ?, 'code', '{}')", (number, who.replace("\0", "")))
    migrate(db)
    audit = SqliteAudit(db)
    assert [row.number for row in audit.after(0, 99)] == sorted(number for number, _ in before)
    assert audit.first_broken() is None
    audit.add(2, "an", "revoke", {})
    assert audit.first_broken() is None
    db.close()
