"""The inventory is read without being led out of its directory; of a file that is none of ours nothing is shown."""

import os
import threading
from pathlib import Path

import pytest

from inventory.assembly import directory
from inventory.assembly.load import load_with_problems

CANARY = "c4nary-of-soctrang"
OURS = "province: {id: soc-trang, name: Sóc Trăng}\n"
FOREIGN = {
    "shadow": f"root:$6${CANARY}:19000:0:99999:7:::\nmail:*:19000:0:99999:7:::\n",
    "secrets": f"mail-password: {CANARY}\n{CANARY}: x\n{CANARY}: y\n",
    "a key": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n",
    "a text": f"{CANARY}\n",
    "quoted": f'"{CANARY}"\n',
    "a list": f"- {CANARY}\n",
    "an alias": f"a: *{CANARY}\n",
    "an anchor": f"a: &{CANARY} b\n",
    "a tag": f"a: !{CANARY} b\n",
    "a directive": f"%TAG !{CANARY}! x\n--- {{a: !{CANARY}!x b}}\n",
    "a tag handle": f"a: !{CANARY}!x b\n",
    "ini": f"[mail]\npassword={CANARY}\n",
    "json": f'{{"{CANARY}": "{CANARY}", "{CANARY}": 1}}',
    "half of it": f"{CANARY}: 1\n{CANARY}: 2\n  x: [\n",
    "not closed": f"{CANARY}: '{CANARY}\n",
    "two": f"{CANARY}: 1\n---\n{CANARY}: 1\n",
    "environment": f"PASSWORD={CANARY}\n",
    "keys": f"? {CANARY}\n? [{CANARY}]\n",
    "escape": f'"{CANARY}\\q": x\n',
    "tab": f"{CANARY}:\n\t- {CANARY}\n",
    "bytes": f"{CANARY}\x00{CANARY}",
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    made = tmp_path / "inventory"
    made.mkdir()
    (made / "all.yaml").write_text(OURS, "utf-8")
    return made


def told(base: Path) -> str:
    return "\n".join(str(problem) for problem in load_with_problems(base)[1])


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_is_none_of_ours_shows_nothing_of_itself(base: Path, content: str) -> None:
    (base / "x.yaml").write_text(content, "utf-8")
    words = told(base)
    assert CANARY not in words
    assert "mail-password" not in words
    assert "x.yaml" in words


class TestLinks:
    @pytest.fixture
    def secret(self, tmp_path: Path) -> Path:
        """What would be a proper file of the inventory, elsewhere."""
        file = tmp_path / "secret.yaml"
        file.write_text(f"agencies: {{ {CANARY}: {{name: {CANARY}, wrong: x}} }}\n", "utf-8")
        return file

    def test_out_of_the_directory(self, base: Path, secret: Path) -> None:
        (base / "direct.yaml").symlink_to(secret)
        (base / "relative.yaml").symlink_to("../secret.yaml")
        (base / "chain.yaml").symlink_to("direct.yaml")
        (base / "passwd.yml").symlink_to("/etc/passwd")
        (base / "zero.yaml").symlink_to("/dev/zero")
        (base / "memory.yaml").symlink_to("/proc/self/environ")
        (base / "gone.yaml").symlink_to("nothing")
        inventory, _ = load_with_problems(base)
        words = told(base)
        assert inventory is not None
        assert not inventory.agencies
        assert CANARY not in words
        assert words.count("is a link that leads out of the inventory's directory") == 6
        assert "gone.yaml: cannot be read: there is no such file" in words

    def test_by_way_of_a_folder(self, base: Path, secret: Path) -> None:
        (base / "folder").symlink_to(secret.parent)
        (base / "through.yaml").symlink_to("folder/secret.yaml")
        assert CANARY not in told(base)
        assert "through.yaml: is a link that leads out" in told(base)

    def test_inside_they_are_followed_as_mounted_configurations_have_them(self, tmp_path: Path) -> None:
        base = tmp_path / "mounted"
        (base / "..2026").mkdir(parents=True)
        (base / "..2026" / "all.yaml").write_text(OURS, "utf-8")
        (base / "..data").symlink_to("..2026")
        (base / "all.yaml").symlink_to("..data/all.yaml")
        assert told(base) == ""
        assert load_with_problems(base)[0].province.id == "soc-trang"

    def test_the_directory_itself_may_be_one(self, base: Path) -> None:
        link = base.with_name("link")
        link.symlink_to(base)
        assert told(link) == ""

    def test_in_a_circle(self, base: Path) -> None:
        (base / "a.yaml").symlink_to("b.yaml")
        (base / "b.yaml").symlink_to("a.yaml")
        assert "a.yaml: cannot be read" in told(base)

    def test_exchanged_while_it_is_read(self, base: Path, secret: Path) -> None:
        """A folder that is a link at the one moment and none at the next."""
        inside, outside = base / "inside", secret.parent / "outside"
        inside.mkdir()
        outside.mkdir()
        (inside / "x.yaml").write_text(OURS, "utf-8")
        (outside / "x.yaml").write_text(CANARY, "utf-8")
        way = base / "way"
        ended = threading.Event()

        def exchange() -> None:
            kept = base / ".kept"
            while not ended.is_set():
                way.symlink_to(outside)
                way.unlink()
                inside.rename(way)
                way.rename(inside)
            kept.unlink(missing_ok=True)

        exchanging = threading.Thread(target=exchange)
        exchanging.start()
        try:
            seen = set()
            for _ in range(3_000):
                try:
                    seen.add(directory.read(base, way / "x.yaml", 1000))
                except directory.NotRead:
                    continue
        finally:
            ended.set()
            exchanging.join()
        assert CANARY.encode() not in b"".join(seen)


def test_what_is_no_plain_file_is_not_waited_for(base: Path) -> None:
    os.mkfifo(base / "pipe.yaml")
    (base / "folder.yaml").mkdir()
    assert told(base).endswith("pipe.yaml: is not a plain file: it is not read")


def test_a_large_file(base: Path) -> None:
    with (base / "large.yaml").open("wb") as file:
        file.truncate(33 << 20)
    assert "large.yaml: is larger than 32 MiB" in told(base)


def test_mistakes_in_our_own_are_still_told_by_name(base: Path) -> None:
    (base / "x.yaml").write_text("agencis: {}\n", "utf-8")
    (base / "y.yaml").write_text("goals: {}\nextra: 1\n'a strange\\e[31m key': 2\n", "utf-8")
    words = told(base)
    assert "x.yaml:1: agencis: is not a key known here; did you mean agencies?" in words
    assert "y.yaml:2: extra: is not a key known here" in words
    assert "y.yaml:3: a key here is no section" in words


def test_names_are_what_one_sees(base: Path) -> None:
    (base / "all.yaml").write_text('province: {id: soc-trang, name: "Sóc\\u202e Trăng\\e[31m\\u200b"}\n', "utf-8")
    inventory, _ = load_with_problems(base)
    assert inventory is not None
    assert inventory.province.name.vi == "Sóc Trăng[31m"


def test_problems_are_printable_and_bounded(base: Path) -> None:
    keys = "".join(f'  "k{number}\\e[31m\\u202e\\n2026 CRITICAL": x\n' for number in range(500))
    (base / "x.yaml").write_text(f"province:\n  id: soc-trang\n{keys}  {'n' * 9_000}: {'v' * 9_000}\n", "utf-8")
    problems = load_with_problems(base)[1]
    assert len(problems) < 40
    assert all(str(problem).isprintable() and len(str(problem)) < 1500 for problem in problems)
