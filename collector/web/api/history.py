"""``/api/v1/checks/{uid}/history``: a check's measures over time."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from collector.queries.measures import LATENCY, NotMeasured, measure_history
from collector.queries.reader import CheckEntry, LedgerReader
from collector.web.query_params import BadRequest, window


class PointAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One bucket, [start, start + width) in ms. Values in the measure's base unit."""

    start: int
    width: int
    looks: Annotated[int, msgspec.Meta(description="that measured it")]
    mean: float
    least: float
    most: float


class HistoryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Buckets in which nothing was measured are left out."""

    uid: str
    measure: str
    points: list[PointAnswer]


async def check_history(reader: LedgerReader, entry: CheckEntry, query: Mapping[str, str]) -> HistoryAnswer:
    """The answer to a query with ``measure``, ``from`` and ``to``. Raises BadRequest."""
    measure = query.get("measure", LATENCY)
    try:
        points = await measure_history(reader, entry, measure, window(query, reader.wall()))
    except NotMeasured as error:
        names = ", ".join(error.known)
        raise BadRequest(f"the kind {entry.kind} does not measure {measure[:60]!r}; it has: {names}") from None
    answers = [PointAnswer(**msgspec.structs.asdict(point)) for point in points]
    return HistoryAnswer(uid=entry.uid, measure=measure, points=answers)
