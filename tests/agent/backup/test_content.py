"""Content, not container: what comes out counts, and "broken" is what no program unpacks.

Archives of odd sorts, made by the real programs or by hand, are read by us and by tar, bsdtar, unzip and 7-Zip.
"""

import bz2
import datetime
import gzip
import io
import lzma
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import tarfile
import unicodedata
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.backup.facts import BROKEN, GOOD, SUSPECT, BackupCopy, BackupFacts, BackupQuery, ReadVerdict
from agent.backup.integrity.meter import Meter
from agent.backup.integrity.read import ReadMarks, verify_copy
from agent.backup.memory import BackupMemory, apply_history
from agent.backup.newest import scan
from agent.backup.verdict import BackupPolicy, evaluate_backup, flaw
from inventory.grammars.file_patterns import FilePattern
from inventory.protocol.states import DEGRADED, DOWN, UP

DATA = random.Random(5).randbytes(5000)


def copy_of(path: Path) -> BackupCopy:
    seen = path.stat()
    return BackupCopy(
        name=path.name.encode(), at=seen.st_mtime, size=seen.st_size, mtime_ns=seen.st_mtime_ns, inode=seen.st_ino
    )


def read(path: Path) -> ReadVerdict:
    marks = ReadMarks(lambda state: None, None)
    return verify_copy(BackupQuery(evidence="files", path=str(path.parent)), copy_of(path), Meter(), marks, [""])


# odd zips


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive, warnings.catch_warnings(action="ignore"):
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, method)
        archive.comment = comment
    return out.getvalue()


PLAIN = zipped(("vi/a.txt", DATA), ("b.txt", b"b" * 3000))


def renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    """In the directory alone, which is the last place where a name stands."""
    at = data.rindex(old)
    return data[:at] + new + data[at + len(old) :]


def longer_name_in_directory(data: bytes) -> bytes:
    at = data.index(b"PK\x01\x02")
    name = b"a much longer name.txt"
    old = struct.unpack_from("<H", data, at + 28)[0]
    entry = data[at : at + 28] + struct.pack("<H", len(name)) + data[at + 30 : at + 46] + name
    grown = data[:at] + entry + data[at + 46 + old :]
    end = grown.rindex(b"PK\x05\x06")
    size = struct.unpack_from("<L", grown, end + 12)[0] + len(name) - old
    return grown[: end + 12] + struct.pack("<L", size) + grown[end + 16 :]


