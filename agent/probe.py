"""The probe interface: the base class of every kind, the context it runs in, and the outcome it returns.

A kind is one file in ``agent/probes`` with one subclass of :class:`Probe`. Its fields are its configuration, its
docstring is its documentation, and all that others know of it is declared in its class. It only looks: ticks,
spreading, concurrency, thresholds and re-checks belong to the scheduler. A failed look is a value with a reason in
words; a probe raises only for bugs. Nothing registers at import: kinds are found by their files
(``agent.probes.names``).
"""

import ssl
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Protocol, TypeVar

import msgspec

from agent.failure import ProbeFailed
from inventory.protocol import states
from inventory.protocol.mail_words import MailWords
from inventory.protocol.reasons import Why, sentence

# How finely a measure travels: a value v goes over the wire as round(v * per).
PER_UNIT: Final[dict[str, int]] = {
    "seconds": 1_000_000,
    "ratio": 10_000,
    "bytes": 1,
    "timestamp": 1,  # seconds since the Unix epoch
    "count": 1,
    "score": 100,  # MOS, 1.00 to 5.00
    "status": 1,  # a code, such as an HTTP status
    "celsius": 10,
    "volts": 10,
    "hertz": 10,
    "flag": 1,  # 1 yes, 0 no
    "percent": 10,
    "bytes_per_second": 1,
    "per_second": 1_000,  # events, such as errors
    "number": 1_000,  # in a unit that only the check's author knows
}


def schema_format(name: str) -> dict[str, Any]:
    """For ``Meta(extra_json_schema=...)``: a key of inventory.grammars.formats.FORMATS, by which an inventory is
    judged."""
    return {"format": name}


class Measure(msgspec.Struct, frozen=True):
    """One number that a kind reports beside state and latency."""

    name: str  # ends in its unit where that is seconds or a ratio
    unit: str  # a key of PER_UNIT
    help: str  # one line, for people: also the help of its series
    cumulative: bool = False  # it only grows: exposed as a counter
    exported: bool = True  # as the series haidang_SERIES_NAME; what is not stands in the API alone

    def __post_init__(self) -> None:
        if self.unit not in PER_UNIT:
            raise ValueError(f"the measure {self.name} is in {self.unit!r}; units are: {', '.join(sorted(PER_UNIT))}")

    @property
    def per(self) -> int:
        return PER_UNIT[self.unit]


class Outcome(msgspec.Struct, frozen=True):
    """What one look saw."""

    state: int  # states.UP, DEGRADED, DOWN, or UNKNOWN (the look itself could not be made: no evidence)
    reason: Why = ""  # one plain sentence, empty when up
    latency: float | None = None  # seconds, as close to the wire as can be
    measures: Mapping[str, float] = {}  # by declared name, in their units; what was not seen is left out, never 0
    # No look was made, for none was due (a rationed kind); the last result speaks on for its hold, so the scheduler has
    # nothing to record. Where somebody asked all the same (``once``), state and reason say why.
    skipped: bool = False
    notes: tuple[Why, ...] = ()  # for who looks by hand (``once``): no fault, and no part of the result


def unknown(reason: Why) -> Outcome:
    return Outcome(states.UNKNOWN, reason)


def skipped(reason: Why) -> Outcome:
    return Outcome(states.UNKNOWN, reason, skipped=True)


Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
C = TypeVar("C", bound="Client")


class Client(Protocol):
    """Something several looks share (a socket, a TLS context), made on first use and closed with the agent."""

    async def close(self) -> None: ...


class Limits(msgspec.Struct, frozen=True):
    """What the agent's own file allows it to touch. Empty means no limit of that sort."""

    networks: tuple[Network, ...] = ()
    ports: tuple[int, ...] = ()
    directories: tuple[str, ...] = ()

    def forbids(self, address: Address, port: int | None = None) -> Why:
        """Why this target is outside the limits, or ""."""
        if self.networks and not any(
            address.version == network.version and address in network for network in self.networks
        ):
            return sentence("{address} is outside the networks this agent may probe", address=address)
        if port is not None and self.ports and port not in self.ports:
            return sentence("port {port} is not one this agent may probe", port=port)
        return ""


class Hub(msgspec.Struct, frozen=True):
    """The collector that is the plan's authority, for kinds that measure the way to it."""

    url: str  # https://HOST:PORT
    # Makes what proves both ends: the collector's own CA alone is trusted, the agent's certificate is shown. Raises
    # OSError (ssl.SSLError is one).
    tls_context: Callable[[], ssl.SSLContext]
    server_name: str  # what the collector's certificate says, whatever the host


