"""Reasons in Vietnamese: what agents say is found again in the catalogue, and nothing that arrives does harm."""

import re
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent import probes
from agent.probe import Limits, ProbeContext
from agent.runtime import thresholds
from alerts.language import english_reasons, mo, quantities
from alerts.language.catalogue import LOCALE
from alerts.language.english_reasons import ReasonCatalogue, ReasonPattern, compile_pattern, match
from alerts.language.reasons import translate
from inventory.base.text import clean_line
from inventory.protocol import states
from inventory.protocol.plan import Threshold
from inventory.protocol.reasons import FIELD, bounded

BOOK = english_reasons.reason_catalogue("vi")
# words that only an English sentence has; none of them is a Vietnamese word
ENGLISH = re.compile(r"\b(the|is|are|was|were|not|did|does|has|have|its|and|from|cannot|than|there|within|which|be)\b")


@pytest.mark.parametrize(
    ("english", "vietnamese"),
    [
        (
            "the newest good backup is 31 hours old, its objective is 24 hours",
            "bản sao lưu tốt mới nhất 31 giờ trước, mục tiêu 24 giờ",
        ),
        ("192.0.2.1:25 refused the connection", "192.0.2.1:25 từ chối kết nối"),
        ("the name mail.x was not resolved within 1.5 s", "không phân giải được tên miền mail.x trong 1,5 giây"),
        ("agent stopped", "trạm đã dừng"),
        # of two sentences that fit, the more specific
        ("mail.x:25 refuses the mail", "mail.x:25 từ chối thư"),
        ("mail.x:25 refuses the recipient", "mail.x:25 từ chối người nhận"),
        # what a stranger said stays as he said it
        ("mail.x:25 refuses the mail: 550 'no; never'", "mail.x:25 từ chối thư: 550 'no; never'"),
        ("it says 'Foo; bar'", "thiết bị báo 'Foo; bar'"),
        ("Segmentation fault (core dumped)", "Segmentation fault (core dumped)"),
        # several reasons, and reasons about reasons
        (
            "latency 0.35 is above 0.2; loss_ratio 0.05 is above 0.02",
            "độ trễ 0,35 giây cao hơn 0,2; tỷ lệ mất gói 0,05 cao hơn 0,02",
        ),
        (
            "192.0.2.9 did not answer 3 pings; 192.0.2.1 says: a firewall refuses the packets",
            "192.0.2.9 không trả lời 3 lần ping; 192.0.2.1 báo: tường lửa từ chối gói tin",
        ),
        (
            "there is no good backup: 'a b.gz' is broken: it ends in the middle, after 12 unpacked bytes",
            "không có bản sao lưu nào tốt: 'a b.gz' bị hỏng: tệp đứt giữa chừng, sau 12 byte đã giải nén",
        ),
        (
            "its battery is low: on battery for 3 min, charge 12.5%, runtime 1 h 2 min",
            "ắc quy yếu: chạy bằng ắc quy được 3 phút, dung lượng còn 12,5%, chạy được thêm 1 giờ 2 phút",
        ),
        # a sentence with a semicolon of its own, alone and behind another
        (
            "part of it cannot be read: this machine has no 7z to read it with; install p7zip or 7zip",
            "có phần không đọc được: máy này không có 7z để đọc tệp; hãy cài p7zip hoặc 7zip",
        ),
        (
            "smtp: its last run took 1d2h; 3h30m are allowed; it is gone",
            "smtp: lần chạy gần nhất mất 1 ngày 2 giờ; cho phép 3 giờ 30 phút; tệp không còn nữa",
        ),
        # the second is of its own, though it could be said of all before it
        (
            "it is gone; 192.0.2.1:25 cannot be reached: the host is down",
            "tệp không còn nữa; không tới được 192.0.2.1:25: máy đó đang tắt",
        ),
        # a stranger's list of which a part happens to be known
        ("Oops, it failed", "Oops, it failed"),
        ("it says 'e\u0301'", "thiết bị báo 'é'"),
        # moments are written as here
        (
            "it failed with exit code 3 at 2026-11-22 23:12 +07; it runs again since 2026-11-22 23:30 +07",
            "tác vụ thất bại với mã thoát 3 lúc 22/11/2026 23:12 +07; tác vụ đang chạy lại từ 22/11/2026 23:30 +07",
        ),
        ("expired: the certificate ended on 2026-11-02", "hết hạn: chứng chỉ đã hết hạn ngày 02/11/2026"),
        ("", ""),
    ],
)
def test_what_agents_say(english, vietnamese):
    assert translate(english, "vi") == vietnamese
    assert translate(english, "en") == english


