"""Pieces of PromQL that boards share, and the scope that every selector gets."""

import re
from typing import Final

SCOPE: Final = 'job=~"$job",instance=~"$instance"'
_SELECTOR = re.compile(
    r"(?<![\w:])((?:haidang_|\w+:haidang_)[\w:]*|up|scrape_duration_seconds|process_\w+)(\{[^}]*\})?"
)
KEYS: Final = "job, instance"


def scoped(expr: str) -> str:
    """The query, of the collectors chosen alone."""

    def add(match: re.Match[str]) -> str:
        matchers = (match[2] or "{}")[1:-1].strip()
        return f"{match[1]}{{{matchers + ',' if matchers else ''}{SCOPE}}}"

    return _SELECTOR.sub(add, expr)


def named(expr: str, label: str, info: str) -> str:
    """The series of ``expr`` with the name that an info family has for one of its labels."""
    return f"({expr}) * on ({KEYS}, {label}) group_left (NAME) {info}"


def of_agency(expr: str, matchers: str = "") -> str:
    """With the agency's name; of some agencies only."""
    info = f"haidang_agency_info{{{matchers}}}" if matchers else "haidang_agency_info"
    return named(expr, "agency", info)


def of_check(expr: str) -> str:
    """With the check's name."""
    return f"({expr}) * on ({KEYS}, agent, check) group_left (NAME) haidang_check_info"
