"""The pages: one module each, found by being there. A module says what it shows by a function ``pages`` that makes its
:class:`PageGroup` from a :class:`PageContext`; its template stands in ``collector/web/templates``."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol

import msgspec
from aiohttp import web

from alerts.incident.message import TranslatableMessage
from collector.evaluator.alerting import AlertingService
from collector.queries.reader import LedgerReader
from collector.store.registry import Registry
from collector.web.access.guard import Guard
from collector.web.access.roles import Access, Principal
from collector.web.layout import Layout, MenuEntry

VIEWERS = Principal("", "viewer", "nothing")
PageHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PageRoute(msgspec.Struct, frozen=True):
    """A page, or what a form on one does: where it is, what one needs for it, who answers."""

    path: str
    needs: Access
    handler: PageHandler


class PageContext(msgspec.Struct, frozen=True):
    """What pages are drawn from."""

    reader: LedgerReader
    registry: Registry
    alerting: AlertingService
    layout: Layout
    guard: Guard


class PageGroup(Protocol):
    """Pages of one subject."""

    menu: Sequence[tuple[str, TranslatableMessage]]  # (path, title) of those that the menu of every page has

    def routes(self) -> Sequence[PageRoute]: ...

    def posts(self) -> Sequence[PageRoute]:
        """What the forms on these pages do; of those that need a right the form token is checked before."""


def page_groups(context: PageContext) -> list[PageGroup]:
    """Those of every module here, by its name; each stands in the menu from now on, for whom it is for."""
    groups: list[PageGroup] = [import_module(f"{__name__}.{name}").pages(context) for name in _modules()]
    needs = {route.path: route.needs for group in groups for route in group.routes()}
    entries = [MenuEntry(path, title, needs[path]) for group in groups for path, title in group.menu]
    context.layout.menu = sorted(entries, key=lambda entry: not VIEWERS.may(entry.needs))  # what is for all comes first
    return groups


def _modules() -> Iterator[str]:
    return (module.name for module in sorted(iter_modules(__path__), key=lambda module: module.name))
