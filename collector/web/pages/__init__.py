"""The pages: one module each, found by being there. A module says what it shows by a function ``pages`` that makes its
:class:`PageGroup` from a :class:`PageContext`; its template stands in ``collector/web/templates``."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol

import msgspec
from aiohttp import web

from alerts.incident.message import TranslatableMessage
from collector.evaluator.alerting import AlertingService
from collector.queries.reader import LedgerReader
from collector.store.registry import Registry
from collector.web.layout import Layout

PageHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PageContext(msgspec.Struct, frozen=True):
    """What pages are drawn from."""

    reader: LedgerReader
    registry: Registry
    alerting: AlertingService
    layout: Layout


class PageGroup(Protocol):
    """Pages of one subject."""

    menu: Sequence[tuple[str, TranslatableMessage]]  # (path, title) of those that the menu of every page has

    def routes(self) -> Mapping[str, PageHandler]:
        """By path."""

    def posts(self) -> Mapping[str, PageHandler]:
        """What the forms on these pages do, by path."""


def page_groups(context: PageContext) -> list[PageGroup]:
    """Those of every module here, by its name; each stands in the menu from now on."""
    groups = [import_module(f"{__name__}.{name}").pages(context) for name in _modules()]
    context.layout.menu = tuple(entry for group in groups for entry in group.menu)
    return groups


def _modules() -> Iterator[str]:
    return (module.name for module in sorted(iter_modules(__path__), key=lambda module: module.name))
