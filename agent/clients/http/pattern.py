"""Regular expressions whose search time is proportional to the text's length, whatever the pattern and the text.

Python's ``re`` backtracks: ``(a+)+$`` on thirty letters of a hostile page would hold the agent for minutes. Here a
pattern becomes a nondeterministic automaton (Thompson, 1968) that is run on all paths at once, and each set of paths
met is kept as a state of a deterministic one, as RE2 does. Only whether it matches is asked, never where.

The dialect is ``re``'s without backreferences and look-around: literals, ``.``, classes, ``\\d \\w \\s \\b``, groups,
``|``, ``* + ? {n,m}``, ``^ $`` and the flags ``(?i)``, ``(?m)``, ``(?s)`` at the beginning. ``$`` is the very end.
"""

import asyncio
import functools
import re
import warnings
from collections.abc import Callable
from typing import Final

from inventory.protocol.reasons import sentence

MAX_NODES: Final = 400  # of the automaton: bounds the work per character
MAX_TRANSITIONS: Final = 20_000  # transitions kept, before starting anew
SLICE: Final = 512  # characters between two chances for others to run

_FLAGS: Final = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}
_REPEAT: Final = re.compile(r"\{(\d{1,4})(?:(,)(\d{1,4})?)?\}")
_ESCAPE: Final = re.compile(r"\\(?:[dDwWsSntrfv]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^a-zA-Z0-9])")
_START, _NEWLINE, _WORD, _OTHER = range(4)  # what came before a place in the text

# What a place must be like: before (one of the above), after (the next character, None at the end)
Assertion = Callable[[int, str | None], bool]


def _is_word(c: str | None) -> bool:
    return c is not None and (c.isalnum() or c == "_")


_ASSERTIONS: Final[dict[str, Assertion]] = {
    "^": lambda before, after: before == _START,
    "$": lambda before, after: after is None,
    "^m": lambda before, after: before in (_START, _NEWLINE),
    "$m": lambda before, after: after is None or after == "\n",
    "\\b": lambda before, after: (before == _WORD) != _is_word(after),
    "\\B": lambda before, after: (before == _WORD) == _is_word(after),
}


class _State:
    """Where all paths are, and what came before; ``moves``: the state after each character met here so far."""

    __slots__ = ("before", "moves", "nodes")

    def __init__(self, nodes: frozenset[int], before: int) -> None:
        self.nodes = nodes
        self.before = before
        self.moves: dict[str, _State] = {}


_ACCEPTED: Final = _State(frozenset(), _OTHER)


class LinearRegex:
    """A compiled pattern. ``Pattern.of`` keeps the last few. Raises ValueError, in words."""

    def __init__(self, source: str) -> None:
        # node: ways on without a character (with what they demand), or one character's matcher and the way on
        self._edges: list[list[tuple[Assertion | None, int]]] = [[]]
        self._matchers: list[tuple[Callable[[str], object], int] | None] = [None]  # node 0 accepts
        self._first = _Parser(source, self).parse()(0)
        self._states: dict[tuple[frozenset[int], int], _State] = {}
        self._transitions = 0

    @staticmethod
    @functools.lru_cache(maxsize=256)
    def compiled(source: str) -> "LinearRegex":
        return LinearRegex(source)

    def add_node(
        self, matcher: tuple[Callable[[str], object], int] | None, *edges: tuple[Assertion | None, int]
    ) -> int:
        if len(self._edges) >= MAX_NODES:
            raise ValueError(sentence("the pattern is too large: shorten it or its repetitions"))
        self._edges.append(list(edges))
        self._matchers.append(matcher)
        return len(self._edges) - 1

    def add_edge(self, node: int, to: int) -> None:
        self._edges[node].append((None, to))

    def start_state(self) -> _State:
        return self._state(frozenset((self._first,)), _START)

    def step(self, state: _State, c: str | None) -> _State:
        """The state after one more character, or after the end (None)."""
        reached = set(state.nodes)
        waiting = list(reached)
        while waiting:
            for demand, to in self._edges[waiting.pop()]:
                if to not in reached and (demand is None or demand(state.before, c)):
                    reached.add(to)
                    waiting.append(to)
        if 0 in reached:
            return _ACCEPTED
        if c is None:
            return state
        following = {matcher[1] for matcher in map(self._matchers.__getitem__, reached) if matcher and matcher[0](c)}
        following.add(self._first)  # a match may begin anywhere
        before = _NEWLINE if c == "\n" else _WORD if _is_word(c) else _OTHER
        next_state = self._state(frozenset(following), before)
        state.moves[c] = next_state
        self._transitions += 1
        return next_state

    def _state(self, nodes: frozenset[int], before: int) -> _State:
        if self._transitions > MAX_TRANSITIONS:
            for old_state in self._states.values():
                old_state.moves.clear()
            self._states.clear()
            self._transitions = 0
        state = self._states.get((nodes, before))
        if state is None:
            state = self._states[nodes, before] = _State(nodes, before)
        return state


async def search(pattern: LinearRegex, text: str) -> bool:
    """Whether the pattern matches anywhere. Lets others run in between; ends with its caller's deadline."""
    state = pattern.start_state()
    for start in range(0, len(text), SLICE):
        for c in text[start : start + SLICE]:
            state = state.moves.get(c) or pattern.step(state, c)
            if state is _ACCEPTED:
                return True
        await asyncio.sleep(0)
    return pattern.step(state, None) is _ACCEPTED


