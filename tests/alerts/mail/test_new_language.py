"""A new language of mails is one entry and one catalogue: a made-up one, compiled here, writes a mail."""

from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from alerts.language import catalogue
from alerts.language.reasons import translate
from inventory.assembly.load import load
from inventory.base.languages import LANGUAGES, Language
from inventory.protocol.reasons import pack, sentence
from tests.support import mails
from tests.support.mails import MINUTE, NOW

SHOUTED = Language(code="xx", decimal_comma=True, day="{year}.{month}.{day}", report_day="{day}.{month}.")


@pytest.fixture
def shouted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """English, shouted: the entry, and a catalogue of each domain below a directory of its own."""
    monkeypatch.setitem(LANGUAGES, SHOUTED.code, SHOUTED)
    folder = tmp_path / "locale" / "xx" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    with (catalogue.LOCALE / "vi" / "LC_MESSAGES" / f"{catalogue.MESSAGES}.po").open("rb") as file:
        template = read_po(file)
    translated = Catalog(locale="en", charset="utf-8")
    for entry in template:
        if isinstance(entry.id, str) and entry.id and "%" not in entry.id and "{" not in entry.id:
            translated.add(entry.id, entry.id.upper(), context=entry.context)
    for domain, content in ((catalogue.MESSAGES, translated), (catalogue.REASONS, Catalog(locale="en"))):
        with (folder / f"{domain}.mo").open("wb") as file:
            write_mo(file, content)
    for module in ("catalogue", "reasons", "english_reasons"):
        monkeypatch.setattr(f"alerts.language.{module}.LOCALE", tmp_path / "locale")
    catalogue.translations.cache_clear()
    yield tmp_path
    catalogue.translations.cache_clear()


def test_a_mail_is_written_in_it(shouted: Path) -> None:
    estate = mails.inventory()
    incident = mails.line_incident(estate, opened=NOW - 3 * 24 * 60 * MINUTE)
    mail = mails.write("trouble", incident, made=estate, language="xx")
    text, html = mails.parts(mail)
    assert mail.subject.startswith("[CRITICAL] LINE DOWN: ")
    assert "WHAT TO LOOK AT FIRST" in text and 'lang="xx"' in html
    assert "2026.11.24" in text, "a day as the entry writes it"
    assert mails.parse(mail)["Content-Language"] == "xx"


@pytest.mark.usefixtures("shouted")
def test_what_stands_in_a_reason_is_written_as_the_language_writes_it() -> None:
    age = sentence("the copy is {age:d} old, of {day}: {size:n}", age="31 hours", day="2026-11-24", size="1,024.5")
    assert translate(pack(age), "xx") == "the copy is 31 H old, of 24.11.: 1.024,5"
    assert translate("2 years", "xx") == "2 YEAR"
    assert translate("within 1.5 s", "xx") == "within 1.5 s", "plain words that nobody knows stay"


def test_a_contact_may_have_it(shouted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "inventory"
    folder.mkdir()
    text = "province: {id: p, name: P}\ncontacts: {an: {name: An, email: an@p.example, language: xx}}\n"
    (folder / "all.yaml").write_text(text, "utf-8")
    assert load(folder).contacts["an"].language == "xx"
