"""The list of what can be said as a reason is what the source gives to ``sentence`` and ``template``."""

import re

import pytest

from deploy.words import sentences
from deploy.words.sentences import Sentence, of_source
from inventory.protocol.reasons import FIELD
from tests.support.paths import ROOT


def found(source: str, file: str = "agent/probes/trial.py") -> list[str]:
    return [one.words for one in of_source(source, file)]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('raise ProbeFailed(sentence("it is broken"))', ["it is broken"]),
        ('return DOWN, sentence("{host} did not answer", host=self.host)', ["{host} did not answer"]),
        ('x = sentence(\n"the newest is {age:d} " "old", age=a)', ["the newest is {age:d} old"]),
        ('x = {1: template("{who} is closed")}', ["{who} is closed"]),
        ('x = sentence("{host}: {reason}", host=h, reason=r)', []),  # joins, and says nothing itself
        ("x = sentence(words, who=who)", []),  # of a table
        ('x = "it is broken"', []),
        ('log.info("it is as it was")', []),
    ],
)
def test_what_a_line_says(source, words):
    assert found(source) == words


class TestTheSource:
    said = tuple(sentences.sentences())

    def test_has_what_is_known_to_be_said(self) -> None:
        words = {one.words for one in self.said}
        assert {
            "the newest good backup is {age:d} old, its objective is {rpo:d}",
            "{who} refused the connection",
            "{who} does not open the mailbox",
            "it failed at {at}",
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
