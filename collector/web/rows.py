"""Rows of pages and answers: each is made by itself, and one that cannot be made breaks nothing else.

In templates ``{% row AGENT, KIND %} ... {% endrow %}`` draws one row (KIND: ``tr`` or ``li``) about an agent ("": about
none). In answers :func:`encoded_rows` encodes a list one by one.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec
from jinja2 import Environment, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from markupsafe import Markup

from collector.ingest.quarantine import API, PAGE, AgentQuarantine

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


class RowExtension(Extension):
    """The tag ``row``. The environment has to be given its quarantine: :func:`install`."""

    tags = {"row"}  # noqa: RUF012  # as Jinja's own class declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        agent = parser.parse_expression()
        parser.stream.expect("comma")
        kind = parser.parse_expression()
        body = parser.parse_statements(("name:endrow",), drop_needle=True)
        call = self.call_method("_draw", [agent, kind, nodes.ContextReference()])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _draw(self, agent: Any, kind: str, context: Any, caller: Callable[[], str]) -> str:
        try:
            return caller()
        except Exception as error:
            quarantine: AgentQuarantine = self.environment.haidang_quarantine  # type: ignore[attr-defined]
            quarantine.row_failed(PAGE, agent if isinstance(agent, str) else "", error)
            words = context["locale"].gettext("This row cannot be shown; the collector's log says more.")
            inner = Markup('<td colspan="99">{}</td>') if kind == "tr" else Markup("{}")
            return Markup('<{0} class="broken">{1}</{0}>').format(kind, inner.format(words))


def install(environment: Environment, quarantine: AgentQuarantine) -> None:
    """The tag, and where what fails is told."""
    environment.add_extension(RowExtension)
    environment.extend(haidang_quarantine=quarantine)


def encoded_rows(
    quarantine: AgentQuarantine, items: Iterable[T], agent: Callable[[T], str], make: Callable[[T], object]
) -> list[msgspec.Raw]:
    """The rows of an answer as JSON, without those that cannot be made."""
    return quarantine.rows(API, items, agent, lambda item: msgspec.Raw(_encode(make(item))))
