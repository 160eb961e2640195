"""The layout of every page: its language, the province's name, what is wrong with the collector itself."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

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
from collector.web.backup_lines import size
from inventory.protocol.states import NAMES

REFRESH: Final = 30  # seconds
TEMPLATES: Final = (Path(__file__).parent / "templates",)


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
        self.menu: Sequence[tuple[str, TranslatableMessage]] = ()  # (path, title) of the pages that every page leads to
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
        self, request: web.Request, template: str, *, status: int = 200, refresh: bool = True, **content: Any
    ) -> web.Response:
        """A page; ``refresh``: whether it draws itself anew (not where somebody may be writing into it)."""
        formatter = self.formatter(request)
        inventory, now, language = self._reader.inventory, formatter.now, formatter.language
        mistakes = [str(problem) for problem in self._inventories.problems if not problem.warning]
        shown: dict[str, Any] = {
            "locale": formatter.locale,
            "formatter": formatter,
            "language": language,
            "languages": LANGUAGES,
            "asked": request.query.get("lang", ""),
            "path": request.path,
            "menu": self.menu,
            "province": inventory.province,
            "agencies": inventory.agencies,
            "goals": self._goals,
            "names": NAMES,
            "trusted": self._trusted(),
            "mistakes": mistakes[:20],
            "mistakes_more": max(len(mistakes) - 20, 0),
            "channel_problems": [formatter.translate(message) for _, message in self._alerting.counts.problems(now)],
            "refresh": REFRESH if refresh else None,
            "bytes": size,
            "now": now,
            **content,
        }
        html = self._templates.get_template(template).render(shown)
        response = web.Response(text=html, content_type="text/html", charset="utf-8", status=status)
        response.headers["Vary"] = "Accept-Language"
        response.headers["Content-Language"] = language
        return response
