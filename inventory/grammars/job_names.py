"""Names of jobs and drills: they name a file and the path of a ping."""

import re
from typing import Final

from inventory.base.text import quoted

NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
NAME_LENGTH: Final = 100
RESERVED: Final = ("start", "fail", "log", "pause", "resume")  # words of pings; a number is an exit code

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


def is_name(text: str) -> bool:
    """Fit for a file's name."""
    return len(text) <= NAME_LENGTH and _NAME.fullmatch(text) is not None


def why_not_a_job_name(text: str) -> str:
    """Why nothing can be called so, or ""."""
    if not is_name(text):
        rule = f"letters, digits, '.', '_' and '-', at most {NAME_LENGTH}, a letter or digit first"
        return f"{quoted(text)} is no name: {rule}"
    if text in RESERVED or text.isdigit():
        return f"nothing can be called {quoted(text)}: that is how pings say something else"
    return ""
