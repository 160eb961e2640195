"""Inputs for the targets: seeds from ``corpus/``, and what a seeded random generator makes of them.

The same number gives the same inputs, on every machine. Atheris, which is led by what code an input reaches, finds
more; this needs nothing, and holds what was found.
"""

import random
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).with_name("corpus")
MAX_INPUT: Final = 16_384  # bytes

_INTERESTING: Final = (
    b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"-1", b"0",
    b"99999999999999999999", b"\r\n", b"\n\n", b"\r\n\r\n", b"%", b"{", b"}", b"[", b"]", b"(", b")", b'"',
    b"\\", b"*", b"~",
    b"\xc3", b"\xe2\x80\xae", b"\xef\xbb\xbf", b"\xed\xa0\x80", b": ", b"- ", b"&a ", b"*a", b"!!x ", b"<<", b"a" * 64,
)  # fmt: skip


def seeds(name: str) -> list[bytes]:
    """The corpus of one target, in order; never nothing."""
    folder = CORPUS / name
    return [file.read_bytes() for file in sorted(folder.iterdir())] if folder.is_dir() else [b""]


def mutated(name: str, number: int) -> Iterator[bytes]:
    """Endless inputs of one target, made of its seeds."""
    randomly = random.Random(f"{name} {number}")
    pool = seeds(name) or [b""]
    while True:
        data = bytearray(randomly.choice(pool))
        for _ in range(randomly.choice((1, 1, 2, 4, 8, 16))):
            _change(data, pool, randomly)
        yield bytes(data[:MAX_INPUT])


def _change(data: bytearray, pool: list[bytes], randomly: random.Random) -> None:
    at = randomly.randrange(len(data) + 1)
    until = min(len(data), at + randomly.choice((1, 2, 4, 16, 64)))
    match randomly.randrange(9):
        case 0:
            data[at:until] = b""
        case 1:
            data[at:at] = randomly.choice(_INTERESTING)
        case 2:
            data[at:until] = randomly.choice(_INTERESTING)
        case 3:
            data[at:at] = data[at:until] * randomly.choice((1, 3, 100, 1000))
        case 4:
            data[at:at] = randomly.choice(pool)
        case 5:
            del data[at:]
        case 6 if data:
            data[at % len(data)] = randomly.randrange(256)
        case 7 if data:
            data[at % len(data)] ^= 1 << randomly.randrange(8)
        case _:
            data[at:at] = randomly.randbytes(randomly.choice((1, 2, 8)))


_UNITS: Final = (
    "a.", "a-", "1,", "1/", "1-", "*/", "0 ", "a@", "%Y", "[a]", "[!", "(a+)", "a*", "a?", ".*", "{a}",
    "{a:n}", "- ", "? ", "a: ", "[[", "{{", "((", "&a ", "*a ", "!a ", '"a"', "'a'", "\\a", "..", "~1",
    "1..2/3", "Mon,", "Mon..Fri ", "00:00-", "9d", "1h", "; ", "::", "**/", "/a", "\n", "\r\n", "a\n", "\t",
    "#", "%d", "%%", "\U0001d7d9", "\xbd", "\u0663", "^a$", "|a", "a{1,9}", "(?:", "\\d", "\\w+", "xn--",
)  # fmt: skip


def worst_texts(size: int) -> Iterator[str]:
    """Texts that grammars tend to take long over: repeats, nesting, what never ends, what nearly fits."""
    for unit in (*string.printable, "é", "\u0301", "\u202e", "\ud800", "\U0001f600"):
        yield unit * size
        yield unit * 50 + "!"
    for unit in _UNITS:
        yield unit * (size // len(unit))
        yield unit * 30 + "!"
        yield unit * (size // len(unit)) + "!"
    for opened, closed in ("[]", "{}", "()", "<>", '""', "''"):
        yield opened * (size // 2) + closed * (size // 2)
        yield opened + "a" * (size - 2) + closed
