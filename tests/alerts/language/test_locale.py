"""One language at a time: words, numbers, times, and templates that speak it."""

from zoneinfo import ZoneInfo

import pytest
from jinja2 import Environment, StrictUndefined

from alerts.language import jinja, names
from alerts.language.locale import Locale, choose_language

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
VI, EN = (Locale(language, ZONE) for language in ("vi", "en"))


def test_words_with_values():
    assert EN("%(count)s of %(all)s checks", count=2, all=5) == "2 of 5 checks"
    assert VI("%(count)s of %(all)s checks", count=2, all=5) == "2 trong 5 phép kiểm tra"
    assert VI("nobody wrote this down: 100%%") == "nobody wrote this down: 100%"
    assert VI("%(count)s of %(all)s checks", count="e\u0301", all=1) == "é trong 1 phép kiểm tra"


def test_names_of_the_programs_own():
    assert (VI.term("cause", "power"), EN.term("cause", "power")) == ("mất điện", "power cut")
    assert (VI.term("kind", "power"), EN.term("kind", "tcp")) == ("nguồn điện", "TCP port")
    assert VI.term("kind", "of-a-newer-agent") == "of-a-newer-agent"
    with pytest.raises(KeyError):
        VI.term("colour", "red")


def test_numbers_are_cut_off_not_rounded():
    assert EN.percent(0.999999) == "99.99%"
    assert VI.percent(0.9995) == "99,95%"
    assert (EN.percent(1.0), EN.percent(0.0), EN.percent(None)) == ("100%", "0.00%", "–")
    assert (EN.percent(0.00001, up=True), EN.percent(0.99991, up=True)) == ("0.01%", "100%")
    assert (VI.length(3_725_000), EN.length(90_061_000)) == ("1 giờ 02 phút", "1 d 1 h")
    assert (VI.length(59_999), EN.length(-5)) == ("59 giây", "0 s")


def test_numbers_as_each_language_writes_them():
    assert (VI.number(12_345.678, 1), EN.number(12_345.678, 1)) == ("12.345,7", "12,345.7")
    assert (VI.latency(0.01234), EN.latency(0.01234), VI.latency(1.2)) == ("12,3 ms", "12.3 ms", "1200 ms")


def test_times_are_the_provinces():
    midnight = 1_763_744_400_000  # 22 Nov 2025, 00:00 in Vietnam
    assert VI.moment(midnight, midnight + 3_600_000) == "00:00:00"
    assert VI.moment(midnight - 1000, midnight) == "21/11/2025 23:59"
    assert VI.moment(None, midnight) == ""


def test_windows():
    assert (VI.window("rolling-30d"), EN.window("rolling-30d")) == ("30 ngày qua", "last 30 days")
    assert (VI.window("month"), EN.window("month")) == ("tháng", "month")


@pytest.mark.parametrize(
    ("asked", "accept", "language"),
    [
        (None, "", "vi"),
        ("en", "vi", "en"),
        ("xx", "en", "en"),
        (None, "fr,en;q=0.2,vi;q=0.1", "en"),
        (None, "en;q=0,vi", "vi"),
        (None, "en;q=oops, de", "vi"),
    ],
)
def test_the_language_is_the_one_asked_for(asked, accept, language):
    assert choose_language(asked, accept) == language


def render(template: str, locale: Locale, **values: object) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    jinja.install(environment)
    return environment.from_string(template).render(locale=locale, **values)


def test_templates_speak_the_language_they_are_rendered_with():
    template = '{{ _("%(count)s of %(all)s checks", count=n, all=5) }}'
    assert render(template, VI, n=2) == "2 trong 5 phép kiểm tra"
    assert render(template, EN, n=2) == "2 of 5 checks"
    trans = "{% trans count=n %}and {{ count }} more{% endtrans %}"
    assert render(trans, VI, n=2) == "và 2 nữa"
    plural = "{% trans n=n %}{{ n }} mail{% pluralize %}{{ n }} mails{% endtrans %}"
    assert (render(plural, EN, n=1), render(plural, EN, n=2)) == ("1 mail", "2 mails")
    assert render('{{ pgettext("cause", "WAN line") }} {{ npgettext("x", "a", "b", 2) }}', VI) == "đường truyền WAN b"
    assert render('{{ ngettext("%(num)s mail", "%(num)s mails", 2) }}', EN) == "2 mails"


def test_what_is_put_into_a_templates_words_is_escaped():
    assert render('{{ _("and %(count)s more", count=n) }}', VI, n="<b>") == "và &lt;b&gt; nữa"
    assert render("{{ locale.reason(n) }}", VI, n="<b>") == "&lt;b&gt;"


def test_counted():
    assert [EN.counted("%(num)s mail", "%(num)s mails", count) for count in (1, 2000)] == ["1 mail", "2,000 mails"]


def test_every_table_has_its_words_in_both_languages():
    for table, entries in names.TABLES.items():
        for name, english in entries.items():
            assert EN.term(table, name) == english
            # "ping" is the same in both
            assert VI.term(table, name) != english or english == "ping"
