"""SQL stands in the store and nowhere else: it is the one door through which another store comes in."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PACKAGES = ("agent", "alerts", "collector", "deploy", "inventory")
STORE = ROOT / "collector" / "store"
BACKUPS_OF_OTHERS = ROOT / "agent" / "backup" / "integrity"  # looks whether somebody's copy of a database is whole
SQL = re.compile(
    r"\bSELECT\b[^;]+\bFROM\b|\bINSERT\s+(OR\s+[A-Z]+\s+)?INTO\b|\bREPLACE\s+INTO\b|\bUPDATE\s+\S+\s+SET\b"
    r"|\bDELETE\s+FROM\b|\bPRAGMA\b",
    re.DOTALL,
)


def literals_with_sql(source: str) -> list[int]:
    """The lines of string literals (an f-string is one) that hold a statement."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        text = ""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        elif isinstance(node, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "x" for part in node.values)  # type: ignore[misc]
        if SQL.search(text):
            lines.append(node.lineno)
    return lines


@pytest.mark.parametrize("package", PACKAGES)
def test_sql_stands_in_the_store_alone(package: str) -> None:
    elsewhere = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / package).rglob("*.py"))
        if not path.is_relative_to(STORE) and not path.is_relative_to(BACKUPS_OF_OTHERS)
        for line in literals_with_sql(path.read_text("utf-8"))
    ]
    assert not elsewhere, "give collector.store a method that does this"


def test_sql_is_found_where_it_stands() -> None:
    found = {path.name for path in (STORE / "sqlite").glob("*.py") if literals_with_sql(path.read_text("utf-8"))}
    assert {"spans.py", "batches.py", "alerting.py", "database.py"} <= found


@pytest.mark.parametrize(
    "source",
    [
        'db.execute("SELECT id FROM batches")',
        'db.execute(f"SELECT {columns} FROM {table} WHERE id = ?")',
        'sql = "INSERT OR REPLACE INTO outbox VALUES (?)"',
        'sql = f"UPDATE {table} SET x = 1"',
        'sql = """\nDELETE\nFROM spans"""',
        'sql = "SELECT 1" " FROM spans"',
    ],
)
def test_a_statement_is_recognised(source: str) -> None:
    assert literals_with_sql(source)


@pytest.mark.parametrize("source", ['"select one from the list"', "SELECTED = 1", '"UPDATE the inventory"', "'FROM'"])
def test_what_only_reads_like_one_is_not(source: str) -> None:
    assert not literals_with_sql(source)


def test_only_the_store_imports_its_database_library() -> None:
    importing = {
        str(path.relative_to(ROOT).parent)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if _imports_apsw(path)
    }
    assert importing == {"collector/store/sqlite"}


def _imports_apsw(path: Path) -> bool:
    return any(
        "apsw" in [alias.name.partition(".")[0] for alias in node.names] or getattr(node, "module", None) == "apsw"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
    )
