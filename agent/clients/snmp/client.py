"""The SNMP client that probes share: sessions over one socket a family (version 3: one engine a credential)."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from agent.clients.net.stream import endpoint
from agent.clients.snmp.access import Community, SnmpTarget, SnmpUser
from agent.clients.snmp.ber import encode_request
from agent.clients.snmp.channel import SnmpChannel, SnmpTimeout
from agent.clients.snmp.session import DeviceLimits, SnmpExchange, SnmpNoResponse, SnmpReply, SnmpSession
from inventory.protocol.reasons import Reason, Why, joined, sentence

if TYPE_CHECKING:
    from agent.clients.snmp.v3 import SnmpEngines

MOST_REMEMBERED: Final = 8_192  # devices whose manners are kept
_RESEND_SHARE: Final = 0.25  # of a look's time, at least, between two sendings of a question
_LONGEST_RESEND: Final = 2.0  # seconds between two sendings, at most


class SnmpClient:
    """A shared client: ``look.client(Snmp, Snmp)``. ``watch``: the event loop can watch sockets (not on Windows)."""

    def __init__(self, watch: bool = sys.platform != "win32") -> None:
        self._watch = watch
        self._channels: dict[int, SnmpChannel] = {}
        self._device_limits: dict[SnmpTarget, DeviceLimits] = {}
        self._engines: SnmpEngines | None = None

    async def session(self, target: SnmpTarget, seconds: float) -> SnmpSession:
        """A conversation with a device that ends within ``seconds``. Raises Trouble when this machine has no socket."""
        who = endpoint(target.address, target.port)
        if target not in self._device_limits and len(self._device_limits) >= MOST_REMEMBERED:
            self._device_limits.clear()  # of plans long gone; those in use learn again
        device_limits = self._device_limits.setdefault(target, DeviceLimits())
        exchange: SnmpExchange
        if isinstance(target.access, SnmpUser):
            exchange = self._user_exchange(target, target.access, device_limits, seconds)
        else:
            channel = await self._channel(target.address.version)
            exchange = _CommunityExchange(channel, target, target.access, device_limits, seconds)
        return SnmpSession(exchange, who, seconds, device_limits)

    async def _channel(self, version: int) -> SnmpChannel:
        channel = self._channels.get(version)
        if channel is None:
            channel = self._channels[version] = SnmpChannel(version, self._watch)
            await channel.open()
        return channel

    def _user_exchange(
        self, target: SnmpTarget, user: SnmpUser, device_limits: DeviceLimits, seconds: float
    ) -> SnmpExchange:
        from agent.clients.snmp import v3  # pysnmp weighs more than the rest of the agent's probes

        if self._engines is None:
            self._engines = v3.SnmpEngines()
        return v3.UserExchange(self._engines, target, user, device_limits, seconds)

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()
        if self._engines is not None:
            self._engines.close()
            self._engines = None


class _CommunityExchange:
    """Versions 1 and 2c."""

    def __init__(
        self, channel: SnmpChannel, target: SnmpTarget, access: Community, device_limits: DeviceLimits, seconds: float
    ) -> None:
        self._channel = channel
        self._target = target
        self._version = 0 if access.version == "1" else 1
        self._community = access.community.encode()
        self._device_limits = device_limits
        self._every = min(seconds * _RESEND_SHARE, _LONGEST_RESEND)
        self.bulk = access.version == "2c"

    async def __call__(self, pdu: int, oids: Sequence[bytes], repetitions: int, seconds: float) -> SnmpReply:
        target, version, community = self._target, self._version, self._community
        try:
            message, elapsed, ignored = await self._channel.request(
                target.address,
                target.port,
                version,
                lambda request_id: encode_request(version, community, pdu, request_id, oids, repetitions),
                self._every,
                seconds,
            )
        except SnmpTimeout as timeout:
            raise SnmpNoResponse(self._timeout_text(seconds, timeout.ignored)) from None
        return SnmpReply(message.status, message.index, message.varbinds, elapsed, ignored)

    def _timeout_text(self, seconds: float, ignored: Why) -> Reason:
        reason = sentence(
            "{address} did not answer within {seconds:n} s",
            address=endpoint(self._target.address, self._target.port),
            seconds=f"{seconds:.3g}",
        )
        if ignored:
            return joined([reason, ignored])
        # a wrong community is answered with silence
        return (
            reason
            if self._device_limits.answered
            else sentence("{reason}: a wrong community, or no SNMP there", reason=reason)
        )
