"""What reads bytes of strangers, each as one function: it returns or raises what it says it raises, and nothing else.

``PARSERS`` read from the network or from a disk that others write; ``GRAMMARS`` read texts that people write, and have
to be done with 10 kB within a second. :func:`run` is what a fuzzer calls. A new parser or grammar gets its line
here and a folder of seeds in ``corpus/``.
"""

import datetime
import os
import ssl
import tempfile
import zlib
from collections.abc import Callable, Coroutine, Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args
from zoneinfo import ZoneInfo

import dns.name
import msgspec
import yaml
from aiohttp.test_utils import make_mocked_request
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent import config, probes
from agent.backup.facts import BackupCopy, BackupQuery, BackupRefused
from agent.backup.integrity.meter import Meter
from agent.backup.integrity.read import ReadMarks, verify_copy
from agent.clients import ntp_packet
from agent.clients.http import http1, pattern
from agent.clients.http.body import read_body
from agent.clients.icmp import packets
from agent.clients.mail.imap import ImapClient
from agent.clients.mail.session import Login, MailServer, MailSession
from agent.clients.mail.smtp import SmtpClient, is_address
from agent.clients.net.neighbours import parse_attributes
from agent.clients.rationing import parse_hours
from agent.clients.snmp import ber, labels
from agent.clients.tls import chain as tls_chain
from agent.clients.tls import der, ocsp
from agent.clients.ups import apcupsd, nut
from agent.clients.ups.dates import parse_date
from agent.clients.ups.model import parse_number
from agent.credentials import Binding
from agent.failure import ProbeFailed
from agent.jobs import listener
from agent.jobs.stamp import Stamp
from agent.probe import Limits, ProbeContext
from agent.probes.dns import Dns, DnsAnswer, _parse_reply
from agent.uplink import enrol
from agent.uplink.connection import CollectorResponse
from alerts.channels.smtp_verdict import Stage, verdict
from alerts.language import quantities
from alerts.language.english_reasons import translate_text
from alerts.language.locale import choose_language
from alerts.mail.message import ADDRESS
from collector.config import parse_address
from collector.keys import pki
from collector.ledger.windows import window_at
from collector.web import query_params
from inventory.assembly import load, placeholders, threshold_text
from inventory.base import types
from inventory.base.problems import Invalid
from inventory.base.text import clean_text, printable
from inventory.grammars import formats
from inventory.grammars.file_patterns import FilePattern
from inventory.grammars.schedule import BadSchedule, ensure_possible, schedule_of
from inventory.model.selectors import Selector
from inventory.protocol import kinds as kinds_module
from inventory.protocol import plan, reasons, wire
from inventory.times import workdays
from inventory.yaml import nodes, reader, scalars

MAX_TEXT: Final = 10_240  # characters of a grammar's text
SECONDS: Final = 1.0  # of CPU that one input may take

Target = Callable[[bytes], object]


class _Script:
    """A far end that says this, in pieces, whatever it is told; and closes."""

    who = "far.example:1"
    remote_address = "127.0.0.1"
    local_address = "127.0.0.1"
    tls: ssl.SSLObject | None = None

    def __init__(self, data: bytes) -> None:
        size = 1 + data[0] if data else 1
        self._pieces = [data[at : at + size] for at in range(1, len(data), size)]

    async def send(self, data: bytes) -> None:
        """Nobody listens."""

    async def receive(self, size: int = 0) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def close(self) -> None:
        self._pieces.clear()


def _drive(talk: Coroutine[Any, Any, Any]) -> Any:
    """The end of a talk with a script, which never keeps one waiting."""
    while True:
        try:
            talk.send(None)  # it yields to let others run, and there are none
        except StopIteration as ended:
            return ended.value


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")[:MAX_TEXT]


def _http(data: bytes) -> None:
    stream: Any = _Script(data)

    async def talk() -> None:
        head = await http1.read_head(stream, b"")
        await read_body(stream, head, "GET", 1 << 20)

    _drive(talk())


def _mail(client: type[MailSession]) -> Target:
    def read(data: bytes) -> None:
        server = MailServer(host="far.example", port=1, security="none")
        session: Any = client(server, ProbeContext(1.0, Limits(), {}), 0.0)
        session._stream = _Script(data)

        async def talk() -> None:
            await session._read_greeting()
            await session._after_tls()
            await session.login(Login("robot", "robot", "c4nary"))
            if client is ImapClient:
                await session.select("INBOX", read_only=True)
            else:
                await session.send_mail("a@b.example", "a@b.example", b"x\r\n.\r\n")

        _drive(talk())

    return read


