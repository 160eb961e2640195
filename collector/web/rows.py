"""Rows of pages and answers: each is made by itself, and one that cannot be made breaks nothing else.

In templates ``{% call alone(AGENT, KIND) %} ... {% endcall %}`` draws one row (KIND: ``tr`` or ``li``) about an agent
("": about none). In answers :func:`encoded_rows` encodes a list one by one.
"""

import html
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec
from jinja2 import Environment, pass_context
from jinja2.runtime import Context

from collector.ingest.quarantine import API, PAGE, AgentQuarantine

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


def install(environment: Environment, quarantine: AgentQuarantine) -> None:
    """The function that templates call; what fails is told to the quarantine."""

    @pass_context
    def alone(context: Context, agent: object, kind: str, caller: Callable[[], str]) -> str:
        try:
            return caller()
        except Exception as error:
            quarantine.row_failed(PAGE, agent if isinstance(agent, str) else "", error)
            words = context["locale"].gettext("This row cannot be shown; the collector's log says more.")
            text = html.escape(words)
            inner = f'<td colspan="99">{text}</td>' if kind == "tr" else text
            return f'<{kind} class="broken">{inner}</{kind}>'

    environment.globals["alone"] = alone


def encoded_rows(
    quarantine: AgentQuarantine, items: Iterable[T], agent: Callable[[T], str], make: Callable[[T], object]
) -> list[msgspec.Raw]:
    """The rows of an answer as JSON, without those that cannot be made."""
    return quarantine.rows(API, items, agent, lambda item: msgspec.Raw(_encode(make(item))))
