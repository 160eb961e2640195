"""Logs: of what strangers can cause, a line a second of each kind."""

import itertools
import logging

from hypothesis import given
from hypothesis import strategies as st

from inventory.base.logs import RateLimit

KINDS = ("socket.accept() out of system resource", "connection %s refused", "something else")


def record(logger: str, message: str, level: int = logging.WARNING) -> logging.LogRecord:
    values = ("x",) if "%s" in message else ()
    return logging.LogRecord(logger, level, "file", 1, message, values, None)


@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(("asyncio", "collector.web.agents")), st.floats(0, 0.4)))
)
def test_of_a_kind_there_is_a_line_a_second_and_none_is_forgotten(events: list[tuple[str, str, float]]) -> None:
    now = 0.0
    limit = RateLimit(monotonic=lambda: now)
    lines: dict[tuple[str, str], list[float]] = {}
    told: dict[tuple[str, str], int] = {}
    for message, logger, later in events:
        now += later
        one = record(logger, message)
        if limit.filter(one):
            lines.setdefault((logger, message), []).append(now)
            text = one.getMessage()
            more = int(text.rsplit("(and ", 1)[1].split()[0]) if "(and " in text else 0
            told[logger, message] = told.get((logger, message), 0) + 1 + more
    for times in lines.values():
        assert all(b - a >= 1.0 for a, b in itertools.pairwise(times))
    for message in KINDS:
        for logger in ("asyncio", "collector.web.agents"):
            happened = sum(1 for what, where, _ in events if (what, where) == (message, logger))
            left = limit._last.get((logger, message), (0.0, 0))[1]
            assert told.get((logger, message), 0) + left == happened


def test_what_strangers_cannot_cause_is_all_told() -> None:
    limit = RateLimit(monotonic=lambda: 5.0)
    assert all(limit.filter(record("collector.ingest", "agent %s is odd")) for _ in range(10))
    assert all(limit.filter(record("collector.web.agents", "enrolled %s", logging.INFO)) for _ in range(10))
    assert [limit.filter(record("collector.ingest.steps.x", "the chain of %s")) for _ in range(2)] == [True, False]
    assert [limit.filter(record("asyncio", "short of files")) for _ in range(3)] == [True, False, False]
    assert limit.filter(record("asyncioo", "short of files"))
