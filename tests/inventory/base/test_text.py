"""Text from outside is one clean line wherever it goes: to the wire, to the store, to a log."""

import io
import json
import logging
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probe import Outcome
from agent.runtime.thresholds import state_and_reason
from inventory.base import logs
from inventory.base.text import clean_line, clean_text, printable, quoted
from inventory.protocol.reasons import FIELD, Phrase, Reason, bounded, from_wire, pack, received, sentence, unpack
from inventory.protocol.states import DOWN

HOSTILE = (
    "\x00\x07\x08\t\n\v\f\r\x1b\x1c\x85\x9b\x7f\xad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b"
    "\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\u206a\ufeff\ufff9\ufe0f\u034f\u115f\u3164\u00a0\u3000\ud800\udfff"
    "\U000e0001\U000e0041\U000e0100\ue000"
)
WHOLE = "".join(c for c in HOSTILE if not "\ud800" <= c <= "\udfff")  # pytest itself keeps what is logged, as UTF-8
texts = st.text(
    st.one_of(st.sampled_from(HOSTILE), st.sampled_from("aế{}:0\u0301\u0323 "), st.characters()), max_size=60
)


def is_clean(text: str) -> bool:
    return text.isprintable() and "  " not in text and unicodedata.is_normalized("NFC", text)


class TestClean:
    @given(texts, st.integers(2, 80))
    def test_it_is_one_printable_composed_line_and_stays_so(self, text: str, limit: int) -> None:
        line, short = clean_line(text), clean_text(text, limit)
        assert is_clean(line)
        assert clean_line(line) == line
        assert is_clean(short)
        assert len(short) <= limit
        assert clean_text(short, limit) == short

    def test_every_character_there_is(self) -> None:
        for code in range(0x110000):
            line = clean_line(f"a{chr(code)}b")
            if not line.isprintable() or len(line) > 6:
                pytest.fail(f"{code:#x} becomes {line!r}")

    def test_what_hides_is_gone_and_what_separates_is_a_space(self) -> None:
        assert clean_line("x\n2026 CRITICAL\x1b[31m\u202egnp\u2066.exe\u2069") == "x 2026 CRITICAL[31mgnp.exe"
        assert clean_line("a\u2028b\r\n\tc\u00a0d") == "a b c d"
        assert clean_line("pass\u200bword\U000e0041\ufe0f") == "password"
        assert clean_line("half \ud800") == "half ?"

    def test_vietnamese_stays(self) -> None:
        name = "Trường Tiểu học Kế Sách – “Điểm lẻ” số 2"
        assert clean_line(name) == name
        assert clean_line(unicodedata.normalize("NFD", name)) == name

    def test_long_texts_are_cut_at_once(self) -> None:
        assert len(clean_text("e\u0301\u202e" * 3_000_000, 40)) == 40

    @given(texts, st.integers(1, 50))
    def test_printable_shows_what_was_there(self, text: str, limit: int) -> None:
        shown = printable(text, limit)
        assert shown.isprintable()
        assert len(shown) <= 10 * limit + 1
        assert quoted(text, limit).isprintable()


class TestReasons:
    """The agent's edge (what a device said) and the collector's (what an agent said) pass the same rule."""

    phrases = st.recursive(
        texts, lambda values: st.builds(Phrase, texts, st.lists(values, max_size=3).map(tuple)), max_leaves=8
    )

    @given(phrases)
    def test_what_comes_over_the_wire(self, phrase: str | Phrase) -> None:
        kept = from_wire(phrase)
        assert is_clean_reason(kept)
        assert unpack(received(phrase)) == kept

    @given(texts, texts, texts)
    def test_what_a_device_said(self, who: str, words: str, banner: str) -> None:
        reason = sentence("{who} answers {words}", who=who, words=sentence("{banner}!", banner=banner))
        state, told = state_and_reason(Outcome(DOWN, reason), ())
        assert state == DOWN
        assert is_clean_reason(bounded(told))

    @given(texts)
    def test_what_a_store_of_before_holds(self, text: str) -> None:
        assert is_clean_reason(unpack(text))
        assert is_clean_reason(unpack(pack(Reason("{0}", (text,)))))

    @pytest.mark.parametrize(
        "phrase",
        [
            Phrase("{\u200b0}"),
            Phrase("{a\u0301}", ()),
            Phrase("{a}\u200b{b}", ("x", "y")),
            Phrase("{\u200ba}{b}", ("x",)),
        ],
    )
    def test_cleaning_makes_no_field(self, phrase: Phrase) -> None:
        kept = from_wire(phrase)
        assert len(FIELD.findall(kept.template)) == len(kept.values)


def is_clean_reason(reason: Reason) -> bool:
    return reason.isprintable() and all(
        is_clean_reason(value) if isinstance(value, Reason) else value.isprintable() for value in reason.values
    )


class TestLogs:
    @pytest.fixture(params=["text", "json"])
    def lines(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        written = io.StringIO()
        monkeypatch.setattr(sys, "stderr", written)
        logs.set_up("info", request.param)
        request.addfinalizer(lambda: (root.handlers.__setitem__(slice(None), handlers), root.setLevel(level)))
        return written

    @pytest.mark.parametrize(
        "words",
        ["x\n2026-11-29 CRITICAL root: pwned\x1b[31m", "\u202egnp.exe\u2066", "a\x00\x07\x9b1m\u2028b", WHOLE],
        ids=["a line of its own", "bidi", "controls", "all of them"],
    )
    def test_one_event_is_one_line(self, lines: io.StringIO, words: str) -> None:
        log = logging.getLogger("agent.x")
        log.error("breach: %s", words)
        log.error(words.replace("%", "%%"))
        log.error({"told": words})
        made = lines.getvalue()
        assert len(made.splitlines()) == 3
        assert made.replace("\n", "").isprintable()

    def test_half_a_character(self) -> None:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "%s", ("\ud800",), None)
        assert logs.TextLines().format(record).endswith("ERROR x: \\ud800")
        assert json.loads(logs.JsonLines().format(record))["message"] == "\\ud800"

    def test_an_error_brings_words_too(self, lines: io.StringIO) -> None:
        try:
            raise ValueError("x\n2026-11-29 CRITICAL root: pwned\x1b[31m\u202e")
        except ValueError:
            logging.getLogger("agent.x").exception("it failed")
        made = lines.getvalue().splitlines()
        assert all(line.isprintable() for line in made)
        if made[0].startswith("{"):
            (line,) = made
            assert "Traceback" in json.loads(line)["error"]
        else:
            assert "it failed" in made[0]
            assert all(line.startswith("    | ") for line in made[1:])

    def test_a_long_one_is_cut(self, lines: io.StringIO) -> None:
        logging.getLogger("agent.x").error("%s", "x" * 1_000_000)
        assert len(lines.getvalue()) < 5_000
