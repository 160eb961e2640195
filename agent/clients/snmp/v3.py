"""SNMP version 3 by pysnmp: one engine a credential, made anew when a device's own engine changes.

pysnmp remembers which SNMP engine is behind an address for as long as its own engine lives, and two keys of one user
do not fit into one engine. So each credential has its own; when a device that did answer falls silent, its engine's
id is asked for, and if that is another one (a replaced device, a factory reset) the credential's engine is new.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from pysnmp.carrier.asyncio.dgram import udp, udp6
from pysnmp.hlapi.v3arch.asyncio import (
    USM_AUTH_HMAC96_SHA,
    USM_AUTH_HMAC192_SHA256,
    USM_AUTH_NONE,
    USM_PRIV_CFB128_AES,
    USM_PRIV_NONE,
    ContextData,
    ObjectIdentity,
    ObjectType,
    SnmpEngine,
    Udp6TransportTarget,
    UdpTransportTarget,
    UsmUserData,
    bulk_cmd,
    get_cmd,
    next_cmd,
)
from pysnmp.proto import errind, rfc1902, rfc1905

from agent.clients.net.address_policy import scope_index
from agent.clients.net.stream import endpoint
from agent.clients.snmp.access import SnmpTarget, SnmpUser
from agent.clients.snmp.ber import END_OF_MIB, GET, GETBULK, Value, decode_value, encode_oid, oid_text
from agent.clients.snmp.discovery import engine_at, is_version_3
from agent.clients.snmp.session import DeviceLimits, SnmpNoResponse, SnmpReply
from agent.failure import ProbeFailed
from inventory.protocol.reasons import sentence, template
from inventory.protocol.states import UNKNOWN

log = logging.getLogger("agent.snmp")

IDLE: Final = 900.0  # seconds after which an engine that nobody uses is closed
_FIRST, _ASK = 0.5, 0.2  # shares of an exchange's time: the first attempt, asking for the engine
univ = rfc1902.univ  # pyasn1's types, under pysnmp's
_ADDRESS, _OPAQUE = 0x40, 0x44  # SNMP's tags of values that are bytes to pysnmp
_RETRIES: Final = 3
_LINGER: Final = 5.0  # seconds that a replaced engine lives on, for the looks under way
_AUTH: Final = {"": USM_AUTH_NONE, "sha1": USM_AUTH_HMAC96_SHA, "sha256": USM_AUTH_HMAC192_SHA256}
_PRIV: Final = {"": USM_PRIV_NONE, "aes128": USM_PRIV_CFB128_AES}
_WORDS: Final = {
    errind.WrongDigest: template("{who} does not accept this credential: auth_password (or auth) is wrong"),
    errind.AuthenticationFailure: template("{who} does not accept this credential: auth_password (or auth) is wrong"),
    errind.UnknownUserName: template("{who} does not know the user of this credential"),
    errind.UnknownSecurityName: template("{who} does not know the user of this credential"),
    errind.DecryptionError: template("{who} cannot decrypt what it is asked: priv_password (or priv) is wrong"),
    errind.UnsupportedSecurityLevel: template(
        "{who} does not let this user ask at this level: authentication or privacy is missing in the credential, or "
        "not set up for the user at the device"
    ),
    errind.NotInTimeWindow: template(
        "{who} says that our idea of its SNMP engine's time is wrong, and does not give a better one"
    ),
}


class _Engine:
    """pysnmp's engine for one credential. ``known``: the id of the engine behind each address that answered."""

    def __init__(self, user: SnmpUser) -> None:
        self.engine = SnmpEngine()
        self.used = time.monotonic()
        self.engine_ids: dict[tuple[str, int], bytes] = {}
        self.data = UsmUserData(
            user.user,
            user.auth_password or None,
            user.priv_password or None,
            _AUTH[user.auth],
            _PRIV[user.priv],
        )

    def close(self) -> None:
        self.engine.close_dispatcher()


