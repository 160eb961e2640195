"""The catalogues are complete, current, and compiled as people read them. ``scripts/words`` puts most right."""

import gettext
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jinja2 import Environment, nodes

from alerts.language import catalogue as at_run_time
from alerts.language import names
from collector.goals import evaluate
from deploy.words import catalogue
from deploy.words.catalogue import DOMAINS, Domain, SourceMessage
from inventory.protocol import states
from tests.support.paths import ROOT

TEMPLATES = [
    path for package in catalogue.PACKAGES for path in (ROOT / package).rglob("templates/**/*") if path.is_file()
]


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: domain.name)
class TestEveryCatalogue:
    def test_is_what_the_source_says_and_compiled(self, domain: Domain) -> None:
        assert not catalogue.stale_files(domain, catalogue.update_catalog(domain)), "run scripts/words"

    def test_is_complete_and_sound(self, domain: Domain) -> None:
        found = catalogue.problems(domain, catalogue.update_catalog(domain))
        assert not found, "\n".join([f"edit {domain.po.name}, then run scripts/words:", *found])

    def test_reads_at_run_time_as_it_was_written(self, domain: Domain) -> None:
        read = gettext.GNUTranslations(io.BytesIO(domain.mo.read_bytes()))
        for message in catalogue.entries(catalogue.stored_catalog(domain)):
            if isinstance(message.id, tuple):
                assert not message.context
                assert (read.ngettext(*message.id, 2),) == message.string
                continue
            english = message.id
            found = read.pgettext(message.context, english) if message.context else read.gettext(english)
            assert found == message.string or (found,) == message.string

    def test_does_not_change_by_itself(self, domain: Domain) -> None:
        once, twice = (catalogue.text(catalogue.update_catalog(domain)) for _ in range(2))
        assert once == twice
        assert b"Date" not in once
        assert not re.search(rb"^#: .*:\d", once, re.MULTILINE)


