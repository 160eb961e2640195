"""``/api/v1/audit``: what people and programs did, for administrators."""

from aiohttp import web

from collector.store.interfaces.store import Store
from collector.web.api.routes import LIMIT, MS_SCHEMA, ApiPost, ApiRoute, QueryParameter
from collector.web.audit_lines import FILTERS, AuditPageAnswer, audit_answer, audit_filter
from collector.web.query_params import MAX_ITEMS, MAX_TIME, check_parameters, json_response, whole_number

DEFAULT_ROWS = 1_000


class AuditApi:
    """The handler, over the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.posts: tuple[ApiPost, ...] = ()
        self.routes = (
            ApiRoute(
                "/api/v1/audit",
                "admin",
                self.audit,
                "What people and programs did, newest first",
                AuditPageAnswer,
                (
                    QueryParameter("who", "only what this person or program did"),
                    QueryParameter("what", "only this"),
                    QueryParameter("agent", "only what this agent did, or what is about it"),
                    QueryParameter("from", "beginning, ms since the epoch", MS_SCHEMA),
                    QueryParameter("to", "end, ms since the epoch", MS_SCHEMA),
                    LIMIT,
                    QueryParameter("before", "only rows numbered below this: the next page", {"type": "integer"}),
                ),
            ),
        )

    async def audit(self, request: web.Request) -> web.Response:
        query = request.query
        check_parameters(query, *FILTERS, "limit", "before")
        chosen, limit = audit_filter(query), whole_number(query, "limit", DEFAULT_ROWS, MAX_ITEMS)
        before = whole_number(query, "before", MAX_TIME, MAX_TIME)
        rows, head = await self._store.read(lambda tx: (tx.audit.newest(chosen, limit, before), tx.audit.head()))
        return json_response(AuditPageAnswer(rows=[audit_answer(row) for row in rows], head=str(head)))
