"""Names of databases: they stand where a client would also take a connection string, so they are no more than names."""

import re
from typing import Final

NAME: Final = r"^([A-Za-z0-9_][A-Za-z0-9_.$-]*)?$"  # or nothing
NAME_LENGTH: Final = 63  # bytes: PostgreSQL's own limit

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.$-]*", re.ASCII)


def is_database_name(text: str) -> bool:
    return len(text) <= NAME_LENGTH and _NAME.fullmatch(text) is not None
