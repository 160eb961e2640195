"""Reasons that know their template are told in Vietnamese from it, everywhere the same; no translation was lost."""

import re
from typing import Final

import pytest
from babel.messages.pofile import read_po

from alerts.language import mo, quantities
from alerts.language.catalogue import LOCALE
from alerts.language.english_reasons import translate_text
from alerts.language.reasons import shape, translate, translations
from alerts.mail.formatter import MailFormatter
from deploy.words import sentences
from inventory.protocol.reasons import FIELD, Reason, joined, pack, plain, sentence
from tests.support.recorded import V1

SAID: Final = sorted({one.words for one in sentences.sentences()})
REFUSED: Final = sentence("{who} refused the connection", who="192.0.2.1")


@pytest.mark.parametrize("template", SAID)
def test_each_template_is_told_with_its_values(template: str):
    fields = FIELD.findall(template)
    values = tuple(
        {"n": "1,024.5", "d": "31 hours"}.get(kind, f"MÁY-{place}") for place, (_, kind) in enumerate(fields)
    )
    told = translate(Reason(template, values), "vi")
    assert told == translate(pack(Reason(template, values)), "vi")
    assert "{" not in re.sub(r"\{[\d,]+\}", "", told)
    for value, (_, kind) in zip(values, fields, strict=True):
        shown = {"n": quantities.number, "d": quantities.duration}[kind](value, "vi") if kind else value
        assert shown is not None and shown in told
    assert translate(Reason(template, values), "en") == Reason(template, values)


@pytest.mark.parametrize(
    ("reason", "vietnamese"),
    [
        (REFUSED, "192.0.2.1 từ chối kết nối"),
        (sentence("agent stopped"), "trạm đã dừng"),
        (
            sentence("the newest good backup is {age:d} old, its objective is {rpo:d}", age="31 hours", rpo="24 hours"),
            "bản sao lưu tốt mới nhất 31 giờ trước, mục tiêu 24 giờ",
        ),
        # a reason in a reason, and several
        (sentence("the mail came, but was not deleted: {reason}", reason=REFUSED), None),
        (joined([REFUSED, sentence("agent stopped")]), "192.0.2.1 từ chối kết nối; trạm đã dừng"),
        # the system's words are known, a stranger's stay, a name that looks like a sentence is none
        (sentence("{who}: {error}", who="x", error="Connection refused"), "x: kết nối bị từ chối"),
        (sentence("it says {note}", note="'the disk is full'"), "thiết bị báo 'the disk is full'"),
        (sentence("it says {note}", note="x refused the connection"), "thiết bị báo x refused the connection"),
        # of a newer agent: the template is not known, the values are
        (sentence("the moon hides {what}", what=REFUSED), "the moon hides 192.0.2.1 từ chối kết nối"),
        # of an agent before wire version 2
        (plain("192.0.2.1 refused the connection"), "192.0.2.1 từ chối kết nối"),
        (plain("what nobody knows"), "what nobody knows"),
    ],
)
def test_what_comes_out(reason: Reason, vietnamese: str | None):
    if vietnamese is None:
        vietnamese = translations("vi")[shape(reason.template)].replace("{0}", translate(reason.values[0], "vi"))
    assert translate(reason, "vi") == translate(pack(reason), "vi") == vietnamese
    assert translate(pack(reason), "en") == reason


def test_two_reasons_with_the_same_english_are_told_apart():
    one = sentence("it says {note}", note="agent stopped")
    other = Reason("{0}", ("it says agent stopped",))
    assert one == other
    assert translate(one, "vi") == "thiết bị báo trạm đã dừng"
    assert pack(one) != pack(other)


def test_a_mail_tells_it_from_the_template(monkeypatch: pytest.MonkeyPatch):
    from alerts.language import english_reasons
    from alerts.language.locale import Locale

    def never(text: str, language: str) -> str:
        raise AssertionError(f"{text!r} was read back")

    monkeypatch.setattr(english_reasons, "translate_text", never)
    formatter = MailFormatter.__new__(MailFormatter)
    formatter.locale = Locale("vi", None)  # type: ignore[arg-type]
    assert (
        formatter.reason(pack(sentence("{who} refused the connection", who="192.0.2.77")))
        == "192.0.2.77 từ chối kết nối"
    )


NOW: Final = dict(mo.entries(LOCALE / "vi" / "LC_MESSAGES" / "reasons.mo"))


class TestNothingIsLost:
    def test_every_translation_of_before_is_there_word_for_word(self) -> None:
        with (V1 / "reasons.po").open("rb") as file:
            before = {str(message.id): str(message.string) for message in read_po(file, locale="vi") if message.id}
        assert len(before) == 898
        now = {shape(english): _anonymous(english, vietnamese) for english, vietnamese in NOW.items()}
        for english, vietnamese in before.items():
            assert now[shape(english)] == _anonymous(english, vietnamese)
        assert len(NOW) >= len(before)

    def test_each_translation_has_its_templates_fields(self) -> None:
        for english, vietnamese in NOW.items():
            assert {name for name, _ in FIELD.findall(english)} == {name for name, _ in FIELD.findall(vietnamese)}

    def test_what_was_said_before_is_still_read_back(self) -> None:
        assert (
            translate_text("192.0.2.9 did not answer 3 pings within 2 s", "vi")
            == "192.0.2.9 không trả lời 3 lần ping trong 2 giây"
        )


def _anonymous(english: str, vietnamese: str) -> str:
    places = {name: place for place, (name, _) in enumerate(FIELD.findall(english))}
    return FIELD.sub(lambda field: f"{{{places[field[1]]}}}", vietnamese)
