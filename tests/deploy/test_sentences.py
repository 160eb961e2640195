"""The walk over the source finds every sentence that may be said as a reason, and what it finds is true."""

import re

import pytest

from alerts.language.patterns import FIELD
from deploy.words import sentence_lists, sentences
from deploy.words.sentences import Sentence, of_collector, of_source
from tests.support.paths import ROOT


def found(source: str, file: str = "agent/probes/trial.py") -> list[str]:
    return [one.words for one in of_source(source, file)]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('raise Trouble("it is broken")', ["it is broken"]),
        ('return DOWN, f"{self.host} did not answer"', ["{host} did not answer"]),
        ('made.worse(DOWN, f"the newest is {span(age)} old")', ["the newest is {age:d} old"]),
        ('x = f"within {seconds:.3g} s of {a:%Y-%m} in {n:,}"', ["within {seconds:n} s of {a} in {n:n}"]),
        ('x = f"it is {printable(word, 40)} and {look.word}"', ["it is {word} and {word2}"]),
        ("x = f'wanted {\", \".join(map(str, wanted))}, not {a.join(names)}'", ["wanted {wanted}, not {names}"]),
        ('x = f"the {a} {b} stand side by side{c}{d}"', ["the {a} stand side by side{c}"]),
        ('x = f" within {seconds:g} s" if late else ""', ["{so} within {seconds:n} s"]),
        ('x = f", with {grace} of grace"', ["{so}, with {grace} of grace"]),
        ('x = f"; it runs again since {at}"', ["it runs again since {at}"]),
        ('x = {1: "it is closed", 2: "open"}', ["it is closed"]),  # one word is a key more often than a sentence
        ('x = f"{words}: {reason}"', []),
        ('"""It says what it does."""', []),
        ('log.info("it is as it was")', []),
        ('host: Annotated[str, Meta(description="the host to ask")]', []),
        ('if words == "it is gone": pass', []),
        ('x = f"the way is {a}".encode()', []),
        ('raise TypeError("it is a fault")', []),
    ],
)
def test_what_the_walk_makes_of_a_line(source, words):
    assert found(source) == words


def test_words_said_of_something_get_a_place_for_it():
    source = '_TARGET = {1: "refused the connection"}\n_OURS = {1: "this machine is full"}'
    assert found(source, "agent/failure.py") == ["{who} refused the connection", "this machine is full"]
    source = 'def refusal(self, what): return Trouble(f"{what} is none of ours")\nraise self.refusal("takes no mail")'
    assert "{who} takes no mail" in found(source, "agent/clients/mail/smtp.py")


def test_the_collectors_own_reasons():
    source = (
        'GONE: Final = "it is gone"\nOTHER: Final = "it is not"\nstep(tail, 1, GONE)\nCheckStatus(3, "nothing heard")'
    )
    assert [one.words for one in of_collector(source, "a.py")] == ["it is gone", "nothing heard"]


class TestTheSource:
    said = tuple(sentences.sentences())

    def test_has_what_is_known_to_be_said(self) -> None:
        words = {one.words for one in self.said}
        assert {
            "the newest good backup is {age:d} old, its objective is {rpo:d}",
            "{who} refused the connection",
            "{who} does not open the mailbox",
            "it failed{end} at {at}",
            "agent stopped",
            "nothing heard",
            "no look yet",
            "probably without power: on battery, then silent, then booted again",
        } <= words

    def test_every_kind_of_probe_says_something(self) -> None:
        files = {one.file for one in self.said}
        silent = [
            path.stem
            for path in (ROOT / "agent" / "probes").glob("*.py")
            if path.relative_to(ROOT).as_posix() not in files
        ]
        # their reasons are all their clients': agent/clients/ups, agent/clients/mail
        assert sorted(silent) == ["power", "ups"]

    def test_no_exemption_is_left_over(self) -> None:
        everything = {
            one.words
            for path in (ROOT / "agent").rglob("*.py")
            if not path.relative_to(ROOT).as_posix().startswith(sentence_lists.MODULES_WITHOUT_REASONS)
            for one in of_source(path.read_text("utf-8"), path.relative_to(ROOT).as_posix())
        }
        assert not set(sentence_lists.NO_REASONS) - everything
        for name in sentence_lists.MODULES_WITHOUT_REASONS:
            assert (ROOT / name).exists(), f"{name} is gone"
        for file, name in sentence_lists.PREDICATES:
            assert re.search(rf"\b{name}\b", (ROOT / file).read_text("utf-8")), f"{file} has no {name}"

    def test_no_sentence_fits_anything(self) -> None:
        for one in self.said:
            assert re.search(r"[a-z]{2,}", FIELD.sub("", one.words)), one

    def test_a_new_sentence_would_be_missed_in_the_catalogue(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from deploy.words import catalogue

        domain = next(one for one in catalogue.DOMAINS if one.name == "reasons")
        more = [*self.said, Sentence("the moon hides {host}", "agent/probes/moon.py", 1)]
        monkeypatch.setattr(sentences, "sentences", lambda: iter(more))
        made = catalogue.update_catalog(domain)
        assert catalogue.problems(domain, made) == ["'the moon hides {host}': no translation"]
        assert catalogue.stale_files(domain, made) == ["reasons.po"]
