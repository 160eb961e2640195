"""The first plain page: what is wrong, agencies and their checks, goals, agents. Works without scripts."""

from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial

import msgspec
from aiohttp import web

from collector.ingest.quarantine import PAGE
from collector.ledger.figures import Figure
from collector.queries import agencies, availability
from collector.queries.agents import agent_summaries
from collector.queries.problem_spans import open_problem_spans
from collector.queries.reader import CheckEntry
from collector.web.api import schemas
from collector.web.backup_lines import backup_lines
from collector.web.incident_lines import incident_lines
from collector.web.pages import PageContext, PageRoute
from collector.web.query_params import BadRequest, check_parameters
from inventory.model.entities import Agency
from inventory.protocol.refs import Ref
from inventory.protocol.states import NAMES, UNKNOWN

DAY = 86_400_000
MAX_ALL_CHECKS = 300  # checks up to which the first page shows every one of them
MAX_PROBLEMS = 50  # on the first page


def pages(context: PageContext) -> "StatusPages":
    return StatusPages(context)


class CheckRow(msgspec.Struct, frozen=True):
    """A check's line."""

    check: schemas.CheckAnswer
    day: Figure
    month: Figure  # thirty days


class AgencyGroup(msgspec.Struct, frozen=True):
    """An agency with the checks shown of it."""

    agency: Agency
    rows: list[CheckRow]
    count: int  # all that it has
    hidden: int  # those that are up and not shown


class StatusPages:
    """The first page, and one for each agency."""

    menu = ()

    def __init__(self, context: PageContext) -> None:
        self._reader = context.reader
        self._registry = context.registry
        self._incidents = context.alerting.incidents
        self._draw = context.layout.render
        self._formatter = context.layout.formatter
        self._rows = partial(context.reader.fleet.quarantine.rows, PAGE)

    def routes(self) -> Sequence[PageRoute]:
        return (
            PageRoute("/", "viewer", self.first_page),
            PageRoute("/agencies/{id}", "viewer", self.agency_page),
        )

    def posts(self) -> Sequence[PageRoute]:
        return ()

    async def first_page(self, request: web.Request) -> web.Response:
        check_parameters(request.query, "lang")
        now = self._reader.wall()
        counts = sum(agencies.state_counts(self._reader).values(), Counter[int]())
        show_all = counts.total() <= MAX_ALL_CHECKS
        groups = await self._groups(self._reader.inventory.agencies.values(), now, with_up=show_all)
        incidents = self._incidents.open()
        covered = self._incidents.ongoing_problems()
        # silence is not down: what nothing is known of is counted, not listed
        problems = [
            one
            for one in open_problem_spans(self._reader)
            if one.state != UNKNOWN and Ref(NAMES[one.state], one.entry.uid) not in covered
        ]
        return self._draw(
            request,
            "first.html",
            groups=groups,
            incidents=incident_lines(self._reader, incidents[:MAX_PROBLEMS], self._formatter(request)),
            problems=problems[:MAX_PROBLEMS],
            more=max(len(problems) - MAX_PROBLEMS, 0),
            backups=await backup_lines(self._reader, now, whole=show_all),
            agents=self._rows(
                await agent_summaries(self._reader, self._registry), lambda one: one.agent.id, schemas.agent
            ),
            checks=counts.total(),
            silent=counts[UNKNOWN],
        )

    async def agency_page(self, request: web.Request) -> web.Response:
        check_parameters(request.query, "lang")
        agency = self._reader.inventory.agencies.get(request.match_info["id"])
        if agency is None:
            raise BadRequest("there is no such agency", 404)
        now = self._reader.wall()
        groups = await self._groups([agency], now, with_up=True)
        backups = await backup_lines(self._reader, now, agency.id)
        return self._draw(request, "agency.html", groups=groups, backups=backups)

    async def _groups(self, shown: Collection[Agency], now: int, *, with_up: bool) -> list[AgencyGroup]:
        """An agency without checks has no place on a page of several."""
        by_agency = agencies.checks_by_agency(self._reader, shown, now, with_up=with_up)
        entries = [entry for one in by_agency for entry in one.shown]
        figures = await availability.figures(self._reader, entries, [(now - DAY, now), (now - 30 * DAY, now)])
        return [
            AgencyGroup(
                one.agency,
                self._rows(
                    one.shown, lambda entry: entry.agent, lambda entry: self._row(entry, now, figures[entry.row])
                ),
                one.count,
                one.hidden,
            )
            for one in by_agency
            if one.count or len(shown) == 1
        ]

    def _row(self, one: CheckEntry, now: int, figures: list[Figure]) -> CheckRow:
        answer = schemas.check(self._reader, one, now)
        return CheckRow(answer, figures[0], figures[1])
