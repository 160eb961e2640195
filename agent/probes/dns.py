"""DNS: does a server answer, how fast, and does it say what it should."""

import asyncio
import time
from ipaddress import ip_address
from typing import Annotated, Literal

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import msgspec
from dns.rdtypes.ANY.TXT import TXT
from msgspec import Meta

from agent.clients.net.address_policy import candidates, datagram_stagger, first_to_answer
from agent.clients.net.datagram import DatagramRequest, DatagramTimeout
from agent.clients.net.kernel_stamps import KernelTimestamping
from agent.clients.net.resolve import Resolver, address_literal
from agent.clients.net.stream import connect, endpoint
from agent.failure import ProbeFailed, printable
from agent.first_steps import BUSY, CALL
from agent.probe import Address, Measure, Outcome, Probe, ProbeContext
from inventory.protocol.mail_words import MailWords
from inventory.protocol.reasons import Why, joined, sentence
from inventory.protocol.states import DOWN, UP

_MARGIN = 0.01  # seconds before the look's end, so that the more exact reason comes first
_RCODE_TEXTS = {
    "NOERROR": sentence("no error"),
    "FORMERR": sentence("it does not understand the question"),
    "SERVFAIL": sentence("it failed to find the answer (a server behind it is down, or DNSSEC does not verify)"),
    "NXDOMAIN": sentence("there is no such name"),
    "NOTIMP": sentence("it does not do this kind of question"),
    "REFUSED": sentence("it refuses to answer this client"),
}


class DnsAnswer(msgspec.Struct, frozen=True):
    """``latency``: seconds from the first question to this address. ``ignored``: packets that were no answer."""

    query: dns.message.QueryMessage
    reply: dns.message.Message
    latency: float
    ignored: int


