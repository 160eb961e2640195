"""Regular expressions whose search time is proportional to the text's length, whatever the pattern and the text: RE2.

Python's ``re`` backtracks: ``(a+)+$`` on thirty letters of a hostile page would hold the agent for minutes. Where RE2
has no wheel (musl, 32-bit ARM), ``re`` searches for patterns that it cannot take long over, and others are refused.

RE2's own ``\\w \\d \\s`` know ASCII alone; here they know all letters, as in ``re``. Its ``\\b`` cannot be told so and
is refused. There are no backreferences and no look-around; ``$`` is the very end.
"""

import asyncio
import functools
import re
import warnings
from collections.abc import Callable
from typing import Any, Final

from inventory.protocol.reasons import sentence

MAX_MEMORY: Final = 4 << 20  # bytes for a pattern's automaton: bounds its size
MAX_STEPS: Final = 200  # of ``re`` from one place of the text: some 1.5 s for a million letters, at worst

_TOKEN: Final = re.compile(r"\\u([0-9a-fA-F]{4})|\\(.)|(\[\^?\]?)|(\])", re.DOTALL)
_OUTSIDE_CLASS: Final = {
    "w": r"[\pL\pN_]",
    "W": r"[^\pL\pN_]",
    "d": r"\p{Nd}",
    "D": r"\P{Nd}",
    "s": r"[\s\v\x{85}\pZ]",
    "S": r"[^\s\v\x{85}\pZ]",
}
_INSIDE_CLASS: Final = {"w": r"\pL\pN_", "d": r"\p{Nd}", "D": r"\P{Nd}", "s": r"\s\v\x{85}\pZ"}
_ONE_CHARACTER: Final = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN", "AT", "CATEGORY", "RANGE"})

Search = Callable[[str], object]  # a text's match, or None


async def search(source: str, text: str) -> bool:
    """Whether the pattern matches anywhere. In a thread: RE2 lets others run meanwhile."""
    return await asyncio.to_thread(compiled(source), text) is not None


@functools.lru_cache(maxsize=256)
def compiled(source: str) -> Search:
    """Raises ValueError, in words."""
    try:
        import re2  # 1.5 MB: only for a plan with patterns
    except ImportError:
        return bounded(source)
    options = re2.Options()
    options.max_mem, options.log_errors, options.never_capture = MAX_MEMORY, False, True
    try:
        search: Search = re2.compile(_in_re2_words(source), options).search
    except UnicodeEncodeError:
        raise ValueError(sentence("the pattern: half a character")) from None
    except re2.error as error:
        fault = error.args[0]
        raise ValueError(
            sentence("the pattern: {fault}", fault=fault.decode() if isinstance(fault, bytes) else fault)
        ) from None
    return search


def _in_re2_words(source: str) -> str:
    """The pattern with ``\\w \\d \\s`` and ``\\u`` as RE2 has to be told them. Raises ValueError."""
    in_class = False

    def translate(token: re.Match[str]) -> str:
        nonlocal in_class
        code_point, escaped, opening, closing = token.groups()
        if code_point:
            return f"\\x{{{code_point}}}"
        if opening and not in_class:
            in_class = True
        elif closing:
            in_class = False
        elif escaped is not None:
            if escaped in "bBC":
                raise ValueError(
                    sentence(
                        "the pattern: {token} is not understood here; for a word's end: {instead}",
                        token=token[0],
                        instead=r"(?:$|[^\pL])",
                    )
                )
            if in_class and escaped in "WS":
                raise ValueError(
                    sentence("the pattern: {token} between [ and ] is not understood here", token=token[0])
                )
            return (_INSIDE_CLASS if in_class else _OUTSIDE_CLASS).get(escaped, token[0])
        return token[0]

    return _TOKEN.sub(translate, source)


def bounded(source: str) -> Search:
    """A search without RE2. Raises ValueError for a pattern that ``re`` may take long over."""
    from re import _parser  # type: ignore[attr-defined]  # ``re``'s own parser knows what it will do

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parsed = _parser.parse(source)
        width = parsed.getwidth()[1]
        if width <= MAX_STEPS and _ways(parsed) * (width + 1) <= MAX_STEPS:
            return re.compile(source).search
    except (re.error, RecursionError, OverflowError, FutureWarning, DeprecationWarning) as error:
        raise ValueError(sentence("the pattern: {fault}", fault=error)) from None
    raise ValueError(
        sentence(
            "the pattern: without the library google-re2, which this machine has not, only short repetitions are "
            "searched for (no * and no +), as others may take for ever"
        )
    )


def _ways(parsed: Any) -> float:
    """In how many ways, at most, it can be tried to match from one place in the text."""
    ways = 1.0
    for operation, argument in parsed:
        name = str(operation)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            least, most, repeated = argument
            ways *= sum(_ways(repeated) ** count for count in range(least, min(int(most), MAX_STEPS) + 1))
        elif name == "SUBPATTERN":
            ways *= _ways(argument[-1])
        elif name == "BRANCH":
            ways *= sum(map(_ways, argument[1]))
        elif name not in _ONE_CHARACTER:
            return float("inf")
        if ways > MAX_STEPS:
            break
    return ways
