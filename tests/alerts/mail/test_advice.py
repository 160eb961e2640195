"""House rules of the advice: there is some for everything that can be wrong, short, in steps, in both languages."""

import json
import re

import pytest

from agent import first_steps
from alerts.incident.message import TranslatableMessage
from alerts.language.catalogue import translations
from alerts.mail import advice
from alerts.mail.advice import BY_KIND
from alerts.mail.story import CAUSE_SENTENCES
from alerts.mail.topic import TOPIC_NAMES
from inventory.model.alerting import CONDITION_TYPES
from inventory.protocol import causes, kinds
from tests.support import mails
from tests.support.conditions import DEFAULT_CONDITIONS

KINDS = sorted(json.loads((mails.ROOT / "inventory" / "protocol" / "kinds.json").read_text("utf-8")))
ALL = {
    **{f"cause {cause}": steps for cause, steps in advice.BY_CAUSE.items()},
    **{f"on {on}": steps for on, steps in advice.BY_ON.items()},
    **{f"{kind} {on}": steps for kind, by in BY_KIND.items() for on, steps in by.items()},
    **{f"generic {on}": steps for on, steps in advice.GENERIC.items()},
    "device": advice.DEVICE,
}


def test_every_kind_of_probe_has_its_advice_down_and_degraded() -> None:
    assert sorted(BY_KIND) == KINDS
    for kind, by in BY_KIND.items():
        # a kind with neither has the general steps
        assert set(by) in ({"down", "degraded"}, set()), f"{kind}: steps in down_mail and degraded_mail, or neither"


def test_every_cause_has_its_advice_and_its_sentence() -> None:
    assert set(CAUSE_SENTENCES) == set(causes.CAUSES)
    for cause in causes.CAUSES:
        assert advice.steps(cause, "power:somewhere", "", "down")
    # the service itself is advised on by its kind
    assert set(advice.BY_CAUSE) == set(causes.CAUSES) - {causes.SERVICE}


@pytest.mark.parametrize("condition", DEFAULT_CONDITIONS, ids=lambda one: one.id)
def test_every_condition_has_its_advice(condition) -> None:
    for kind in condition.select.kinds or KINDS:
        found = advice.steps(causes.SERVICE, "service:uid", kind, condition.on)
        assert found
        if condition.on in ("down", "degraded"):
            assert found == (BY_KIND[kind] or advice.GENERIC)[condition.on]
        else:
            assert found == advice.BY_ON[condition.on]


def test_every_on_has_a_way_to_advice() -> None:
    for on in CONDITION_TYPES:
        assert advice.steps(causes.SERVICE, "service:uid", "http", on)
        assert advice.steps(causes.SERVICE, "service:uid", "of a newer agent", on)


def test_what_is_known_best_decides() -> None:
    steps = advice.steps
    assert steps(causes.WAN, "wan:link", "icmp", "down") == advice.BY_CAUSE[causes.WAN]
    assert steps(causes.POWER, "power:site", "icmp", "down") == advice.BY_CAUSE[causes.POWER]
    assert steps(causes.POWER, "service:uid", "power", "degraded") == BY_KIND["power"]["degraded"]
    assert steps(causes.SERVICE, "device:loi", "icmp", "down") == advice.DEVICE
    assert steps(causes.NOT_KNOWN, "service:uid", "http", "down") == BY_KIND["http"]["down"]
    assert steps(causes.NOT_KNOWN, "agent:a", "", "silent") == advice.BY_CAUSE[causes.NOT_KNOWN]
    assert steps(causes.SERVICE, "goal:g1", "", "risk") == advice.BY_ON["risk"]


@pytest.mark.parametrize("name", ALL)
def test_is_a_few_short_steps_in_both_languages(name: str) -> None:
    """A person reads them on a phone, at night, one after the other, and does them."""
    steps = ALL[name]
    assert 2 <= len(steps) <= 5
    texts = [one.text for one in steps]
    assert len(set(texts)) == len(texts)
    for text in texts:
        vietnamese = translations("vi").gettext(text)
        assert vietnamese != text, f"no Vietnamese for {text!r}"
        for said in (text, vietnamese):
            assert len(said) <= 190, said
            assert said[0].isupper()
            assert re.search(r"[.?!]$|: \S.*$", said), said
            assert "{" not in said


def test_no_step_is_written_down_in_vain() -> None:
    """What a module defines is used by something that can be picked."""
    used = {one.text for steps in ALL.values() for one in steps}
    for module in (advice, first_steps):
        for name, value in vars(module).items():
            if isinstance(value, TranslatableMessage):
                assert value.text in used, name
            elif module is first_steps and name.isupper():
                assert value in used, name


def test_every_word_for_what_is_wrong_is_in_both_languages() -> None:
    titles = (one.title for one in CONDITION_TYPES.values())
    mails = (mail for kind in kinds.load().values() for mail in kind.mails.values())
    headlines = (words for mail in mails for words in (mail.headline, mail.link_headline) if words)
    told = (one.text for one in (*TOPIC_NAMES.values(), *CAUSE_SENTENCES.values()))
    for text in (*titles, *headlines, *told):
        assert translations("vi").gettext(text) != text, f"no Vietnamese for {text!r}"
