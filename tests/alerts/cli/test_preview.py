"""``haidang-alerts``: the commands are found when asked for; preview shows what people would get."""

import subprocess
import sys
from email import message_from_bytes, policy
from pathlib import Path
from types import SimpleNamespace

import pytest

from alerts.cli import main, samples
from tests.support.mails import ROOT, HtmlMail

EXAMPLE = str(ROOT / "inventory" / "examples" / "soctrang")


def run(*words: str) -> int:
    return main.main(["preview", *words])


def test_preview_shows_mails_with_the_inventorys_names(capsys):
    assert run(EXAMPLE) == 0
    out = capsys.readouterr().out
    assert "Subject: [Nghiêm trọng] Mất đường truyền: Sở " in out
    assert "Trung tâm tích hợp dữ liệu" in out
    assert run("--language", "en", EXAMPLE) == 0
    assert "Subject: [Critical] Line down: Department of " in capsys.readouterr().out


@pytest.mark.parametrize("kind", samples.KINDS)
def test_preview_has_every_kind_of_notice(kind, capsys):
    assert run("--kind", kind, EXAMPLE) == 0
    assert f"===== {kind}" in capsys.readouterr().out


def test_preview_writes_pages_and_whole_messages(tmp_path, capsys):
    assert run("--kind", "all", "--html", str(tmp_path / "pages"), "--mail", str(tmp_path / "mails"), EXAMPLE) == 0
    pages = sorted((tmp_path / "pages").glob("*.html"))
    assert {page.stem.partition("-")[0] for page in pages} == set(samples.KINDS)
    assert all(HtmlMail(page.read_text("utf-8")).tags[0] == ("html", {"lang": "vi"}) for page in pages)
    found = message_from_bytes((tmp_path / "mails" / "digest-vi.eml").read_bytes(), policy=policy.default)
    assert found["Auto-Submitted"] == "auto-generated"
    assert capsys.readouterr().out.count("\n") == len(pages)
    assert run("--kind", "digest", "--html", str(tmp_path / "one.html"), EXAMPLE) == 0
    assert "Báo cáo ngày" in (tmp_path / "one.html").read_text("utf-8")


def test_preview_finds_the_inventory_as_the_collector_does(tmp_path, capsys):
    config = tmp_path / "collector.yaml"
    config.write_text(f"inventory: {EXAMPLE}\n")
    assert run("--config", str(config), "--kind", "digest") == 0
    assert "Báo cáo ngày" in capsys.readouterr().out
    config.write_text("state_dir: /tmp\n")
    assert run("--config", str(config)) == 1
    assert "does not name the inventory's directory" in capsys.readouterr().err
    assert run(str(tmp_path / "nowhere")) == 1
    assert "is not a directory" in capsys.readouterr().err


def test_preview_to_a_contact(capsys):
    assert run("--contact", "truc-ca", "--kind", "digest", EXAMPLE) == 0
    assert "gửi đến Trực Trung tâm tích hợp dữ liệu." in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        run("--contact", "nobody-at-all", EXAMPLE)
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "there is no contact nobody-at-all; there are: " in said
    assert "truc-ca" in said


def test_preview_of_an_inventory_with_next_to_nothing(tmp_path, capsys):
    (tmp_path / "all.yaml").write_text(
        "province: {id: x, name: X}\nagencies: {a: {name: A, site: {agent: a, checks: {t: {kind: tcp, params: {host:"
        " 192.0.2.1, port: 80}}}}}}\n"
    )
    for kind in samples.KINDS:
        assert run("--kind", kind, str(tmp_path)) == 0
    assert "Mất liên lạc: A" in capsys.readouterr().out


def test_preview_is_loaded_alone(monkeypatch):
    """A command that is not asked for is not imported, whatever state it is in."""
    script = (
        "import sys; from alerts.cli import main as cli\n"
        f"assert cli.main(['preview', '--kind', 'digest', {EXAMPLE!r}]) == 0\n"
        "unasked = {'alerts.cli.delivery_test', 'alerts.rules.prometheus', 'aiosmtplib', 'collector'}\n"
        "sys.exit(bool(unasked & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60, capture_output=True)


def test_a_command_gets_its_own_arguments_and_gives_the_exit_code(monkeypatch):
    seen = []

    def add_arguments(parser):
        parser.add_argument("address")
        parser.add_argument("--config", type=Path)

    def finish(arguments):
        seen.append((arguments.address, arguments.config))
        return 1

    monkeypatch.setitem(
        sys.modules, "alerts.cli.delivery_test", SimpleNamespace(add_arguments=add_arguments, run=finish)
    )
    assert main.main(["test", "--config", "c.yaml", "a@b.example"]) == 1
    assert seen == [("a@b.example", Path("c.yaml"))]


@pytest.mark.parametrize("words", [[], ["nothing"], ["preview", "--kind", "love"], ["preview", "--language", "fr"]])
def test_what_is_not_understood_is_2(words, capsys):
    with pytest.raises(SystemExit) as left:
        main.main(words)
    assert left.value.code == 2
    assert "usage: haidang-alerts" in capsys.readouterr().err


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit) as left:
        main.main(["--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert all(f"{name}: " in out for name in ("preview", "test", "rules"))
