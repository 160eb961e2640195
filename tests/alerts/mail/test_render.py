"""What a mail says, and that mail programs read it as it was meant: parsed with the standard library."""

import gettext
import os
import re
import subprocess
import sys
import unicodedata
from datetime import datetime

import msgspec
import pytest

from alerts.cli import samples
from alerts.incident.entities import HistoryEntry, Incident, NotifiedContact
from alerts.incident.message import TranslatableMessage
from alerts.incident.problem import Cause
from alerts.language import locale as words
from alerts.language.catalogue import translations
from alerts.mail import DigestFigures, Downtime, DurationBounds, GoalFigure, RenderedMail, render
from alerts.mail.message import message_id
from tests.support import mails
from tests.support.mails import MINUTE, NOW, PAGES, READER, SIGNER, HtmlMail, parse, parts, write

SOC_TRANG = mails.inventory()
HOUR = 60 * MINUTE


def of_kind(kind: str) -> str:
    """The uid of the first check of a kind at the hub."""
    hub = SOC_TRANG.province.hub
    return next(one.uid for one in SOC_TRANG.checks.values() if one.kind == kind and one.site == hub)


def every_mail(language: str) -> dict[str, RenderedMail]:
    """All samples of all kinds of notice."""
    found = {}
    for kind in samples.KINDS:
        for one in samples.samples(SOC_TRANG, NOW, kind, READER):
            made = mails.context(SOC_TRANG, bounds=one.bounds, day=one.day)
            found[one.name] = render(one.notice, one.incidents, made, "en" if language == "en" else "vi", READER)
    return found


MAILS = {(language, name): mail for language in ("vi", "en") for name, mail in every_mail(language).items()}


def test_every_kind_of_notice_is_among_the_samples() -> None:
    for language in ("vi", "en"):
        assert {name.partition("-")[0] for of, name in MAILS if of == language} == set(samples.KINDS)


