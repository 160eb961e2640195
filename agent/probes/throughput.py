"""The kind ``throughput``: how many bytes a second go to and from a server, measured seldom and within bounds."""

import asyncio
import ssl
import time
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from agent.clients.http.body import read_body
from agent.clients.http.http1 import Head, Url, parse_url
from agent.clients.http.transfer import TransferRefused, clock_difference, download, upload
from agent.clients.net.resolve import Resolver
from agent.clients.net.stream import TcpStream, connect
from agent.clients.rationing import RunQuota, parse_hours
from agent.clients.tls.contexts import TlsContexts, handshake_failure
from agent.failure import ProbeFailed, printable
from agent.first_steps import LINE_BUSY, LINE_CABLE, LINE_CALL
from agent.probe import Hub, Limits, Measure, Outcome, Probe, ProbeContext, skipped
from inventory.protocol.mail_words import MailWords
from inventory.protocol.reasons import sentence
from inventory.protocol.states import DOWN, UNKNOWN, UP
from inventory.protocol.wire import MAX_THROUGHPUT

HUB: Final = "hub"
_PATH: Final = "/v1/throughput"
_MARGIN: Final = 0.2  # seconds before the look's end
_MIN_SECONDS: Final = 1.0  # seconds below which measuring is not begun


class Throughput(Probe, frozen=True, kw_only=True):
    """Fetches a URL (and posts to it, if asked for) and tells the rate; latency is the connection's.

    Bounded three ways: ``max_bytes`` and ``max_seconds`` each way, and ``per_day`` runs within ``hours``, the
    machine's local time. The hours are cut into ``per_day`` equal parts; a run is made at the first look in each. A
    look in between is skipped: nothing is recorded, and the last result speaks on for the check's hold. So give the
    check a short ``interval`` (20m: it also spreads the agents), a ``hold`` from one run to the next and over a missed
    one (30h), and a ``timeout`` of ``max_seconds`` for each way and 10 s.

    What was measured when is kept on disk. The part of the day in which these records begin is passed over, unless
    ``at_start``: nobody knows what was measured in it before (``once`` keeps no records). A clock that was never set,
    or one that is not the server's, tells no hours: then nothing is measured, and that is the reason given. An attempt
    that ends before any content is not counted.

    With ``url: hub`` it is the rate to and from the collector that the agent has its plan from, over the same mutual
    TLS as its pushes, and so that of the site's line. The collector has a ration of its own: 10 MiB each way, 8
    transfers a day for an agent, two at a time over all. A look that it refuses for that is skipped.

    Up when the rate could be told; what rate is enough is for a threshold to say. A transfer that ends by the clock
    is as good as one that ends by the bytes. Redirects are not followed. Content of less than 64 KiB tells nothing.
    """

    kind = "throughput"
    title = "line speed"
    target = ("url",)
    about = "line"
    addressed_by = ("url",)
    measures = (
        Measure("download_bytes_per_second", "bytes_per_second", "Rate of the content fetched, first piece to last"),
        Measure("upload_bytes_per_second", "bytes_per_second", "Rate of the content posted"),
        Measure("download_bytes", "bytes", "Content fetched"),
        Measure("upload_bytes", "bytes", "Content posted"),
        Measure("download_seconds", "seconds", "Time over which the download's rate was told"),
        Measure("upload_seconds", "seconds", "Time over which the upload's rate was told"),
    )
    down_mail = MailWords(
        steps=(
            "The speed of the line could not be measured. Load a large page: is the line working at all?",
            LINE_CABLE,
            LINE_CALL,
        ),
    )
    degraded_mail = MailWords(
        headline="Slow line",
        explains=True,
        steps=(
            "The line is slower than what is paid for.",
            LINE_BUSY,
            "Look at several measurements on the check's page: only one slow night is no fault of the line.",
            LINE_CALL,
        ),
    )
    example = "{url: http://speed.example/10MiB, per_day: 4}"

    url: Annotated[
        str,
        Meta(
            description="What to fetch, http:// or https://, no user name or password; or hub, the agent's collector",
            min_length=3,
            max_length=2048,
        ),
    ]
    way: Annotated[Literal["down", "up", "both"], Meta(description="Fetch, post, or one after the other")] = "down"
    upload_url: Annotated[str, Meta(description="Where to post to, if not to url", max_length=2048)] = ""
    max_bytes: Annotated[int, Meta(description="Bytes each way at most", ge=65536, le=1 << 30)] = 10 << 20
    max_seconds: Annotated[float, Meta(description="Seconds each way at most", ge=1, le=120)] = 10.0
    per_day: Annotated[int, Meta(description="Runs a day at most", ge=1, le=96)] = 2
    hours: Annotated[
        tuple[str, ...],
        Meta(description="When it may run, local time: parts of the day such as '17:30-06:30'", min_length=1),
    ] = ("18:00-06:00",)
    at_start: Annotated[
        bool, Meta(description="Run in the part of the day too in which the agent's records begin; to try it out")
    ] = False
    verify: Annotated[bool, Meta(description="Judge the server's certificate")] = True
    authority: Annotated[
        str, Meta(description="PEM file at the agent with the CAs to trust, instead of the machine's own")
    ] = ""
    family: Annotated[Literal["any", "ipv4", "ipv6"], Meta(description="Addresses to use")] = "any"

    def __post_init__(self) -> None:
        for url in self._urls():
            parse_url(url)
        if self.url == HUB and (self.upload_url or self.authority or not self.verify):
            raise ValueError(
                sentence("upload_url, verify and authority are not for url: hub, where the agent knows them")
            )
        parse_hours(self.hours)

    def _urls(self) -> tuple[str, ...]:
        if self.url == HUB:
            return ()
        download_url, post_url = self.url, self.upload_url or self.url
        return {"down": (download_url,), "up": (post_url,), "both": (download_url, post_url)}[self.way]

    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        return tuple((url.host, url.port) for url in map(parse_url, self._urls()))

    async def run(self, context: ProbeContext) -> Outcome:
        if self.url == HUB and context.hub is None:
            return Outcome(
                UNKNOWN, sentence("no hub to measure to: this machine is not enrolled, or its identity cannot be read")
            )
        quota = context.client(RunQuota, RunQuota)
        if quota.clock_is_wrong:
            return Outcome(
                UNKNOWN, sentence("this machine's clock is wrong: whether it may measure now cannot be told")
            )
        quota.load_from(context.storage)
        if why := quota.why_not_due(self.url, self.per_day, parse_hours(self.hours), self.at_start):
            return skipped(why)
        quota.running = self.url
        try:
            return await _Run(self, context, quota).run()
        finally:
            quota.running = ""