class TestWhatIsWrong:
    """The checks above can fail."""

    def domain(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *said: SourceMessage) -> Domain:
        monkeypatch.setattr(catalogue, "LOCALE", tmp_path)
        (tmp_path / "vi" / "LC_MESSAGES").mkdir(parents=True)
        return Domain("trial", lambda: said, catalogue.PERCENT)

    def wrong(self, domain: Domain, *lines: str) -> list[str]:
        domain.po.write_text("\n".join(["#, fuzzy" if line == "fuzzy" else line for line in lines]) + "\n", "utf-8")
        return catalogue.problems(domain, catalogue.update_catalog(domain))

    @pytest.mark.parametrize(
        ("english", "lines", "why"),
        [
            (
                "%(n)s: 5% up",
                ['msgid "%(n)s: 5% up"', 'msgstr "%(n)s: lên 5%%"'],
                "'%(n)s: 5% up': cannot be filled in: a per cent sign of its own is written twice",
            ),
            ("up", [], "'up': no translation"),
            ("up", ['msgid "up"', 'msgstr ""'], "'up': no translation"),
            ("up", ["fuzzy", 'msgid "up"', 'msgstr "lên"'], "'up': marked fuzzy: look at it and take the mark away"),
            (
                "%(n)s up",
                ['msgid "%(n)s up"', 'msgstr "%(m)s lên"'],
                "'%(n)s up': has places for ['n'], its translation for ['m']",
            ),
            (
                "up",
                ['msgid "up"', 'msgstr "le\u0302n"'],
                "'up': the translation is not in composed letters (NFC)",
            ),
            ("up ", ['msgid "up "', 'msgstr "lên"'], "'up ': spaces at the ends differ"),
        ],
    )
    def test_is_told(self, english, lines, why, tmp_path, monkeypatch):
        flags = ("python-format",) if "%(" in english else ()
        domain = self.domain(tmp_path, monkeypatch, SourceMessage(english, None, "a.py", flags=flags))
        assert self.wrong(domain, *lines) == [why]

    def test_nothing_when_all_is_well(self, tmp_path, monkeypatch):
        domain = self.domain(
            tmp_path, monkeypatch, SourceMessage("up", None, "a.py"), SourceMessage(("%(n)s a", "%(n)s b"), None, "b")
        )
        lines = ['msgid "up"', 'msgstr "lên"', "", 'msgid "%(n)s a"', 'msgid_plural "%(n)s b"', 'msgstr[0] "%(n)s c"']
        assert self.wrong(domain, *lines) == []

    def test_a_stale_file_and_a_stale_compiled_one(self, tmp_path, monkeypatch):
        domain = self.domain(tmp_path, monkeypatch, SourceMessage("up", None, "a.py"))
        assert self.wrong(domain, 'msgid "up"', 'msgstr "lên"') == []
        made = catalogue.update_catalog(domain)
        assert catalogue.stale_files(domain, made) == ["trial.po", "trial.mo"]
        domain.po.write_bytes(catalogue.text(made))
        domain.mo.write_bytes(catalogue.compiled(made))
        assert catalogue.stale_files(domain, catalogue.update_catalog(domain)) == []
        more = domain._replace(
            source_messages=lambda: (SourceMessage("up", None, "a.py"), SourceMessage("down", None, "a.py"))
        )
        assert catalogue.stale_files(more, catalogue.update_catalog(more)) == [
            "trial.po"
        ]  # what has no words is not compiled

    def test_what_older_agents_say_is_kept_and_a_renamed_field_costs_no_translation(self, tmp_path, monkeypatch):
        domain = self.domain(tmp_path, monkeypatch, SourceMessage("{name:n} up", None, "a.py"))
        domain = domain._replace(keeps=True, holes=re.compile(r"\{(\w+)(?::\w)?\}"))
        lines = ['msgid "{count:n} up"', 'msgstr "lên {count}"', "", 'msgid "gone"', 'msgstr "mất"', "", 'msgid "x"']
        assert self.wrong(domain, *lines, 'msgstr ""') == []
        made = {message.id: message for message in catalogue.entries(catalogue.update_catalog(domain))}
        assert {words: one.string for words, one in made.items()} == {"{name:n} up": "lên {name}", "gone": "mất"}
        assert made["gone"].auto_comments == [catalogue.RETIRED]

    def test_the_command_says_what_to_do(self, tmp_path, monkeypatch, capsys):
        domain = self.domain(tmp_path, monkeypatch, SourceMessage("up", None, "a.py"))
        monkeypatch.setattr(catalogue, "DOMAINS", (domain,))
        monkeypatch.setattr(catalogue, "ROOT", tmp_path)
        assert catalogue.main(["--check"]) == 1
        assert "trial.po: stale; run scripts/words" in capsys.readouterr().out
        assert not domain.po.exists()
        assert catalogue.main([]) == 1
        assert "'up': no translation" in capsys.readouterr().out
        domain.po.write_text(domain.po.read_text("utf-8").replace('"up"\nmsgstr ""', '"up"\nmsgstr "lên"'), "utf-8")
        assert catalogue.main([]) == 0
        assert catalogue.main(["--check"]) == 0
        gone = domain._replace(source_messages=lambda: ())
        monkeypatch.setattr(catalogue, "DOMAINS", (gone,))
        catalogue.main([])
        assert "'up': nobody says this any more; it was taken out" in capsys.readouterr().out


def test_every_language_but_the_sources_own_has_its_catalogues() -> None:
    assert {(domain.language, domain.name) for domain in DOMAINS} == {
        (language, name)
        for language in set(at_run_time.LANGUAGES) - {at_run_time.SOURCE}
        for name in (at_run_time.MESSAGES, at_run_time.REASONS)
    }