class SnmpEngines:
    """All credentials' engines."""

    def __init__(self) -> None:
        self._engines: dict[SnmpUser, _Engine] = {}
        self._closing: dict[_Engine, asyncio.TimerHandle] = {}

    def get(self, user: SnmpUser) -> _Engine:
        snmp_engine = self._engines.get(user)
        if snmp_engine is None:
            idle = time.monotonic() - IDLE
            for other in [other for other, engine in self._engines.items() if engine.used < idle]:
                self._engines.pop(other).close()
            snmp_engine = self._engines[user] = _Engine(user)
        snmp_engine.used = time.monotonic()
        return snmp_engine

    def renew(self, user: SnmpUser, engine: _Engine) -> None:
        """Give a credential a fresh engine, unless another look has done so."""
        if self._engines.get(user) is engine:
            del self._engines[user]
            self._closing[engine] = asyncio.get_running_loop().call_later(_LINGER, self._close_later, engine)

    def _close_later(self, engine: _Engine) -> None:
        del self._closing[engine]
        engine.close()

    def close(self) -> None:
        for engine in (*self._engines.values(), *self._closing):
            engine.close()
        for timer in self._closing.values():
            timer.cancel()
        self._engines.clear()
        self._closing.clear()


class UserExchange:
    """An exchange of version 3 with one device."""

    bulk = True

    def __init__(
        self, engines: SnmpEngines, target: SnmpTarget, user: SnmpUser, device_limits: DeviceLimits, seconds: float
    ) -> None:
        self._engines = engines
        self._target = target
        self._user = user
        self._device_limits = device_limits
        self._who = endpoint(target.address, target.port)
        self._every = max(0.5, round(seconds / 4))  # few different ones: pysnmp keeps each for ever

    async def __call__(self, pdu: int, oids: Sequence[bytes], repetitions: int, seconds: float) -> SnmpReply:
        end = time.monotonic() + seconds
        try:
            return await self._attempt(pdu, oids, repetitions, seconds * _FIRST)
        except SnmpNoResponse:
            pass
        address, port = self._target.address, self._target.port
        engine_id = await engine_at(address, port, seconds * _ASK)
        engine = self._engines.get(self._user)
        if engine_id is not None and engine.engine_ids.get((str(address), port), engine_id) != engine_id:
            self._engines.renew(self._user, engine)
        try:
            return await self._attempt(pdu, oids, repetitions, max(0.05, end - time.monotonic()))
        except SnmpNoResponse:
            raise self._no_response(engine_id, seconds) from None

    def _no_response(self, engine_id: bytes | None, seconds: float) -> ProbeFailed:
        if engine_id is None:
            reason = sentence("{who} did not answer within {seconds:n} s", who=self._who, seconds=f"{seconds:.3g}")
            return SnmpNoResponse(
                reason if self._device_limits.answered else sentence("{reason}: no SNMP version 3 there", reason=reason)
            )
        words = sentence(
            "{who} speaks version 3, but did not answer this user within {seconds:n} s",
            who=self._who,
            seconds=f"{seconds:.3g}",
        )
        if not self._user.priv_password:
            return SnmpNoResponse(words)
        hint = sentence("priv_password (or priv) is wrong, or its context")
        return SnmpNoResponse(sentence("{words}: {hint}", words=words, hint=hint))

    async def _attempt(self, pdu: int, oids: Sequence[bytes], repetitions: int, seconds: float) -> SnmpReply:
        engine = self._engines.get(self._user)
        transport = _transport(self._target, self._every)
        context = ContextData(contextName=self._user.context.encode())
        objects = [ObjectType(ObjectIdentity(oid_text(oid))) for oid in oids]
        arguments = (engine.engine, engine.data, transport, context)
        started = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                if pdu == GET:
                    answer = await get_cmd(*arguments, *objects, lookupMib=False)
                elif pdu == GETBULK:
                    answer = await bulk_cmd(*arguments, 0, repetitions, *objects, lookupMib=False)
                else:
                    answer = await next_cmd(*arguments, *objects, lookupMib=False)
        except TimeoutError:
            raise SnmpNoResponse("") from None
        except Exception as error:  # pysnmp's errors are of many sorts, and may quote what they are about
            raise ProbeFailed(
                sentence("{who}: version 3 failed here ({name})", who=self._who, name=type(error).__name__), UNKNOWN
            ) from None
        elapsed = time.monotonic() - started
        error_indication, status, index, varbinds = answer
        if error_indication is not None:
            raise self._failure(error_indication)
        await self._learn_engine_id(engine, started + seconds - time.monotonic())
        return SnmpReply(int(status), int(index), [_to_varbind(name, raw) for name, raw in varbinds], elapsed)

    def _failure(self, error_indication: object) -> ProbeFailed:
        """pysnmp's error indication in words. What is wrong with the credential is no evidence about the device."""
        if isinstance(error_indication, errind.RequestTimedOut | errind.UnknownEngineID):
            return SnmpNoResponse("")  # an unknown engine: the device has a new one, which is asked for next
        for error_type, words in _WORDS.items():
            if isinstance(error_indication, error_type):
                return ProbeFailed(sentence(words, who=self._who), UNKNOWN)
        return ProbeFailed(
            sentence(
                "{who}: no answer of version 3 that can be used ({name})",
                who=self._who,
                name=type(error_indication).__name__,
            )
        )

    async def _learn_engine_id(self, engine: _Engine, remaining: float) -> None:
        """Learn, once, which engine it is that answers, to know it from another one later."""
        address, port = self._target.address, self._target.port
        if (str(address), port) not in engine.engine_ids and (engine_id := await engine_at(address, port, remaining)):
            engine.engine_ids[str(address), port] = engine_id