class _HubBusy(ProbeFailed):
    """The hub has no time for it, or gave this agent its share of the day."""


class _Run:
    """One measurement, one way or both."""

    def __init__(self, probe: Throughput, context: ProbeContext, quota: RunQuota) -> None:
        self.probe = probe
        self.context = context
        self.quota = quota
        self.hub: Hub | None = context.hub if probe.url == HUB else None
        self.max_bytes = min(probe.max_bytes, MAX_THROUGHPUT) if self.hub else probe.max_bytes
        self.measures: dict[str, float] = {}
        self.latency: float | None = None
        self.end = time.monotonic() + context.timeout - _MARGIN
        self.run_recorded = False
        self.doing = sentence("connecting")

    async def run(self) -> Outcome:
        probe = self.probe
        directions = ("down", "up") if probe.way == "both" else (probe.way,)
        try:
            async with asyncio.timeout(self.context.timeout - _MARGIN / 2):
                for place, direction in enumerate(directions):
                    await (self._download if direction == "down" else self._upload)(len(directions) - place)
        except ProbeFailed as failure:
            if isinstance(failure, _HubBusy) and not self.measures:
                return skipped(failure.reason)
            return Outcome(failure.state, failure.reason, self.latency, self.measures)
        except TimeoutError:
            reason = sentence(
                "{doing} did not end within {timeout:n} s", doing=self.doing, timeout=self.context.timeout
            )
            return Outcome(DOWN, reason, self.latency, self.measures)
        return Outcome(UP, "", self.latency, self.measures)

    async def _download(self, directions_left: int) -> None:
        url = self._url(self.probe.url, f"{_PATH}?bytes={self.max_bytes}")
        stream = await self._open(url)
        try:
            self.doing = sentence("the answer's header")
            transfer = await download(stream, url, self.max_bytes, self._time_share(directions_left), self._on_head)
        except TransferRefused as refusal:
            raise await self._refused(stream, refusal) from None
        finally:
            stream.close()
        self._add_measures("download", transfer.size, transfer.seconds, transfer.rate)

    async def _upload(self, directions_left: int) -> None:
        url = self._url(self.probe.upload_url or self.probe.url, _PATH)
        stream = await self._open(url)
        try:
            self.doing = sentence("the upload")
            expect_continue = self.hub is not None  # what it would not take need not cross the line
            transfer = await upload(
                stream,
                url,
                self.max_bytes,
                self._time_share(directions_left),
                self._record_run,
                expect_continue=expect_continue,
            )
        except TransferRefused as refusal:
            raise await self._refused(stream, refusal) from None
        finally:
            stream.close()
        self._add_measures("upload", transfer.size, transfer.seconds, transfer.rate)

    def _url(self, configured: str, path: str) -> Url:
        """Where to; ``path`` at the hub. Raises ProbeFailed when the plan's address of it is none."""
        if self.hub is None:
            return parse_url(configured)
        try:
            url = parse_url(self.hub.url + path)
        except ValueError as error:
            raise ProbeFailed(
                sentence("the plan gives no address of the collector: {error}", error=error), UNKNOWN
            ) from None
        if not url.tls:
            raise ProbeFailed(
                sentence("the plan gives no address of the collector: it does not begin with https://"), UNKNOWN
            )
        return url

    async def _refused(self, stream: TcpStream, refusal: TransferRefused) -> ProbeFailed:
        """What another server's refusal means, or the hub's: nothing of the line."""
        status = refusal.head.status
        if self.hub is None or (status >= 500 and status != 503):
            return refusal
        body = await read_body(stream, refusal.head, "GET", 4096)
        try:
            words = str(msgspec.json.decode(body.data, type=dict[str, object])["error"])
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
            words = sentence("status {status}", status=status)
        kind = _HubBusy if status in (429, 503) else ProbeFailed
        return kind(
            sentence("the collector refuses to be measured with: {words}", words=printable(words, 150)), UNKNOWN
        )

    def _add_measures(self, direction: str, size: int, seconds: float, rate: float) -> None:
        self.measures[f"{direction}_bytes"] = size
        self.measures[f"{direction}_seconds"] = seconds
        self.measures[f"{direction}_bytes_per_second"] = rate

    def _on_head(self, head: Head) -> None:
        """The server's clock is a second opinion on ours, before most of the content has come."""
        self._record_run()
        ahead = clock_difference(head, time.time())
        if ahead:
            minutes = f"{abs(ahead) / 60:.0f}"
            words = (
                sentence("{ahead:n} minutes behind the server's", ahead=minutes)
                if ahead > 0
                else sentence("{ahead:n} minutes ahead of the server's", ahead=minutes)
            )
            raise ProbeFailed(
                sentence("this machine's clock is {words}: whether it may measure now cannot be told", words=words),
                UNKNOWN,
            )
        self.doing = sentence("the download")

    def _record_run(self) -> None:
        if not self.run_recorded:
            self.quota.record_run(self.probe.url)
            self.run_recorded = True

    def _time_share(self, directions_left: int) -> float:
        """How long the next way may take so that each of those left gets its share. ProbeFailed if too little."""
        seconds = min(self.probe.max_seconds, (self.end - time.monotonic()) / directions_left)
        if seconds < _MIN_SECONDS:
            raise ProbeFailed(
                sentence(
                    "no time is left to measure in: this check's timeout is {timeout:n} s", timeout=self.context.timeout
                ),
                UNKNOWN,
            )
        return seconds

    async def _open(self, url: Url) -> TcpStream:
        probe, context = self.probe, self.context
        self.doing = sentence("finding the address of {host}", host=url.host)
        addresses = await context.client(Resolver, Resolver).addresses(url.host, probe.family)
        self.doing = sentence("connecting")
        limits = context.limits if self.hub is None else Limits()  # the agent talks to its collector anyway
        stream, seconds = await connect(addresses, url.port, limits, max(self.end - time.monotonic(), 0.001))
        if self.latency is None:
            self.latency = seconds
        if not url.tls:
            return stream
        self.doing = sentence("the TLS handshake")
        try:
            await stream.start_tls(self._tls_context(), self.hub.server_name if self.hub else url.host)
        except ssl.SSLError as error:
            stream.close()
            raise handshake_failure(error, stream.who) from None
        except BaseException:
            stream.close()
            raise
        return stream

    def _tls_context(self) -> ssl.SSLContext:
        probe, context = self.probe, self.context
        if self.hub is None:
            contexts = context.client(TlsContexts, TlsContexts)
            return contexts.get(
                verify=probe.verify, authority=probe.authority, limits=context.limits, alpn=("http/1.1",)
            )
        try:
            return self.hub.tls_context()
        except OSError as error:
            raise ProbeFailed(
                sentence("this agent's certificate cannot be used: {error}", error=error.strerror or error), UNKNOWN
            ) from None
