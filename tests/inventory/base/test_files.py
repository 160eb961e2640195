"""Small files: whole or not there; and root is led nowhere by links that others laid."""

import ctypes
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inventory.base import files
from tests.support.service_user import USER, RootsOwn, outside, own

AT_CWD, EXCHANGE = -100, 2  # renameat2(2)


@pytest.fixture
def place() -> Iterator[Path]:
    with outside() as directory:
        yield directory


@pytest.fixture
def root(place: Path) -> RootsOwn:
    return RootsOwn(place / "root")


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_replacing_is_whole_private_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.replace(path, b"one", mode=0o640)
    files.replace(path, b"two", mode=0o600, durable=False)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == ["file"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(OSError):
        files.replace(tmp_path / "full", b"three")
    assert names(tmp_path) == ["file", "full"]


def test_what_a_crash_left_goes_after_an_hour(tmp_path: Path) -> None:
    old, new, other = tmp_path / ".a.0123.new", tmp_path / ".b.0123.new", tmp_path / "c.new"
    for path in (old, new, other):
        path.touch()
    os.utime(old, (1, 1))
    os.utime(other, (1, 1))
    files.remove_left_over(tmp_path)
    assert names(tmp_path) == [".b.0123.new", "c.new"]
    files.remove_left_over(tmp_path / "nothing")


def test_directories_are_made_as_deep_as_asked_for(tmp_path: Path) -> None:
    made = files.make_directory(tmp_path / "a" / "b" / "c")
    assert made.is_dir()
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    files.make_directory(made)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        files.make_directory(tmp_path / "file" / "x")


# every way in, onto PATH and what lies there
WAYS: dict[str, Callable[[Path], object]] = {
    "replace": lambda path: files.replace(path, b"led astray"),
    "replace below": lambda path: files.replace(path / "new", b"led astray"),
    "make_directory": lambda path: files.make_directory(path / "new"),
    "check_writable": files.check_writable,
    "append": lambda path: os.write(files.open_to_append(path), b"led astray"),
    "append below": lambda path: os.write(files.open_to_append(path / "new"), b"led astray"),
    "read": files.read,
    "read below": lambda path: files.read(path / "secret"),
}


@pytest.mark.root
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("lies", ["link", "relative link", "second name", "pipe", "link above"])
def test_root_is_led_nowhere_below_anothers_directory(place: Path, root: RootsOwn, way: str, lies: str) -> None:
    theirs = own(place / "theirs")
    path = theirs / "name"
    targets = [root.folder if "below" in way or way in ("make_directory", "check_writable") else root.file]
    if lies == "link":
        path.symlink_to(targets[0])
    elif lies == "relative link":
        path.symlink_to(Path("../root") / targets[0].name)
    elif lies == "second name":
        path.hardlink_to(root.file)
    elif lies == "pipe":
        os.mkfifo(path)
    else:
        (theirs / "above").symlink_to(root.directory)
        path = theirs / "above" / targets[0].name
    try:
        read = WAYS[way](path)
    except OSError:
        read = b""
    assert read != b"of root alone"
    root.assert_untouched((way, lies))


@pytest.mark.root
def test_in_directories_of_root_alone_links_are_roots_own_and_followed(place: Path, root: RootsOwn) -> None:
    (root.directory / "short").symlink_to("cron.d")
    (root.directory / "round").symlink_to("round")
    files.replace(root.directory / "short" / "x", b"mine")
    assert (root.folder / "x").read_bytes() == b"mine"
    with pytest.raises(OSError):
        files.replace(root.directory / "round" / "x", b"")
    open_to_all = place / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o1777)
    (open_to_all / "x").symlink_to(root.folder)
    with pytest.raises(OSError):
        files.replace(open_to_all / "x" / "y", b"")


@pytest.mark.root
def test_what_root_makes_for_another_is_that_ones(place: Path) -> None:
    theirs = own(place / "theirs")
    files.replace(files.make_directory(theirs / "a" / "b") / "c", b"")
    os.close(files.open_to_append(theirs / "log"))
    assert {path.stat().st_uid for path in theirs.rglob("*")} == {USER}


@pytest.mark.root
def test_a_race_of_links_against_root_is_not_won(place: Path, root: RootsOwn) -> None:
    """Somebody changes a directory for a link and back, as fast as can be, while root writes there."""
    theirs, stop = own(place / "theirs"), threading.Event()
    directory = theirs / "d"
    directory.mkdir()
    link = theirs / "link"
    link.symlink_to(root.folder)
    exchange = ctypes.CDLL(None).renameat2  # the two change their names in one step

    def race() -> None:
        while not stop.is_set():
            exchange(AT_CWD, bytes(directory), AT_CWD, bytes(link), EXCHANGE)

    racing = threading.Thread(target=race)
    racing.start()
    written = 0
    try:
        for _ in range(2_000):
            for write in (lambda: files.replace(directory / "x", b"led", durable=False),
                          lambda: files.make_directory(directory / "y" / "z")):  # fmt: skip
                try:
                    write()
                    written += 1
                except OSError:
                    pass
    finally:
        stop.set()
        racing.join()
    root.assert_untouched()
    assert written, "the race was not one"
