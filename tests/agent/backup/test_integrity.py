"""Copies read through: real archives of each kind, whole, cut off, with one byte changed; marks; bombs."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.backup.facts import BROKEN, CANNOT, GOOD, SUSPECT, BackupCopy, BackupQuery, BackupRefused, ReadVerdict
from agent.backup.integrity import hashes, meter
from agent.backup.integrity.meter import Meter, ReadStopped
from agent.backup.integrity.read import ReadMarks, verify_copy
from tests.support.paths import ROOT

PROGRAMS = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "zstd", "zip": "zip", "7z": "7zr"}


def needs(*programs: str) -> None:
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


def copy_of(path: Path, name: str | None = None) -> BackupCopy:
    seen = path.stat()
    return BackupCopy(
        name=(name or path.name).encode(), at=seen.st_mtime, size=seen.st_size, mtime_ns=seen.st_mtime_ns,
        inode=seen.st_ino,
    )  # fmt: skip


def read(path: Path, known: Any = None, keep: list[Any] | None = None, **limits: Any) -> ReadVerdict:
    """One read of a file, as the background process does it."""
    stage = [""]
    marks = ReadMarks((keep if keep is not None else []).append, known)
    own = Meter(save=lambda state: marks.save(stage[0], state), **limits)
    question = BackupQuery(evidence="files", path=str(path.parent))
    return verify_copy(question, copy_of(path), own, marks, stage)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files worth backing up: some 3 MB, some of it random."""
    folder = tmp_path_factory.mktemp("content")
    chance = random.Random(7)
    words = [chance.randbytes(6).hex().encode() for _ in range(500)]
    (folder / "text").write_bytes(b" ".join(chance.choice(words) for _ in range(200_000)))
    (folder / "noise").write_bytes(chance.randbytes(500_000))
    (folder / "hole").write_bytes(b"")
    with (folder / "sparse").open("wb") as file:
        file.seek(5_000_000)
        file.write(b"end")
    for number in range(30):
        (folder / f"{'long-name-' * 12}{number}").write_bytes(b"x" * number * 100)
    (folder / "link").symlink_to("text")
    return folder


def make(folder: Path, content: Path, kind: str) -> Path:
    """A real archive by the real program."""
    tar = folder / "a.tar"
    run = lambda *argv: subprocess.run(argv, check=True, cwd=content, stdout=subprocess.DEVNULL)  # noqa: E731
    if kind in ("gz", "bz2", "xz", "zst", "tar"):
        run("tar", "-cf", str(tar), ".")
    if kind == "gz":
        run("gzip", "-k", str(tar))
    elif kind == "bz2":
        run("bzip2", "-k", str(tar))
    elif kind == "xz":
        run("xz", "-1k", "--block-size=300000", str(tar))
    elif kind == "zst":
        run("zstd", "-qk", str(tar))
    elif kind == "zip":
        run("zip", "-qr", str(folder / "a.zip"), ".")
        return folder / "a.zip"
    elif kind == "7z":
        run("7zr", "a", "-bd", "-mx=1", str(folder / "a.7z"), ".")
        return folder / "a.7z"
    return tar if kind == "tar" else folder / f"a.tar.{kind}"


