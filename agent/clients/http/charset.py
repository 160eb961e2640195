"""Bytes of a body as text, by the charset that browsers would take (WHATWG Encoding, HTML 13.2.3), in NFC.

What cannot be decoded is said, so that nobody takes it for "not there". Vietnamese pages of old speak windows-1258
(tone marks apart from their letters), TCVN 5712 and VISCII; Python has codecs for the first alone.
"""

import codecs
import re
from typing import Final

import msgspec

from agent.failure import printable
from inventory.base.forms import one_form
from inventory.protocol.reasons import Why, sentence

MAX_PRESCAN: Final = 1024  # bytes in which a page may name its own charset
_BOMS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
# labels that mean something wider, or something else, than Python's codec of that name
_LABELS: Final = {
    **dict.fromkeys(("iso-8859-1", "iso8859-1", "iso88591", "latin1", "latin-1", "l1", "ascii", "us-ascii"), "cp1252"),
    **dict.fromkeys(("iso-8859-9", "iso8859-9", "latin5"), "cp1254"),
    **dict.fromkeys(("iso-8859-11", "tis-620"), "cp874"),
    **dict.fromkeys(("gb2312", "gbk", "gb_2312-80", "x-gbk", "chinese"), "gb18030"),
    **dict.fromkeys(("big5", "big5-hkscs", "x-x-big5"), "big5hkscs"),
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis", "ms_kanji"), "cp932"),
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987", "korean"), "cp949"),
    **dict.fromkeys(("utf-16", "utf-16le", "unicode", "ucs-2", "iso-10646-ucs-2"), "utf-16-le"),
    **dict.fromkeys(("utf-16be", "unicodefffe"), "utf-16-be"),
    **dict.fromkeys(("utf8", "unicode-1-1-utf-8", "x-unicode20utf8"), "utf-8"),
    **dict.fromkeys(("macintosh", "mac", "x-mac-roman"), "mac-roman"),
    "x-cp1258": "cp1258",
    "x-cp1252": "cp1252",
}
# names of Python's that are no charsets of text on the wire
_NO_CHARSETS: Final = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "utf-7", "undefined", "mbcs"}
)
_TCVN: Final = (
    "\x00ÚỤ\x03ỪỬỮ\x07\x08\t\n\x0b\x0c\r\x0e\x0f\x10ỨỰỲỶỸÝỴ"
    + "".join(map(chr, range(0x18, 0x80)))
    + (
        "ÀẢÃÁẠẶẬÈẺẼÉẸỆÌỈĨÍỊÒỎÕÓỌỘỜỞỠỚỢÙỦŨ\xa0ĂÂÊÔƠƯĐăâêôơưđẰ\u0300\u0309\u0303\u0301\u0323àảãáạẲằẳẵắẴẮẦẨẪẤỀặầẩẫấậèỂẻẽéẹềểễếệìỉỄẾỒĩíịòỔỏõóọồổỗốộờởỡớợùỖủũúụừửữứựỳỷỹýỵỐ"
    )
)
_VISCII: Final = (
    "\x00\x01Ẳ\x03\x04ẴẪ\x07\x08\t\n\x0b\x0c\r\x0e\x0f\x10\x11\x12\x13Ỷ\x15\x16\x17\x18Ỹ\x1a\x1b\x1c\x1dỴ\x1f"
    + (
        "".join(map(chr, range(0x20, 0x80)))
        + "ẠẮẰẶẤẦẨẬẼẸẾỀỂỄỆỐỒỔỖỘỢỚỜỞỊỎỌỈỦŨỤỲ"
        + "ÕắằặấầẩậẽẹếềểễệốồổỗỠƠộờởịỰỨỪỬơớƯÀÁÂÃẢĂẳẵÈÉÊẺÌÍĨỳĐứÒÓÔạỷừửÙÚỹỵÝỡưàáâãảăữẫèéêẻìíĩỉđựòóôõỏọụùúũủýợỮ"
    )
)
_TABLES: Final = {
    **dict.fromkeys(
        (
            "tcvn",
            "tcvn3",
            "tcvn-5712",
            "tcvn5712",
            "tcvn5712-1",
            "tcvn5712-3",
            "x-viet-tcvn5712",
            "x-viet-tcvn",
            "vscii",
        ),
        _TCVN,
    ),
    **dict.fromkeys(("viscii", "csviscii", "viscii1.1-1", "x-viet-viscii"), _VISCII),
}
_PARAMETER: Final = re.compile(rb";\s*charset\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^;\s]+))", re.IGNORECASE)
_META: Final = re.compile(rb"<meta\b[^>]*?charset\s*=\s*[\"']?\s*([^\s\"'/>;]+)", re.IGNORECASE)
_XML: Final = re.compile(rb"^\s*<\?xml\b[^>]*?encoding\s*=\s*[\"']([^\"']+)", re.IGNORECASE)
_COMMENT: Final = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)