def _nut(data: bytes) -> None:
    reading, _ = _drive(nut.read(_Script(data), "", {"user": "u", "password": "p"}))  # type: ignore[arg-type]
    reading.normalise().measures()


def _apcupsd(data: bytes) -> None:
    reading, _ = _drive(apcupsd.read(_Script(data)))  # type: ignore[arg-type]
    reading.normalise().measures()


def _snmp(data: bytes) -> None:
    for _, value in ber.parse_message(data).varbinds:
        labels.text(value)


def _icmp(data: bytes) -> None:
    for version in (4, 6):
        start = packets.icmp_offset(version, data)
        if len(data) - start >= 8:
            packets.identifier_and_sequence(data, start)
            packets.request_in_error(version, memoryview(data)[start:])


def _ntp(data: bytes) -> None:
    nonce = int.from_bytes(data[24:32], "big")
    if (reply := ntp_packet.parse_reply(data, nonce=nonce)) is not None:
        ntp_packet.offset_and_delay(reply, 1_700_000_000_000_000_000, 0.1, 1_700_000_000)
        reply.kiss  # noqa: B018 a text of the server's


@cache
def _question() -> Any:
    return Dns(name="far.example", server="127.0.0.1").query()


def _dns(data: bytes) -> None:
    question = _question()
    reply = _parse_reply(question, question.id.to_bytes(2, "big") + data[2:])
    if reply is not None:
        Dns(name="far.example", server="127.0.0.1", expect=("192.0.2.1",))._fault(
            DnsAnswer(question, reply, 0.0, 0), {}
        )


def _certificate(data: bytes) -> None:
    fields = der.parse(data)
    der.attributes(fields.issuer)
    tls_chain.date_fault([data], 1_700_000_000.0)


def _staple(data: bytes) -> None:
    size = int.from_bytes(data[:2], "big")
    ocsp.check_staple(data[2 + size :], (data[2 : 2 + size],), 1_700_000_000.0)


def _push(data: bytes) -> None:
    wire.decode_push(zlib.compress(data, 1))  # a fuzzer does not find its way through zlib


def _enrolment_answer(data: bytes) -> None:
    answer = CollectorResponse(200, "application/json", {"date": _text(data[:40])}, data)
    enrol._warn_of_clock(answer.headers)
    enrol._identity(answer, "https://far.example:8443", _key(), _ca())