def test_a_new_language_gets_its_catalogue_with_as_many_forms_as_it_has(tmp_path, monkeypatch, capsys):
    said = (SourceMessage(("%(num)s mail", "%(num)s mails"), None, "a.py", flags=("python-format",)),)
    domain = Domain("trial", lambda: said, catalogue.HOLES, language="cs")  # one, a few, many
    monkeypatch.setattr(catalogue, "LOCALE", tmp_path)
    monkeypatch.setattr(catalogue, "ROOT", tmp_path)
    monkeypatch.setattr(catalogue, "DOMAINS", (domain,))
    assert catalogue.main([]) == 1, "made, and its words have no translation yet"
    assert "'%(num)s mail': no translation" in capsys.readouterr().out
    text = domain.po.read_text("utf-8")
    for form, words in enumerate(("%(num)s zpráva", "%(num)s zprávy", "%(nun)s zpráv")):
        text = text.replace(f'msgstr[{form}] ""', f'msgstr[{form}] "{words}"')
    domain.po.write_text(text, "utf-8")
    assert catalogue.main([]) == 1, "each form is judged"
    assert "its translation for ['nun']" in capsys.readouterr().out
    domain.po.write_text(domain.po.read_text("utf-8").replace("%(nun)s", "%(num)s"), "utf-8")
    assert catalogue.main([]) == 0 and catalogue.main(["--check"]) == 0
    made = gettext.translation("trial", tmp_path, ["cs"])
    assert [made.ngettext("%(num)s mail", "%(num)s mails", num) for num in (1, 3, 7)] == [
        "%(num)s zpráva",
        "%(num)s zprávy",
        "%(num)s zpráv",
    ]


def test_words_of_programs_and_of_templates_are_found(tmp_path, monkeypatch):
    (tmp_path / "alerts" / "templates").mkdir(parents=True)
    (tmp_path / "collector").mkdir()
    (tmp_path / "alerts" / "a.py").write_text(
        "# words: of a lamp\nmark('state', 'lit')\n_('one %(x)s', x=1)\nlocale.counted('a', 'b', 2)\nother('no')\n"
    )
    (tmp_path / "alerts" / "templates" / "a.txt").write_text("{{ _('two') }}{% trans %}three{% endtrans %}")
    monkeypatch.setattr(catalogue, "ROOT", tmp_path)
    found = {(one.words, one.context): one for one in catalogue.messages_of_source()}
    assert set(found) == {("lit", "state"), ("one %(x)s", None), (("a", "b"), None), ("two", None), ("three", None)}
    assert found["lit", "state"].comments == ("of a lamp",)
    assert found["one %(x)s", None].flags == ("python-format",)
    (tmp_path / "alerts" / "templates" / "b.txt").write_text("{{ _('two' }}")
    with pytest.raises(Exception, match=r"unexpected|expected"):
        list(catalogue.messages_of_source())


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_only_words_of_the_template_itself_go_through_the_catalogue(template: Path) -> None:
    """What ``_()`` gives is taken for good HTML, so nothing that came from outside may go in there."""
    environment = Environment(extensions=["jinja2.ext.i18n"])
    for call in environment.parse(template.read_text("utf-8")).find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name in (
            "_",
            "gettext",
            "ngettext",
            "pgettext",
            "npgettext",
        ):
            texts = call.args[: {"_": 1, "gettext": 1}.get(call.node.name, 2)]
            assert all(isinstance(one, nodes.Const) for one in texts), f"line {call.lineno}: _() takes words only"


def test_no_template_holds_words_in_another_form() -> None:
    assert TEMPLATES
    for template in TEMPLATES:
        text = template.read_text("utf-8")
        assert text == at_run_time.nfc(text)


def test_the_tables_of_names_are_whole() -> None:
    kinds = json.loads((ROOT / "inventory" / "protocol" / "kinds.json").read_text("utf-8"))
    assert set(names.KINDS) == set(kinds), "a kind of probe needs its title"
    assert set(names.STATES) == {*states.NAMES, "excluded"}
    assert set(names.VERDICTS) == {evaluate.MET, evaluate.MISSED, evaluate.NOT_PROVEN, evaluate.NO_EVIDENCE}
    assert evaluate.NOT_KNOWN in names.CAUSES


def test_running_needs_no_babel() -> None:
    script = "import sys, collector.web.pages.status, alerts.language.locale; sys.exit('babel' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)
