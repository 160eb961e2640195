"""The first plain page: what is wrong, agencies and their checks, goals, agents. Works without scripts."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from alerts.words import jinja
from alerts.words.catalogue import LANGUAGES
from alerts.words.tongue import Tongue, chosen
from collector.board import Board
from collector.inventories import Inventories
from collector.ledger.figures import Figure
from collector.reading import Known, Reader
from collector.web import answers, backups
from collector.web.api import Api
from collector.web.asking import Wrong, known
from inventory.model import Agency
from inventory.states import NAMES, UNKNOWN, UP

DAY = 86_400_000
WHOLE = 300  # checks up to which the first page shows every one of them
WRONG = 50  # troubles on the first page
REFRESH = 30  # seconds

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Row(msgspec.Struct, frozen=True):
    """A check's line: as the API gives it, and its figures over a day and thirty."""

    check: answers.CheckAnswer
    title: str
    day: Figure
    month: Figure


class Group(msgspec.Struct, frozen=True):
    """An agency with the checks shown of it; ``hidden``: how many are up and not shown."""

    agency: Agency
    rows: list[Row]
    count: int
    hidden: int


class Pages:
    """Draws from one reader. ``trusted``: whether the collector believes its clock."""

    def __init__(
        self, reader: Reader, api: Api, board: Board, inventories: Inventories, trusted: Callable[[], bool]
    ) -> None:
        self._reader = reader
        self._api = api
        self._board = board
        self._inventories = inventories
        self._trusted = trusted
        self._templates = Environment(
            loader=FileSystemLoader(__file__.removesuffix("pages.py") + "templates"),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        jinja.install(self._templates)

    def routes(self) -> Mapping[str, Handler]:
        return {"/": self.first, "/agencies/{id}": self.agency}

    async def first(self, request: web.Request) -> web.Response:
        known(request.query, "lang")
        now = self._reader.wall()
        present = self._reader.present()
        whole = len(present) <= WHOLE
        groups = await self._groups(list(self._reader.inventory.agencies.values()), present, now, whole)
        # silence is not down: what nothing is known of is counted, not listed
        troubles = [answers.trouble(one) for one in self._reader.open_troubles() if one.state != UNKNOWN]
        return self._draw(
            request,
            "first.html",
            now=now,
            groups=groups,
            troubles=troubles[:WRONG],
            more=max(len(troubles) - WRONG, 0),
            backups=await backups.lines(self._reader, now, whole=whole),
            agents=await self._api.agent_answers(),
            checks=len(present),
            silent=sum(self._reader.now(one, now).state == UNKNOWN for one in present),
        )

    async def agency(self, request: web.Request) -> web.Response:
        known(request.query, "lang")
        agency = self._reader.inventory.agencies.get(request.match_info["id"])
        if agency is None:
            raise Wrong("there is no such agency", 404)
        now = self._reader.wall()
        groups = await self._groups([agency], self._reader.present(), now, whole=True)
        saved = await backups.lines(self._reader, now, agency.id)
        return self._draw(request, "agency.html", now=now, groups=groups, backups=saved)

    async def _groups(self, agencies: list[Agency], present: list[Known], now: int, whole: bool) -> list[Group]:
        of: dict[str, list[Known]] = {agency.id: [] for agency in agencies}
        for one in present:
            if one.check is not None and one.check.agency in of:
                of[one.check.agency].append(one)
        shown = {
            agency: [one for one in checks if whole or self._reader.now(one, now).state != UP]
            for agency, checks in of.items()
        }
        chosen = [one for checks in shown.values() for one in checks]
        windows = [(now - DAY, now), (now - 30 * DAY, now)]
        figures = await self._reader.figures(chosen, windows) if chosen else {}
        return [
            Group(
                agency,
                [self._row(one, now, figures[one.uid]) for one in shown[agency.id]],
                len(of[agency.id]),
                len(of[agency.id]) - len(shown[agency.id]),
            )
            for agency in agencies
            if of[agency.id] or len(agencies) == 1
        ]

    def _row(self, one: Known, now: int, figures: list[Figure]) -> Row:
        answer = answers.check(self._reader, one, now)
        return Row(answer, "", figures[0], figures[1])

    def _draw(self, request: web.Request, template: str, **content: Any) -> web.Response:
        language = chosen(request.query.get("lang"), request.headers.get("Accept-Language", ""))
        zone = self._reader.inventory.province.zone
        wrong = [str(problem) for problem in self._inventories.problems if not problem.warning]
        html = self._templates.get_template(template).render(
            tongue=Tongue(language, zone),
            language=language,
            languages=LANGUAGES,
            asked=request.query.get("lang", ""),
            path=request.path,
            province=self._reader.inventory.province,
            agencies=self._reader.inventory.agencies,
            board=self._board,
            names=NAMES,
            trusted=self._trusted(),
            mistakes=wrong[:20],
            mistakes_more=max(len(wrong) - 20, 0),
            refresh=REFRESH,
            bytes=backups.size,
            **content,
        )
        response = web.Response(text=html, content_type="text/html", charset="utf-8")
        response.headers["Vary"] = "Accept-Language"
        response.headers["Content-Language"] = language
        return response
