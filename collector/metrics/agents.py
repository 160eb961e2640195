"""The agents' series: what the collector knows of each, and what each said of itself while it is heard."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from collector.ingest.states.state import AgentState
from collector.metrics.exposition import head, labels, number
from collector.metrics.fleet import ScrapedAgent
from inventory.base.families import Family
from inventory.protocol.health import FIGURES, LABELS, HealthFigure

UP = Family("haidang_agent_up", "gauge", "1 while the agent is heard, 0 once it has missed three pushes.", LABELS)
LAST_SEEN = Family("haidang_agent_last_seen_timestamp_seconds", "gauge", "When the agent was last heard.", LABELS)
RESULTS = Family("haidang_agent_results_taken_total", "counter", "Results of the agent taken into the ledger.", LABELS)
UNPLACEABLE = Family(
    "haidang_agent_results_unplaceable_total", "counter", "Results kept that no clock could place in time.", LABELS
)
DEAD_LETTERS = Family(
    "haidang_agent_dead_letters_total", "counter", "Records of the agent that could not be taken.", LABELS
)
BACKLOG = Family(
    "haidang_agent_backlog_frames", "gauge", "Frames that the agent still has to send, as it last said.", LABELS
)
STARTED = Family("haidang_agent_started_timestamp_seconds", "gauge", "When the agent's process last started.", LABELS)
INFO = Family(
    "haidang_agent_info", "info", "The agent's version and platform, as it last said.", (*LABELS, "version", "platform")
)

# What stays when an agent falls silent, and what ends with its voice.
LASTING: Final[tuple[tuple[Family, Callable[[AgentState], float | None]], ...]] = (
    (LAST_SEEN, lambda state: state.contact / 1000 if state.contact else None),
    (RESULTS, lambda state: state.results),
    (UNPLACEABLE, lambda state: state.unplaceable),
    (DEAD_LETTERS, lambda state: state.dead),
)
PRESENT: Final[tuple[tuple[Family, Callable[[AgentState], float | None]], ...]] = (
    (BACKLOG, lambda state: state.backlog),
    (STARTED, lambda state: state.started / 1000 if state.started is not None else None),
)


def text(agents: Sequence[ScrapedAgent], now: int, openmetrics: bool) -> Iterator[str]:
    """The agents' families, without an end mark, a string for each."""
    heard = [one for one in agents if one.heard(now)]
    ever = [one for one in agents if one.state.contact]
    yield head(UP, openmetrics) + "".join(f"{UP.name}{{{one.labelled.labels}}} {int(one.heard(now))}\n" for one in ever)
    for family, value in LASTING:
        yield _family(family, agents, value, openmetrics)
    for family, value in PRESENT:
        yield _family(family, heard, value, openmetrics)
    yield head(INFO, openmetrics)
    for one in agents:
        yield one.alone([one], _info)
    for name, figure in _figures(heard).items():

        def reported(state: AgentState, name: str = name, per: int = figure.per) -> float | None:
            return state.health[name] / per if name in state.health else None

        yield _family(figure.family, heard, reported, openmetrics)


def _family(
    family: Family, agents: Sequence[ScrapedAgent], value: Callable[[AgentState], float | None], openmetrics: bool
) -> str:
    def line(one: ScrapedAgent) -> str:
        known = value(one.state)
        return "" if known is None else f"{family.name}{{{one.labelled.labels}}} {number(known)}\n"

    return head(family, openmetrics) + "".join(one.alone([one], line) for one in agents)


def _info(one: ScrapedAgent) -> str:
    about = {name: str(one.state.about.get(name, ""))[:100] for name in ("version", "platform")}
    return f"{INFO.name}{{{one.labelled.labels},{labels(**about)}}} 1\n" if any(about.values()) else ""


def _figures(heard: Sequence[ScrapedAgent]) -> Mapping[str, HealthFigure]:
    """What agents say about themselves (wire.Push.health), under names that are known: no agent makes up a family."""
    names = {name for one in heard for name in one.state.health}
    return {name: figure for name, figure in FIGURES.items() if name in names}