@pytest.mark.parametrize(("language", "name"), MAILS)
class TestEveryMail:
    def test_has_the_headers_of_a_machines_mail(self, language: str, name: str) -> None:
        found = parse(MAILS[language, name])
        assert found["Auto-Submitted"] == "auto-generated"
        assert found["X-Auto-Response-Suppress"] == "All"
        assert found["From"].addresses[0].addr_spec == "haidang@soctrang.example"
        assert found["To"].addresses[0].addr_spec == "an@soctrang.example"
        assert found["Content-Language"] == language
        assert found["MIME-Version"] == "1.0"
        assert "haidang.thdl.soctrang.example" in found["List-Id"]
        assert found["Subject"] == MAILS[language, name].subject
        assert found["Date"].datetime == datetime.fromtimestamp(NOW / 1000, SOC_TRANG.province.zone)
        for once in ("From", "To", "Subject", "Date", "Message-ID"):
            assert len(found.get_all(once)) == 1
        for never in ("Reply-To", "Return-Path", "Cc", "Bcc", "Disposition-Notification-To"):
            assert found[never] is None

    def test_can_be_unsubscribed_only_from_reports(self, language: str, name: str) -> None:
        found = parse(MAILS[language, name])
        if name != "digest":
            assert found["List-Unsubscribe"] is None
            assert found["Precedence"] is None
            return
        assert found["Precedence"] == "bulk"
        assert found["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        url = found["List-Unsubscribe"].strip("<> \r\n")
        claim = SIGNER.verify(url.removeprefix(f"{PAGES}/links/"), NOW)
        assert (claim.action, claim.contact, claim.incident) == ("stop-digest", "an", "")

    def test_fits_smtp(self, language: str, name: str) -> None:
        raw = MAILS[language, name].message
        assert raw.isascii()
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", raw)
        assert max(map(len, raw.split(b"\r\n"))) <= 998
        assert len(raw) < 100_000  # Gmail shows no more
        head = raw.partition(b"\r\n\r\n")[0]
        assert max(map(len, head.split(b"\r\n"))) < 300  # List-Unsubscribe is the longest

    def test_says_the_same_twice(self, language: str, name: str) -> None:
        """Word for word; the text's marks of points and steps are elements in HTML, its capitals headings."""
        text, html = parts(MAILS[language, name])
        page = HtmlMail(html)
        mail = MAILS[language, name]
        assert (text, html) == (mail.text, mail.html)
        plain = [line for line in text.splitlines() if line not in ("--", "----------")]
        for url in page.links:
            assert url in plain
        told = [re.sub(r"^(- |\d+\. )", "", line) for line in plain if line not in page.links]
        told = [re.sub(r"[\[\]:]", "", word).casefold() for line in told for word in line.split()]
        shown = [re.sub(r"[\[\]:]", "", word).casefold() for word in page.words]
        assert [word for word in told if word] == [word for word in shown if word]

    def test_is_a_page_of_its_own(self, language: str, name: str) -> None:
        """Nothing is fetched, nothing runs, it says its language, it has one heading of the first level."""
        page = HtmlMail(parts(MAILS[language, name])[1])
        tags = [tag for tag, _ in page.tags]
        assert not {"script", "img", "link", "iframe", "object", "form", "svg", "base", "video", "input"} & set(tags)
        assert page.tags[0] == ("html", {"lang": language})
        assert tags.count("h1") == 1
        for tag, attributes in page.tags:
            assert not [one for one in attributes if one.startswith("on") or one in ("src", "background", "srcset")]
            assert tag == "a" or "href" not in attributes
            assert "url(" not in (attributes.get("style") or "")
        assert "@import" not in parts(MAILS[language, name])[1]
        assert all(link.startswith(PAGES) for link in page.links)

    def test_begins_with_what_and_where(self, language: str, name: str) -> None:
        mail = MAILS[language, name]
        first = mail.text.splitlines()[0]
        assert re.fullmatch(r"\[[^\]]+\] .+", first)
        assert len(mail.subject) <= 120
        assert re.fullmatch(r"\[[^\]]+\] .+", mail.subject)

    def test_is_composed_letters(self, language: str, name: str) -> None:
        mail = MAILS[language, name]
        for text in (mail.subject, mail.text, mail.html):
            assert unicodedata.is_normalized("NFC", text)


def test_vietnamese_mails_have_no_word_that_is_not_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing(gettext.NullTranslations):
        def gettext(self, message: str) -> str:
            raise AssertionError(f"no Vietnamese for {message!r}")

        def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
            raise AssertionError(f"no Vietnamese for {msgid1!r}")

        def pgettext(self, context: str, message: str) -> str:
            raise AssertionError(f"no Vietnamese for {message!r} ({context})")

    strict = gettext.NullTranslations()
    known = translations("vi")
    for name in ("gettext", "ngettext", "pgettext"):
        monkeypatch.setattr(strict, name, getattr(known, name))
    monkeypatch.setattr(known, "_fallback", Missing())
    monkeypatch.setattr(words, "translations", lambda language: strict)
    with pytest.raises(AssertionError, match="no Vietnamese for 'A sentence of nowhere'"):
        words.Locale("vi", SOC_TRANG.province.zone)("A sentence of nowhere")
    assert every_mail("vi")


ENGLISH = re.compile(r"\b(the|is|are|and|of|to|at|since|with|was|not|for|from|if|see|check|checks)\b", re.IGNORECASE)


def test_vietnamese_mails_have_no_english_left() -> None:
    for (language, name), mail in MAILS.items():
        told = re.sub(r"https?://\S+|\S+@\S+|haidang-\S+ \S+ \S+|systemctl \S+", "", mail.text)
        found = ENGLISH.findall(told)
        assert bool(found) == (language == "en"), (name, found)


def test_letters_stand_out_from_what_they_are_on() -> None:
    """WCAG AA: 4.5 to 1, for each colour of letters, on its own ground or the card's, day and night."""
    html = MAILS["vi", "group"].html + MAILS["vi", "digest"].html + MAILS["vi", "recovery-line"].html
    pairs = set()
    for style in re.findall(r'style="([^"]*)"', html):
        found = dict(part.split(":", 1) for part in style.split(";") if ":" in part)
        if "color" in found:
            pairs.add((found["color"], found.get("background", "#ffffff")))
    night = re.findall(r"(?<![-\w])color: (#\w{6})", html)
    pairs |= {(colour, "#1e242b") for colour in night}
    assert len(pairs) >= 7
    for letters, ground in pairs:
        assert contrast(letters, ground) >= 4.5, (letters, ground)


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


# -- what a mail about a cut line says


def test_a_cut_line_in_vietnamese() -> None:
    mail = write("trouble", mails.line_incident(SOC_TRANG), made=SOC_TRANG)
    assert mail.subject == "[Nghiêm trọng] Mất đường truyền: Sở Tư pháp"
    lines = mail.text.splitlines()
    assert lines[0] == mail.subject
    assert lines[2] == "Từ 14:05 hôm nay, ngày 27/11/2026 (sai số tối đa 30 giây), đến nay 3 phút."
    assert "Nhiều khả năng: Đường truyền số liệu (WAN) giữa nơi đó và trung tâm dữ liệu bị gián đoạn." in lines
    assert "- Sở Tư pháp fell silent" in lines  # evidence with the name of the site
    assert "14 PHÉP KIỂM TRA PHÍA SAU ĐƯỜNG TRUYỀN NÀY" in mail.text
    assert "Nhà mạng: Nhà mạng" in mail.text
    assert "1800 " in mail.text
    assert "TSLCD-0" in mail.text
    assert [line[:2] for line in lines if re.match(r"\d\. ", line)] == ["1.", "2.", "3.", "4.", "5."]
    assert "Trực Trung tâm tích hợp dữ liệu, truc@soctrang.example" in mail.text
    places = [
        mail.text.index(words)
        for words in ("Từ 14:05", "NGUYÊN NHÂN", "14 PHÉP", "CẦN LÀM GÌ", "GỌI CHO AI", "Mở trang")
    ]
    assert places == sorted(places)


def test_a_cut_line_in_english() -> None:
    mail = write("trouble", mails.line_incident(SOC_TRANG), made=SOC_TRANG, language="en")
    assert mail.subject == "[Critical] Line down: Department of Justice"
    assert "Since 14:05 today, 27 Nov 2026 (to within 30 seconds); 3 minutes so far." in mail.text
    assert "Very probably: The leased line (WAN)" in mail.text
    assert "AFFECTED: 14 CHECKS BEHIND THIS LINE" in mail.text


def test_one_check_behind_a_line_is_one() -> None:
    mail = write("trouble", mails.line_incident(SOC_TRANG, 1), made=SOC_TRANG, language="en")
    assert "AFFECTED: 1 CHECK BEHIND THIS LINE" in mail.text


def test_whoever_is_called_is_not_the_reader() -> None:
    down = mails.line_incident(SOC_TRANG)
    desk = SOC_TRANG.contacts["truc-ca"]
    to_desk = write("trouble", down, made=SOC_TRANG, to=desk).text
    assert "Tại chỗ: Nguyễn Văn An, 0299 1, an@soctrang.example" in to_desk
    assert "truc@soctrang.example" not in to_desk
    assert "an@soctrang.example" not in write("trouble", down, made=SOC_TRANG).text


@pytest.mark.parametrize(
    ("certainty", "begins"),
    [("sure", "Chắc chắn: Ở đó"), ("probable", "Nhiều khả năng: Ở đó"), ("provisional", "Nhận định tạm thời: Ở đó")],
)
def test_how_sure_the_cause_is(certainty: str, begins: str) -> None:
    cause = Cause(root="power:so-tu-phap", cause="power", certainty=certainty)  # type: ignore[arg-type]
    mail = write("trouble", mails.line_incident(SOC_TRANG, cause=cause, roots=(cause.root,)), made=SOC_TRANG)
    assert f"\n{begins} không có điện." in mail.text
    assert ("Còn chờ thêm số liệu" in mail.text) == (certainty == "provisional")
    assert mail.subject == "[Nghiêm trọng] Sự cố nguồn điện: Sở Tư pháp"  # which claims no more than is known


def test_a_cause_that_is_not_known_is_not_told_as_one() -> None:
    for certainty in ("sure", "probable", "provisional"):
        cause = Cause(root="agent:so-tu-phap", cause="not known", certainty=certainty)  # type: ignore[arg-type]
        mail = write("trouble", mails.line_incident(SOC_TRANG, cause=cause, roots=(cause.root,)), made=SOC_TRANG)
        assert "rõ nguyên nhân" in mail.text
        assert "hắc chắn:" not in mail.text
        assert "Nhiều khả năng:" not in mail.text
        assert "Mất liên lạc: Sở Tư pháp" in mail.subject


def test_a_known_error_of_the_beginning_goes_before_the_interval() -> None:
    down = mails.line_incident(SOC_TRANG)
    mail = write("trouble", down, made=SOC_TRANG, bounds={down.key: DurationBounds(begin_error=7_000)})
    assert "(sai số tối đa 7 giây)" in mail.text


def test_what_the_check_saw_is_told_in_the_readers_language() -> None:
    wrong = mails.check_incident(SOC_TRANG, of_kind("http"), "down", reason="status 503 instead of 200-299")
    vi, en = (write("trouble", wrong, made=SOC_TRANG, language=one).text for one in ("vi", "en"))
    assert "Ghi nhận: trạng thái 503 thay vì 200-299" in vi
    assert "What was seen: status 503 instead of 200-299" in en


def test_fields_are_written_as_their_names_say() -> None:
    said = TranslatableMessage(
        "{agency}, {site}, {link}, {provider}, {check}, {goal}, {device}, {agent}, {seen_at}, {left_for}, {free_share},"
        " {count}, {other}, {missing}",
        {
            "agency": "so-tu-phap",
            "site": "so-thong-tin-truyen-thong-thdl",
            "link": "so-tu-phap",
            "provider": "nha-mang-a",
            "check": of_kind("ups"),
            "goal": "g1",
            "device": "so-thong-tin-truyen-thong-thdl-loi",
            "agent": "thdl",
            "seen_at": NOW - 30 * HOUR,
            "left_for": 95 * MINUTE,
            "free_share": 0.125,
            "count": 3,
            "other": "as it is",
        },
    )
    wrong = mails.check_incident(SOC_TRANG, of_kind("http"), "down", message=said)
    told = write("trouble", wrong, made=SOC_TRANG, language="en").text
    assert (
        "What was seen: Department of Justice, Data integration centre, Department of Justice, Provider A,"
        " UPS of the servers: health, Data centre services around the clock, Core switch, Data integration centre,"
        " 08:08:00 on 26 Nov 2026, 1 hour 35 minutes, 12.5%, 3, as it is, {missing}"
    ) in told
    told = write("trouble", wrong, made=SOC_TRANG).text
    assert "Sở Tư pháp, Trung tâm tích hợp dữ liệu" in told
    assert "08:08:00 ngày 26/11/2026, 1 giờ 35 phút, 12,5%, 3" in told


# -- links


def links(mail: RenderedMail) -> list[str]:
    return HtmlMail(mail.html).links


def test_links_lead_to_the_page_and_to_what_the_reader_may_do() -> None:
    down = mails.line_incident(SOC_TRANG)
    acknowledge, page, snooze = links(write("trouble", down, made=SOC_TRANG))
    assert page == f"{PAGES}/incidents/{down.key}"
    claims = [SIGNER.verify(one.removeprefix(f"{PAGES}/links/"), NOW) for one in (acknowledge, snooze)]
    assert [one.action for one in claims] == ["acknowledge", "snooze"]
    assert {(one.incident, one.contact) for one in claims} == {(down.key, "an")}
    assert all(NOW < one.expires <= NOW + 31 * 24 * HOUR for one in claims)


def test_what_is_taken_on_is_not_asked_for_again() -> None:
    acked = mails.line_incident(SOC_TRANG, acked=("an", NOW - MINUTE))
    mail = write("repeat", acked, made=SOC_TRANG)
    assert "Nguyễn Văn An đã nhận xử lý lúc 14:07:00." in mail.text
    assert len(links(mail)) == 2


def test_without_pages_or_a_key_there_are_no_such_links() -> None:
    down = mails.line_incident(SOC_TRANG)
    assert links(write("trouble", down, made=SOC_TRANG, base_url="")) == []
    assert links(write("trouble", down, made=SOC_TRANG, sign=None)) == [f"{PAGES}/incidents/{down.key}"]
    assert parse(write("digest", made=SOC_TRANG, sign=None))["List-Unsubscribe"] is None


# -- the thread


def test_a_thread_answers_its_first_mail() -> None:
    down = mails.line_incident(SOC_TRANG)
    first = parse(write("trouble", down, made=SOC_TRANG, ident="a1b2.first"))
    assert first["In-Reply-To"] is None
    assert first["References"] is None
    for kind in ("update", "repeat", "escalation", "recovery"):
        later = parse(write(kind, down, made=SOC_TRANG, ident=f"a1b2.{kind}", thread="a1b2.first"))
        assert (
            later["In-Reply-To"] == later["References"] == first["Message-ID"] == "<a1b2.first@thdl.soctrang.example>"
        )
        assert later["Message-ID"] == f"<a1b2.{kind}@thdl.soctrang.example>"
    # the headers stand in the message as they are: an encoded one would break the thread
    raw = write("update", down, made=SOC_TRANG, thread="a1b2.first").message
    assert b"\r\nReferences: <a1b2.first@thdl.soctrang.example>\r\n" in raw


def test_the_subject_stays_while_the_cause_becomes_known() -> None:
    first = Cause(root="agent:so-tu-phap", cause="not known", certainty="provisional")
    down = mails.line_incident(SOC_TRANG, cause=first, roots=(first.root,))
    later = mails.line_incident(SOC_TRANG, roots=(first.root, "wan:so-tu-phap"))
    before, after = (write(kind, one, made=SOC_TRANG) for kind, one in (("trouble", down), ("update", later)))
    assert before.subject == "[Nghiêm trọng] Mất liên lạc: Sở Tư pháp"
    assert after.subject == "[Cập nhật] Mất liên lạc: Sở Tư pháp"
    assert after.text.splitlines()[0] == "[Cập nhật] Mất đường truyền: Sở Tư pháp"  # the mail says what is known now


@pytest.mark.parametrize(
    "domain", ["x" * 63 + ".example", "có dấu.example", "a b", "", "a\r\nBcc: x@y.z", "[192.0.2.1]"]
)
@pytest.mark.parametrize("ident", ["a" * 40, "Không", "a\r\nb", ""])
def test_message_ids_are_short_and_whole(domain: str, ident: str) -> None:
    made = message_id(ident, domain)
    assert len(made) <= 60
    assert re.fullmatch(r"<[a-z0-9.-]+@[A-Za-z0-9.-]+>", made)
    assert made == message_id(ident, domain)
    assert made != message_id(ident + "x", domain)


# -- the other kinds


def test_a_recovery_says_how_long_it_was_and_how_exactly_that_is_known() -> None:
    down = mails.line_incident(SOC_TRANG, ended=NOW - MINUTE, closed=NOW, resolution="recovered")
    known = DurationBounds(least=100_000, most=140_000)
    mail = write("recovery", down, made=SOC_TRANG, bounds={down.key: known})
    assert mail.subject == "[Đã khôi phục] Mất đường truyền: Sở Tư pháp"
    assert "trở lại từ 14:07 hôm nay" in mail.text
    assert "kéo dài 2 phút (ít nhất 1 phút 40 giây, nhiều nhất 2 phút 20 giây)." in mail.text
    assert "kéo dài 2 phút." in write("recovery", down, made=SOC_TRANG).text
    assert "CẦN LÀM GÌ" not in mail.text


def test_what_ended_otherwise_is_not_said_to_work_again() -> None:
    for why in ("withdrawn", "merged"):
        down = mails.line_incident(SOC_TRANG, ended=NOW - MINUTE, closed=NOW, resolution=why)
        mail = write("recovery", down, made=SOC_TRANG)
        assert "hoạt động bình thường trở lại" not in mail.text
        assert "khôi phục" not in mail.subject


def test_an_escalation_says_that_nobody_is_on_it_and_who_knows() -> None:
    told = {
        "truc-ca": NotifiedContact(contact="truc-ca", thread="t", first=NOW - 2 * MINUTE, last=NOW),
        "an": NotifiedContact(contact="an", thread="t", first=NOW, last=NOW),
    }
    mail = write("escalation", mails.line_incident(SOC_TRANG, notified=told), made=SOC_TRANG)
    assert mail.subject.startswith("[Chưa ai nhận] ")
    assert "Chưa ai nhận xử lý sự cố này." in mail.text
    assert "- Trực Trung tâm tích hợp dữ liệu, 14:06:00" in mail.text
    assert parse(mail)["Importance"] == "high"


def test_an_update_begins_with_what_is_new() -> None:
    history = (
        HistoryEntry(at=NOW - 2 * MINUTE, what="opened", text="wan:so-tp"),
        HistoryEntry(at=NOW - MINUTE, what="told", who="an", text="trouble"),
        HistoryEntry(at=NOW, what="comment", who="an", text="đã gọi nhà mạng"),
    )
    text = write("update", mails.line_incident(SOC_TRANG, history=history), made=SOC_TRANG).text
    assert "- 14:06:00 – mở sự cố\n- 14:08:00 – ghi chú của: Nguyễn Văn An “đã gọi nhà mạng”\n" in text
    assert "wan:so-tp" not in text, "a name of the program's own"
    assert text.index("DIỄN BIẾN") < text.index("NGUYÊN NHÂN")


def test_what_has_come_back_is_counted() -> None:
    down = mails.line_incident(SOC_TRANG)
    members = {
        key: msgspec.structs.replace(one, until=NOW) if number in range(1, 10) else one
        for number, (key, one) in enumerate(down.members.items())
    }
    text = write("update", msgspec.structs.replace(down, members=members), made=SOC_TRANG).text
    assert "9 trong 14 đã hoạt động lại." in text
    assert "BỊ ẢNH HƯỞNG: 5 PHÉP KIỂM TRA" in text


def test_a_check_with_two_troubles_counts_once_and_is_back_when_both_are_over() -> None:
    down = mails.line_incident(SOC_TRANG)
    last = list(down.members.values())[-1]
    over = {**down.members, last.key: msgspec.structs.replace(last, until=NOW)}
    slow = msgspec.structs.replace(last, key=f"degraded:{last.subject.check}", condition="degraded", joined=NOW)
    one = msgspec.structs.replace(down, members=over)
    both = msgspec.structs.replace(down, members={**over, slow.key: slow})
    assert "BỊ ẢNH HƯỞNG: 13 PHÉP KIỂM TRA" in write("update", one, made=SOC_TRANG).text
    text = write("update", both, made=SOC_TRANG).text
    assert "BỊ ẢNH HƯỞNG: 14 PHÉP KIỂM TRA" in text
    assert "đã hoạt động lại." not in text


@pytest.mark.parametrize(
    ("ago", "vi", "en"),
    [
        (14 * HOUR, "00:08 hôm nay, ngày 27/11/2026", "00:08 today, 27 Nov 2026"),
        (15 * HOUR, "23:08 hôm qua, ngày 26/11/2026", "23:08 yesterday, 26 Nov 2026"),
        (39 * HOUR, "23:08 ngày 25/11/2026", "23:08 on 25 Nov 2026"),
    ],
)
def test_a_moment_is_told_with_its_day(ago: int, vi: str, en: str) -> None:
    down = mails.line_incident(SOC_TRANG, opened=NOW - ago)
    assert f"Từ {vi} (" in write("repeat", down, made=SOC_TRANG).text
    assert f"Since {en} (" in write("repeat", down, made=SOC_TRANG, language="en").text


def test_flapping_is_one_notice_that_says_so() -> None:
    shaky = mails.line_incident(SOC_TRANG, flapping=True, changes=tuple(range(6)))
    mail = write("trouble", shaky, made=SOC_TRANG)
    assert mail.subject == "[Chập chờn] Mất đường truyền: Sở Tư pháp"
    assert "Lúc được lúc mất: đến nay 6 lần thay đổi." in mail.text


def three() -> tuple[Incident, ...]:
    down = mails.line_incident(SOC_TRANG)
    wrong = mails.check_incident(SOC_TRANG, of_kind("http"), "down")
    battery = mails.check_incident(SOC_TRANG, of_kind("power"), "on-battery", key="00000000000000bb")
    return down, wrong, battery


def test_a_group_tells_each_of_its_incidents() -> None:
    down, wrong, battery = three()
    over = msgspec.structs.replace(wrong, ended=NOW, closed=NOW, resolution="recovered")
    mail = write("group", down, over, battery, made=SOC_TRANG, kinds=("trouble", "recovery", "trouble"))
    assert mail.subject == "[Nghiêm trọng] 3 sự cố: Trung tâm tích hợp dữ liệu, Sở Tư pháp"
    for line in ("[Nghiêm trọng] Mất đường truyền: Sở Tư pháp", "[Nghiêm trọng] Đang chạy bằng ắc quy: "):
        assert f"\n{line}" in mail.text
    assert "[Đã khôi phục] Ngừng hoạt động: Cổng thông tin điện tử tỉnh: trang web" in mail.text
    assert len([one for one in links(mail) if "/incidents/" in one]) == 3
    assert "Cần xem trước: Xem hộp thiết bị của nhà mạng" in mail.text
    assert parse(mail).get_all("X-Haidang-Incident") == [down.key, wrong.key, battery.key]
    all_over = write("group", over, over, made=SOC_TRANG, kinds=("recovery", "recovery"))
    assert all_over.subject.startswith("[Đã khôi phục] 2 sự cố đã kết thúc")


def test_a_summary_says_how_all_that_was_held_back_stands() -> None:
    many = [
        mails.check_incident(SOC_TRANG, one.uid, "down", key=f"{number:016x}")
        for number, one in enumerate(list(SOC_TRANG.checks.values())[:200])
    ]
    mail = write("summary", *many, made=SOC_TRANG)
    assert mail.subject.startswith("[Tóm tắt] 200 sự cố")
    assert "CHƯA KHẮC PHỤC: 200" in mail.text
    assert "- và 170 mục nữa" in mail.text
    assert len(mail.message) < 100_000
    group = write("group", *many, made=SOC_TRANG, kinds=("trouble",) * 200)
    assert len(group.message) < 100_000
    assert "- và " in group.text


def test_a_digest_has_the_days_figures() -> None:
    down, wrong, _ = three()
    over = msgspec.structs.replace(wrong, ended=NOW, closed=NOW, resolution="recovered")
    day = DigestFigures(
        begins=NOW - 24 * HOUR,
        ends=NOW,
        goals=(GoalFigure(goal="g1", window="month", best=0.9949, lower=0.98, objective=0.999, verdict="missed"),),
        links=(
            Downtime(link="so-tu-phap", provider="nha-mang-b", down_ms=11 * MINUTE),
            Downtime(link="so-cong-thuong", provider="nha-mang-a", down_ms=0),
        ),
    )
    mail = write("digest", down, over, made=SOC_TRANG, day=day, day_name="2026-11-27")
    assert mail.subject == "[Báo cáo ngày 27/11/2026] 2 sự cố, 1 chưa khắc phục"
    assert "CHƯA KHẮC PHỤC: 1\n- Mất đường truyền: Sở Tư pháp (từ 14:05:00, đến nay 3 phút)" in mail.text
    assert "Nhà mạng B: 11 phút (Sở Tư pháp 11 phút)" in mail.text
    assert "Nhà mạng A" not in mail.text
    assert "99,49% (chứng minh được 98,00%), chỉ tiêu 99,90%: không đạt" in mail.text
    quiet = write("digest", made=SOC_TRANG, day_name="2026-11-27", language="en")
    assert quiet.subject == "[Daily report 2026-11-27] no incident"


def test_only_what_wakes_people_is_marked_important() -> None:
    down = mails.line_incident(SOC_TRANG)
    assert parse(write("trouble", down, made=SOC_TRANG))["Importance"] == "high"
    for kind in ("repeat", "update", "recovery", "summary", "digest"):
        assert parse(write(kind, down, made=SOC_TRANG))["Importance"] is None
    mild = mails.line_incident(SOC_TRANG, severity="warning")
    assert parse(write("trouble", mild, made=SOC_TRANG))["Importance"] is None


def test_a_line_that_is_one_of_two_is_told_by_its_circuit() -> None:
    site = SOC_TRANG.sites["so-tu-phap"]
    second = msgspec.structs.replace(SOC_TRANG.links["so-tu-phap"], id="so-tu-phap-2", circuit="TSLCD-2")
    made = msgspec.structs.replace(
        SOC_TRANG,
        sites={**SOC_TRANG.sites, site.id: msgspec.structs.replace(site, links=(*site.links, "so-tu-phap-2"))},
        links={**SOC_TRANG.links, "so-tu-phap-2": second},
    )
    cause = Cause(root="wan:so-tu-phap-2", cause="wan")
    mail = write("trouble", mails.line_incident(made, cause=cause, roots=(cause.root,)), made=made)
    assert mail.subject == "[Nghiêm trọng] Mất đường truyền: Sở Tư pháp (TSLCD-2)"


def test_an_incident_of_what_is_no_longer_in_the_inventory_is_still_told() -> None:
    down = mails.line_incident(SOC_TRANG)
    empty = msgspec.structs.replace(
        SOC_TRANG,
        checks={},
        sites={},
        links={},
        agencies={},
        agents={},
        devices={},
        providers={},
        goals={},
        contacts={},
    )
    for kind in samples.KINDS:
        mail = write(kind, down, made=empty)
        assert "so-tu-phap" in mail.text


def test_the_same_input_gives_the_same_bytes_in_another_process() -> None:
    """Whatever the machine's time zone, language and hash seed."""
    script = (
        "import sys; from tests.support import mails; made = mails.inventory()\n"
        "for kind in ('trouble', 'group', 'digest'):\n"
        "    mail = mails.write(kind, mails.line_incident(made), made=made)\n"
        "    sys.stdout.buffer.write(mail.message)\n"
    )
    here = b"".join(
        write(kind, mails.line_incident(SOC_TRANG), made=SOC_TRANG).message for kind in ("trouble", "group", "digest")
    )
    for number, zone in enumerate(("UTC", "America/New_York")):
        environment = {**os.environ, "TZ": zone, "PYTHONHASHSEED": str(number), "LC_ALL": "C"}
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=mails.ROOT, env=environment, capture_output=True, check=True, timeout=60
        )
        assert done.stdout == here


def test_rendering_asks_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Stopped":
            raise AssertionError("a mail's time is the notice's")

    for module in ("formatter", "message", "people"):
        monkeypatch.setattr(f"alerts.mail.{module}.datetime", Stopped)
    monkeypatch.setattr("time.time", lambda: 1 / 0)
    assert write("trouble", mails.line_incident(SOC_TRANG), made=SOC_TRANG).message