@pytest.mark.parametrize(
    ("english", "vietnamese"),
    [
        ("the newest good backup is 31 hours old, its obj…", "bản sao lưu tốt mới nhất 31 giờ trước, mục tiêu …"),
        (
            "the newest good backup is 31 hours old, its objective is 24 ho…",
            "bản sao lưu tốt mới nhất 31 giờ trước, mục tiêu 24 ho…",
        ),
        ("it is gone; 192.0.2.1:25 refused the conne…", "tệp không còn nữa; 192.0.2.1:25 từ chối kết nối…"),
        ("its last run took 1d2h; 3h are al…", "lần chạy gần nhất mất 1 ngày 2 giờ; cho phép 3 giờ…"),
        ("restic check says: Pack ID does not ma…", "restic check báo: Pack ID does not ma…"),
        # "there is no route to it", or "to its network"? Nobody knows
        ("192.0.2.1 says: there is no rou…", "192.0.2.1 báo: there is no rou…"),
        (
            "it is gone; 192.0.2.1:25 cannot be reached: the host is do…",
            "tệp không còn nữa; không tới được 192.0.2.1:25: máy đó đang tắt…",
        ),
        ("the body ended after 12…", "nội dung kết thúc sau 12… trong … byte…"),
        ("the body is longer than 9 bytes; the rest w…", "nội dung dài hơn 9 byte; phần còn lại không được đọc…"),
        ("3 of many packets lost (fit: 0.0…", "3 of many packets lost (fit: 0.0…"),
        ("7…", "7…"),  # too little to tell
        ("…", "…"),
    ],
)
def test_what_was_cut_on_the_wire(english, vietnamese):
    assert translate(english, "vi") == vietnamese


def filled(one: ReasonPattern, values: list[str]) -> str:
    return "".join(piece + value for piece, value in zip(one.pieces, [*values, ""], strict=True))


def samples(one: ReasonPattern) -> list[tuple[str, str]]:
    """For each field, what an agent might put there, and what that is in Vietnamese."""
    forms = {
        "n": lambda n: (f"{n}.5", f"{n},5"),
        "d": lambda n: (f"{n} hours", f"{n} giờ"),
        "": lambda n: (f"<{n}>",) * 2,
    }
    return [forms[sort](number + 3) for number, sort in enumerate(one.field_types)]


def test_every_sentence_is_found_again():
    """Each with its own translation: no other sentence of the catalogue takes its place."""
    for one in BOOK.patterns:
        values = samples(one)
        fields = dict(zip(one.names, [after for _, after in values], strict=True))
        expected = FIELD.sub(lambda field, fields=fields: fields[field[1]], one.translation)
        assert BOOK.translate(filled(one, [before for before, _ in values])) == expected
        assert ENGLISH.search(FIELD.sub("", one.translation)) is None, f"left in English: {one.translation}"


# Fields as strangers fill them: hosts, quoted words, several lines of both.
fields = st.text(st.characters(codec="utf-8", exclude_characters="…"), max_size=60)


@settings(deadline=None)
@given(st.text(max_size=300))
@example("; " * 100)
@example("{so} {who:n} {")
@example("%(x)s %s")
@example("\ud800")
@example("\x1b")
def test_any_text_is_taken(text):
    said = translate(text, "vi")
    assert unicodedata.is_normalized("NFC", said)
    assert bool(said) == bool(clean_line(text))


@settings(deadline=None)
@given(st.sampled_from([one for one in BOOK.patterns if "" in one.field_types]), st.data())
def test_what_a_stranger_said_is_kept(one, data):
    """Whatever stands in a field is in what comes out, unless the catalogue knows it."""
    word = data.draw(st.from_regex(r"[A-Z]{3,8}[!-/]?[0-9]{1,3}", fullmatch=True))
    values = [{"n": "7", "d": "2 h", "": word}[sort] for sort in one.field_types]
    assert word in translate(filled(one, values), "vi")


