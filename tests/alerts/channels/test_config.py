"""The section alerts of the collector's file: what it means, and every mistake with its line."""

import re
from pathlib import Path

import pytest

from alerts.channels import config as channels_config
from alerts.channels.config import (
    AlertmanagerSettings,
    ChannelSettings,
    DeadmanSettings,
    RelaySettings,
    WebhookSettings,
)
from collector import config
from inventory.base.problems import Invalid
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "alerts.md"
WHOLE = """
state_dir: state
alerts:
  from: haidang@province.example
  bounce: bounces@province.example
  relays:
    - {host: mail.province.example, user: haidang, password_file: mail-password}
    - {host: smtp.provider.example, tls: tls, user: x@provider.example, password: two, timeout: 45s}
    - {host: 127.0.0.1, tls: none}
  webhook: {url_file: hook-url, header: Authorization, value: Bearer 1, after: 3m}
  deadman: {url: "https://hc.example/ping/1", every: 2m}
  alertmanagers:
    - {url: "http://127.0.0.1:9093"}
    - {url: "https://am.example/prefix", token: abc}
  url: https://haidang.province.example
  give_up_after: 3d
"""


def written(directory: Path, text: str) -> Path:
    file = directory / "collector.yaml"
    file.write_text(text, "utf-8")
    (directory / "mail-password").write_text("một\n", "utf-8")
    (directory / "hook-url").write_text("https://chat.example/hook/1\n", "utf-8")
    return file


def test_both_readers_read_the_same(tmp_path: Path) -> None:
    file = written(tmp_path, WHOLE)
    found = channels_config.read_settings(file)
    assert found == config.read(file).alerts
    assert [(relay.name, relay.tls, relay.user) for relay in found.relays] == [
        ("mail.province.example:587", "starttls", "haidang"),
        ("smtp.provider.example:465", "tls", "x@provider.example"),
        ("127.0.0.1:25", "none", ""),
    ]
    assert (str(found.relays[0].password), found.relays[1].timeout) == ("một", 45_000)
    assert found.webhook is not None
    assert (str(found.webhook.url), found.webhook.after) == ("https://chat.example/hook/1", 180_000)
    assert found.message_id_domain == "province.example"
    assert found.page_url("/incidents/ab") == "https://haidang.province.example/incidents/ab"
    assert found.sends_mail


def test_no_secret_shows_itself(tmp_path: Path) -> None:
    shown = repr(channels_config.read_settings(written(tmp_path, WHOLE)))
    for secret in ("một", "two", "Bearer", "hook/1", "abc"):
        assert secret not in shown


def test_nothing_is_needed(tmp_path: Path) -> None:
    for text in ("", "state_dir: x\n", "alerts: {}\n"):
        found = channels_config.read_settings(written(tmp_path, text))
        assert found == ChannelSettings()
        assert not found.sends_mail
        assert found.page_url("/x") == ""


