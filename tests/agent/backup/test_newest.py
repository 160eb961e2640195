"""Which files are copies, and of when: patterns, dates in names, links, odd names, many files."""

import datetime
import fnmatch
import os
import threading
import time
import tracemalloc
from pathlib import Path

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from agent.backup import place
from agent.backup.facts import MOST_COPIES, BackupRefused
from agent.backup.newest import scan
from inventory.grammars.file_patterns import FilePattern
from inventory.protocol.reasons import packed

NOW = 1_795_000_000.0
UTC = datetime.UTC


def put(path: Path, age: float = 0.0, size: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (NOW - age, NOW - age))
    return path


def names(directory: Path, pattern: str, allowed: tuple[str, ...] = ()) -> list[str]:
    return [os.fsdecode(copy.name) for copy in scan(str(directory), FilePattern(pattern, "UTC"), allowed, NOW).copies]


class TestPattern:
    @settings(max_examples=400)
    @example("[a]b", "ab")
    @example("[]a]", "]")
    @example("[!]a]", "b")
    @example("[?--]", "a")
    @example("[b-a]", "b")
    @example("[[a]", "[")
    @example("[a-]", "-")
    @example("[&&||~~]", "~")
    @given(
        st.one_of(
            st.text("ab*?.[]!-", min_size=1, max_size=10), st.text("[]!-ab&|~", max_size=5).map("[{}]".format)
        ).filter(lambda text: text != "**" and text not in (".", "..")),
        st.text("ab.-!x", min_size=1, max_size=8),
    )
    def test_globs_are_the_shells(self, glob: str, name: str) -> None:
        pattern = FilePattern(glob)
        # a range of nothing before ! makes Python's own negate the rest
        assume(
            "!" not in glob
            or not any(a > b for a, dash, b in zip(glob, glob[1:], glob[2:], strict=False) if dash == "-")
        )
        if name.startswith(".") and not glob.startswith("."):
            assert pattern.segments[0] is not None and not pattern.segments[0].fullmatch(name)
            return
        assert pattern.segments[0] is not None
        assert bool(pattern.segments[0].fullmatch(name)) == fnmatch.fnmatchcase(name, glob)

    @given(st.datetimes(datetime.datetime(2002, 1, 1), datetime.datetime(2099, 12, 31)))
    def test_a_date_in_a_name_is_what_strptime_reads(self, moment: datetime.datetime) -> None:
        moment = moment.replace(microsecond=0, tzinfo=UTC)
        for text, width in (("x-%Y-%m-%d_%H%M%S.gz", 1), ("%y%j-%H", 3600), ("%s.dump", 1), ("%Y%m%d", 86_400)):
            pattern = FilePattern(text, "UTC")
            assert pattern.segments[0] is not None
            written = moment.strftime(text.replace("%s", str(int(moment.timestamp()))))
            found = pattern.segments[0].fullmatch(written)
            assert found is not None
            bounds = pattern.bounds(found.groupdict())
            assert bounds is not None
            assert bounds[0] <= moment.timestamp() < bounds[1]
            assert bounds[1] - bounds[0] == width

    def test_a_day_of_25_hours(self) -> None:
        pattern = FilePattern("%Y%m%d", "Europe/Berlin")
        bounds = pattern.bounds({"Y": "2026", "m": "10", "d": "25"})
        assert bounds is not None and bounds[1] - bounds[0] == 25 * 3600

    def test_many_stars_cost_no_time(self) -> None:
        segment = FilePattern("*a*a*a*a*a*a*a*a*a*a*a*ab").segments[0]
        assert segment is not None
        begun = time.perf_counter()
        assert not segment.fullmatch("a" * 255)
        assert time.perf_counter() - begun < 0.5

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("../x", "empty part, . or .."),
            ("/etc/*", "does not begin with /"),
            ("a//b", "empty part"),
            ("%Q", "%Q is not understood"),
            ("%d.gz", "a date without a year"),
            ("a/**", "ends in **"),
            ("**/a/**/b", "** twice"),
            ("x" * 600, "up to 512"),
        ],
    )
    def test_what_is_no_pattern(self, text: str, words: str) -> None:
        with pytest.raises(ValueError, match=words.replace("*", r"\*").replace(".", r"\.")):
            FilePattern(text)


