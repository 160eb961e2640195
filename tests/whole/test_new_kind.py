"""A kind of probe is one file and its test: a made-up one in a copy of the tree, from the inventory to page and mail.

The kind is the example of docs/examples/probe. What is generated is generated again, two words are translated, and no
other file is touched.
"""

import asyncio
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.pofile import read_po, write_po
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.conftest import Lab
from tests.support.paths import ROOT

EXAMPLE = ROOT / "docs" / "examples" / "probe"
COPIED = ("agent", "alerts", "collector", "deploy", "docs", "inventory", "tests", "pyproject.toml")
IGNORED = shutil.ignore_patterns("__pycache__", ".*_cache")
TRANSLATIONS = {"tide gauge": "trạm đo mực nước", "level {value:n}": "mực nước {value:n}"}
GENERATED = ("inventory/protocol/kinds.json", "docs/", "alerts/locale/")

MAIL = """
from inventory.assembly.load import load
from inventory.model.entities import Contact
from inventory.base.types import Text
from tests.support import mails
import sys

estate = load(sys.argv[1])
(uid,) = estate.checks
incident = mails.check_incident(estate, uid, "down", reason="127.0.0.1 port 7000 refused the connection")
mail = mails.write("trouble", incident, made=estate, to=Contact(id="an", name=Text("An", "An"), email="an@st.example"))
print(mail.subject, mail.text, sep="\\n")
"""


class Tree:
    """A copy of the tree, in which our programs run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, root / name, ignore=IGNORED)
            else:
                shutil.copy(source, root / name)

    def digests(self) -> dict[str, bytes]:
        """Every file's content, by its path."""
        return {
            path.relative_to(self.root).as_posix(): hashlib.sha256(path.read_bytes()).digest()
            for path in self.root.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    async def run(self, *arguments: str, code: int = 0) -> str:
        """What a program of this tree prints."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=self.root, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        assert process.returncode == code, output.decode()
        return output.decode()

    async def generate(self) -> None:
        """Everything that is made from what the kinds declare."""
        await self.run("-m", "agent.cli.kinds_file")
        await self.run("-m", "deploy.words.catalogue", code=1)  # words without a translation
        assert self.translate() == set(TRANSLATIONS)
        await self.run("-m", "deploy.words.catalogue")
        references = (self.root / "deploy" / "reference").glob("[a-z]*.py")
        await asyncio.gather(*(self.run("-m", f"deploy.reference.{file.stem}") for file in references))

    def translate(self) -> set[str]:
        """Give the new entries of the catalogues their Vietnamese; which they were."""
        new = set()
        for file in (self.root / "alerts" / "locale" / "vi" / "LC_MESSAGES").glob("*.po"):
            with file.open("rb") as stream:
                catalogue = read_po(stream, locale="vi")
            for entry in catalogue:
                if entry.id and not (entry.string if isinstance(entry.string, str) else entry.string[0]):
                    entry.string = TRANSLATIONS[str(entry.id)]
                    new.add(str(entry.id))
            with file.open("wb") as stream:
                write_po(stream, catalogue, width=0, include_lineno=False)
        return new


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tree]:
    copy = Tree(tmp_path / "tree")
    monkeypatch.chdir(copy.root)  # programs that others start run in it too
    monkeypatch.setenv("PYTHONPATH", str(copy.root))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    yield copy


@pytest.mark.timeout(300)  # some 20 s of processor time, in several programs
async def test_a_new_kind_is_one_file_and_its_test(tree: Tree, lab: Lab) -> None:
    before = tree.digests()
    shutil.copy(EXAMPLE / "tide.py", tree.root / "agent" / "probes")
    shutil.copy(EXAMPLE / "test_tide.py", tree.root / "tests" / "agent" / "probes")
    await tree.generate()
    after = tree.digests()
    touched = {name for name in after if after[name] != before.get(name)}
    assert before.keys() <= after.keys()
    assert {name for name in touched if not name.startswith(GENERATED)} == {
        "agent/probes/tide.py",
        "tests/agent/probes/test_tide.py",
    }

    server = await asyncio.start_server(say_level, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    lab.watch(
        {
            "gauge": {
                "kind": "tide",
                "params": {"gauge": "127.0.0.1", "port": port},
                "thresholds": [{"measure": "level", "above": 2.5}],
            }
        }
    )
    async with server, asyncio.TaskGroup() as group:
        group.create_task(the_house_rules_hold(tree))
        group.create_task(the_commands_know_it(tree, lab))
        group.create_task(pages_and_metrics_show_it(lab))


async def say_level(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"2.75\r\n")
    writer.close()


async def the_house_rules_hold(tree: Tree) -> None:
    """Its own test, and all rules for kinds; the rules that no kind changes are tested elsewhere."""
    files = ("house/test_house_rules.py", "agent/probes/test_tide.py", "deploy/test_probe_reference.py")
    only = ("-k", "tide or kinds_that_share or kinds_json or reference_is_current")
    await tree.run("-m", "pytest", "-q", "-p", "no:cacheprovider", *only, *(f"tests/{file}" for file in files))


async def the_commands_know_it(tree: Tree, lab: Lab) -> None:
    inventory, plan = str(lab.inventory), lab.directory / "plan.json"
    assert "1 check" in await tree.run("-m", "inventory.cli.main", "check", inventory)
    plan.write_text(await tree.run("-m", "inventory.cli.main", "plan", inventory, "site", "--json"), "utf-8")
    state = ("--state-dir", str(lab.directory / "once"))
    seen = json.loads(await tree.run("-m", "agent.cli.main", "once", "--plan", str(plan), "--json", *state, code=1))
    assert (seen["kind"], seen["state"], seen["measures"]["level"]) == ("tide", "degraded", 2.75)
    assert seen["reason"] == "level 2.75 is above 2.5"
    text = await tree.run("-c", MAIL, inventory)
    assert "Ngừng hoạt động: gauge" in text.partition("\n")[0]  # the general headline and steps
    assert "127.0.0.1" in text


async def pages_and_metrics_show_it(lab: Lab) -> None:
    await lab.start()
    check = await lab.until("gauge", lambda one: one["state"] == "degraded")
    assert check["kind"] == "tide"
    levels = await exported(lab, "haidang_tide_level")
    assert [(labels["kind"], labels["check"], value) for labels, value in levels] == [("tide", "gauge", 2.75)]
    assert not await exported(lab, "haidang_tide_connect_seconds")
    async with lab.collector.session.get(f"{lab.collector.page}/agencies/agency?lang=vi") as answer:
        page = await answer.text()
    assert answer.status == 200 and TRANSLATIONS["tide gauge"] in page


async def exported(lab: Lab, name: str) -> list[tuple[dict[str, str], Any]]:
    async with lab.collector.session.get(f"{lab.collector.page}/metrics") as answer:
        families = parse(await answer.text())
    return [(sample.labels, sample.value) for family in families for sample in family.samples if sample.name == name]