def streamed(data: bytes) -> bytes:
    """As who writes to a pipe: sizes after the member."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, piece: object) -> int:
            self.data += bytes(piece)  # type: ignore[call-overload]
            return len(piece)  # type: ignore[arg-type]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
        archive.writestr("x", data)
    return pipe.data


ZIPS: dict[str, bytes] = {
    "plain": PLAIN,
    "stored": zipped(("x", DATA), method=zipfile.ZIP_STORED),
    "bzip2": zipped(("x", DATA), method=zipfile.ZIP_BZIP2),
    "slashes": renamed(PLAIN, b"vi/a.txt", b"vi\\a.txt"),
    "case": renamed(PLAIN, b"vi/a.txt", b"VI/A.TXT"),
    "charsets": renamed(zipped(("caf\x82.txt", DATA)), "caf\x82".encode(), b"caf??"),
    "longer name": longer_name_in_directory(PLAIN),
    "piped": streamed(DATA),
    "comment": zipped(("x", DATA), comment=b"a comment"),
    "a comment that looks like an end": zipped(("x", DATA), comment=b"see PK\x05\x06 and more words after it here"),
    "program before it": b"#!/bin/sh\nexit\n" * 40 + PLAIN,
    "bytes after it": PLAIN + b"\0" * 700,
    "directories": zipped(("d/", b""), ("d/x", DATA)),
    "same name twice": zipped(("x", DATA), ("x", DATA[::-1])),
    "empty member": zipped(("empty", b""), ("x", DATA)),
}
DAMAGED_ZIPS: dict[str, bytes] = {
    "cut off": PLAIN[: len(PLAIN) // 2],
    "without its end": PLAIN[: PLAIN.rindex(b"PK\x05\x06")],
    "a byte changed": PLAIN[:60] + bytes([PLAIN[60] ^ 255]) + PLAIN[61:],
    "wrong checksum": PLAIN.replace(PLAIN[14:18], b"\1\2\3\4"),
}


def unpacks(path: Path) -> set[str]:
    """The programs of this machine that get all of it out."""
    commands = {
        "unzip": ["unzip", "-tqq", str(path)],
        "7zz": ["7zz", "t", "-bd", "-y", "-p-", str(path)],
        "bsdtar": ["bsdtar", "-xOf", str(path)],
        "tar": ["tar", "-xOf", str(path)],
    }
    if ".zip" in path.name:
        del commands["tar"]
    else:
        del commands["unzip"]
    found = set()
    for name, command in commands.items():
        if shutil.which(name):
            done = subprocess.run(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
            )
            if done.returncode == 0 or (name == "unzip" and done.returncode == 1):
                found.add(name)
    return found


@pytest.mark.real
@pytest.mark.parametrize("name", sorted(ZIPS))
def test_an_odd_zip_is_good(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(ZIPS[name])
    verdict = read(tmp_path / "a.zip")
    assert unpacks(tmp_path / "a.zip") or not shutil.which("unzip")
    assert (verdict.state, verdict.reason) == (GOOD, "")
    assert verdict.content is not None and verdict.content >= len(DATA)


@pytest.mark.real
@pytest.mark.parametrize("name", sorted(DAMAGED_ZIPS))
def test_a_damaged_zip_is_broken(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(DAMAGED_ZIPS[name])
    assert not unpacks(tmp_path / "a.zip") & {"unzip", "7zz"}
    assert read(tmp_path / "a.zip").state == BROKEN


# odd tars


def header(name: str, size: int, kind: bytes = b"0", magic: bytes = b"ustar\x0000", link: str = "") -> bytes:
    block = bytearray(512)
    block[0 : len(name)] = name.encode()
    block[100:136] = b"0000644\x000000000\x000000000\x00" + f"{size:011o}\0".encode()
    block[136:148] = b"00000000000\0"
    block[156:157] = kind
    block[157 : 157 + len(link)] = link.encode()
    block[257 : 257 + len(magic)] = magic
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


END = bytes(1024)
LAST = padded(b"z" * 5)
FILE = header("f", 600) + padded(b"f" * 600)
GNU = b"ustar  \0"
OLD = b""
TARS: dict[str, bytes] = {
    "plain": FILE + END,
    "a link with the file's size": FILE + header("g", 600, b"1", link="f") + header("z", 5) + padded(b"zzzzz") + END,
    "such a link in GNU's format": FILE
    + header("g", 600, b"1", GNU, "f")
    + header("z", 5, magic=GNU)
    + padded(b"z" * 5)
    + END,
    "such a link in the oldest": FILE
    + header("g", 600, b"1", OLD, "f")
    + header("z", 5, magic=OLD)
    + padded(b"z" * 5)
    + END,
    "such a link at the end": FILE + header("g", 600, b"1", link="f") + END,
    "one empty block": FILE + bytes(512),
    "rubbish after the end": FILE + END + b"x" * 2048,
    "a symbolic link with a size": FILE + header("g", 600, b"2", link="f") + header("z", 5) + padded(b"z" * 5) + END,
    "letters of its own": FILE + header("c", 600, b"7") + padded(b"c" * 600) + END,
}


def by_python(form: int, **more: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, pax_headers=more) as archive:
        for name in ("f", "đường dẫn " + "rất dài " * 20):
            member = tarfile.TarInfo(name)
            member.size = len(DATA)
            archive.addfile(member, io.BytesIO(DATA))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.LNKTYPE, "f"
        archive.addfile(link)
    return out.getvalue()


TARS["GNU, long names"] = by_python(tarfile.GNU_FORMAT)
TARS["pax, long names"] = by_python(tarfile.PAX_FORMAT, comment="một ghi chú")


@pytest.mark.real
@pytest.mark.parametrize("name", sorted(TARS))
def test_an_odd_tar_is_good(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(TARS[name])
    verdict = read(tmp_path / "a.tar")
    assert unpacks(tmp_path / "a.tar")
    assert (verdict.state, verdict.reason) == (GOOD, "")
    assert verdict.content is not None and verdict.content >= 600


@pytest.mark.real
def test_a_link_with_data_of_its_own(tmp_path: Path) -> None:
    """As star and bsdtar's pax write it: what follows is no header."""
    content = FILE + header("g", 600, b"1", link="f") + padded(b"g" * 600) + header("z", 5) + padded(b"z" * 5) + END
    (tmp_path / "a.tar").write_bytes(content)
    assert "bsdtar" in unpacks(tmp_path / "a.tar") or not shutil.which("bsdtar")
    assert read(tmp_path / "a.tar").state == GOOD


