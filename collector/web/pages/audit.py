"""The audit's page: what people and programs did, newest first."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from alerts.incident.message import message
from collector.store.records import AuditFilter
from collector.web.audit_lines import audit_filter
from collector.web.pages import PageContext, PageRoute
from collector.web.query_params import MAX_TIME, BadRequest, check_parameters, whole_number

ROWS: Final = 100  # on a page
FIELDS: Final = ("who", "what", "agent", "since", "until")


def pages(context: PageContext) -> "AuditPages":
    return AuditPages(context)


class AuditPages:
    """One page with a filter."""

    menu = (("/audit", message("Audit")),)

    def __init__(self, context: PageContext) -> None:
        self._reader = context.reader
        self._draw = context.layout.render

    def routes(self) -> Sequence[PageRoute]:
        return (PageRoute("/audit", "admin", self.list_page),)

    def posts(self) -> Sequence[PageRoute]:
        return ()

    async def list_page(self, request: web.Request) -> web.Response:
        query = request.query
        check_parameters(query, *FIELDS, "before", "lang")
        chosen = self._filter(request)
        before = whole_number(query, "before", MAX_TIME, MAX_TIME)
        rows, head = await self._reader.read(lambda tx: (tx.audit.newest(chosen, ROWS + 1, before), tx.audit.head()))
        kept = {name: value for name in (*FIELDS, "lang") if (value := query.get(name))}
        fields = urlencode([(name, value) for name in FIELDS if (value := query.get(name))])
        more = urlencode({**kept, "before": str(rows[ROWS - 1].number)}) if len(rows) > ROWS else ""
        return self._draw(
            request,
            "audit.html",
            refresh=False,
            rows=rows[:ROWS],
            head=head,
            asked_for={name: query.get(name, "") for name in FIELDS},
            more=more,
            keep=f"&{fields}" if fields else "",
        )

    def _filter(self, request: web.Request) -> AuditFilter:
        """Days are the province's; ``until`` is one of them."""
        query, zone = request.query, self._reader.inventory.province.zone
        chosen = {name: query.get(name, "") for name in ("who", "what", "agent")}
        for name, day, later in (("from", query.get("since"), 0), ("to", query.get("until"), 1)):
            if not day:
                continue
            try:
                midnight = datetime.combine(date.fromisoformat(day) + timedelta(days=later), time(), zone)
            except (ValueError, OverflowError):
                raise BadRequest(f"{day[:40]!r} is not a day; write it like 2026-11-30") from None
            chosen[name] = str(max(int(midnight.timestamp() * 1000), 0))
        return audit_filter(chosen)
