"""Texts in every charset that pages come in, composed or not: found where they are, and never silently missed."""

import shutil
import subprocess
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clients.http.charset import _TCVN, _VISCII, decode_body
from inventory.base.forms import one_form

VIETNAMESE = "Cổng thông tin điện tử tỉnh Sóc Trăng: sửa chữa, đặt lịch, khiếu nại, tố cáo"
TONES = "\u0300\u0301\u0303\u0309\u0323"
LETTERS = "aăâbcdđeêghiklmnoôơpqrstuưvxy"


def windows_1258(text: str) -> bytes:
    """As Windows writes Vietnamese: the tone after its letter, the other marks in it."""
    made = ""
    for letter in text:
        base, *marks = unicodedata.normalize("NFD", letter)
        tones = "".join(mark for mark in marks if mark in TONES)
        made += unicodedata.normalize("NFC", base + "".join(mark for mark in marks if mark not in TONES)) + tones
    return made.encode("cp1258")


def by_table(table: str, text: str) -> bytes:
    return bytes(table.index(letter) for letter in text)


ENCODERS = {
    "utf-8": lambda text: text.encode(),
    "windows-1258": windows_1258,
    "TCVN3": lambda text: by_table(_TCVN, text),
    "x-viet-tcvn5712": lambda text: by_table(_TCVN, text),
    "viscii": lambda text: by_table(_VISCII, text),
    "utf-16": lambda text: text.encode("utf-16-le"),
    "UTF-16LE": lambda text: text.encode("utf-16-le"),
    "utf-16be": lambda text: text.encode("utf-16-be"),
    "gb18030": lambda text: text.encode("gb18030"),
}


@st.composite
def syllables(draw: st.DrawFn) -> str:
    letters = draw(st.lists(st.tuples(st.sampled_from(LETTERS), st.sampled_from(["", *TONES])), min_size=1))
    return "".join(
        unicodedata.normalize("NFC", letter + (tone if letter in "aăâeêioôơuưy" else "")) for letter, tone in letters
    )


@given(syllables(), st.sampled_from(sorted(ENCODERS)), st.sampled_from(['"{}"', "{}", "'{}'"]))
def test_vietnamese_in_every_charset(text: str, charset: str, quoted: str) -> None:
    content_type = f"text/html; a=b;Charset = {quoted.format(charset)} ".encode()
    read = decode_body(ENCODERS[charset](text), content_type)
    assert (read.text, read.unreadable) == (text, "")
    if charset in ("utf-8", "utf-16be"):
        apart = unicodedata.normalize("NFD", text)
        assert decode_body(apart.encode(charset), content_type).text == text == one_form(apart)


@given(syllables(), st.sampled_from(["windows-1258", "TCVN3", "viscii", "utf-8"]))
def test_named_by_the_page_itself(text: str, charset: str) -> None:
    body = ENCODERS[charset](text)
    for head in (
        f'<html><head><meta charset="{charset}">',
        f"<META http-equiv=Content-Type content='text/html; charset={charset}'/>",
        f"<?xml version='1.0' encoding='{charset}'?>",
        f'<!-- <meta charset="utf-16"> --><meta charset={charset}>',
    ):
        assert decode_body(head.encode() + body).text == one_form(head) + text


@given(syllables(), st.sampled_from(["utf-8-sig", "utf-16"]))
def test_the_mark_before_a_text_has_the_last_word(text: str, codec: str) -> None:
    assert decode_body(text.encode(codec), b"text/plain; charset=iso-8859-1").text == text


def test_latin_letters_of_windows_as_browsers_have_them() -> None:
    read = decode_body("Erreur de base de données – €".encode("cp1252"), b"text/html; charset=ISO-8859-1")
    assert (read.text, read.unreadable) == ("Erreur de base de données – €", "")
    assert decode_body(b"\x81\x8d", b"text/html; charset=windows-1252").text == "\x81\x8d"


def test_utf_16_that_nobody_names() -> None:
    assert decode_body("database ERROR".encode("utf-16-le")).text == "database ERROR"
    assert decode_body("database ERROR".encode("utf-16-be")).text == "database ERROR"


def test_what_cannot_be_decoded_may_hide_a_text() -> None:
    unnamed = decode_body("lỗi".encode("cp1258", "replace") + b"\xff", b"text/html")
    assert unnamed.may_hide("lỗi") and not unnamed.may_hide("ERROR")  # ASCII is ASCII in all of these
    broken = decode_body(b"\xff\xfe\x00\xd8A\x00", b"")  # half a pair of UTF-16
    assert broken.may_hide("ERROR")
    stranger = decode_body(b"caf\xe9", b"text/html; charset=x-none-such")
    assert stranger.may_hide("café!") and "'x-none-such' is not known here" in stranger.unreadable
    assert not decode_body(b"plain", b"text/html; charset=x-none-such").unreadable
    cut = decode_body("đ".encode()[:1] and "ok đ".encode()[:-1], b"")  # at the limit, within a letter
    assert (cut.text, cut.unreadable) == ("ok ", "")


@given(
    st.binary(max_size=200),
    st.sampled_from(["", "utf-8", "utf-16", "windows-1258", "hz", "utf-7", "rot13", "hex", "\x00", "tcvn"]),
)
def test_any_bytes_give_a_text(data: bytes, charset: str) -> None:
    read = decode_body(data, f"text/html; charset={charset}".encode())
    assert read.text == one_form(read.text)


@pytest.mark.parametrize(("name", "table"), [("TCVN5712-1", _TCVN), ("VISCII", _VISCII)])
def test_the_tables_are_those_of_the_system(name: str, table: str) -> None:
    if shutil.which("iconv") is None:
        pytest.skip("needs iconv (package libc-bin)")
    done = subprocess.run(["iconv", "-f", name, "-t", "UTF-8"], input=bytes(range(256)), capture_output=True)
    if done.returncode:
        pytest.skip(f"this iconv does not know {name}")
    assert done.stdout.decode() == table
