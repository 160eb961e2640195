"""Nothing that a stranger sends trips a parser, and no text keeps a grammar for longer than a second."""

import time
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import mutate, targets

MUTANTS = 150  # of each target; `scripts/fuzz` makes as many as there is time for


def run_in_time(name: str, data: bytes) -> None:
    started = time.process_time()
    targets.run(name, data)
    taken = time.process_time() - started
    assert taken < targets.SECONDS, f"{name}: {taken:.1f} s of CPU for {len(data)} bytes that begin {data[:60]!r}"


@pytest.mark.parametrize("name", targets.TARGETS)
def test_its_corpus_and_what_is_made_of_it(name: str) -> None:
    for data in (*mutate.seeds(name), b"", *islice(mutate.mutated(name, 1), MUTANTS)):
        run_in_time(name, data)


@pytest.mark.parametrize("name", targets.GRAMMARS)
@pytest.mark.parametrize("size", [40, targets.MAX_TEXT])
def test_a_grammar_is_done_within_a_second(name: str, size: int) -> None:
    for text in mutate.worst_texts(size):
        run_in_time(name, text.encode("utf-8", "surrogatepass")[: targets.MAX_TEXT])


@pytest.mark.parametrize("name", targets.GRAMMARS)
def test_whatever_stands_before_and_behind_what_fits(name: str) -> None:
    filler = ("a", "1", " ", "*", "(", "[", "{", "\\", ",", ":", "\u0301")
    for seed in mutate.seeds(name)[:4]:
        for letter in filler:
            padding = (letter * (targets.MAX_TEXT // 2)).encode()
            for data in (seed + padding, padding + seed, seed * 200, seed + padding[:60] + b"!"):
                run_in_time(name, data[: targets.MAX_TEXT])


@pytest.mark.parametrize("name", targets.GRAMMARS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=200))
def test_any_text(name: str, text: str) -> None:
    run_in_time(name, text.encode("utf-8", "surrogatepass"))


def test_every_target_has_seeds() -> None:
    assert {folder.name for folder in mutate.CORPUS.iterdir()} == set(targets.TARGETS)
    assert all(len(mutate.seeds(name)) >= 1 and max(map(len, mutate.seeds(name))) <= 4096 for name in targets.TARGETS)