class BodyText(msgspec.Struct, frozen=True):
    """``text``: in NFC, with U+FFFD for what is no text. ``unreadable``: why some of it could not be decoded, or "".

    ``ascii_sure``: ASCII in it is read right even so.
    """

    text: str
    unreadable: Why = ""
    ascii_sure: bool = True

    def may_hide(self, words: str) -> bool:
        """Whether a text that is not found may be there all the same, in what could not be decoded."""
        return bool(self.unreadable) and not (self.ascii_sure and words.isascii())


def decode_body(data: bytes | bytearray, content_type: bytes = b"") -> BodyText:
    """By the byte order mark, Content-Type, or what the page says itself; else UTF-8, else windows-1252."""
    data = bytes(data)
    for mark, marked in _BOMS:
        if data.startswith(mark):
            return _decoded(data[len(mark) :], marked, marked)
    label = _label(content_type, data)
    if not label:
        return _guessed(data)
    if table := _TABLES.get(label):
        return BodyText(one_form(data.decode("latin-1").translate(dict(enumerate(table)))))
    codec = _codec(label)
    if codec is None:  # a browser guesses then, too
        guess = _guessed(data)
        why = "" if data.isascii() else sentence("its charset {label} is not known here", label=printable(label))
        return msgspec.structs.replace(guess, unreadable=why)
    return _decoded(data, codec, label)


def _label(content_type: bytes, data: bytes) -> str:
    if found := _PARAMETER.search(content_type):
        return _text(found[1] or found[2] or found[3] or b"")
    if found := _XML.search(data[:MAX_PRESCAN]) or _META.search(_COMMENT.sub(b"", data[:MAX_PRESCAN])):
        label = _text(found[1])
        # that was read as ASCII, so it cannot be UTF-16 (HTML, 13.2.3.2)
        return "utf-8" if label.startswith(("utf-16", "unicode", "ucs-2")) else label
    return ""


def _text(label: bytes) -> str:
    return label.decode("ascii", "replace").strip().lower()


def _codec(label: str) -> str | None:
    try:
        info = codecs.lookup(_LABELS.get(label, label))
    except (LookupError, ValueError):
        return None
    is_text: bool = getattr(info, "_is_text_encoding", True)
    return info.name if is_text and info.name not in _NO_CHARSETS else None


def _guessed(data: bytes) -> BodyText:
    """Nobody says what it is."""
    if data[:64].count(0) > len(data[:64]) // 4:  # UTF-16 without a mark: every other byte of a plain letter is 0
        codec = "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
        return _decoded(data, codec, codec)
    try:
        return BodyText(one_form(data.decode("utf-8")))
    except UnicodeDecodeError as error:
        if error.end == len(data) and error.reason == "unexpected end of data":
            return BodyText(one_form(data[: error.start].decode("utf-8")))  # cut at the limit, within a letter
        text = one_form(data.decode("cp1252", "haidang-c1"))
        return BodyText(text, sentence("it is not UTF-8 and does not say which charset it is in"))


def _decoded(data: bytes, codec: str, label: str) -> BodyText:
    if codec.startswith(("cp125", "cp874")):  # bytes that mean nothing there are control characters to a browser
        return BodyText(one_form(data.decode(codec, "haidang-c1")))
    wide = codec.startswith(("utf-16", "utf-32", "utf_16", "utf_32"))
    decoder = codecs.getincrementaldecoder(codec)("strict")
    try:
        return BodyText(one_form(decoder.decode(data)))  # a letter cut off at the end is left out
    except UnicodeDecodeError:
        text = one_form(data.decode(codec, "replace"))
        stateful = wide or codec.startswith(("iso2022", "hz"))
        return BodyText(text, sentence("it is not all {label}, as it says", label=printable(label)), not stateful)


def _c1(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "".join(map(chr, error.object[error.start : error.end])), error.end


codecs.register_error("haidang-c1", _c1)
