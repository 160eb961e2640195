"""What pages show, as JSON: checks, agencies, backups, goals, agents.

Lists are plain arrays; ``limit`` and ``after`` page through long ones.
"""

from collections import Counter
from collections.abc import Mapping
from functools import partial

import msgspec
from aiohttp import web

from alerts.language.catalogue import LANGUAGES
from collector.queries import agencies, availability, goals, problem_spans
from collector.queries.agents import agent_summaries
from collector.queries.reader import CheckEntry, LedgerReader
from collector.store.registry import Registry
from collector.web.api import backups, history, schemas
from collector.web.api.routes import LIMIT, MS_SCHEMA, ApiPost, ApiRoute, QueryParameter
from collector.web.query_params import (
    MAX_ITEMS,
    MAX_TIME,
    BadRequest,
    check_parameters,
    json_response,
    one_of,
    rolling,
    whole_number,
    window,
)
from collector.web.rows import encoded_rows
from inventory.protocol.states import NAMES

_LANG = QueryParameter(
    "lang", "vi: with each reason in Vietnamese too (reason_vi)", {"type": "string", "enum": list(LANGUAGES)}
)
_AGENT = QueryParameter("agent", "whose check, where several agents have had one of this uid")
_STATE: dict[str, object] = {"type": "string", "enum": list(NAMES)}