class Dns(Probe, frozen=True, kw_only=True):
    """Asks one server one question: up when it answers with the expected code and records.

    By UDP, asked again when nothing comes, and by TCP when the answer is too long for UDP. Packets that do not answer
    this question (another id, another name, damaged) are ignored and counted. The latency runs from the first
    question to the answer's arrival, as the kernel stamped it.
    """

    kind = "dns"
    title = "DNS"
    target = ("server", "port", "name", "type")
    addressed_by = ("server",)
    libraries = ("dns", "idna")
    measures = (
        Measure("answers", "count", "Records of the asked type in the answer"),
        Measure("ttl_seconds", "seconds", "The shortest time to live among the answers", exported=False),
        Measure("ignored_replies", "count", "Packets that came instead of, or before, the answer", exported=False),
        Measure(
            "resolve_seconds", "seconds", "Resolving the server's own name; left out for an address", exported=False
        ),
    )
    down_mail = MailWords(
        steps=(
            "Web pages and mail are not found while names are not resolved. Try a web page on two PCs.",
            "See that the machine with the name service (DNS) is on: often the router or a Windows server.",
            "Restart the name service; if you do not know how, restart the machine once.",
            CALL,
        ),
    )
    degraded_mail = MailWords(
        steps=(
            "Names are resolved slowly or not completely: web pages begin to load late.",
            BUSY,
            "Restart the name service outside of working hours.",
            CALL,
        ),
    )
    example = "{server: 192.0.2.53, name: portal.example, expect: [192.0.2.80]}"

    server: Annotated[str, Meta(min_length=1, max_length=253, description="Address (or name) of the DNS server")]
    name: Annotated[
        str, Meta(min_length=1, max_length=253, description="Name to ask for; for type PTR an address does")
    ]
    type: Annotated[
        Literal["A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"],
        Meta(description="Type of record to ask for"),
    ] = "A"
    port: Annotated[int, Meta(ge=1, le=65535, description="Port of the DNS server")] = 53
    expect: Annotated[
        tuple[str, ...], Meta(max_length=64, description="Records that must be among the answers, as in a zone file")
    ] = ()
    exact: Annotated[bool, Meta(description="No answers but the expected ones may come")] = False
    rcode: Annotated[
        Literal["NOERROR", "NXDOMAIN", "REFUSED", "SERVFAIL", "FORMERR", "NOTIMP"],
        Meta(description="Expected response code; NOERROR also wants at least one answer"),
    ] = "NOERROR"
    transport: Annotated[
        Literal["udp", "tcp"], Meta(description="udp (with TCP when an answer is too long), or tcp alone")
    ] = "udp"
    recursion: Annotated[bool, Meta(description="Ask the server to find the answer for us")] = True
    tries: Annotated[int, Meta(ge=1, le=5, description="How often to ask by UDP, spread over the timeout")] = 2
    family: Annotated[Literal["any", "ipv4", "ipv6"], Meta(description="Which addresses of the server to use")] = "any"

    def __post_init__(self) -> None:
        self.query()
        if self.exact and not self.expect:
            raise ValueError(sentence("exact says that only the expected records may come, but expect names none"))
        for text in self.expect:
            self._record(text)

    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        return ((self.server, self.port),)

    def query(self) -> dns.message.QueryMessage:
        """A question with a fresh random id. Raises ValueError for a name that is none."""
        flags = dns.flags.RD if self.recursion else 0
        try:
            name = self._reverse() or dns.name.from_text(self.name)
        except (dns.exception.DNSException, UnicodeError) as error:
            raise ValueError(
                sentence("name {name} is not a name to ask for: {error}", name=repr(self.name), error=error)
            ) from None
        return dns.message.make_query(name, dns.rdatatype.from_text(self.type), flags=flags)

    def _reverse(self) -> dns.name.Name | None:
        """The name under which an address's name is kept, if it is an address's name that is wanted."""
        if self.type != "PTR":
            return None
        try:
            return dns.reversename.from_address(str(ip_address(self.name)))
        except ValueError:
            return None

    def _record(self, text: str) -> dns.rdata.Rdata:
        kind = dns.rdatatype.from_text(self.type)
        if self.type == "TXT" and not text.startswith('"'):
            data = text.encode()
            return TXT(dns.rdataclass.IN, kind, [data[at : at + 255] for at in range(0, len(data), 255)])
        try:
            return dns.rdata.from_text(dns.rdataclass.IN, kind, text, origin=dns.name.root, relativize=False)
        except (dns.exception.DNSException, ValueError) as error:
            raise ValueError(
                sentence(
                    "expect: {text} is not a record of type {type}: {error}",
                    text=repr(text),
                    type=self.type,
                    error=error,
                )
            ) from None

    async def run(self, context: ProbeContext) -> Outcome:
        measures: dict[str, float] = {}
        context.client(KernelTimestamping, KernelTimestamping)
        try:
            async with asyncio.timeout(context.timeout):
                started = time.monotonic()
                addresses = await context.client(Resolver, Resolver).addresses(self.server, self.family)
                resolved = time.monotonic() - started
                if address_literal(self.server) is None:
                    measures["resolve_seconds"] = resolved
                allowed = candidates(addresses, context.limits, self.port)
                end = time.monotonic() + max(context.timeout - resolved - _MARGIN, _MARGIN)

                async def ask(address: Address) -> DnsAnswer:
                    return await self._exchange(address, context, end, measures)

                first = await first_to_answer(allowed, ask, datagram_stagger(len(allowed), context.timeout - resolved))
                latency = first.answer.latency
                measures["ignored_replies"] = first.answer.ignored
        except ProbeFailed as failure:
            return Outcome(failure.state, failure.reason, None, measures)
        except TimeoutError:
            return Outcome(
                DOWN,
                sentence(
                    "{server} port {port} did not answer within {timeout:n} s",
                    server=self.server,
                    port=self.port,
                    timeout=context.timeout,
                ),
                None,
                measures,
            )
        fault = self._fault(first.answer, measures)
        if fault:
            who = self.server
            if len(allowed) > 1:
                who = sentence("{server} ({address})", server=self.server, address=first.address)
            return Outcome(DOWN, sentence("{server}: {fault}", server=who, fault=fault), latency, measures)
        return Outcome(UP, "", latency, measures)

    async def _exchange(
        self, address: Address, context: ProbeContext, end: float, measures: dict[str, float]
    ) -> DnsAnswer:
        """The answer of one address, whichever way it comes; by UDP until ``end``, by ``time.monotonic()``."""
        query, started, ignored = self.query(), time.monotonic(), 0
        if self.transport == "udp":
            wire = query.to_wire()
            seconds = max(end - time.monotonic(), _MARGIN)
            try:
                request = DatagramRequest(address, self.port, wire, lambda packet: _parse_reply(query, packet))
                datagram = await request.exchange(self.tries, seconds)
            except DatagramTimeout as timeout:
                measures["ignored_replies"] = timeout.ignored
                who = endpoint(address, self.port)
                words = sentence(
                    "{who} did not answer {tries} questions within {seconds:n} s",
                    who=who,
                    tries=self.tries,
                    seconds=f"{seconds:.3g}",
                )
                if timeout.ignored:
                    others = sentence(
                        "{ignored} packets came that do not answer this question", ignored=timeout.ignored
                    )
                    words = joined([words, others])
                raise ProbeFailed(words) from None
            ignored = datagram.ignored
            if not datagram.message.flags & dns.flags.TC:
                return DnsAnswer(query, datagram.message, datagram.seconds, ignored)
        reply = await _by_tcp(query, address, self.port, context)
        return DnsAnswer(query, reply, time.monotonic() - started, ignored)

    def _fault(self, answer: DnsAnswer, measures: dict[str, float]) -> Why:
        """What is not as expected, or ""; fills in what the answer measures."""
        query, reply = answer.query, answer.reply
        code = dns.rcode.to_text(reply.rcode())
        if code != self.rcode:
            meaning = _RCODE_TEXTS.get(code, sentence("an error"))
            return sentence(
                "answered {code} ({meaning}), expected {rcode}", code=code, meaning=meaning, rcode=self.rcode
            )
        rdtype = query.question[0].rdtype
        owners = _names_led_to(query.question[0].name, reply)
        sets = [candidate for candidate in reply.answer if candidate.rdtype == rdtype and candidate.name in owners]
        records = {record for candidate in sets for record in candidate}
        measures["answers"] = len(records)
        if sets:
            measures["ttl_seconds"] = min(candidate.ttl for candidate in sets)
        if self.rcode != "NOERROR":
            return ""
        strangers = [rrset for rrset in reply.answer if rrset.rdtype == rdtype and rrset.name not in owners]
        if not records and strangers:
            return sentence(
                "it answers for {owner}, which is another name than the one asked for",
                owner=printable(strangers[0].name.to_text(), 100),
            )
        if not records:
            return sentence("the name exists or leads on, but has no record of type {type}", type=self.type)
        expected = {self._record(text): text for text in self.expect}
        missing = [
            text
            for record, text in expected.items()
            if not any(_same_record(record, candidate) for candidate in records)
        ]
        if missing:
            return sentence(
                "expected {missing}; answered {records}", missing=", ".join(missing), records=_record_list(records)
            )
        others = {candidate for candidate in records if not any(_same_record(record, candidate) for record in expected)}
        if self.exact and others:
            return sentence("answered also {others}, which is not expected", others=_record_list(others))
        return ""