@settings(deadline=None)
@given(st.lists(st.sampled_from(BOOK.patterns), min_size=1, max_size=5), st.lists(fields, min_size=30, max_size=30))
def test_cut_anywhere_it_is_still_a_text(several, values):
    spare = iter(values * 5)
    whole = "; ".join(
        filled(one, [{"n": "7", "d": "2 h"}.get(sort) or next(spare) for sort in one.field_types]) for one in several
    )
    short = bounded(whole)
    said = translate(short, "vi")
    assert bool(said) == bool(short)
    if short.endswith("…"):
        assert said.endswith("…")


HOSTILE = [
    "; ",
    ": ",
    ", ",
    "it says ",
    " did not answer within ",
    "A says: B; ",
    "it failed at ",
    "it was due at ; it runs again since ",
    "1 h ",
    "1,1",
    "9" * 50,
    " is … ",
    "the body contains , the body matches : ",
    "the certificate of ",
    " and 1 more",
]


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("ending", ["", "…"])
def test_time_is_bounded_whatever_arrives(piece, ending):
    """The longest that is looked at, ten times what the wire lets through, in far less than a page may take."""
    text = (piece * english_reasons.MAX_REASON_LENGTH)[: english_reasons.MAX_REASON_LENGTH - 1] + ending
    begun = time.process_time()
    BOOK.translate(text)
    assert time.process_time() - begun < 0.5


def test_effort_is_bounded_whatever_the_catalogue(monkeypatch):
    """Sentences that fit each other's fields in every way would else be tried without end."""
    tried = 0

    def counted(one: ReasonPattern, text: str) -> list[str] | None:
        nonlocal tried
        tried += 1
        return match(one, text)

    monkeypatch.setattr(english_reasons, "match", counted)
    ReasonCatalogue([("{a} " + "x " * size + "{b}", "{b}{a}") for size in range(1, 60)], "vi").translate(
        "x y " * 50 + "x " * 100
    )
    assert 1000 < tried <= 1500


def test_thousands_a_second():
    usual = [filled(one, [before for before, _ in samples(one)]) for one in BOOK.patterns]
    begun = time.process_time()
    for reason in usual:
        BOOK.translate(reason)
    assert len(usual) / (time.process_time() - begun) > 1000


def test_longer_than_anything_stands_as_it_is():
    text = "it is gone; " * 1000
    assert translate(text, "vi") == text


class TestMatching:
    def test_fields_by_their_sort(self) -> None:
        one = compile_pattern("{who} took {count:n} of {size} in {time:d}", "")
        assert match(one, "a took 1,024.5 of x in 1d2h") == ["a", "1,024.5", "x", "1d2h"]
        assert match(one, "a took many of x in 1d2h") is None
        assert match(one, "a took 1 of x in a while") is None
        assert match(one, " took 1 of  in 2 s") == ["", "1", "", "2 s"]
        assert match(one, "a took 1 of x") is None

    def test_the_ends_do_not_overlap(self) -> None:
        assert match(compile_pattern("the end{x}the end", ""), "the end") is None

    def test_a_sentence_that_fits_anything_is_refused(self) -> None:
        with pytest.raises(ValueError, match="fits anything"):
            ReasonCatalogue([("{who}: {words}", "{who}: {words}")], "vi")

    def test_only_words_that_no_field_touches_find_a_sentence(self) -> None:
        assert compile_pattern("un{x}seen by {y} at all", "").required_words() == {"by", "at", "all"}


@pytest.mark.parametrize(
    ("english", "vietnamese"),
    [
        ("31 hours", "31 giờ"),
        ("1 h 20 min", "1 giờ 20 phút"),
        ("2.5 years", "2,5 năm"),
        ("1d7h", "1 ngày 7 giờ"),
        ("90s", "90 giây"),
        ("250ms", "250 ms"),
        ("1 h ", None),
        ("1 hx", None),
        ("", None),
        ("ages", None),
    ],
)
def test_durations(english, vietnamese):
    assert quantities.duration(english, "vi") == vietnamese


