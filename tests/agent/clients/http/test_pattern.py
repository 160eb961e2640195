"""Patterns beside Python's own ``re``: the same answers, in bounded time and space."""

import asyncio
import contextlib
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.clients.http.pattern import LinearRegex, search


def _patterns() -> st.SearchStrategy[str]:
    one = st.sampled_from(
        [
            "a",
            "b",
            "ă",
            ".",
            "[ab]",
            "[^a]",
            r"\d",
            r"\w",
            r"\W",
            r"\s",
            r"\.",
            "^",
            "$",
            r"\b",
            r"\B",
            "[a-cà-ỹ]",
            "\n",
        ]
    )
    return st.recursive(
        one,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map("".join),
            st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
            st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,}", "*?"])).map(
                lambda pair: f"({pair[0]}){pair[1]}"
            ),
        ),
        max_leaves=6,
    )


@settings(max_examples=400, deadline=None)
@given(_patterns(), st.sampled_from(["", "(?i)", "(?m)", "(?s)", "(?ims)"]), st.text("abAăĂ1 .\n", max_size=8))
def test_pattern_agrees_with_re(pattern, flags, text):
    # in re "$" also matches before a last line's end; here it is the very end
    oracle = pattern if "m" in flags else pattern.replace("$", r"\Z")
    assume(text or r"\B" not in pattern)  # where re's answer differs between versions of Python
    expected = re.search(flags + oracle, text) is not None
    assert asyncio.run(search(LinearRegex(flags + pattern), text)) is expected


@given(st.text("ab()[]{}|*+?^$.\\1,2-:i", max_size=12))
def test_any_text_as_a_pattern_compiles_or_is_refused(text):
    with contextlib.suppress(ValueError):
        LinearRegex(text)


@pytest.mark.parametrize("pattern", ["a{5000}", "((a{50}){50}){50}", "(){9999}", "((){999}){999}", "(" * 50 + ")" * 50])
def test_too_large_patterns_are_refused(pattern):
    with pytest.raises(ValueError, match=r"too large|too deeply"):
        LinearRegex(pattern)


async def test_kept_states_are_bounded_on_a_text_of_many_letters():
    pattern = LinearRegex(r"x\w{3}y$")
    text = "".join(chr(0x4E00 + i) for i in range(20_000))
    for _ in range(3):
        assert not await search(pattern, text + "x")
    assert await search(pattern, text + "xabcy")
