"""Signed URLs: what a mail lets its reader do without a login, once the reader presses the button behind it.

A link is opened by mail scanners before any person does, so following one only shows a page; the page's button posts
the same token. The token says what may be done to which incident in whose name and until when, and is signed with the
collector's key (HMAC-SHA256), so that nobody can make one or change one.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from typing import Final, Literal

import msgspec

LinkAction = Literal["acknowledge", "snooze", "stop-digest", "comment", "close"]
LINKS_PATH: Final = "/links/"  # of the operators' pages; the token follows
INCIDENTS_PATH: Final = "/incidents/"  # likewise; an incident's key follows
LINK_LIFETIME: Final = 14 * 86_400_000
MIN_KEY_BYTES: Final = 16  # bytes
MAX_TOKEN_LENGTH: Final = 1024  # characters of a token that is looked at at all

_ACTIONS: Final[dict[LinkAction, int]] = {"acknowledge": 1, "snooze": 2, "stop-digest": 3, "comment": 4, "close": 5}
_NAMES: Final = {code: action for action, code in _ACTIONS.items()}
_VERSION: Final = 1
_HEAD: Final = struct.Struct(">BBQB")  # version, action, expiry in seconds, bytes of the incident's key
_LATEST: Final = 2**63  # seconds
_MAC: Final = hashlib.sha256().digest_size
_PURPOSE: Final = b"haidang link\0"  # the key signs nothing else in these words


class LinkClaim(msgspec.Struct, frozen=True, kw_only=True):
    """What a link may do."""

    action: LinkAction
    contact: str
    incident: str = ""  # its key, "" for what is about none
    expires: int  # ms, cut to whole seconds


class BadLink(Exception):
    """Why a token is not taken. ``expired``: it was good once, so that a page can say more than "no"."""

    def __init__(self, why: str, expired: bool = False) -> None:
        super().__init__(why)
        self.expired = expired


class LinkSigner:
    """Makes and reads tokens with one key of at least 16 bytes. ``former``: earlier keys whose links are still good.

    Raises ValueError when a key is too short to be one.
    """

    def __init__(self, key: bytes, former: tuple[bytes, ...] = ()) -> None:
        if any(len(one) < MIN_KEY_BYTES for one in (key, *former)):
            raise ValueError(f"a key for links has at least {MIN_KEY_BYTES} bytes")
        self._keys = (key, *former)

    def sign(self, claim: LinkClaim) -> str:
        """A token of URL-safe letters; the same claim gives the same one. Raises ValueError for ids too long."""
        incident, contact = claim.incident.encode(), claim.contact.encode()
        if len(incident) > 255 or len(contact) > 255:
            raise ValueError("an incident's key or a contact's id is longer than 255 bytes")
        head = _HEAD.pack(_VERSION, _ACTIONS[claim.action], min(max(claim.expires, 0) // 1000, _LATEST), len(incident))
        payload = head + incident + contact
        return _encode(payload + _mac(self._keys[0], payload))

    def verify(self, token: str, now: int) -> LinkClaim:
        """What the token allows at ``now`` (ms). Raises BadLink."""
        payload = self._verified(token)
        version, code, expires, length = _HEAD.unpack_from(payload)
        if version != _VERSION or code not in _NAMES:
            raise BadLink("this link is of another version of the program")
        if now >= expires * 1000:
            raise BadLink("this link is too old", expired=True)
        rest = payload[_HEAD.size :]
        return LinkClaim(
            action=_NAMES[code],
            incident=rest[:length].decode(),
            contact=rest[length:].decode(),
            expires=expires * 1000,
        )

    def _verified(self, token: str) -> bytes:
        """The signed bytes, once it is certain that we signed them."""
        raw = _decode(token)
        if len(raw) < _HEAD.size + _MAC:
            raise BadLink("this link is not whole")
        payload, mac = raw[:-_MAC], raw[-_MAC:]
        if not any(hmac.compare_digest(mac, _mac(key, payload)) for key in self._keys):
            raise BadLink("this link is not whole")
        return payload


def _mac(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + payload, "sha256")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(token: str) -> bytes:
    """The inverse of ``_encode``, and of nothing else: one token has one spelling."""
    if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
        raise BadLink("this link is not whole")
    try:
        raw = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadLink("this link is not whole") from None
    if _encode(raw) != token:
        raise BadLink("this link is not whole")
    return raw