@pytest.mark.parametrize(
    ("english", "vietnamese"),
    [
        ("3.21 GiB", "3,21 GiB"),
        ("2026-11-22", "22/11/2026"),
        ("2026-11-22 23:12 +07", "22/11/2026 23:12 +07"),
        ("2026-11-22 23:12 UTC", "22/11/2026 23:12 UTC"),
        ("45 s", "45 giây"),
        ("192.0.2.1", None),  # no number, though it begins like one
        ("1.2", None),  # a version, perhaps
        ("", None),
    ],
)
def test_what_is_known_by_its_form(english, vietnamese):
    assert quantities.anything(english, "vi") == vietnamese


def test_a_file_that_is_no_catalogue(tmp_path):
    for content in (b"", b"x" * 10, b"x" * 100):
        (tmp_path / "a.mo").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.mo is not a compiled catalogue"):
            list(mo.entries(tmp_path / "a.mo"))


def test_a_catalogue_of_the_other_byte_order(tmp_path):
    import struct

    data = (LOCALE / "vi" / "LC_MESSAGES" / "reasons.mo").read_bytes()
    count, ids, texts = struct.unpack_from("<3I", data, 8)
    tables = 2 * 2 * count
    turned = struct.pack(">7I", *struct.unpack_from("<7I", data)) + struct.pack(
        f">{tables}I", *struct.unpack_from(f"<{tables}I", data, ids)
    )
    (tmp_path / "a.mo").write_bytes(turned + data[len(turned) :])
    assert texts == ids + 8 * count
    assert dict(mo.entries(tmp_path / "a.mo")) == dict(mo.entries(LOCALE / "vi" / "LC_MESSAGES" / "reasons.mo"))


class TestRealLooks:
    """Probes that fail for real: what they say is in the catalogue whole."""

    @pytest.mark.parametrize(
        ("kind", "params"),
        [
            ("tcp", {"host": "127.0.0.1"}),
            ("http", {"url": "http://127.0.0.1:{port}/"}),
            ("tls", {"host": "127.0.0.1"}),
            ("smtp", {"host": "127.0.0.1"}),
            ("imap", {"host": "127.0.0.1"}),
            ("dns", {"server": "127.0.0.1", "name": "x.example"}),
            ("ntp", {"server": "127.0.0.1"}),
            ("snmp", {"host": "127.0.0.1", "oid": "1.3.6.1.2.1.1.3.0"}),
            ("ups", {"host": "127.0.0.1", "way": "nut"}),
            ("ups", {"host": "127.0.0.1", "way": "apcupsd"}),
            ("power", {"host": "127.0.0.1", "way": "nut"}),
            ("lan", {"network": "10.77.0.0/30", "register": 9}),
            ("backup", {"path": "{path}/gone"}),
            ("backup", {"path": "{path}", "rpo": "1d"}),
            ("backup", {"path": "{path}", "evidence": "restic"}),
            ("job", {"job": "nightly"}),
            ("drill", {"drill": "monthly"}),
            ("throughput", {"url": "hub"}),
        ],
        ids=lambda each: each if isinstance(each, str) else None,
    )
    async def test_failing(self, kind: str, params: dict, tmp_path: Path, free_port: int) -> None:
        made = {
            name: value.format(port=free_port, path=tmp_path) if isinstance(value, str) else value
            for name, value in params.items()
        }
        known = {field for field in probes.load(kind).__struct_fields__ if field == "port"}
        probe = probes.build(kind, {**made, **dict.fromkeys(known, free_port)})
        clients: dict = {}
        try:
            outcome = await probe.run(ProbeContext(0.6, Limits(), clients, storage=tmp_path / "kept"))
        finally:
            for client in clients.values():
                await client.close()
        assert outcome.state != states.UP
        said = translate(bounded(outcome.reason), "vi")
        foreign = re.sub(r"'[^']*'", "", said.replace(str(tmp_path), ""))
        assert said != outcome.reason
        assert ENGLISH.search(foreign) is None, f"{outcome.reason} -> {said}"

    def test_thresholds(self) -> None:
        from tests.support.outcomes import up

        state, reason = thresholds.state_and_reason(
            up(0.35, loss_ratio=0.5), [Threshold("latency", "degraded", above=0.2)]
        )
        assert state == states.DEGRADED
        assert translate(reason, "vi") == "độ trễ 0,35 giây cao hơn 0,2"