@pytest.fixture(scope="module")
def archives(content: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    needs(*PROGRAMS.values())
    folder = tmp_path_factory.mktemp("archives")
    return {kind: make(folder, content, kind) for kind in ("tar", "gz", "bz2", "xz", "zst", "zip", "7z")}


KINDS = pytest.mark.parametrize("kind", ["tar", "gz", "bz2", "xz", "zst", "zip", "7z"])


@pytest.mark.real
def test_nothing_is_ever_written(archives: dict[str, Path], tmp_path: Path) -> None:
    """Seen by the kernel: no file is opened for writing, made or renamed, but /dev/null, by it or a program it runs."""
    needs("strace")
    script = (
        "import sys\nfrom pathlib import Path\nfrom agent.backup.facts import BackupCopy, BackupQuery\n"
        "from agent.backup.integrity.meter import Meter\n"
        "from agent.backup.integrity.read import ReadMarks, verify_copy\n"
        "import os\nos.mkdir('begun')\n"
        "for path in map(Path, sys.argv[1:]):\n"
        "    seen = path.stat()\n"
        "    copy = BackupCopy(name=path.name.encode(), at=0.0, size=seen.st_size, mtime_ns=seen.st_mtime_ns,"
        " inode=seen.st_ino)\n"
        "    question = BackupQuery(evidence='files', path=str(path.parent))\n"
        "    marks = ReadMarks(lambda state: None, None)\n"
        "    assert verify_copy(question, copy, Meter(), marks, ['']).state == 'good', path\n"
    )
    calls = "openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,truncate"
    log = tmp_path / "calls"
    subprocess.run(
        ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={calls}", sys.executable, "-B", "-c", script,
         *map(str, archives.values())],
        check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    made = [
        line
        for line in log.read_text("utf-8", "replace").split("begun", 1)[1].splitlines()[1:]
        if ("O_RDONLY" not in line and "resumed" not in line) or "O_CREAT" in line
    ]
    assert [line for line in made if "/dev/null" not in line and "= -1" not in line and "SIG" not in line] == []


@pytest.mark.real
@KINDS
class TestArchives:
    def test_a_whole_one_is_good(self, archives: dict[str, Path], kind: str, content: Path) -> None:
        verdict = read(archives[kind])
        assert (verdict.state, verdict.reason) == (GOOD, "")
        if kind not in ("zip", "7z"):
            assert f"tar of {1 + len(list(content.iterdir()))} members" in verdict.by

    def test_cut_off_anywhere(self, archives: dict[str, Path], kind: str, tmp_path: Path) -> None:
        whole = archives[kind].read_bytes()
        end = len(whole.rstrip(b"\0")) if kind == "tar" else len(whole)
        chance = random.Random(kind)
        places = [0, 1, 5, 20, 511, 512, 1024, end // 2, end - 1, *(chance.randrange(end) for _ in range(6))]
        for at in places if kind != "7z" else places[:9:2]:
            cut = tmp_path / archives[kind].name
            cut.write_bytes(whole[:at])
            verdict = read(cut)
            # between two members of a bare tar archive nothing but its end is missing
            assert verdict.state == BROKEN or (kind == "tar" and "end is missing" in verdict.reason), at
            assert verdict.reason, at

    def test_one_byte_changed(self, archives: dict[str, Path], kind: str, tmp_path: Path) -> None:
        whole = archives[kind].read_bytes()
        chance = random.Random(kind)
        spoiled = tmp_path / archives[kind].name
        places = [chance.randrange(len(whole) // 50, len(whole) * 9 // 10) for _ in range(12 if kind != "7z" else 4)]
        if kind == "tar":
            # nothing in a bare tar archive tells of its members' bytes: a header
            places = [100, 150]
        if kind == "xz":
            places += [0, 7, 8, 13, len(whole) - 1, len(whole) - 9, len(whole) - 30]
        for at in places:
            spoiled.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << chance.randrange(8))]) + whole[at + 1 :])
            verdict = read(spoiled)
            assert verdict.state == BROKEN, at
            assert verdict.reason, at

    def test_named_so_but_something_else(self, archives: dict[str, Path], kind: str, tmp_path: Path) -> None:
        wrong = tmp_path / archives[kind].name
        wrong.write_bytes(b"<html>the web page of a captive portal</html>" * 100)
        assert read(wrong).state == BROKEN

    def test_goes_on_from_every_mark(
        self, archives: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if kind == "7z":
            return  # its own program begins anew
        monkeypatch.setattr(meter, "MARK_EVERY", -1.0)
        monkeypatch.setattr(meter, "PIECE", 10_000)
        marks: list[Any] = []
        whole = read(archives[kind], keep=marks)
        if kind in ("gz", "xz", "tar", "zip"):
            assert len(marks) > 5
        size = archives[kind].stat().st_size
        for mark in random.Random(kind).sample(marks, min(12, len(marks))):
            verdict = read(archives[kind], known=mark)
            assert (verdict.state, verdict.by) == (GOOD, whole.by)
        if len(marks) > 5:
            assert read(archives[kind], known=marks[-2]).read < size / 2

    def test_spoiled_before_or_after_a_mark(
        self, archives: dict[str, Path], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A read that goes on sees what is wrong after its mark."""
        if kind not in ("gz", "xz"):
            return
        monkeypatch.setattr(meter, "MARK_EVERY", -1.0)
        marks: list[Any] = []
        read(archives[kind], keep=marks)
        whole = bytearray(archives[kind].read_bytes())
        whole[len(whole) * 3 // 4] ^= 1
        spoiled = tmp_path / archives[kind].name
        spoiled.write_bytes(whole)
        assert read(spoiled, known=marks[len(marks) // 4]).state == BROKEN


ORACLES: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.decompress,
    "bz2": bz2.decompress,
    "xz": lzma.decompress,
    "zip": lambda data: b"".join(
        map(zipfile.ZipFile(io.BytesIO(data)).read, zipfile.ZipFile(io.BytesIO(data)).namelist())
    ),
}


@pytest.mark.parametrize("kind", sorted(ORACLES))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damage_of_any_kind(kind: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever is done to the bytes: an answer, never an error; and what is called good unpacks to what it was."""
    content = (b"some text, again and again " * 60)[: data.draw(st.integers(1, 1500))] + bytes(range(200))
    if kind == "zip":
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a", content)
        packed = bytearray(made.getvalue())
    else:
        packed = bytearray({"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[kind](content))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, max(len(packed) - 1, 0)))
        how = data.draw(st.sampled_from(("change", "cut", "insert", "drop")))
        if how == "change" and packed:
            packed[at] = data.draw(st.integers(0, 255))
        elif how == "cut":
            del packed[at:]
        elif how == "insert":
            packed[at:at] = data.draw(st.binary(max_size=8))
        else:
            del packed[at : at + data.draw(st.integers(1, 20))]
    path = tmp_path_factory.getbasetemp() / f"damaged.{kind}"
    path.write_bytes(packed)
    verdict = read(path, most_unpacked=300)
    assert verdict.state in (GOOD, BROKEN, CANNOT, SUSPECT)
    assert bool(verdict.reason) == (verdict.state != GOOD)
    if verdict.state == GOOD:
        assert ORACLES[kind](bytes(packed)) == content


class TestStreams:
    def test_members_and_padding(self, tmp_path: Path) -> None:
        path = tmp_path / "two.gz"
        path.write_bytes(gzip.compress(b"one") + gzip.compress(b"two") + b"\0" * 700)
        assert read(path).state == GOOD
        path.write_bytes(gzip.compress(b"one") + b"junk")
        assert "bytes that are no gzip data" in read(path).reason

    def test_every_optional_field_of_a_header(self, tmp_path: Path) -> None:
        header = b"\x1f\x8b\x08\x1f" + b"\0" * 6 + b"\x04\0abcd" + b"name\0" + b"comment\0"
        header += (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little")
        packer = zlib.compressobj(wbits=-15)
        body = packer.compress(b"content") + packer.flush()
        trailer = struct.pack("<II", zlib.crc32(b"content"), 7)
        path = tmp_path / "a.gz"
        path.write_bytes(header + body + trailer)
        assert read(path).state == GOOD
        path.write_bytes(header.replace(b"name", b"nome") + body + trailer)
        assert "header does not match" in read(path).reason

    def test_a_bomb_is_not_unfolded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(meter, "BOMB_FROM", 10 << 20)
        path = tmp_path / "bomb.bz2"
        path.write_bytes(bz2.compress(b"\0" * (64 << 20)))
        verdict = read(path, most_unpacked=300)
        assert verdict.state == SUSPECT
        assert "bomb" in verdict.reason

    @pytest.mark.real
    def test_a_window_that_takes_too_much_memory(self, tmp_path: Path) -> None:
        path = tmp_path / "big.xz"
        filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
        plain = bytearray(lzma.compress(b"x" * 1000, filters=filters))
        at = plain.index(b"\x21\x01", 12)  # the filter and the length of its properties
        plain[at + 2] = 40  # a dictionary of 4 GiB
        end = 12 + (plain[12] + 1) * 4
        plain[end - 4 : end] = zlib.crc32(plain[12 : end - 4]).to_bytes(4, "little")
        path.write_bytes(plain)
        verdict = read(path)
        assert verdict.state == CANNOT
        assert "memory" in verdict.reason


class TestZip:
    def test_methods_comment_and_what_stands_before(self, tmp_path: Path) -> None:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as made:
            made.comment = b"a comment"
            for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
                made.writestr(zipfile.ZipInfo(f"m{method}"), os.urandom(2000) + b"y" * 900_000, compress_type=method)
        assert read(path).state == GOOD
        path.write_bytes(path.read_bytes()[:-60])
        assert read(path).state == BROKEN

    @pytest.mark.parametrize(
        ("at", "value", "words"),
        [
            (8, 1 << 5, "special program"),
            (8, 1 << 6, "encrypted"),
            (9, 1 << 5, "encrypted"),
            (6, 64, "special program"),
        ],
    )
    def test_what_takes_a_special_program_is_no_evidence(self, tmp_path: Path, at: int, value: int, words: str) -> None:
        """Flags 5, 6 and 13, and a version above 6.3 of the format."""
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as made:
            made.writestr("a", b"x" * 1000)
        plain = bytearray(path.read_bytes())
        plain[plain.index(b"PK\x01\x02") + at] = value
        path.write_bytes(plain)
        verdict = read(path)
        assert verdict.state != GOOD
        assert words in verdict.reason

    def test_encrypted_and_unknown_methods_are_no_evidence(self, tmp_path: Path) -> None:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as made:
            made.writestr("a", b"x" * 1000)
        plain = bytearray(path.read_bytes())
        central = plain.index(b"PK\x01\x02")
        plain[central + 8] |= 1
        path.write_bytes(plain)
        assert "encrypted" in read(path).reason
        plain[central + 8] ^= 1
        plain[central + 10] = 99
        path.write_bytes(plain)
        verdict = read(path)
        assert (verdict.state, "99" in verdict.reason) == (CANNOT, True)

    def test_members_over_each_other(self, tmp_path: Path) -> None:
        """The bomb that is no nest: many members that are the same bytes."""
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr("a", b"\0" * 1_000_000)
        plain = path.read_bytes()
        central, end = plain.index(b"PK\x01\x02"), plain.index(b"PK\x05\x06")
        entry = plain[central:end]
        tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 500, 500, len(entry) * 500, central, 0)
        path.write_bytes(plain[:central] + entry * 500 + tail)
        verdict = read(path)
        assert verdict.state == SUSPECT
        assert "over each other, as in a bomb" in verdict.reason

    def test_zip64(self, tmp_path: Path) -> None:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            with made.open("big", "w", force_zip64=True) as member:
                member.write(b"z" * 100_000)
            for number in range(70_000):
                made.writestr(zipfile.ZipInfo(str(number)), b"")
        verdict = read(path)
        assert (verdict.state, verdict.by) == (GOOD, "zip of 70001 members")


class TestDumps:
    BEGINNING = b"--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\n"
    ENDING = b"--\n-- PostgreSQL database dump complete\n--\n\n"

    def test_the_closing_line(self, tmp_path: Path) -> None:
        for name, pack in (("a.sql", bytes), ("a.sql.gz", gzip.compress)):
            path = tmp_path / name
            path.write_bytes(pack(self.BEGINNING + b"SELECT 1;\n" * 50_000 + self.ENDING))
            assert read(path).state == GOOD
            path.write_bytes(pack(self.BEGINNING + b"SELECT 1;\n" * 50_000))
            assert "closing line is missing" in read(path).reason
            # a dump whose program died in the middle, and which a table's text only resembles the end
            path.write_bytes(pack(self.BEGINNING + self.ENDING + b"INSERT INTO t VALUES (1);\n" * 1000))
            assert read(path).state == BROKEN

    def test_mysql_and_sqlite(self, tmp_path: Path) -> None:
        path = tmp_path / "m.sql"
        head = b"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19  Distrib 10.11\n"
        path.write_bytes(head + b"INSERT;\n" * 2000 + b"-- Dump completed on 2026-11-23  1:00:00\n")
        assert read(path).state == GOOD
        path.write_bytes(head + b"INSERT;\n" * 2000)
        assert read(path).state == BROKEN
        database = sqlite3.connect(":memory:")
        database.execute("CREATE TABLE t(a)")
        text = "PRAGMA foreign_keys=OFF;\n" + "\n".join(database.iterdump()) + "\n"
        database.close()
        path.write_text(text)
        assert read(path).state == GOOD
        path.write_text(text.replace("COMMIT;", ""))
        assert read(path).state == BROKEN

    def test_other_bytes_say_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "image.vmdk"
        path.write_bytes(os.urandom(1000))
        assert read(path).state == CANNOT


class TestSqlite:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "app.db"
        database = sqlite3.connect(path)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE t(a PRIMARY KEY, b)")
        database.executemany("INSERT INTO t VALUES (?, ?)", ((n, os.urandom(50).hex()) for n in range(5000)))
        database.commit()
        database.close()
        return path

    def test_whole_cut_off_and_spoiled(self, path: Path) -> None:
        before = sorted(path.parent.iterdir())
        assert read(path).state == GOOD
        assert sorted(path.parent.iterdir()) == before, "nothing is written beside it"
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        assert "cut off" in read(path).reason
        path.write_bytes(whole[: 4096 * 20] + os.urandom(4096) + whole[4096 * 21 :])
        verdict = read(path)
        assert verdict.state == BROKEN
        assert "SQLite finds it damaged" in verdict.reason


class TestChecksum:
    @pytest.mark.parametrize("kind", ["md5", "sha1", "sha256", "sha512"])
    def test_forms(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "image.bin"
        path.write_bytes(os.urandom(3000))
        digits = hashlib.new(kind, path.read_bytes()).hexdigest()
        beside = tmp_path / f"image.bin.{kind}"
        forms = ["{0}  image.bin\n", "{0} */srv/x/image.bin\n", f"{kind.upper()} (image.bin) = {{0}}\n", "{0}\n", "{0}"]
        for text in (form.format(digits) for form in forms):
            beside.write_text(text)
            verdict = read(path)
            assert (verdict.state, verdict.by) == (GOOD, kind), text
        beside.write_text("0" * len(digits) + "  image.bin\n")
        assert read(path).reason == f"it does not match its {kind} in image.bin.{kind}"

    def test_a_list_for_many(self, tmp_path: Path) -> None:
        needs("sha256sum")
        odd = tmp_path / "a\nb\\c"
        odd.write_bytes(b"odd")
        (tmp_path / "plain").write_bytes(b"plain")
        said = subprocess.run(["sha256sum", odd.name, "plain"], cwd=tmp_path, check=True, capture_output=True).stdout
        (tmp_path / "SHA256SUMS").write_bytes(said)
        assert read(odd).by == read(tmp_path / "plain").by == "sha256"
        odd.write_bytes(b"Odd")
        assert read(odd).state == BROKEN

    def test_a_checksum_file_that_leads_out_or_makes_no_sense(self, tmp_path: Path) -> None:
        inside = tmp_path / "in"
        inside.mkdir()
        path = inside / "a.bin"
        path.write_bytes(b"x")
        (tmp_path / "sum").write_text("0" * 64 + "  a.bin\n")
        (inside / "a.bin.sha256").symlink_to(tmp_path / "sum")
        assert read(path).state == CANNOT
        (inside / "a.bin.sha256").unlink()
        (inside / "a.bin.sha256").write_bytes(os.urandom(500))
        assert read(path).state == CANNOT

    @pytest.mark.parametrize("kind", ["md5", "sha1", "sha256", "sha384", "sha512"])
    def test_goes_on_from_a_state(self, kind: str) -> None:
        data = os.urandom(10_001)
        first = hashes.ResumableHash(kind)
        first.update(data[:5000])
        second = hashes.ResumableHash(kind, first.state())
        second.update(data[5000:])
        assert second.hexdigest() == hashlib.new(kind, data).hexdigest()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A PostgreSQL server on a socket of its own; the directory of the socket."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found or os.geteuid() != 0 or not shutil.which("pg_restore"):
        pytest.skip("needs root and PostgreSQL's server (package postgresql)")
    home = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    shutil.chown(home, "postgres", "postgres")
    as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": home}
    subprocess.run([*as_postgres, str(found[-1]), "-D", str(home / "data"), "-A", "trust", "-N"], **quiet)
    control = [*as_postgres, str(found[-1].with_name("pg_ctl")), "-D", str(home / "data"), "-w"]
    subprocess.run([*control, "-l", str(home / "log"), "-o", f"-c listen_addresses='' -k {home}", "start"], **quiet)
    try:
        yield home
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(home)


def psql(home: Path, text: str) -> None:
    subprocess.run(
        ["psql", "-X", "-q", "-h", str(home), "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-f", "-"],
        input=text, text=True, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.root
@pytest.mark.real
class TestPostgres:
    def test_custom_and_plain_dumps(self, postgres: Path, tmp_path: Path) -> None:
        psql(postgres, "CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 50000) n;")
        dump = ["pg_dump", "-h", str(postgres), "-U", "postgres"]
        custom, plain = tmp_path / "db.dump", tmp_path / "db.sql"
        subprocess.run([*dump, "-Fc", "-f", str(custom)], check=True)
        subprocess.run([*dump, "-f", str(plain)], check=True)
        assert (read(custom).state, read(custom).by) == (GOOD, "pg_restore")
        assert (read(plain).state, read(plain).by) == (GOOD, "PostgreSQL dump")
        whole, text = custom.read_bytes(), plain.read_bytes()
        for at in (8, 300, len(whole) // 2, len(whole) - 3):
            custom.write_bytes(whole[:at])
            assert read(custom).state == BROKEN, at
        custom.write_bytes(
            whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1 :]
        )
        assert "pg_restore finds it damaged" in read(custom).reason
        plain.write_bytes(text[: len(text) * 9 // 10])
        assert read(plain).state == BROKEN
        custom.write_bytes(whole[:6] + bytes([99]) + whole[7:])
        assert "newer PostgreSQL" in read(custom).reason


class TestMeter:
    def test_the_rate(self) -> None:
        now = [0.0]

        def sleep(seconds: float) -> None:
            now[0] += seconds

        own = Meter(rate=1000, clock=lambda: now[0], sleep=sleep)
        for _ in range(100):
            own.consume(100)
        assert now[0] == pytest.approx(9.9)

    def test_grants(self) -> None:
        now, asked = [0.0], []

        def more(done: int) -> tuple[int, float]:
            asked.append(done)
            if len(asked) == 3:
                raise ReadStopped
            return 250, 0.0

        own = Meter(grant=(250, 0.0), next_grant=more, clock=lambda: now[0])
        with pytest.raises(ReadStopped):
            for _ in range(100):
                own.consume(100)
        assert asked == [200, 400, 600]
        own = Meter(grant=(0, 5.0), next_grant=lambda done: (_ for _ in ()).throw(ReadStopped), clock=lambda: now[0])
        own.consume(1)
        now[0] = 5.0
        with pytest.raises(ReadStopped):
            own.consume(1)

    def test_changed_while_it_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tar"
        path.write_bytes(b"x" * 5000)
        copy = copy_of(path)
        path.write_bytes(b"y" * 5001)
        with pytest.raises(BackupRefused, match="changed"):
            verify_copy(
                BackupQuery(evidence="files", path=str(tmp_path)), copy, Meter(), ReadMarks([].append, None), [""]
            )
