"""The kind ``http``: fetch a URL and judge the answer."""

import asyncio
import re
import ssl
import time
from typing import Annotated, Final, Literal

from msgspec import Meta

from agent.clients.http.body import Body, read_body
from agent.clients.http.charset import BodyText, decode_body
from agent.clients.http.cookies import Cookies
from agent.clients.http.http1 import (
    Head,
    Url,
    ascii_host,
    build_request,
    parse_fields,
    parse_url,
    read_head,
    redirect_url,
)
from agent.clients.http.pattern import compiled, search
from agent.clients.net.resolve import Resolver, address_literal
from agent.clients.net.stream import TcpStream, connect
from agent.clients.tls.contexts import TlsContexts, handshake_failure, leaf_expiry
from agent.failure import ProbeFailed, printable
from agent.first_steps import CALL, CHANGED, MACHINE_ON
from agent.probe import Measure, Outcome, Probe, ProbeContext
from inventory.base.forms import one_form
from inventory.protocol.mail_words import MailWords
from inventory.protocol.reasons import Reason, Why, joined, sentence, template
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

_NOT_IN_A_PLAN: Final = frozenset({"authorization", "proxy-authorization", "cookie"})
_OURS: Final = frozenset({"connection", "content-length", "transfer-encoding", "accept-encoding", "expect", "upgrade"})
_AT_ONCE: Final = 262_144  # bytes of a body that are decoded in the loop; more would hold it
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_WAITED_FOR: Final = {
    "resolve": sentence("the name was not resolved"),
    "connect": sentence("no connection was made"),
    "tls": sentence("the TLS handshake did not end"),
    "first_byte": sentence("no answer came"),
    "head": sentence("the answer's header did not end"),
    "body": sentence("the body did not end"),
    "judge": sentence("the body was not searched through"),
}
# of a whole body, and of one of which no more than the beginning was read
_LACKS: Final = (
    template("the body does not contain {text}"),
    template("the first {count} bytes of the body does not contain {text}"),
)
_CONTAINS: Final = (
    template("the body contains {text}"),
    template("the first {count} bytes of the body contains {text}"),
)
_NO_MATCH: Final = (
    template("the body does not match {text}"),
    template("the first {count} bytes of the body does not match {text}"),
)
_MATCHES: Final = (
    template("the body matches {text}"),
    template("the first {count} bytes of the body matches {text}"),
)


