"""Rows of the audit as the page and the API choose and show them."""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from collector.store.records import AuditFilter, AuditRow
from collector.web.query_params import MAX_TIME, BadRequest, whole_number

FILTERS: Final = ("who", "what", "agent", "from", "to")
MAX_NAME: Final = 200  # characters of a filter


class AuditAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person or a program did."""

    number: int
    at: int
    who: str
    what: str
    data: Annotated[str, msgspec.Meta(description="JSON, as the hash covers it")]
    hash: Annotated[str, msgspec.Meta(description="SHA-256 over the hash before and this row, in hex")]


class AuditPageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of the audit, newest first, and where its chain ends."""

    rows: list[AuditAnswer]
    head: Annotated[str, msgspec.Meta(description="NUMBER:HASH of the newest row; noted elsewhere it proves the rest")]


def audit_answer(row: AuditRow) -> AuditAnswer:
    """The answer about one."""
    return AuditAnswer(number=row.number, at=row.at, who=row.who, what=row.what, data=row.data, hash=row.hash.hex())


def audit_filter(query: Mapping[str, str]) -> AuditFilter:
    """Which rows are asked for; an empty field chooses nothing out. Raises BadRequest."""
    for name in ("who", "what", "agent"):
        if len(query.get(name, "")) > MAX_NAME:
            raise BadRequest(f"{name} has at most {MAX_NAME} characters")
    return AuditFilter(
        who=query.get("who") or None,
        what=query.get("what") or None,
        agent=query.get("agent") or None,
        begin=whole_number(query, "from", 0, MAX_TIME) if query.get("from") else None,
        end=whole_number(query, "to", 0, MAX_TIME) if query.get("to") else None,
    )
