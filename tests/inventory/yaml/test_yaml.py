"""Strict YAML, the typed reader, and the programs' own settings."""

from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as unhurried
from hypothesis import strategies as st

from inventory.base.problems import Invalid, Problem
from inventory.base.types import Duration, Ratio, Secret, Size, Text, duration_ms, duration_text, ratio, size_bytes
from inventory.yaml import nodes, settings


class Part(msgspec.Struct, frozen=True):
    listen: str = "127.0.0.1:8440"
    password: Secret | None = None


class Settings(msgspec.Struct, frozen=True, rename={"begins": "from"}):
    url: str
    every: Duration = 30_000
    share: Ratio = 1.0
    room: Size = 0
    directory: Path | None = None
    count: int = 1
    factor: float = 1.0
    on: bool = False
    words: tuple[str, ...] = ()
    targets: dict[int, Ratio] = {}
    name: Text = Text("", "")
    part: Part = Part()
    begins: str = ""


def problems_of(tmp_path: Path, text: str | bytes) -> list[str]:
    file = tmp_path / "agent.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Invalid) as caught:
        settings.read_settings(file, Settings)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def read(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "agent.yaml"
    file.write_text(text, "utf-8")
    return settings.read_settings(file, Settings)


def test_a_scalar_is_read_as_its_field_means_it(tmp_path: Path) -> None:
    (tmp_path / "hush").write_text("s3cret\n", "utf-8")
    found = read(
        tmp_path,
        """
url: no
words: [no, on, 014, 12:30:45, 1e3, 2011-01-01, ~x, "null", 0x10, .inf]
every: 1h30m
share: 99.9%
room: 64MiB
directory: state
count: 7
factor: -0.25
on: true
targets: {2011: 50%, 2015: 0.9}
name: {vi: Sở Y tế, en: Health}
part: {password_file: hush}
from: "1"
""",
    )
    assert found.url == "no"
    assert found.words == ("no", "on", "014", "12:30:45", "1e3", "2011-01-01", "~x", "null", "0x10", ".inf")
    assert (found.every, found.share, found.room) == (5_400_000, 0.999, 64 << 20)
    assert found.directory == tmp_path / "state"
    assert (found.count, found.factor, found.on) == (7, -0.25, True)
    assert found.targets == {2011: 0.5, 2015: 0.9}
    assert found.name == Text("Sở Y tế", "Health")
    assert found.part.password == "s3cret"
    assert "s3cret" not in repr(found)
    assert found.begins == "1"


def test_text_is_normalised(tmp_path: Path) -> None:
    decomposed = "So\u031b\u0309 Y te\u0302\u0301"
    assert read(tmp_path, f"url: {decomposed}").url == "S\u1edf Y t\u1ebf"


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    file = tmp_path / "empty.yaml"
    file.write_text("# nothing\n", "utf-8")
    assert settings.read_settings(file, Part) == Part()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("url: a\nurl: b", "2: url: is written twice, first on line 1"),
        ("url: a\npart:\n  listen: x\n  listen: y", "4: part.listen: is written twice, first on line 3"),
        ("url: a\nwords: [{a: 1, a: 2}]", "2: words[0].a: is written twice, first on line 2"),
        ("url: &x a", "1: an anchor (&) is not allowed: write it out"),
        ("url: *x", "1: an alias (*) is not allowed: write it out"),
        ("url: !!str a", "1: a tag (!) is not allowed: leave it out"),
        ("url: !ours a", "1: a tag (!) is not allowed: leave it out"),
        ("<<: {url: a}", "1: the merge key << is not allowed: write it out"),
        ("url: a\n---\nurl: b", "2: a second document (---) is not allowed: use two files"),
        ("url: a\n? [b]\n: c", "2: a key must be a plain word; if it begins with { or [ put it in quotes"),
        ("url: a: b", "1: is not YAML here: mapping values are not allowed in this context"),
        ("url: a\nx: \x07", "2: has a character that YAML does not allow (code 0x7)"),
        ("url: a\nurls: b", "2: urls: is not a key known here; did you mean url?"),
        (
            "url: a\npart: {zzz: b}",
            "2: part.zzz: is not a key known here; known are: listen, password, password_file",
        ),
        ("count: 1", "1: needs the key url"),
        ("- a", "1: ought to be a mapping, found a list"),
        ("url: [a]", "1: url: ought to be a text, found a list"),
        ("url:", "1: url: ought to be a text, found nothing"),
        ("url: a\ncount: 014", "2: count: ought to be a whole number in plain decimals, found '014'"),
        ("url: a\ncount: 1_000", "2: count: ought to be a whole number in plain decimals, found '1_000'"),
        ('url: a\ncount: "1"', "2: count: ought to be a whole number in plain decimals, found the quoted text '1'"),
        (
            f"url: a\ncount: {'9' * 5000}",
            f"2: count: ought to be a whole number in plain decimals, found '{'9' * 57}...'",
        ),
        ("url: a\nfactor: .nan", "2: factor: ought to be a number in plain decimals, found '.nan'"),
        ("url: a\nfactor: 1e3", "2: factor: ought to be a number in plain decimals, found '1e3'"),
        ("url: a\non: yes", "2: on: ought to be true or false, found 'yes'"),
        ("url: a\nevery: 30", "2: every: '30' is not a duration; write it like 30s, 5m, 1h30m or 250ms"),
        ("url: a\nshare: 101%", "2: share: 101% is more than 100%"),
        ("url: a\nroom: 3MB", "2: room: '3MB' is not a size; write it like 512KiB, 64MiB or 2GiB"),
        ("url: a\nwords: b", "2: words: ought to be a list, found 'b'"),
        ("url: a\nwords:\n  - b\n  - {}", "4: words[1]: ought to be a text, found a mapping"),
        ("url: a\nname: {fr: b}", "2: name.fr: is not a key known here; known are: vi, en"),
        (
            "url: a\npart: {password: b, password_file: c}",
            "2: part.password_file: give password or password_file, not both",
        ),
    ],
)
def test_every_mistake_has_file_line_and_key(tmp_path: Path, text: str, expected: str) -> None:
    assert f"agent.yaml:{expected}" in problems_of(tmp_path, text)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = "every: 1q\ncount: x\npart:\n  listne: 1\nzzz: 1\n"
    assert [line.split(": ")[1] for line in problems_of(tmp_path, text)] == [
        "needs the key url",
        "every",
        "count",
        "part.listne",
        "zzz",
    ]


