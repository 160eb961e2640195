"""Reasons keep what they were made of, wherever they travel or lie; what comes from outside is bounded."""

import pickle

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.protocol import reasons
from inventory.protocol.reasons import (
    FIELD,
    MAX_DEPTH,
    MAX_REASON,
    MAX_SENTENCE,
    Phrase,
    Reason,
    bounded,
    english,
    from_wire,
    in_english,
    joined,
    pack,
    plain,
    received,
    sentence,
    template,
    to_wire,
    unpack,
)

INNER = sentence("{who} refused the connection", who="192.0.2.1")
OUTER = sentence("no mail for {since:d}: {why}; waited {timeout:n} s", since="2 h", why=INNER, timeout=0.25)


def nested(depth: int) -> Phrase | str:
    return Phrase("in {it}", (nested(depth - 1),)) if depth else "deep"


def test_a_sentence_is_its_english_and_knows_what_it_was_made_of():
    assert OUTER == "no mail for 2 h: 192.0.2.1 refused the connection; waited 0.25 s"
    assert OUTER.template == "no mail for {since:d}: {why}; waited {timeout:n} s"
    assert OUTER.values == ("2 h", INNER, "0.25")
    assert isinstance(OUTER.values[1], Reason)


def test_what_is_joined_by_other_means_is_plain_text_again():
    assert type(f"{INNER}.") is str
    assert type(INNER + "!") is str
    assert plain(f"{INNER}.").plain


def test_an_exceptions_text_is_still_the_reason_it_was_raised_with():
    text = str(ValueError(INNER))
    assert isinstance(text, Reason)
    assert text.template == INNER.template


@pytest.mark.parametrize("values", [{}, {"who": 1, "what": 2}, {"what": 1}])
def test_a_sentence_takes_a_value_for_each_of_its_fields(values):
    with pytest.raises(TypeError, match="has the fields"):
        sentence("{who} is gone", **values)


def test_joined():
    assert joined([INNER, "x"]) == "192.0.2.1 refused the connection; x"
    assert joined([INNER, "x"]).values[0] is INNER
    assert joined([INNER]) is INNER
    assert joined([]) == ""
    assert joined(["a", "b"], ", ") == "a, b"


@pytest.mark.parametrize("reason", [OUTER, INNER, plain("said by others"), Reason(""), joined([OUTER, "x"])])
def test_it_survives_every_way_of_travelling(reason):
    for copy in (from_wire(to_wire(reason)), unpack(pack(reason)), pickle.loads(pickle.dumps(reason))):
        assert copy == reason
        assert to_wire(copy) == to_wire(reason)
    encoded = msgspec.msgpack.encode(to_wire(reason))
    assert msgspec.msgpack.decode(encoded, type=str | Phrase) == to_wire(reason)


def test_a_sentence_without_fields_and_plain_words_are_packed_as_themselves():
    assert pack(sentence("agent stopped")) == template("agent stopped") == "agent stopped"
    assert pack("an old agent's words") == "an old agent's words"
    assert pack(INNER) == '["{who} refused the connection",["192.0.2.1"]]'
    assert pack(pack(INNER)) == pack(INNER)


@pytest.mark.parametrize("text", ['["', '["a",1]', '["a",["b"],3', '["{a}",[[[]]]]', "[1]", '{"a":1}'])
def test_what_is_no_packed_reason_is_plain_words(text):
    assert unpack(text) == text
    assert unpack(text).plain


class TestFromOutside:
    def test_depth(self) -> None:
        assert english(from_wire(nested(MAX_DEPTH))) == "in " * MAX_DEPTH + "deep"
        deepest = to_wire(from_wire(nested(MAX_DEPTH + 1)))
        for _ in range(MAX_DEPTH):
            assert isinstance(deepest, Phrase)
            (deepest,) = deepest.values
        assert isinstance(from_wire(nested(60)), Reason)

    @pytest.mark.parametrize(
        "phrase",
        [
            Phrase("x" * 100_000, ()),
            Phrase("{a}", ("x" * 100_000,)),
            Phrase("{a}" * 100, ("x",) * 100),
            Phrase("{a} {b}", (Phrase("{c}", ("y" * 5_000,)), "z")),
            "w" * 100_000,
        ],
    )
    def test_size(self, phrase: str | Phrase) -> None:
        taken = from_wire(phrase)
        assert len(taken) <= MAX_REASON
        assert taken.plain
        assert len(received(phrase)) <= MAX_REASON

    def test_a_phrase_with_too_few_or_too_many_values_is_its_words(self) -> None:
        assert from_wire(Phrase("{a} of {b}", ("x",))) == "{a} of {b}"
        assert from_wire(Phrase("nothing", ("x", "y"))) == "nothing"

    def test_it_is_one_line(self) -> None:
        assert from_wire(Phrase("a\n{b}\r\nc", ("x\ty",))) == "a x y c"
        assert received(" a\n b ") == "a b"

    phrases = st.recursive(
        st.text(max_size=30),
        lambda values: st.builds(
            Phrase, st.text(alphabet="a {}:nd0\n", max_size=30), st.lists(values, max_size=4).map(tuple)
        ),
        max_leaves=12,
    )

    @given(phrases)
    def test_anything_is_taken_and_what_is_kept_is_bounded_and_stays_as_it_is(self, phrase: str | Phrase) -> None:
        kept = received(phrase)
        assert len(unpack(kept)) <= MAX_SENTENCE
        assert received(to_wire(unpack(kept))) == kept
        assert "\n" not in kept
        assert len(in_english(phrase)) <= MAX_REASON


def test_a_long_sentence_keeps_its_template_past_what_version_1_may_say():
    long = sentence("{host} says: {words}", host="h", words="x" * 400)
    assert isinstance(to_wire(bounded(long)), Phrase)
    assert len(in_english(to_wire(long))) == MAX_REASON
    assert bounded(sentence("{words}!", words="x" * (MAX_SENTENCE + 1))).plain


def test_templates_given_later_are_filled_in():
    table = {1: template("{who} is closed")}
    assert sentence(table[1], who=INNER).values == (INNER,)
    assert FIELD.findall(table[1]) == [("who", "")]


def test_reasons_are_not_encoded_unseen():
    with pytest.raises(TypeError):
        msgspec.json.encode({"reason": INNER})
    assert msgspec.json.encode({"reason": INNER}, enc_hook=reasons.packed) == msgspec.json.encode(
        {"reason": pack(INNER)}
    )
    assert msgspec.json.encode([INNER], enc_hook=english) == b'["192.0.2.1 refused the connection"]'