class Http(Probe, frozen=True, kw_only=True):
    """Fetch a URL over HTTP/1.1 on a fresh connection and judge status and body; latency is the whole time.

    Up when the last answer's status is one of ``expect_status`` and its body passes. The body is read to its end or
    to ``max_body``; one that is longer is degraded, as is one longer than its Content-Length. Texts and patterns are
    searched in what was read, its codings undone and decoded as browsers do (byte order mark, Content-Type, what the
    page says itself, else UTF-8), all in the same form of Unicode. What cannot be decoded is never taken for a text
    that is not there: the check is degraded, or unknown, and says why. Patterns have no backreferences and no
    look-around, so that their search takes time in proportion to the body's length, whatever a server sends.
    Redirects are followed up to ``max_redirects`` with the cookies set on the way (RFC 6265); own header fields go to
    the first origin only. With ``max_redirects: 0`` the redirect itself is judged. No proxy is used.
    """

    kind = "http"
    title = "web service (HTTP)"
    target = ("url",)
    addressed_by = ("url",)
    measures = (
        Measure(
            "resolve_seconds",
            "seconds",
            "Time to resolve host names, over all redirects; left out for addresses",
            exported=False,
        ),
        Measure("connect_seconds", "seconds", "Time to connect, over all redirects", exported=False),
        Measure("tls_seconds", "seconds", "Time of TLS handshakes, over all redirects", exported=False),
        Measure(
            "first_byte_seconds",
            "seconds",
            "From sending the request to the answer's first byte, over all redirects",
            exported=False,
        ),
        Measure("body_seconds", "seconds", "From the first byte to the end of the body", exported=False),
        Measure("http_status", "status", "Status code of the last answer"),
        Measure("body_bytes", "bytes", "Bytes of the body, as received", exported=False),
        Measure("redirects", "count", "Redirects followed", exported=False),
        Measure(
            "certificate_expiry_timestamp_seconds", "timestamp", "When the first certificate of those seen expires"
        ),
    )
    down_mail = MailWords(
        steps=(
            "Open the page yourself, from your PC and from your telephone (without Wi-Fi). Does it come?",
            MACHINE_ON,
            "If you look after the server: see whether the web program runs and its disk has free space.",
            CHANGED,
            CALL,
        ),
    )
    degraded_mail = MailWords(
        steps=(
            "Open the page yourself: does it come slowly, or with an error in it?",
            "Is it a time when many use it, or is a backup or an update running on the server?",
            "If you look after the server: look at its processor, memory and free disk space.",
            CALL,
        ),
    )
    example = '{url: https://portal.example/, expect_body: "Sóc Trăng"}'

    url: Annotated[
        str,
        Meta(description="What to fetch, http:// or https://; no user name or password", min_length=8, max_length=2048),
    ]
    method: Annotated[
        Literal["GET", "HEAD", "POST", "PUT", "OPTIONS"], Meta(description="The method of the request")
    ] = "GET"
    headers: Annotated[
        tuple[str, ...], Meta(description="Header fields to send, each 'Name: value'; no credentials")
    ] = ()
    body: Annotated[str, Meta(description="The body to send, as UTF-8", max_length=65536)] = ""
    expect_status: Annotated[
        tuple[int | str, ...], Meta(description="Statuses that are right: 200 or '200-299'", min_length=1)
    ] = ("200-299",)
    expect_body: Annotated[str, Meta(description="A text that the body must contain")] = ""
    refuse_body: Annotated[str, Meta(description="A text that the body must not contain")] = ""
    expect_pattern: Annotated[
        str, Meta(description="A regular expression that must match somewhere in the body", max_length=500)
    ] = ""
    refuse_pattern: Annotated[
        str, Meta(description="A regular expression that must not match in the body", max_length=500)
    ] = ""
    max_body: Annotated[int, Meta(description="Bytes of the body to read at most", ge=0, le=16 << 20)] = 1 << 20
    max_redirects: Annotated[int, Meta(description="Redirects to follow at most", ge=0, le=20)] = 5
    allow_downgrade: Annotated[bool, Meta(description="Follow a redirect from https to http")] = False
    verify: Annotated[bool, Meta(description="Judge the server's certificate")] = True
    server_name: Annotated[
        str, Meta(description="Name for TLS (SNI and certificate) at the first host, instead of the URL's")
    ] = ""
    family: Annotated[Literal["any", "ipv4", "ipv6"], Meta(description="Addresses to use")] = "any"
    authority: Annotated[
        str, Meta(description="PEM file at the agent with the CAs to trust, instead of the machine's own")
    ] = ""

    def __post_init__(self) -> None:
        parse_url(self.url)
        for name, _ in parse_fields(self.headers):
            if name.lower() in _NOT_IN_A_PLAN:
                raise ValueError(sentence("{name} would put a secret into the plan", name=name))
            if name.lower() in _OURS:
                raise ValueError(sentence("{name} is set by the probe itself", name=name))
        for item in self.expect_status:
            _status_range(item)
        if self.server_name:
            ascii_host(self.server_name)
        for pattern in filter(None, (self.expect_pattern, self.refuse_pattern)):
            compiled(pattern)

    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        url = parse_url(self.url)
        return ((url.host, url.port),)

    async def run(self, context: ProbeContext) -> Outcome:
        return await _Fetch(self, context).run()


def _status_range(item: int | str) -> tuple[int, int]:
    """The first and last status that an item of ``expect_status`` allows. Raises ValueError."""
    matched = re.fullmatch(r"([1-9]\d\d)(?:-([1-9]\d\d))?", str(item))
    if not matched:
        raise ValueError(sentence("{item} is neither a status nor a range such as '200-299'", item=repr(item)))
    return int(matched[1]), int(matched[2] or matched[1])