def test_a_missing_secret_file_is_named(tmp_path: Path) -> None:
    (said,) = problems_of(tmp_path, "url: a\npart: {password_file: gone}")
    assert said == f"agent.yaml:2: part.password_file: cannot read {tmp_path}/gone: No such file or directory"


def test_unreadable_files_are_problems_too(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        settings.read_settings(tmp_path / "gone.yaml", Settings)
    assert str(caught.value) == f"{tmp_path}/gone.yaml: cannot be read: No such file or directory"
    assert problems_of(tmp_path, b"url: a\nx: \xff\n") == ["agent.yaml:2: is not UTF-8 text; save it as UTF-8"]
    assert problems_of(tmp_path, b"#" * (nodes.MAX_BYTES + 1)) == ["agent.yaml: is larger than 32 MiB"]


@pytest.mark.parametrize("bomb", ["[" * 100_000, "- " * 100_000, "{a: " * 100_000])
def test_nesting_is_bounded_before_it_costs_anything(bomb: str) -> None:
    problems: list[Problem] = []
    assert nodes.parse(bomb, "bomb", problems) is None
    assert [problem.message for problem in problems] == ["is nested more than 24 deep"]


def test_an_alias_bomb_is_refused_at_its_first_anchor() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
    )
    problems: list[Problem] = []
    assert nodes.parse(bomb, "bomb", problems) is None
    assert [str(problem) for problem in problems] == ["bomb:1: an anchor (&) is not allowed: write it out"]


def _plain(node: nodes.Node | None) -> object:
    if isinstance(node, nodes.MappingNode):
        return {key: _plain(value) for key, value in node.items.items()}
    if isinstance(node, nodes.ListNode):
        return [_plain(value) for value in node.items]
    return None if node is None else node.text


_words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)
_trees = st.recursive(
    _words, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_words, inner, max_size=4), max_leaves=20
)


@unhurried(deadline=None)
@given(_trees.filter(lambda made: not isinstance(made, str)))
def test_a_tree_is_what_was_written(made: object) -> None:
    text = yaml.safe_dump(made, default_style='"')
    text = text.replace("!!null ", "").replace("!!str ", "")
    for loader in (yaml.CSafeLoader, yaml.SafeLoader):
        problems: list[Problem] = []
        assert _plain(nodes.parse(text, "made", problems, loader)) == made
        assert problems == []


@unhurried(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_input_raises(data: bytes) -> None:
    problems: list[Problem] = []
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    for loader in (yaml.CSafeLoader, yaml.SafeLoader):
        made = nodes.parse(text, "any", problems, loader)
        assert made is None or isinstance(made, nodes.ScalarNode | nodes.MappingNode | nodes.ListNode)


@unhurried(deadline=None)
@given(st.integers(0, 10**12))
def test_a_duration_written_is_a_duration_read(ms: int) -> None:
    assert duration_ms(duration_text(ms)) == ms


@unhurried(deadline=None)
@given(st.integers(0, 100_000))
def test_a_percentage_is_the_nearest_ratio(thousandths: int) -> None:
    assert ratio(f"{thousandths // 1000}.{thousandths % 1000:03}%") == thousandths / 100_000


@pytest.mark.parametrize("text", ["", "s", "5", "-5s", "5 s", "1m1h", "５s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        duration_ms(text)


def test_sizes() -> None:
    assert [size_bytes(text) for text in ("7", "7B", "2KiB", "3 GiB")] == [7, 7, 2048, 3 << 30]