class Destination(msgspec.Struct, frozen=True):
    """Where a credential is about to go.

    ``host``: as the plan names it, "" for a program on this machine. ``address``: whom the connection really reached.
    ``proved``: the name that a certificate proved, "" without one. ``exposed``: why whoever stands in between could
    read it, or "".
    """

    host: str = ""
    address: Address | None = None
    proved: str = ""
    exposed: Why = ""


THIS_MACHINE: Final = Destination()


class CredentialUse(msgspec.Struct, frozen=True):
    """What a check will do with a credential, as far as its parameters tell: for doctor, before any look."""

    name: str
    host: str = ""  # "": a program on this machine
    exposed: Why = ""
    proved: str = ""


class ProbeContext:
    """What a probe is given for one look: its time, the shared clients, the agent's limits and credentials."""

    def __init__(
        self,
        timeout: float,
        limits: Limits,
        clients: dict[type[Any], Any],
        credential: Callable[[str, Destination], Mapping[str, str]] | None = None,
        storage: Path | None = None,
        hub: Hub | None = None,
    ) -> None:
        self.timeout = timeout  # seconds; the scheduler cancels the look shortly after it
        self.limits = limits
        self.storage = storage  # a directory of this kind's own, made by who first writes there; None: keep nothing
        self.hub = hub  # None: not enrolled with any
        self._clients = clients
        self._credential = credential

    def credential(self, name: str, to: Destination) -> Mapping[str, str]:
        """What the agent's own file has under this name, if it may go there.

        Raises ProbeFailed (no evidence) if that is nothing usable, or not for this destination.
        """
        if self._credential is None:
            raise ProbeFailed(
                sentence("there is no credential {name}: this agent has none", name=repr(name)), states.UNKNOWN
            )
        return self._credential(name, to)

    def check_credential(self, name: str, destinations: Sequence[Destination]) -> None:
        """Raises ProbeFailed if none of these places may have it: then nobody is to be connected to."""
        failures: list[ProbeFailed] = []
        for to in destinations:
            try:
                self.credential(name, to)
                return
            except ProbeFailed as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    def client(self, kind: type[C], make: Callable[[], C]) -> C:
        """The agent's one client of this kind, made when first asked for."""
        if kind not in self._clients:
            self._clients[kind] = make()
        shared: C = self._clients[kind]
        return shared


# Where a kind looks: at what an address names, at the agent's own network or machine, at directories of that machine,
# or nowhere: others report to the agent, which keeps it.
LooksAt = Literal["address", "network", "machine", "directories", "reports"]

# What the state of a check tells of: the service that it asks, the host alone (nothing but the host has to answer), the
# line to it, what the site's load runs on (up is mains, degraded is battery, down is none), or a UPS's own health.
About = Literal["service", "host", "line", "power", "ups"]


class Probe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of probe. Everything about a kind stands in its class; what others need of it travels in kinds.json.

    Field types are plain (str, int, float, bool, tuples of them, Literal, msgspec.Meta constraints with a
    description), so that ``kinds.json`` can carry them as JSON Schema; a text of a grammar of its own says which
    (:func:`schema_format`). The docstring is the kind's documentation.
    """

    kind: ClassVar[str]  # its name in an inventory, and its file's
    title: ClassVar[str]  # what people call it, in English; the catalogues have the other languages
    target: ClassVar[tuple[str, ...]]  # fields that say what is looked at: another value there is another check
    apart: ClassVar[tuple[tuple[str, ...], ...]] = ()  # parameters of which at most one may be given
    looks_at: ClassVar[LooksAt] = "address"
    about: ClassVar[About] = "service"
    addressed_by: ClassVar[tuple[str, ...]] = ("host",)  # fields that may hold the target's address, or its URL
    needs: ClassVar[tuple[Literal["ping"], ...]] = ()  # what the agent's machine has to allow, for doctor to look into
    libraries: ClassVar[tuple[str, ...]] = ()  # packages that loading it may bring in, beside msgspec
    evidence_keys: ClassVar[tuple[str, ...]] = ()  # under which a backup's evidence in an inventory means this kind
    measures: ClassVar[tuple[Measure, ...]] = ()
    series: ClassVar[str] = ""  # first part of its series' names where not the kind: several may bring evidence of one
    down_mail: ClassVar[MailWords] = MailWords()
    degraded_mail: ClassVar[MailWords] = MailWords()
    example: ClassVar[str]  # parameters of a check as a person would write them, in YAML

    async def run(self, context: ProbeContext) -> Outcome:
        """One look. Ends by ``look.timeout`` with a reason; the scheduler's own time limit is the last resort."""
        raise TypeError(f"{type(self).__name__} does not say how it looks")

    def credential_uses(self) -> tuple[CredentialUse, ...]:
        """Which credentials this check takes where. What is really done is judged when it is done."""
        return ()

    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        """The (host, port) pairs this check will contact, for the agent's limits to judge before it ever runs."""
        return ()