class _Fetch:
    """One look: the way through the redirects to an answer, and what it measured."""

    def __init__(self, probe: Http, context: ProbeContext) -> None:
        self.probe = probe
        self.context = context
        self.measures: dict[str, float] = {}
        self.phase = "resolve"
        self.cookies = Cookies()
        self.second_choice = ""  # who answered, where that was not the first address
        self.waited = 0.0  # seconds for addresses that did not answer, which are in no figure

    async def run(self) -> Outcome:
        self.start = self.mark = time.perf_counter()
        try:
            async with asyncio.timeout(self.context.timeout):
                state, reason = await self._follow()
        except ProbeFailed as failure:
            return Outcome(failure.state, self._by_whom(failure.reason), None, self.measures)
        except TimeoutError:
            reason = sentence(
                "{waited_for} within {timeout:n} s", waited_for=_WAITED_FOR[self.phase], timeout=self.context.timeout
            )
            return Outcome(DOWN, reason, None, self.measures)
        return Outcome(state, self._by_whom(reason), time.perf_counter() - self.start - self.waited, self.measures)

    def _by_whom(self, reason: Why) -> Why:
        """The reason, with the address that answered where it was not the first of the name's."""
        if not reason or not self.second_choice:
            return reason
        return sentence("{who}: {reason}", who=self.second_choice, reason=reason)

    def _end_phase(self, phase: str, following: str) -> None:
        """A phase has ended: add its time to its measure."""
        now = time.perf_counter()
        name = f"{phase}_seconds"
        self.measures[name] = self.measures.get(name, 0.0) + now - self.mark
        self.mark = now
        self.phase = following

    async def _follow(self) -> tuple[int, Why]:
        probe = self.probe
        url, method, content = parse_url(probe.url), probe.method, probe.body.encode()
        first, visited = url.origin, {self._visit_key(url, method)}
        hops = 0
        while True:
            fields = parse_fields(probe.headers) if url.origin == first else ()
            stream = await self._open(url, url.origin == first)
            try:
                head = await self._exchange(
                    stream, build_request(url, method, fields + self.cookies.fields_for(url), content)
                )
                location = head.last_value(b"location") if head.status in _REDIRECTS else None
                if location is None or not probe.max_redirects:
                    return await self._check_answer(stream, head, method)
            finally:
                stream.close()
            hops += 1
            self.cookies.keep(url, head)
            url = self._redirect_target(url, location, hops)
            self.measures["redirects"] = hops
            if head.status == 303 or (head.status in (301, 302) and method == "POST"):
                method, content = "HEAD" if method == "HEAD" else "GET", b""
            if self._visit_key(url, method) in visited:
                raise ProbeFailed(sentence("redirected in a circle, to {url}", url=printable(str(url), 100)))
            visited.add(self._visit_key(url, method))
            self.mark, self.phase = time.perf_counter(), "resolve"

    async def _open(self, url: Url, first: bool) -> TcpStream:
        probe, probe_context = self.probe, self.context
        addresses = await probe_context.client(Resolver, Resolver).addresses(url.host, probe.family)
        if address_literal(url.host) is None:
            self._end_phase("resolve", "connect")
        self.mark, self.phase = time.perf_counter(), "connect"
        remaining = probe_context.timeout - (self.mark - self.start)
        stream, _ = await connect(addresses, url.port, probe_context.limits, remaining)
        self.mark += stream.waited
        self.waited += stream.waited
        self.second_choice = stream.who if stream.waited else ""
        self._end_phase("connect", "tls")
        if not url.tls:
            self.phase = "first_byte"
            return stream
        try:
            contexts = probe_context.client(TlsContexts, TlsContexts)
            context = contexts.get(
                verify=probe.verify, authority=probe.authority, limits=probe_context.limits, alpn=("http/1.1",)
            )
            name = ascii_host(probe.server_name) if first and probe.server_name else url.host
            tls = await stream.start_tls(context, name)
        except ssl.SSLError as error:
            stream.close()
            raise handshake_failure(error, stream.who) from None
        except BaseException:
            stream.close()
            raise
        self._end_phase("tls", "first_byte")
        expiry = leaf_expiry(tls)
        if expiry is not None:
            name = "certificate_expiry_timestamp_seconds"
            self.measures[name] = min(expiry, self.measures.get(name, expiry))
        return stream

    async def _exchange(self, stream: TcpStream, data: bytes) -> Head:
        try:
            await stream.send(data)
        except ProbeFailed:
            pass  # it may have answered before it stopped listening
        first = await stream.receive()
        self._end_phase("first_byte", "head")
        head = await read_head(stream, first)
        self.measures["http_status"] = head.status
        self.measures.setdefault("redirects", 0)
        return head

    async def _check_answer(self, stream: TcpStream, head: Head, method: str) -> tuple[int, Why]:
        probe = self.probe
        if not any(low <= head.status <= high for low, high in map(_status_range, probe.expect_status)):
            words = sentence(
                "status {status} instead of {expect_status}",
                status=head.status,
                expect_status=", ".join(map(str, probe.expect_status)),
            )
            nowhere = head.status in _REDIRECTS and head.last_value(b"location") is None
            return DOWN, joined([words, sentence("it does not say where to (no Location)")]) if nowhere else words
        self.phase = "body"
        keep = bool(probe.expect_body or probe.refuse_body or probe.expect_pattern or probe.refuse_pattern)
        if keep and method == "HEAD":
            return UNKNOWN, sentence("the answer to HEAD has no body to look into: ask with GET")
        body = await read_body(stream, head, method, probe.max_body, keep)
        self._end_phase("body", "judge")
        self.measures["body_bytes"] = body.size
        if keep:
            content_type = head.last_value(b"content-type") or b""
            if len(body.data) < _AT_ONCE:
                text = decode_body(body.data, content_type)
            else:
                text = await asyncio.to_thread(decode_body, body.data, content_type)
            state, fault = await self._search(body, text)
            if fault:
                return state, fault
        if body.undecoded:
            return DEGRADED, body.undecoded
        if body.overlong:
            return DEGRADED, sentence(
                "the body is longer than {max_body} bytes; the rest was not read", max_body=probe.max_body
            )
        if body.surplus:
            return DEGRADED, sentence("the body is longer than its Content-Length says")
        if body.trailing:
            return DEGRADED, sentence("after the end of the compressed body come bytes that say nothing")
        return UP, ""

    async def _search(self, body: Body, text: BodyText) -> tuple[int, Why]:
        """What is wrong with the body, or ""."""
        probe = self.probe
        for wanted, pattern in ((probe.expect_body, False), (probe.expect_pattern, True)):
            if wanted and not await self._found(wanted, pattern, text):
                fault = self._body_fault(_NO_MATCH if pattern else _LACKS, body, wanted)
                return DOWN, joined([fault, text.unreadable]) if text.unreadable else fault
        hidden = False
        for refused, pattern in ((probe.refuse_body, False), (probe.refuse_pattern, True)):
            if refused and await self._found(refused, pattern, text):
                return DOWN, self._body_fault(_MATCHES if pattern else _CONTAINS, body, refused)
            hidden = hidden or (bool(refused) and text.may_hide(refused))
        if hidden:  # "not found" says nothing then
            return DEGRADED, sentence("part of the body cannot be read: {why}", why=text.unreadable)
        return UP, ""

    async def _found(self, wanted: str, pattern: bool, text: BodyText) -> bool:
        return await search(one_form(wanted), text.text) if pattern else one_form(wanted) in text.text

    def _redirect_target(self, url: Url, location: bytes, hops: int) -> Url:
        """Where a redirect leads. Raises ProbeFailed when it must not be followed."""
        if hops > self.probe.max_redirects:
            raise ProbeFailed(
                sentence("redirected more than {max_redirects} times", max_redirects=self.probe.max_redirects)
            )
        try:
            following = redirect_url(url, location)
        except ValueError as error:
            raise ProbeFailed(
                sentence("redirected to {text}: {error}", text=printable(location, 100), error=error)
            ) from None
        if url.tls and not following.tls and not self.probe.allow_downgrade:
            raise ProbeFailed(
                sentence(
                    "redirected from https to {following}, without encryption", following=printable(str(following), 100)
                )
            )
        return following

    def _body_fault(self, words: tuple[str, str], body: Body, text: str) -> Reason:
        if body.overlong:
            return sentence(words[1], count=self.probe.max_body, text=printable(text))
        return sentence(words[0], text=printable(text))

    def _visit_key(self, url: Url, method: str) -> object:
        """Where the way has been: the same place with other cookies is another place."""
        return url, method, self.cookies.fields_for(url)
