"""Patterns beside Python's own ``re``: the same answers, in bounded time and space."""

import asyncio
import contextlib
import random
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clients.http.pattern import bounded, compiled, search


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
            "[a-cà-ỹ]",
            r"[\w.]",
            r"[^\s]",
            r"\u0103",
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
    expected = re.search(flags + oracle, text) is not None
    assert (compiled(flags + pattern)(text) is not None) is expected


@given(st.text("ab()[]{}|*+?^$.\\1,2-:i", max_size=12))
def test_any_text_as_a_pattern_compiles_or_is_refused(text):
    for compile_pattern in (compiled, bounded):
        with contextlib.suppress(ValueError):
            compile_pattern(text)


@pytest.mark.parametrize("pattern", ["a{5000}", "((a{50}){50}){50}", "(){9999}", "((){999}){999}", "\ud800"])
def test_too_large_patterns_are_refused(pattern):
    with pytest.raises(ValueError, match="the pattern: "):
        compiled(pattern)


@pytest.mark.parametrize("pattern", [r"\bvpn\b", r"\Ba", r"[\W]", r"[^\S]"])
def test_what_would_mean_something_else_than_in_re_is_refused(pattern):
    with pytest.raises(ValueError, match="is not understood here"):
        compiled(pattern)


async def test_a_text_of_many_letters_is_searched():
    text = "".join(chr(0x4E00 + i) for i in range(20_000))
    for _ in range(3):
        assert not await search(r"x\w{3}y$", text + "x")
    assert await search(r"x\w{3}y$", text + "xabcy")


@pytest.mark.parametrize(
    ("pattern", "accepted"),
    [
        ("a+b", False),
        (".*", False),
        ("(?:a?){9}b", False),
        ("a{5000}", False),
        (r"(a)\1", False),
        (r"\d{3}", True),
        ("(?i)status: (?:up|degraded)", True),
    ],
)
def test_without_re2_only_what_re_cannot_take_long_over_is_accepted(pattern, accepted):
    with contextlib.nullcontext() if accepted else pytest.raises(ValueError, match="google-re2"):
        bounded(pattern)


def test_a_machine_without_re2_says_so():
    script = (
        "import sys\nsys.modules['re2'] = None\nfrom agent.clients.http.pattern import compiled\n"
        "assert compiled('a{2}')('baab') and not compiled('a{2}')('bab')\n"
        "try: compiled('a+')\nexcept ValueError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert "without the library google-re2" in said


def test_a_search_does_not_hold_the_loop():
    async def both() -> int:
        page = random.Random(1).randbytes(75_000).hex()  # RE2 takes some 0.3 s
        searching = asyncio.create_task(search("(?:.{0,30}a.{0,30}b){3}z", page))
        ticks = 0
        while not searching.done():
            await asyncio.sleep(0.001)
            ticks += 1
        assert not searching.result()
        return ticks

    assert asyncio.run(both()) > 3