@cache
def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def _ca() -> str:
    """A certificate of its own, as an authority's."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ca")])
    begins = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(_key().public_key())
    made = made.serial_number(1).not_valid_before(begins).not_valid_after(begins + datetime.timedelta(3650))
    return made.sign(_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _headers(data: bytes) -> None:
    choose_language(None, _text(data))
    wire.common_version({"haidang-wire": _text(data)})


def _ping(data: bytes) -> None:
    """Path, Haidang-Ping-At, Haidang-Ping-Id and Authorization, a line each."""
    path, when, ident, token, *_ = [*_text(data).split("\n", 3), "", "", "", ""]
    headers = {"haidang-ping-at": when, "haidang-ping-id": ident, "authorization": token}
    try:
        request = make_mocked_request("POST", path, {name: value for name, value in headers.items() if value})
    except Exception:
        return  # aiohttp's own parser lets none of these through
    listener.event_of(
        request, 5, listener.parse_ping(request), Stamp("0" * 16, 1_000, 1_700_000_000_000), guarded=False
    )


def _relay_reply(data: bytes) -> None:
    for stage in get_args(Stage):
        verdict(stage, 400 + data[0] % 200 if data else 550, _text(data[1:]))


def _archive(data: bytes) -> None:
    """As it lies in a directory of backups, under the name that its first byte tells."""
    endings = (".tar", ".tar.gz", ".gz", ".xz", ".bz2", ".zip", ".zst", ".sql", ".db", ".tar.xz")
    with tempfile.TemporaryDirectory(prefix="haidang-fuzz-") as folder:
        file = Path(folder) / f"x{endings[data[0] % len(endings)] if data else ''}"
        file.write_bytes(data[1:])
        status = file.stat()
        copy = BackupCopy(
            name=os.fsencode(file.name), at=0.0, size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino
        )
        query = BackupQuery(evidence="files", path=folder)
        verify_copy(query, copy, Meter(most_unpacked=1000), ReadMarks(lambda state: None, None), [""])


PARSERS: Final[Mapping[str, tuple[Target, tuple[type[Exception], ...]]]] = {
    "push": (_push, (wire.WireError,)),
    "push-compressed": (wire.decode_push, (wire.WireError,)),
    "ack": (wire.decode_ack, (wire.WireError,)),
    "plan": (plan.decode, (msgspec.DecodeError,)),
    "reason": (lambda data: reasons.unpack('["' + _text(data)), ()),
    "csr": (lambda data: pki.request_key(_text(data)), (pki.RequestRefused,)),
    "http": (_http, (ProbeFailed,)),
    "smtp": (_mail(SmtpClient), (ProbeFailed,)),
    "imap": (_mail(ImapClient), (ProbeFailed,)),
    "nut": (_nut, (ProbeFailed,)),
    "apcupsd": (_apcupsd, (ProbeFailed,)),
    "snmp": (_snmp, (ber.MalformedMessage,)),
    "icmp": (_icmp, ()),
    "ntp": (_ntp, ()),
    "dns": (_dns, ()),
    "certificate": (_certificate, (der.DerError,)),
    "staple": (_staple, (ProbeFailed,)),
    "ping": (_ping, (listener.PingRefused,)),
    "relay-reply": (_relay_reply, ()),
    "netlink": (parse_attributes, ()),
    "archive": (_archive, (BackupRefused,)),
    "headers": (_headers, ()),
    "enrolment-answer": (_enrolment_answer, (enrol.EnrolFailed,)),
}


def _in_words(read: Callable[[str], object], *errors: type[Exception]) -> tuple[Target, tuple[type[Exception], ...]]:
    return lambda data: read(_text(data)), (ValueError, *errors)


def _yaml(text: str) -> None:
    nodes.parse(text, "x", [])
    if not text.isascii() or len(text) < 2_000:
        nodes.parse(text, "x", [], yaml.SafeLoader)


def _inventory(text: str) -> None:
    with tempfile.TemporaryDirectory(prefix="haidang-fuzz-") as folder:
        Path(folder, "x.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
        load.load_with_problems(Path(folder), _kinds())


@cache
def _kinds() -> Any:
    return kinds_module.load()


def _agent_file(text: str) -> None:
    with tempfile.TemporaryDirectory(prefix="haidang-fuzz-") as folder:
        file = Path(folder, "agent.yaml")
        file.write_bytes(text.encode("utf-8", "surrogateescape"))
        config.load(file)


def _file_pattern(text: str) -> None:
    made = FilePattern(text[:300])
    names = (text[:255], "a" * 255, "*" * 255, text[:100] * 2, "2026-11-30" * 25)
    for segment in made.segments:
        for name in names:
            if segment is not None and (match := segment.fullmatch(name)):
                made.bounds({"Y": "2026", **match.groupdict()})


def _interface_pattern(text: str) -> None:
    fits = labels.matcher((text[:255], text[255:510]))
    fits([text[:80], "a" * 80, "*" * 80, "GigabitEthernet0/1"])


def _selector(text: str) -> None:
    node = nodes.MappingNode(1)
    node.items["checks"] = listed = nodes.ListNode(1)
    node.lines["checks"] = 1
    listed.items.append(nodes.ScalarNode(text, 1, True))
    if reader.read(node, Selector, scalars.Source("x", [])) is None:
        return  # too long
    for name in (text[:500], "a" * 500, "a-" * 250):
        fnmatchcase(name, text)


def _schedule(**given: str) -> None:
    made = ensure_possible(schedule_of(**given))
    for moment in (0.0, 1_700_000_000.0, 4_000_000_000.0):
        made.next_after(moment)


def _query(text: str) -> None:
    for read in (
        lambda: query_params.check_parameters({text: ""}, "limit"),
        lambda: query_params.whole_number({"limit": text}, "limit", 1, 100),
        lambda: query_params.window({"from": text, "to": text}, 1),
        lambda: query_params.rolling({"window": text}, 1),
        lambda: query_params.one_of({"x": text}, "x", ("a",)),
    ):
        try:
            read()
        except query_params.BadRequest:
            continue


def _people(text: str) -> None:
    """What pages and mails do with a reason in words."""
    words = reasons.bounded(text)
    translate_text(words, "vi")
    for quantity in (quantities.number, quantities.duration, quantities.anything):
        quantity(text, "vi")


def _any_format(text: str) -> None:
    for name, judge in formats.FORMATS.items():
        try:
            judge(text)
        except ValueError as error:
            assert len(str(error)) < 1_000, name


def _kind_patterns(text: str) -> None:
    """The forms that kinds ask of their parameters."""
    for form in _forms():
        form(nodes.ScalarNode(text, 1, True), "x", scalars.Source("x", []))


@cache
def _forms() -> tuple[Any, ...]:
    import re

    found = re.findall(
        r'"pattern":\s*("(?:[^"\\]|\\.)*")', Path(kinds_module.__file__).with_name("kinds.json").read_text()
    )
    return tuple(scalars.text(form=msgspec.json.decode(form)) for form in sorted(set(found)))


GRAMMARS: Final[Mapping[str, tuple[Target, tuple[type[Exception], ...]]]] = {
    "duration": _in_words(types.duration_ms),
    "size": _in_words(types.size_bytes),
    "ratio": _in_words(types.ratio),
    "time-of-day": _in_words(types.minute_of_day),
    "day": _in_words(scalars.day),
    "moment": _in_words(scalars.moment),
    "slug": _in_words(scalars.is_slug),
    "oncalendar": _in_words(lambda text: _schedule(oncalendar=text), BadSchedule),
    "cron": _in_words(lambda text: _schedule(cron=text), BadSchedule),
    "every": _in_words(lambda text: _schedule(every=text), BadSchedule),
    "formats": _in_words(_any_format),
    "kind-patterns": _in_words(_kind_patterns),
    "file-pattern": _in_words(_file_pattern),
    "interface-pattern": _in_words(_interface_pattern),
    "selector": _in_words(_selector),
    "hours": _in_words(lambda text: workdays._hours((0,), text)),
    "days": _in_words(workdays.days_of),
    "hours-of-measuring": _in_words(lambda text: parse_hours((text,))),
    "threshold": _in_words(lambda text: threshold_text.quantity(text, "seconds")),
    "placeholders": _in_words(
        lambda text: placeholders.fill(nodes.ScalarNode(text, 1, True), {"a": "b"}, 1), placeholders.MissingFact
    ),
    "window": _in_words(lambda text: window_at(text, 1_700_000_000_000, ZoneInfo("UTC"))),
    "body-pattern": _in_words(lambda text: pattern.compiled(text[:500])("a" * 10_000)),
    "body-pattern-without-re2": _in_words(lambda text: pattern.bounded(text[:500])("a" * 10_000)),
    "url": _in_words(http1.parse_url),
    "host": _in_words(http1.ascii_host),
    "mail-address": _in_words(lambda text: (is_address(text), ADDRESS.fullmatch(text))),
    "listen-address": _in_words(parse_address),
    "ping-address": _in_words(config.PingSettings.address),
    "collector-address": _in_words(enrol.check_url, enrol.EnrolFailed),
    "enrolment-code": _in_words(enrol.parse_code, enrol.EnrolFailed),
    "hosts-of-a-credential": _in_words(lambda text: Binding.of({"hosts": (text,)})),
    "expected-record": _in_words(
        lambda text: Dns(name=text, server="127.0.0.1", expect=(text,)).query(), dns.name.NameTooLong
    ),
    "parameters": _in_words(
        lambda text: probes.build("http", {"url": text, "headers": (text,), text[:50]: 1}), probes.BadProbe
    ),
    "ups-date": _in_words(parse_date),
    "ups-number": _in_words(parse_number),
    "reason-in-words": _in_words(_people),
    "clean": _in_words(lambda text: (clean_text(text, 200), printable(text, 200))),
    "yaml": _in_words(_yaml),
    "inventory": _in_words(_inventory),
    "agent-file": _in_words(_agent_file, Invalid),
    "query": _in_words(_query),
}

TARGETS: Final = {**PARSERS, **GRAMMARS}


def run(name: str, data: bytes) -> None:
    """One input. Raises what no caller of the parser expects."""
    target, expected = TARGETS[name]
    try:
        target(data)
    except expected:
        pass