# A part of a pattern: given the node that follows, build the nodes and give the first.
NodeBuilder = Callable[[int], int]


class _Parser:
    """Recursive descent over the source; every part is built as often as its repetition says."""

    def __init__(self, source: str, automaton: LinearRegex) -> None:
        flags = re.match(r"\(\?([ims]+)\)", source)
        self.flags = functools.reduce(lambda all_, f: all_ | _FLAGS[f], flags[1] if flags else "", re.NOFLAG)
        self.source = source
        self.at = flags.end() if flags else 0
        self.depth = 0
        self.node_count = 0
        self.automaton = automaton

    def parse(self) -> NodeBuilder:
        part = self._alternation()
        if self.at < len(self.source):
            raise ValueError(sentence("the pattern has a ) too many"))
        return part

    def _alternation(self) -> NodeBuilder:
        parts = [self._sequence()]
        while self.source.startswith("|", self.at):
            self.at += 1
            parts.append(self._sequence())
        if len(parts) == 1:
            return parts[0]
        return lambda after: self.automaton.add_node(None, *((None, part(after)) for part in parts))

    def _sequence(self) -> NodeBuilder:
        parts: list[NodeBuilder] = []
        while self.at < len(self.source) and self.source[self.at] not in "|)":
            parts.append(self._repeated())
        return lambda after: functools.reduce(lambda to, part: part(to), reversed(parts), after)

    def _repeated(self) -> NodeBuilder:
        part = self._atom()
        count = self._count()
        if count is None:
            return part
        least, most = count
        if self.source.startswith("?", self.at):  # reluctance changes where, not whether
            self.at += 1
        if self._count() is not None or self.source.startswith("+", self.at):
            raise ValueError(sentence("the pattern repeats a repetition: put the inner one in a group"))
        return lambda after: self._repeat(part, least, most, after)

    def _repeat(self, part: NodeBuilder, least: int, most: int | None, after: int) -> int:
        self.node_count += least + (most or 0) + 1
        if self.node_count > 10 * MAX_NODES:  # repetitions of nothing make no nodes
            raise ValueError(sentence("the pattern is too large: shorten it or its repetitions"))
        if most is None:
            loop = self.automaton.add_node(None, (None, after))
            self.automaton.add_edge(loop, part(loop))
            first = loop
        else:
            first = after
            for _ in range(most - least):
                first = self.automaton.add_node(None, (None, after), (None, part(first)))
        for _ in range(least):
            first = part(first)
        return first

    def _count(self) -> tuple[int, int | None] | None:
        c = self.source[self.at : self.at + 1]
        if c in ("*", "+", "?"):
            self.at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[c]
        counted = _REPEAT.match(self.source, self.at)
        if not counted:
            return None
        self.at = counted.end()
        least = int(counted[1])
        most = int(counted[3]) if counted[3] else None if counted[2] else least
        if most is not None and most < least:
            raise ValueError(
                sentence("the pattern repeats at least {least} and at most {most} times", least=least, most=most)
            )
        return least, most

    def _atom(self) -> NodeBuilder:
        c = self.source[self.at]
        if c == "(":
            return self._group()
        if c in "*+?":
            raise ValueError(sentence("the pattern has nothing to repeat before {c}", c=repr(c)))
        if c in "^$":
            self.at += 1
            return self._assertion(f"{c}m" if self.flags & re.MULTILINE else c)
        if c == "\\":
            pair = self.source[self.at : self.at + 2]
            if pair in _ASSERTIONS:
                self.at += 2
                return self._assertion(pair)
            escape = _ESCAPE.match(self.source, self.at)
            if not escape:
                raise ValueError(sentence("the pattern has {pair}, which is not understood here", pair=repr(pair)))
            return self._character(escape[0])
        if c == "[":
            closed = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL).match(self.source, self.at)
            if not closed:
                raise ValueError(sentence("the pattern has a [ without its ]"))
            return self._character(closed[0])
        return self._character(c, "." if c == "." else re.escape(c))

    def _group(self) -> NodeBuilder:
        self.at += 1
        if self.source.startswith("?:", self.at):
            self.at += 2
        elif self.source.startswith("?", self.at):
            raise ValueError(
                sentence("the pattern has a group of a kind that is not understood here (only (...) and (?:...))")
            )
        self.depth += 1
        if self.depth > 20:
            raise ValueError(sentence("the pattern's groups are nested too deeply"))
        part = self._alternation()
        self.depth -= 1
        if not self.source.startswith(")", self.at):
            raise ValueError(sentence("the pattern has a ( without its )"))
        self.at += 1
        return part

    def _assertion(self, name: str) -> NodeBuilder:
        demand = _ASSERTIONS[name]
        return lambda after: self.automaton.add_node(None, (demand, after))

    def _character(self, source: str, meaning: str = "") -> NodeBuilder:
        """One character; ``re`` itself knows what a class means."""
        self.at += len(source)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                matcher = re.compile(meaning or source, self.flags).fullmatch
        except (re.error, FutureWarning, DeprecationWarning) as error:
            raise ValueError(sentence("the pattern has {source}: {error}", source=repr(source), error=error)) from None
        return lambda after: self.automaton.add_node((matcher, after))