def _names_led_to(name: dns.name.Name, reply: dns.message.Message) -> set[dns.name.Name]:
    """The name asked for and those that aliases in the answer lead to from there (CNAME; DNAME's come with one)."""
    names = {name}
    while True:
        further = {
            record.target
            for rrset in reply.answer
            if rrset.rdtype == dns.rdatatype.CNAME and rrset.name in names
            for record in rrset
        } - names
        if not further:
            return names
        names |= further


def _same_record(expected: dns.rdata.Rdata, actual: dns.rdata.Rdata) -> bool:
    if isinstance(expected, TXT) and isinstance(actual, TXT):
        return b"".join(expected.strings) == b"".join(actual.strings)  # how a text is cut into strings says nothing
    return bool(expected == actual)


def _record_list(records: set[dns.rdata.Rdata]) -> str:
    shown = sorted(record.to_text() for record in records)
    first = ", ".join(shown[:3])
    return sentence("{so} and {gone} more", so=first, gone=len(shown) - 3) if len(shown) > 3 else first


def _parse_reply(query: dns.message.QueryMessage, packet: bytes) -> dns.message.Message | None:
    """The packet as an answer to this very question, or None."""
    try:
        reply = dns.message.from_wire(packet, ignore_trailing=True)
        return reply if query.is_response(reply) else None
    except Exception:  # a stranger's bytes may trip the parser in any way; none of them is an answer
        return None


async def _by_tcp(
    query: dns.message.QueryMessage, address: Address, port: int, context: ProbeContext
) -> dns.message.Message:
    stream, _ = await connect([address], port, context.limits, context.timeout)
    try:
        wire = query.to_wire()
        await stream.send(len(wire).to_bytes(2, "big") + wire)
        received = b""
        while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2], "big"):
            more = await stream.receive()
            if not more:
                raise ProbeFailed(sentence("{who} closed the connection in the middle of its answer", who=stream.who))
            received += more
        reply = _parse_reply(query, received[2 : 2 + int.from_bytes(received[:2], "big")])
    finally:
        stream.close()
    if reply is None:
        raise ProbeFailed(
            sentence("{who} answered by TCP with something that does not answer the question", who=stream.who)
        )
    return reply