@pytest.mark.real
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_a_tar_without_its_end_is_suspect(packed: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.tar{packed}"
    path.write_bytes(gzip.compress(FILE) if packed else FILE)
    verdict = read(path)
    assert "tar" in unpacks(path)
    assert verdict.state == SUSPECT and "end is missing after member 1" in verdict.reason


@pytest.mark.real
@pytest.mark.parametrize(
    "content",
    [FILE[:700], FILE + header("g", 600)[:300] + b"?" * 212 + END, FILE + b"?" * 512 + END],
    ids=["in the middle", "a spoiled header", "no header"],
)
def test_a_damaged_tar_is_broken(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    assert "tar" not in unpacks(tmp_path / "a.tar")
    assert read(tmp_path / "a.tar").state == BROKEN


@pytest.mark.real
@pytest.mark.parametrize("seed", range(40))
def test_ours_and_theirs_agree_about_damage(seed: int, tmp_path: Path) -> None:
    """Broken is only what none of them unpacks, and good only what one of them does."""
    chance = random.Random(seed)
    name, source = chance.choice([*ZIPS.items(), *TARS.items()])
    content = bytearray(source)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(content))
        if chance.random() < 0.3:
            del content[at:]
            break
        content[at] ^= 1 << chance.randrange(8)
    path = tmp_path / ("a.zip" if name in ZIPS else "a.tar")
    path.write_bytes(bytes(content))
    verdict, programs = read(path), unpacks(path)
    # bsdtar passes over damaged headers, and reads a zip without its directory, as if all had come out: no proof
    programs -= {"bsdtar"} if path.suffix == ".zip" else {"bsdtar", "7zz"}
    if verdict.state == BROKEN:
        assert not programs, (name, verdict.reason)
    if verdict.state == GOOD and len(content) == len(source):
        assert programs, (name, verdict)


# emptiness


def empty_7z(folder: Path) -> bytes:
    if shutil.which("7zz") is None:
        pytest.skip("needs 7zz (package 7zip)")
    (folder / "none").write_bytes(b"")
    subprocess.run(["7zz", "a", "-bd", str(folder / "x.7z"), "none"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return (folder / "x.7z").read_bytes()


def empty_database(folder: Path) -> bytes:
    database = sqlite3.connect(folder / "x.db")
    database.execute("CREATE TABLE x(y)")
    database.execute("DROP TABLE x")
    database.commit()
    database.close()
    return (folder / "x.db").read_bytes()


def empty_zst(folder: Path) -> bytes:
    done = subprocess.run(["zstd", "-qc"], input=b"", stdout=subprocess.PIPE) if shutil.which("zstd") else None
    if done is None:
        pytest.skip("needs zstd")
    return done.stdout


EMPTY: dict[str, Callable[[Path], bytes]] = {
    "a.sql.gz": lambda folder: gzip.compress(b""),
    "members.sql.gz": lambda folder: gzip.compress(b"") * 3,
    "a.sql.bz2": lambda folder: bz2.compress(b""),
    "a.sql.xz": lambda folder: lzma.compress(b""),
    "a.sql.zst": empty_zst,
    "a.zip": lambda folder: zipped(),
    "folders.zip": lambda folder: zipped(("d/", b""), ("e", b"")),
    "a.tar": lambda folder: END * 10,
    "a.tar.gz": lambda folder: gzip.compress(END * 10),
    "folders.tar": lambda folder: header("d", 0, b"5") + header("l", 0, b"2", link="d") + END,
    "a.7z": empty_7z,
    "a.db": empty_database,
}


@pytest.mark.parametrize("name", sorted(EMPTY))
def test_what_has_nothing_in_it_is_no_copy(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / name
    path.write_bytes(EMPTY[name](tmp_path / "in"))
    verdict = read(path)
    assert (verdict.state, verdict.content) == (GOOD, 0)
    copy = msgspec.structs.replace(copy_of(path), verdict=verdict)
    facts = BackupFacts(now=copy.at, copies=[copy], count=1, total=copy.size or 0)
    outcome = evaluate_backup(facts, BackupPolicy(rpo=3600))
    assert outcome.state == DOWN
    assert outcome.reason == f"there is no good backup: '{name}' is empty: nothing comes out of it"


def test_smallest_holds_for_what_comes_out(tmp_path: Path) -> None:
    path = tmp_path / "a.sql.gz"
    path.write_bytes(gzip.compress(random.Random(1).randbytes(600)))
    copy = msgspec.structs.replace(copy_of(path), verdict=read(path))
    assert copy.verdict is not None and copy.verdict.content == 600
    assert not flaw(copy, BackupPolicy(rpo=1, smallest=600))
    assert flaw(copy, BackupPolicy(rpo=1, smallest=601)) == "'a.sql.gz' has only 600 bytes in it, unpacked"


def test_a_history_of_what_came_out(tmp_path: Path) -> None:
    """The container keeps its size (it is padded, or stores what does not pack); what is in it does not."""
    memory = BackupMemory(str(tmp_path), "key")
    for day in range(8):
        content = 1_000_000 if day < 7 else 100_000
        copy = BackupCopy(name=b"day-%d" % day, at=1000.0 + day, size=500_000, mtime_ns=1, inode=day)
        memory.add_verdict(copy.stamp, ReadVerdict(state=GOOD, at=1000.0 + day, content=content))
        facts = BackupFacts(now=2000.0 + day, copies=[copy], count=1, total=500_000)
        apply_history(facts, memory, 0)
    outcome = evaluate_backup(facts, BackupPolicy(rpo=1e6, verified_within=0))
    assert outcome.state == DEGRADED and "'day-7' is suspiciously small: 10% of its usual size" in outcome.reason


def test_other_ways_to_say_it(tmp_path: Path) -> None:
    """A name that says another kind, and bytes after the end: the content comes out, and is looked at twice."""
    (tmp_path / "a.tgz").write_bytes(TARS["plain"])
    named = read(tmp_path / "a.tgz")
    assert named.state == SUSPECT and "is named gzip" in named.reason
    (tmp_path / "b.sql.gz").write_bytes(gzip.compress(DATA) + b"rubbish")
    after = read(tmp_path / "b.sql.gz")
    assert after.state == SUSPECT and "come bytes that are no gzip data" in after.reason


def test_a_mark_of_before_is_begun_anew(tmp_path: Path) -> None:
    """It did not count what had come out, and the copy would seem emptier than it is."""
    path = tmp_path / "a.tar"
    path.write_bytes(TARS["plain"])
    old = {"stage": "content", "state": {"offset": 1024, "sink": {"first": b"", "within": None}}, "passed": []}
    marks = ReadMarks(lambda state: None, old)
    question = BackupQuery(evidence="files", path=str(tmp_path))
    verdict = verify_copy(question, copy_of(path), Meter(), marks, [""])
    assert (verdict.state, verdict.content) == (GOOD, 600)


def test_a_verdict_of_before_is_read_once_more() -> None:
    from agent.probes.backup import BackupProbe

    probe = BackupProbe(path="/srv")
    before = ReadVerdict(state=GOOD, at=1000.0, by="gzip, tar of 3 members")
    assert probe._is_old(before, 1001.0)
    assert not probe._is_old(msgspec.structs.replace(before, content=600), 1001.0)
    assert not probe._is_old(ReadVerdict(state=GOOD, at=1000.0, by="pg_restore"), 1001.0)


# names


@pytest.mark.parametrize("written", ["NFC", "NFD"])
@pytest.mark.parametrize("wanted", ["NFC", "NFD"])
def test_names_are_compared_in_one_form(written: str, wanted: str, tmp_path: Path) -> None:
    day = f"{datetime.date(2026, 11, 29)}"
    folder, name = (unicodedata.normalize(written, text) for text in ("Kế toán", f"kế-toán-{day}.tar"))
    (tmp_path / folder).mkdir()
    (tmp_path / folder / name).write_bytes(TARS["plain"])
    pattern = unicodedata.normalize(wanted, "Kế toán/kế-toán-%Y-%m-%d.tar")
    facts = scan(str(tmp_path), FilePattern(pattern), (), 1.8e9)
    assert [os.fsdecode(copy.name) for copy in facts.copies] == [f"{folder}/{name}"]
    one_letter = scan(str(tmp_path), FilePattern(unicodedata.normalize(wanted, "*/k[ếe]-to?n-*.tar")), (), 1.8e9)
    assert one_letter.count == 1


def test_a_list_of_checksums_in_another_form(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / unicodedata.normalize("NFD", "kế toán.tar")
    path.write_bytes(TARS["plain"])
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(b'another').hexdigest()}  kế toán.tar\n")
    assert read(path).state == BROKEN
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(TARS['plain']).hexdigest()}  kế toán.tar\n")
    assert read(path).by.startswith("SHA256SUMS") or read(path).state == GOOD


def test_a_copy_with_content_is_up(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(TARS["plain"])
    copy = msgspec.structs.replace(copy_of(path), verdict=read(path))
    facts = BackupFacts(now=copy.at, copies=[copy], count=1, total=copy.size or 0)
    assert evaluate_backup(facts, BackupPolicy(rpo=3600)).state == UP