def test_the_trying_reader_minds_only_its_own_section(tmp_path: Path) -> None:
    assert (
        channels_config.read_settings(written(tmp_path, "unknown: {a: 1}\nalerts: {from: a@b.example}\n")).from_
        == "a@b.example"
    )


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("alerts:\n  relays:\n  - {host: h}\n", [":1: alerts: needs the key from: the address that mails come from"]),
        (
            "alerts:\n  from: a@b.c\n  relays:\n  - {host: h, user: x}\n  - host: k\n    prt: 3\n",
            [
                ":4: alerts.relays[0]: user and password go together",
                ":6: alerts.relays[1].prt: is not a key known here; did you mean port?",
            ],
        ),
        (
            "alerts:\n  from: a@b.c\n  relays:\n  - {host: h, user: x, password: y, tls: none}\n",
            [":4: alerts.relays[0]: a password goes only over TLS: tls ought to be starttls or tls"],
        ),
        (
            "alerts:\n  from: a@b.c\n  relays:\n  - {host: h, user: x, password: y, verify: false}\n",
            [
                ":4: alerts.relays[0]: a password goes only to a verified server: "
                "give its certificate as ca, not verify: false"
            ],
        ),
        (
            "alerts:\n  from: a@b.c\n  relays:\n  - {host: h}\n  - {host: h, port: 587}\n",
            [":1: alerts: relays: the same one is named twice"],
        ),
        (
            "alerts:\n  from: nobody\n",
            [":1: alerts: from: 'nobody' is not a mail address; write it like haidang@provi"],
        ),
        (
            "alerts:\n  relays:\n  - {host: h, timeout: 1ms}\n",
            [":3: alerts.relays[0]: timeout ought to be between 1 s "],
        ),
        ("alerts:\n  webhook: {url: ftp://x}\n", [":2: alerts.webhook: url is not a web address; write it like https"]),
        (
            "alerts:\n  webhook: {url: 'http://x.example/', header: A, value: b}\n",
            [":2: alerts.webhook: url: a secret goes only over https"],
        ),
        (
            "alerts:\n  webhook: {url: 'https://u:p@x.example/'}\n",
            [":2: alerts.webhook: url has a user or password in"],
        ),
        (
            "alerts:\n  webhook: {url: 'https://x.example/', header: A}\n",
            [":2: alerts.webhook: header and value go tog"],
        ),
        (
            "alerts:\n  deadman: {url: 'https://x.example/', every: 1s}\n",
            [":2: alerts.deadman: every ought to be betwe"],
        ),
        (
            "alerts:\n  alertmanagers:\n  - {url: 'http://x.example', token: t}\n",
            [":3: alerts.alertmanagers[0]: url: a secret goes only over https"],
        ),
        ("alerts:\n  instead_of_mail: true\n", [":1: alerts: instead_of_mail needs alertmanagers"]),
        (
            "alerts:\n  instead_of_mail: true\n  alertmanagers: [{url: 'https://x.example'}]\n"
            "  webhook: {url: 'https://y.example'}\n",
            [":1: alerts: webhook: it stands in for mail, and with instead_of_mail there is none"],
        ),
        (
            "alerts:\n  give_up_after: 20d\n  keep_days: 10\n",
            [":1: alerts: keep_days is less than give_up_after: a mail could be sent twice after a restore"],
        ),
        ("alerts: 7\n", [":1: alerts: ought to be a mapping, found '7'"]),
        ("- 1\n", [":1: ought to be a mapping"]),
        ("alerts:\n  deadman: {url_file: missing}\n", [":2: alerts.deadman.url_file: cannot read "]),
    ],
)
def test_mistakes_are_named_with_their_lines(tmp_path: Path, text: str, problems: list[str]) -> None:
    file = written(tmp_path, text)
    with pytest.raises(Invalid) as caught:
        channels_config.read_settings(file)
    found = [str(problem).removeprefix(str(file)) for problem in caught.value.problems]
    assert len(found) == len(problems)
    assert all(said.startswith(expected) for said, expected in zip(found, problems, strict=True)), found
    with pytest.raises(Invalid):
        config.read(file)


def test_the_section_that_the_docs_show_is_read(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```yaml\n(alerts:\n.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    (tmp_path / "secrets").mkdir()
    for name in re.findall(r"secrets/(\w+)", block):
        (tmp_path / "secrets" / name).write_text("https://secret.example/", "utf-8")
    found = channels_config.read_settings(written(tmp_path, block))
    assert [relay.effective_port for relay in found.relays] == [587, 465]
    assert found.webhook is not None
    assert found.deadman is not None
    assert len(found.alertmanagers) == 1


def test_a_secret_may_go_to_this_machine_in_the_clear() -> None:
    assert AlertmanagerSettings(url="http://127.0.0.1:9093", token="t").token == "t"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "made", [RelaySettings, WebhookSettings, DeadmanSettings, AlertmanagerSettings, ChannelSettings]
)
def test_every_setting_is_documented(made: type) -> None:
    """In the struct's own words, or those of the section."""
    said = f"{made.__doc__} {ChannelSettings.__doc__}"
    plain = {"host", "port", "url", "user", "password", "timeout", "ca", "every", "relays"}
    plain |= {"webhook", "deadman", "alertmanagers"}  # whose structs say it
    for name in made.__struct_encode_fields__:
        assert name in plain or f"``{name}``" in said, f"{made.__name__}.{name}"


def test_letters_are_written_where_something_takes_them(tmp_path: Path) -> None:
    def told(text: str) -> bool:
        (tmp_path / "collector.yaml").write_text(f"alerts: {text}\n", "utf-8")
        return channels_config.read_settings(tmp_path / "collector.yaml").sends_mail

    relays = "from: a@x.example, relays: [{host: mail.x.example}]"
    chief = "alertmanagers: [{url: 'https://x.example'}]"
    assert told(f"{{{relays}}}") and told("{webhook: {url: 'https://x.example'}}")
    assert not told(f"{{{relays}, {chief}, instead_of_mail: true}}") and not told("{}")