class _FilteredTransport:
    """Keeps from pysnmp what is not version 3, and from the loop what pysnmp makes of the rest of others' bytes."""

    def datagram_received(self, datagram: bytes, address: Any) -> None:
        callback: Callable[[Any, Any, bytes], None] | None = getattr(self, "_callback_function", None)
        if callback is None or not is_version_3(datagram):
            return
        try:
            callback(self, address, datagram)
        except Exception:  # of any sort; it was no answer
            log.debug("a datagram was no answer of SNMP version 3")


class _Udp(_FilteredTransport, udp.UdpAsyncioTransport):  # type: ignore[misc]  # untyped
    pass


class _Udp6(_FilteredTransport, udp6.Udp6AsyncioTransport):  # type: ignore[misc]  # untyped
    pass


class _Target(UdpTransportTarget):  # type: ignore[misc]  # untyped
    PROTO_TRANSPORT = _Udp


class _Target6(Udp6TransportTarget):  # type: ignore[misc]  # untyped
    PROTO_TRANSPORT = _Udp6


def _transport(target: SnmpTarget, every: float) -> Any:
    """Where to send. Made by hand: ``create`` asks the resolver, in a thread, even for an address."""
    four = target.address.version == 4
    target_type = _Target if four else _Target6
    transport: Any = target_type.__new__(target_type)
    host, port = str(target.address), target.port
    transport.transport_address = (host, port) if four else (host, port, 0, scope_index(target.address))
    transport.__init__(timeout=every, retries=_RETRIES)
    return transport


def _to_varbind(name: Any, raw: Any) -> tuple[bytes, Value | None]:
    return encode_oid(".".join(map(str, tuple(name)))), _value(raw)


def _value(raw: Any) -> Value | None:
    """pysnmp's value as one of ours; None for none, and for a request's own empty places, sent back."""
    if isinstance(raw, rfc1905.EndOfMibView):
        return END_OF_MIB
    if isinstance(raw, rfc1905.NoSuchObject | rfc1905.NoSuchInstance | univ.Null):
        return None
    if isinstance(raw, rfc1902.IpAddress):
        return decode_value(_ADDRESS, bytes(raw))
    if isinstance(raw, rfc1902.Opaque):
        return decode_value(_OPAQUE, bytes(raw))
    if isinstance(raw, univ.OctetString):
        return bytes(raw)
    if isinstance(raw, univ.ObjectIdentifier | ObjectIdentity):
        return ".".join(map(str, tuple(raw)))
    return int(raw) if isinstance(raw, univ.Integer) else None