class StatusApi:
    """The handlers, over one reader."""

    def __init__(self, reader: LedgerReader, registry: Registry) -> None:
        self._reader = reader
        self._registry = registry
        self.posts: tuple[ApiPost, ...] = ()
        self.routes = (
            ApiRoute(
                "/api/v1/checks",
                "viewer",
                self.checks,
                "Checks as they are now",
                list[schemas.CheckAnswer],
                (
                    QueryParameter("agency", "only this agency's"),
                    QueryParameter("site", "only this site's"),
                    QueryParameter("agent", "only what this agent looks at"),
                    QueryParameter("kind", "only this kind"),
                    QueryParameter("state", "only those in this state now", _STATE),
                    QueryParameter("window", "with the figure over this time up to now, 24h or 30d"),
                    LIMIT,
                    QueryParameter("after", "those that come after the check with this uid"),
                    _LANG,
                ),
            ),
            ApiRoute(
                "/api/v1/checks/{uid}",
                "viewer",
                self.check,
                "One check as it is now",
                schemas.CheckAnswer,
                (_AGENT, _LANG),
            ),
            ApiRoute(
                "/api/v1/checks/{uid}/availability",
                "viewer",
                self.availability,
                "One check's availability over a window, with the evidence",
                schemas.AvailabilityAnswer,
                (
                    _AGENT,
                    QueryParameter("from", "beginning, ms since the epoch (a day before the end)", MS_SCHEMA),
                    QueryParameter("to", "end, ms since the epoch (now)", MS_SCHEMA),
                    _LANG,
                ),
            ),
            ApiRoute(
                "/api/v1/checks/{uid}/history",
                "viewer",
                self.history,
                "What a check measured over a window, added up in buckets",
                history.HistoryAnswer,
                (
                    _AGENT,
                    QueryParameter("measure", "one of its kind's, or latency, in base units"),
                    QueryParameter("from", "beginning, ms since the epoch (a day before the end)", MS_SCHEMA),
                    QueryParameter("to", "end, ms since the epoch (now)", MS_SCHEMA),
                ),
            ),
            ApiRoute(
                "/api/v1/agencies",
                "viewer",
                self.agencies,
                "Agencies and the states of their checks",
                list[schemas.AgencyAnswer],
            ),
            ApiRoute(
                "/api/v1/backups",
                "viewer",
                partial(backups.list_backups, reader),
                "Backups, each as all of its evidence together says it is",
                list[backups.BackupAnswer],
                (
                    QueryParameter("agency", "only this agency's"),
                    QueryParameter("site", "only this site's"),
                    QueryParameter("state", "only those in this state now", _STATE),
                    QueryParameter("window", "the figure over this time up to now, 24h or 30d (30d)"),
                    LIMIT,
                    _LANG,
                ),
            ),
            ApiRoute(
                "/api/v1/goals",
                "viewer",
                self.goals,
                "Goals over their windows",
                list[schemas.GoalAnswer],
                (QueryParameter("at", "over the windows that hold this moment, ms since the epoch (now)", MS_SCHEMA),),
            ),
            ApiRoute(
                "/api/v1/troubles",
                "viewer",
                self.problem_spans,
                "The stretches in which checks were not up, with their causes",
                schemas.ProblemSpansAnswer,
                (
                    LIMIT,
                    QueryParameter("before", "past ones that ended before this, ms since the epoch", MS_SCHEMA),
                    _LANG,
                ),
            ),
            ApiRoute(
                "/api/v1/agents", "viewer", self.agents, "Agents as they were last heard", list[schemas.AgentAnswer]
            ),
        )

    async def checks(self, request: web.Request) -> web.Response:
        query = request.query
        check_parameters(query, "agency", "site", "agent", "kind", "state", "window", "limit", "after", "lang")
        language = one_of(query, "lang", LANGUAGES)
        now = self._reader.wall()
        limit = whole_number(query, "limit", MAX_ITEMS, MAX_ITEMS)
        wanted_state = one_of(query, "state", NAMES)
        chosen = [one for one in self._reader.current_checks() if _matches(one, query)]
        if wanted_state is not None:
            chosen = [one for one in chosen if NAMES[self._reader.status(one, now).state] == wanted_state]
        total = len(chosen)
        chosen = _after(chosen, query.get("after"))[:limit]
        over = rolling(query, now)
        figures = await availability.figures(self._reader, chosen, [over]) if over is not None else {}

        def answer(one: CheckEntry) -> schemas.CheckAnswer:
            figure = figures[one.row][0] if one.row in figures else None
            return schemas.with_translation(schemas.check(self._reader, one, now, figure), language)

        content = encoded_rows(self._reader.fleet.quarantine, chosen, lambda one: one.agent, answer)
        response = json_response(content)
        response.headers["X-Total-Count"] = str(total)
        return response

    async def check(self, request: web.Request) -> web.Response:
        check_parameters(request.query, "agent", "lang")
        content = schemas.check(self._reader, self._entry(request), self._reader.wall())
        return json_response(schemas.with_translation(content, one_of(request.query, "lang", LANGUAGES)))

    async def availability(self, request: web.Request) -> web.Response:
        check_parameters(request.query, "agent", "from", "to", "lang")
        language = one_of(request.query, "lang", LANGUAGES)
        now = self._reader.wall()
        begin, end = window(request.query, now)
        one = self._entry(request)
        figure, spans, segments = await availability.figure_with_evidence(self._reader, one, (begin, end))
        content = schemas.AvailabilityAnswer(
            uid=one.uid,
            start=begin,
            end=end,
            now=now,
            figure=schemas.ratios(figure),
            spans=[schemas.with_translation(schemas.span(span), language) for span in spans],
            timeline=[schemas.segment(segment) for segment in segments],
        )
        return json_response(content)

    async def history(self, request: web.Request) -> web.Response:
        check_parameters(request.query, "agent", "measure", "from", "to")
        return json_response(await history.check_history(self._reader, self._entry(request), request.query))

    async def agencies(self, request: web.Request) -> web.Response:
        check_parameters(request.query)
        counts = agencies.state_counts(self._reader)
        content = []
        for agency in self._reader.inventory.agencies.values():
            states = counts.get(agency.id, Counter())
            content.append(
                schemas.AgencyAnswer(
                    id=agency.id,
                    name=schemas.localized(agency.name),
                    kind=agency.kind,
                    sites=list(agency.sites),
                    **{name: states[code] for code, name in enumerate(NAMES)},
                )
            )
        return json_response(content)

    async def goals(self, request: web.Request) -> web.Response:
        check_parameters(request.query, "at")
        at = whole_number(request.query, "at", self._reader.wall(), MAX_TIME)
        evaluations = await goals.evaluations(self._reader, at)
        names = self._reader.inventory.goals
        known = [one for one in evaluations if one.goal in names]
        return json_response(
            encoded_rows(
                self._reader.fleet.quarantine,
                known,
                lambda one: "",
                lambda one: schemas.goal(one, names[one.goal].name),
            )
        )

    async def problem_spans(self, request: web.Request) -> web.Response:
        check_parameters(request.query, "limit", "before", "lang")
        language = one_of(request.query, "lang", LANGUAGES)
        limit = whole_number(request.query, "limit", 100, MAX_ITEMS)
        before = whole_number(request.query, "before", MAX_TIME, MAX_TIME)
        open_ = problem_spans.open_problem_spans(self._reader)[:limit]
        past = await problem_spans.past_problem_spans(self._reader, limit, before)
        causes = await problem_spans.problem_span_causes(self._reader, [*open_, *past])

        def rows(spans: list[problem_spans.ProblemSpan]) -> list[msgspec.Raw]:
            return encoded_rows(
                self._reader.fleet.quarantine,
                spans,
                lambda one: one.entry.agent,
                lambda one: schemas.with_translation(schemas.problem_span(one, causes), language),
            )

        return json_response({"open": rows(open_), "past": rows(past)})

    async def agents(self, request: web.Request) -> web.Response:
        check_parameters(request.query)
        summaries = await agent_summaries(self._reader, self._registry)
        quarantine = self._reader.fleet.quarantine
        return json_response(encoded_rows(quarantine, summaries, lambda one: one.agent.id, schemas.agent))

    def _entry(self, request: web.Request) -> CheckEntry:
        """The check that a path names: the inventory's of that uid, else the one that left it; several agents may
        have had one of the same uid, then ``agent`` says whose."""
        uid, agent = request.match_info["uid"], request.query.get("agent")
        entry = self._reader.of_inventory(uid)
        if entry is not None and agent in (None, entry.agent):
            return entry
        found = [one for one in self._reader.all_checks() if one.uid == uid and agent in (None, one.agent)]
        if len(found) > 1:
            agents = ", ".join(one.agent for one in found)
            raise BadRequest(f"{uid[:60]!r} is a check of several agents: say agent=, one of {agents}", 400)
        if not found:
            raise BadRequest(f"there is no check {uid[:60]!r}", 404)
        return found[0]


def _matches(one: CheckEntry, query: Mapping[str, str]) -> bool:
    check = one.check
    assert check is not None
    pairs = (("agency", check.agency), ("site", check.site), ("agent", one.agent), ("kind", one.kind))
    return all(name not in query or query[name] == value for name, value in pairs)


def _after(chosen: list[CheckEntry], uid: str | None) -> list[CheckEntry]:
    if uid is None:
        return chosen
    for place, one in enumerate(chosen):
        if one.uid == uid:
            return chosen[place + 1 :]
    raise BadRequest("after ought to be the uid of a check of this list")
