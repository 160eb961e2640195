"""The layout of every page: its language, the province's name, what is wrong with the collector itself."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from alerts.incident.message import TranslatableMessage
from alerts.language import jinja
from alerts.language.catalogue import LANGUAGES
from alerts.language.locale import Locale, choose_language
from alerts.mail.formatter import MailFormatter
from collector.evaluator.alerting import AlertingService
from collector.queries.reader import LedgerReader
from collector.services.goal_cache import GoalCache
from collector.services.inventories import LiveInventory
from collector.web import rows
from collector.web.access.roles import PRINCIPAL, Access
from collector.web.backup_lines import size
from inventory.protocol.states import NAMES

REFRESH: Final = 30  # seconds
TEMPLATES: Final = (Path(__file__).parent / "templates",)


class MenuEntry(msgspec.Struct, frozen=True):
    """A page that the menu of every page has, for whom it is for."""

    path: str
    title: TranslatableMessage
    needs: Access


class Layout:
    """Draws templates. ``trusted``: whether the collector believes its clock."""

    def __init__(
        self,
        reader: LedgerReader,
        goals: GoalCache,
        inventories: LiveInventory,
        trusted: Callable[[], bool],
        alerting: AlertingService,
    ) -> None:
        self.menu: Sequence[MenuEntry] = ()
        self._reader = reader
        self._goals = goals
        self._inventories = inventories
        self._trusted = trusted
        self._alerting = alerting
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        jinja.install(self._templates)
        rows.install(self._templates, reader.fleet.quarantine)

    def formatter(self, request: web.Request) -> MailFormatter:
        """The language that the request asks for."""
        language = choose_language(request.query.get("lang"), request.headers.get("Accept-Language", ""))
        inventory = self._reader.inventory
        return MailFormatter(Locale(language, inventory.province.zone), inventory, self._reader.wall())

    def render(
        self,
        request: web.Request,
        template: str,
        *,
        status: int = 200,
        refresh: bool = True,
        bare: bool = False,
        **content: Any,
    ) -> web.Response:
        """A page; ``refresh``: whether it draws itself anew (not where somebody may be writing into it); ``bare``:
        nothing but its own content, for strangers."""
        formatter = self.formatter(request)
        now, language = formatter.now, formatter.language
        shown: dict[str, Any] = {
            "locale": formatter.locale,
            "formatter": formatter,
            "language": language,
            "languages": LANGUAGES,
            "asked": request.query.get("lang", ""),
            "path": request.path,
            "names": NAMES,
            "refresh": REFRESH if refresh else None,
            "bytes": size,
            "now": now,
            "bare": bare,
            **({} if bare else self._surroundings(request, formatter)),
            **content,
        }
        html = self._templates.get_template(template).render(shown)
        response = web.Response(text=html, content_type="text/html", charset="utf-8", status=status)
        response.headers["Vary"] = "Accept-Language, Cookie"
        response.headers["Content-Language"] = language
        return response

    def _surroundings(self, request: web.Request, formatter: MailFormatter) -> dict[str, Any]:
        """What stands around the content of a page, for those who may look."""
        inventory, principal = self._reader.inventory, request[PRINCIPAL]
        mistakes = [str(problem) for problem in self._inventories.problems if not problem.warning]
        problems = self._alerting.counts.problems(formatter.now)
        return {
            "principal": principal,
            "menu": [(one.path, one.title) for one in self.menu if principal.may(one.needs)],
            "province": inventory.province,
            "agencies": inventory.agencies,
            "goals": self._goals,
            "trusted": self._trusted(),
            "mistakes": mistakes[:20],
            "mistakes_more": max(len(mistakes) - 20, 0),
            "channel_problems": [formatter.translate(message) for _, message in problems],
        }


def see_other(path: str) -> web.Response:
    """Where to go on after a form."""
    return web.Response(status=303, headers={"Location": path})