class TestScan:
    def test_the_newest_first_and_all_counted(self, tmp_path: Path) -> None:
        for day in range(50):
            put(tmp_path / f"db-{day:02}.gz", age=day * 86_400, size=day + 1)
        put(tmp_path / "other.txt")
        put(tmp_path / ".db-hidden.gz")
        facts = scan(str(tmp_path), FilePattern("db-*.gz"), (), NOW)
        assert facts.count == 50
        assert facts.total == sum(range(1, 51))
        assert [copy.name for copy in facts.copies] == [f"db-{day:02}.gz".encode() for day in range(MOST_COPIES)]

    def test_a_copy_touched_later_is_not_newer_for_it(self, tmp_path: Path) -> None:
        put(tmp_path / "db-2026-01-02.gz", age=0)
        put(tmp_path / "db-2026-11-18.gz", age=40 * 86_400)
        put(tmp_path / "db-2026-02-31.gz")  # no such day
        facts = scan(str(tmp_path), FilePattern("db-%Y-%m-%d.gz", "UTC"), (), NOW)
        assert [copy.name for copy in facts.copies] == [b"db-2026-11-18.gz", b"db-2026-01-02.gz"]
        assert facts.copies[0].at == datetime.datetime(2026, 11, 18, tzinfo=UTC).timestamp()
        assert facts.copies[1].at == datetime.datetime(2026, 1, 3, tzinfo=UTC).timestamp()

    def test_directories(self, tmp_path: Path) -> None:
        for name in ("a.gz", "2026/11/a.gz", "2026/12/a.gz", "2026/xx/a.gz", "deep/er/still/a.gz", ".trash/a.gz"):
            put(tmp_path / name)
        assert sorted(names(tmp_path, "%Y/%m/*.gz")) == ["2026/11/a.gz", "2026/12/a.gz"]
        assert sorted(names(tmp_path, "**/*.gz")) == [
            "2026/11/a.gz", "2026/12/a.gz", "2026/xx/a.gz", "a.gz", "deep/er/still/a.gz",
        ]  # fmt: skip
        assert names(tmp_path, "deep/**/a.gz") == ["deep/er/still/a.gz"]

    def test_names_that_are_no_text(self, tmp_path: Path) -> None:
        odd = b"db-\xff\xfe\n 1.gz"
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + odd))).write_bytes(b"x")
        facts = scan(str(tmp_path), FilePattern("db-*.gz"), (), NOW)
        assert [copy.name for copy in facts.copies] == [odd]

    def test_a_name_that_is_no_text_and_cannot_be_looked_at(self, tmp_path: Path) -> None:
        odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/db-\xff.gz"))
        odd.symlink_to(odd.name)
        facts = scan(str(tmp_path), FilePattern("db-*.gz"), (), NOW)
        assert facts.unreadable == 1
        assert facts.why_unreadable == "db-?.gz: its links lead in a circle"
        msgspec.json.encode(facts, enc_hook=packed)

    def test_links_within_count_and_links_out_do_not(self, tmp_path: Path) -> None:
        inside, outside = tmp_path / "in", tmp_path / "out"
        put(inside / "real.gz")
        put(outside / "secret.gz", age=-50)
        (inside / "latest.gz").symlink_to("real.gz")
        (inside / "leak.gz").symlink_to(outside / "secret.gz")
        (inside / "device.gz").symlink_to("/dev/null")
        (inside / "nothing.gz").symlink_to("gone")
        (inside / "folder").symlink_to(outside)
        os.mkfifo(inside / "pipe.gz")
        facts = scan(str(inside), FilePattern("**/*.gz"), (), NOW)
        assert sorted(copy.name for copy in facts.copies) == [b"latest.gz", b"real.gz"]
        assert facts.outside == 2
        facts = scan(
            str(inside), FilePattern("**/*.gz"), (str(tmp_path),), NOW
        )  # the agent's own file allows all of it
        assert sorted(copy.name for copy in facts.copies) == [b"latest.gz", b"leak.gz", b"real.gz"]
        assert facts.outside == 1

    def test_the_agents_own_limits(self, tmp_path: Path) -> None:
        put(tmp_path / "allowed/a.gz")
        put(tmp_path / "allowed-not/a.gz")
        (tmp_path / "allowed/way-out").symlink_to(tmp_path / "allowed-not")
        limits = (str(tmp_path / "allowed"),)
        assert names(tmp_path / "allowed", "*", limits) == ["a.gz"]
        for path in ("allowed-not", "allowed/way-out", "allowed/../allowed-not"):
            with pytest.raises(BackupRefused, match="outside the directories this agent may read"):
                scan(str(tmp_path / path), FilePattern("*"), limits, NOW)
        with pytest.raises(BackupRefused, match="has to begin with /"):
            scan("relative", FilePattern("*"), (), NOW)

    def test_no_directory(self, tmp_path: Path) -> None:
        for path in (tmp_path / "gone", put(tmp_path / "file")):
            with pytest.raises(BackupRefused, match="there is no directory") as error:
                scan(str(path), FilePattern("*"), (), NOW)
            assert error.value.gone

    def test_links_swapped_while_it_looks(self, tmp_path: Path) -> None:
        """A name that is a file at one moment and leads out at the next: never read, at whatever moment."""
        inside, secret = tmp_path / "in", put(tmp_path / "secret", size=77)
        put(inside / "file.gz", size=5)
        (tmp_path / "link").symlink_to(secret)
        ended = threading.Event()

        def swap() -> None:
            turn = 0
            while not ended.is_set():
                other, turn = inside / f"spare{turn % 2}", turn + 1
                if turn % 2:
                    other.symlink_to(secret)
                else:
                    other.write_bytes(b"x" * 5)
                other.replace(inside / "file.gz")

        thread = threading.Thread(target=swap)
        thread.start()
        top = place.open_directory(str(inside), ())
        refused = taken = 0
        try:
            until = time.monotonic() + 0.7
            while time.monotonic() < until or not (refused and taken):
                try:
                    descriptor = place.open_file("file.gz", top, (str(inside),))
                except (place.PathEscapes, FileNotFoundError):
                    refused += 1
                    continue
                assert os.pread(descriptor, 100, 0) != b"x" * 77
                os.close(descriptor)
                taken += 1
        finally:
            ended.set()
            thread.join()
            os.close(top)

    def test_files_that_come_and_go_while_it_looks(self, tmp_path: Path) -> None:
        """A rotation under way: what is gone is simply not there, and what stays is always found."""
        kept = {put(tmp_path / "day" / f"kept-{number}.gz").name.encode() for number in range(5)}
        ended = threading.Event()

        def rotate() -> None:
            turn = 0
            while not ended.is_set():
                turn += 1
                folder = tmp_path / "day" / f"tmp-{turn % 7}"
                folder.mkdir(exist_ok=True)
                (folder / "part.gz").write_bytes(b"x")
                (tmp_path / "day" / f"moving-{turn % 5}.gz").write_bytes(b"x")
                (folder / "part.gz").unlink()
                folder.rmdir()
                (tmp_path / "day" / f"moving-{turn % 5}.gz").unlink()

        thread = threading.Thread(target=rotate)
        thread.start()
        try:
            counts = set()
            until = time.monotonic() + 0.5
            while time.monotonic() < until or len(counts) < 2:
                found = scan(str(tmp_path), FilePattern("**/*.gz"), (), NOW)
                assert not found.unreadable, found.why_unreadable
                assert kept <= {os.path.basename(copy.name) for copy in found.copies}  # noqa: PTH119  names are bytes
                counts.add(found.count)
        finally:
            ended.set()
            thread.join()

    def test_a_hundred_thousand_files(self, tmp_path: Path) -> None:
        directory = os.open(tmp_path, os.O_RDONLY)
        for number in range(100_000):
            os.close(os.open(f"db-{number}.gz", os.O_WRONLY | os.O_CREAT, dir_fd=directory))
        os.close(directory)
        begun = time.perf_counter()
        assert scan(str(tmp_path), FilePattern("db-*.gz"), (), NOW).count == 100_000
        assert time.perf_counter() - begun < 20  # a second here
        tracemalloc.start()
        scan(str(tmp_path), FilePattern("db-*.gz"), (), NOW)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1_000_000
