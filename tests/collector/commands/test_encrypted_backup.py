"""Backups that only their recipients can read: made and restored by the real commands, and read by Debian's age."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import apsw
import pyrage
import pytest

from collector.commands import main
from collector.config import read
from collector.keys import files as keys_files
from collector.store.opening import open_store

NOW = 1_790_000_000_000
SQLITE = b"SQLite format 3\0"


class Place:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "collector.yaml"
        self.file.write_text("state_dir: state\ninventory: .\n")
        self.state = directory / "state"
        self.private = pyrage.x25519.Identity.generate()
        self.identity = directory / "key.txt"
        self.identity.write_text(f"# created: today\n{self.private}\n")
        self.recipient = str(self.private.to_public())

    async def make(self) -> "Place":
        self.authority = keys_files.authority(read(self.file).keys, NOW)
        store = open_store(self.state / "collector.db")
        await store.write(lambda tx: tx.audit.add(NOW, "an", "code", {"agent": "so"}))
        await store.close()
        return self

    def run(self, *words: str) -> int:
        return main.main([*words, "--config", str(self.file)])

    def lose(self) -> None:
        shutil.rmtree(self.state)

    def files(self) -> set[str]:
        """What lies in the state directory but for SQLite's own files beside the store."""
        beside = {"collector.db-wal", "collector.db-shm"}
        return {path.name for path in self.state.iterdir()} - beside

    def acts(self) -> list[tuple[str, str]]:
        with apsw.Connection(str(self.state / "collector.db"), flags=apsw.SQLITE_OPEN_READONLY) as db:
            return list(db.execute("SELECT who, what FROM audit WHERE what != 'restore'"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return asyncio.run(Place(tmp_path).make())


def test_what_is_encrypted_comes_back_whole_with_the_key_and_not_without(place, tmp_path, capsys):
    copy = tmp_path / "copy.age"
    assert place.run("backup", str(copy), "--recipient", place.recipient) == 0
    assert "encrypted" in capsys.readouterr().out
    content = copy.read_bytes()
    assert content.startswith(b"age-encryption.org/v1\n")
    assert SQLITE not in content and b"PRIVATE KEY" not in content
    assert place.files() == {"collector.db", "pki"}, "no plain copy is left behind"
    place.lose()
    other = tmp_path / "other.txt"
    other.write_text(str(pyrage.x25519.Identity.generate()))
    for words, why in (
        ((), "is encrypted: give the key"),
        (("--identity", str(other)), "another key"),
        (("--identity", str(copy)), "not a private key"),
        (("--identity", str(tmp_path / "nothing")), "cannot be read"),
    ):
        assert place.run("restore", str(copy), *words) == 1
        assert why in capsys.readouterr().err
        assert not (place.state / "collector.db").exists()
    assert place.run("restore", str(copy), "--identity", str(place.identity)) == 0
    assert place.acts() == [("an", "code")]
    assert keys_files.authority(place.state / "pki", NOW).pem == place.authority.pem
    assert place.files() == {"collector.db", "pki", "lock"}


@pytest.mark.parametrize("damage", ["cut", "flipped", "longer", "head"])
def test_a_damaged_copy_changes_nothing(place, tmp_path, capsys, damage):
    copy = tmp_path / "copy.age"
    assert place.run("backup", str(copy), "--recipient", place.recipient) == 0
    content = bytearray(copy.read_bytes())
    if damage == "cut":
        del content[-5_000:]
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
    elif damage == "longer":
        content += b"x"
    else:
        content[30] ^= 1
    copy.write_bytes(content)
    before = (place.state / "collector.db").read_bytes()
    assert place.run("restore", str(copy), "--identity", str(place.identity)) == 1
    assert "cannot be decrypted" in capsys.readouterr().err
    assert (place.state / "collector.db").read_bytes() == before
    assert place.files() == {"collector.db", "pki", "lock"}


def test_a_plain_copy_is_not_taken_for_an_encrypted_one(place, tmp_path, capsys):
    copy = tmp_path / "copy.db"
    assert place.run("backup", str(copy)) == 0
    assert copy.read_bytes().startswith(SQLITE)
    assert place.run("restore", str(copy), "--identity", str(place.identity)) == 1
    assert "is not encrypted" in capsys.readouterr().err
    assert place.run("restore", str(copy)) == 0


def test_recipients_may_be_several_and_stand_in_a_file(place, tmp_path, capsys):
    second = pyrage.x25519.Identity.generate()
    (tmp_path / "keys.pub").write_text(f"# the two of us\n{place.recipient}\n\n{second.to_public()}\n")
    (tmp_path / "second.txt").write_text(str(second))
    copy = tmp_path / "copy.age"
    assert place.run("backup", str(copy), "--recipient", str(tmp_path / "keys.pub")) == 0
    for key in (place.identity, tmp_path / "second.txt"):
        place.lose()
        assert place.run("restore", str(copy), "--identity", str(key)) == 0
    (tmp_path / "empty.pub").write_text("# nobody\n")
    for wrong in (
        "age1xyz",
        "ssh-ed25519 nonsense",
        str(tmp_path / "nothing"),
        str(tmp_path / "empty.pub"),
        str(place.file),
    ):
        assert place.run("backup", str(tmp_path / "never.age"), "--recipient", wrong) == 1, wrong
        assert "public key" in capsys.readouterr().err
    assert not list(tmp_path.glob("*never*"))


@pytest.mark.real
def test_age_reads_our_copies_and_we_read_what_age_wrote(place, tmp_path):
    key, mine = tmp_path / "age.txt", tmp_path / "copy.age"
    subprocess.run(["age-keygen", "-o", str(key)], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", str(key)], check=True, capture_output=True, text=True).stdout.strip()
    assert place.run("backup", str(mine), "--recipient", public) == 0
    plain, again = tmp_path / "plain.db", tmp_path / "again.age"
    subprocess.run(["age", "-d", "-i", str(key), "-o", str(plain), str(mine)], check=True)
    assert plain.read_bytes().startswith(SQLITE)
    subprocess.run(["age", "-r", public, "-o", str(again), str(plain)], check=True)
    place.lose()
    assert place.run("restore", str(again), "--identity", str(key)) == 0
    assert place.acts() == [("an", "code")]


@pytest.mark.real
def test_an_ssh_key_will_do(place, tmp_path):
    key, copy = tmp_path / "id", tmp_path / "copy.age"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    assert place.run("backup", str(copy), "--recipient", str(tmp_path / "id.pub")) == 0
    place.lose()
    assert place.run("restore", str(copy), "--identity", str(key)) == 0
    assert place.acts() == [("an", "code")]


def test_comments_may_be_indented_and_what_has_no_end_is_no_copy(place, tmp_path, capsys):
    keys = tmp_path / "keys.txt"
    keys.write_text(f"  # of the province\n\t{place.recipient}\r\n")
    place.identity.write_text(f"\t# mine\n  {place.private}\n")
    assert place.run("backup", str(tmp_path / "copy"), "--recipient", str(keys)) == 0
    assert place.run("restore", str(tmp_path / "copy"), "--identity", str(place.identity)) == 0
    before = place.files()
    for endless in ("/dev/zero", str(tmp_path)):
        assert place.run("restore", endless) == 1
        assert "not a plain file" in capsys.readouterr().err
    assert place.files() == before
