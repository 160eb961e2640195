"""Read the first flight of a server that speaks only TLS 1.3, where it is encrypted (RFC 8446).

One X25519 or P-256 key exchange gives the key that the server's handshake records are encrypted with; that is all
that is needed to read its certificates and the stapled response in them. The handshake is never completed and
nobody is authenticated: whoever answers, a stapled response is signed, and judged elsewhere.
"""

import hashlib
import hmac
from typing import TYPE_CHECKING, Any, Final

from agent.clients.tls.flight import (
    ALERT,
    CERTIFICATE,
    SERVER_HELLO,
    FlightParser,
    client_hello,
    extension,
    parse_certificate_status,
    uint16_list,
    vector,
)

if TYPE_CHECKING:  # imported when a server turns out to need it
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_X25519, _P256 = 0x001D, 0x0017
_AES_128, _AES_256, _CHACHA = 0x1301, 0x1302, 0x1303
_CHANGE_CIPHER_SPEC, _APPLICATION_DATA = 20, 23
_ENCRYPTED_EXTENSIONS, _CERTIFICATE_REQUEST = 8, 13
# A ServerHello with this instead of a random number asks to try again with another group (RFC 8446, 4.1.3)
_RETRY: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


class Flight13Parser(FlightParser):
    """Give ``hello`` to the server and its answer to ``feed``."""

    def __init__(self, server_name: str) -> None:
        super().__init__()
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._x25519: X25519PrivateKey = X25519PrivateKey.generate()
        self._p256: EllipticCurvePrivateKey = generate_private_key(SECP256R1())
        point = self._p256.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        shares = uint16_list((_X25519,)) + vector(2, self._x25519.public_key().public_bytes_raw())
        shares += uint16_list((_P256,)) + vector(2, point)
        extra_extensions = extension(43, b"\x02\x03\x04") + extension(51, vector(2, shares))
        self.hello = client_hello(server_name, (_AES_128, _AES_256, _CHACHA), extra_extensions)
        self._cipher: Any = None  # an AEAD, once the keys are agreed
        self._iv = b""
        self._sequence = 0

    def _handle_record(self, kind: int, header: bytes, body: bytes) -> None:
        if kind == _CHANGE_CIPHER_SPEC and not self._chain:
            return  # for the sake of middleboxes (appendix D.4)
        if kind == _APPLICATION_DATA and self._cipher is not None:
            kind, body = self._decrypt(header, body)
        elif self._cipher is not None and kind != ALERT:
            kind = -1  # nothing is in clear after the ServerHello
        super()._handle_record(kind, header, body)

    def _decrypt(self, header: bytes, body: bytes) -> tuple[int, bytes]:
        """The inner type and content of an encrypted record; type -1 when it is not for us."""
        from cryptography.exceptions import InvalidTag

        nonce = int.from_bytes(self._iv, "big") ^ self._sequence
        self._sequence += 1
        try:
            inner = self._cipher.decrypt(nonce.to_bytes(12, "big"), body, header).rstrip(b"\x00")
        except (InvalidTag, ValueError):
            return -1, b""
        return (inner[-1], inner[:-1]) if inner else (-1, b"")

    def _handle_message(self, kind: int, body: bytes) -> None:
        if kind == SERVER_HELLO and self._cipher is None:
            self.done = not self._derive_keys(body)
        elif kind == CERTIFICATE and self._cipher is not None:
            self._chain, self._staple = _certificates(body)
            self.done = True
        elif kind not in (_ENCRYPTED_EXTENSIONS, _CERTIFICATE_REQUEST) or self._cipher is None:
            self.done = True

    def _derive_keys(self, hello: bytes) -> bool:
        """Derive the key of the server's handshake records (RFC 8446, 7.1); False when that cannot be done."""
        suite, shared = self._server_hello(hello)
        if shared is None or suite not in (_AES_128, _AES_256, _CHACHA):
            return False
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

        name, length = ("sha384", 48) if suite == _AES_256 else ("sha256", 32)
        # what was said so far, without the record's header; the ServerHello with its message's
        transcript = self.hello[5:] + bytes([SERVER_HELLO]) + vector(3, hello)
        early = hmac.digest(bytes(length), bytes(length), name)
        derived = _expand(early, b"derived", hashlib.new(name).digest(), length, name)
        secret = hmac.digest(derived, shared, name)
        traffic = _expand(secret, b"s hs traffic", hashlib.new(name, transcript).digest(), length, name)
        key = _expand(traffic, b"key", b"", 16 if suite == _AES_128 else 32, name)
        self._iv = _expand(traffic, b"iv", b"", 12, name)
        self._cipher = ChaCha20Poly1305(key) if suite == _CHACHA else AESGCM(key)
        return True

    def _server_hello(self, hello: bytes) -> tuple[int, bytes | None]:
        """The cipher suite and the shared secret that a ServerHello leads to."""
        random, at = hello[2:34], 35 + hello[34] if len(hello) > 34 else 0
        suite = int.from_bytes(hello[at : at + 2], "big")
        if not at or random == _RETRY:
            return suite, None
        at += 5  # the suite, compression, the length of the extensions
        while at + 4 <= len(hello):
            number, length = int.from_bytes(hello[at : at + 2], "big"), int.from_bytes(hello[at + 2 : at + 4], "big")
            if number == 51:
                group = int.from_bytes(hello[at + 4 : at + 6], "big")
                return suite, self._shared_secret(group, hello[at + 8 : at + 4 + length])
            at += 4 + length
        return suite, None

    def _shared_secret(self, group: int, share: bytes) -> bytes | None:
        from cryptography.hazmat.primitives.asymmetric.ec import ECDH, SECP256R1, EllipticCurvePublicKey
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

        try:
            if group == _X25519:
                return self._x25519.exchange(X25519PublicKey.from_public_bytes(share))
            if group == _P256:
                return self._p256.exchange(ECDH(), EllipticCurvePublicKey.from_encoded_point(SECP256R1(), share))
        except ValueError:
            pass  # not a point
        return None


def _expand(secret: bytes, label: bytes, context: bytes, length: int, name: str) -> bytes:
    """HKDF-Expand-Label; one block of HKDF is enough for every length here."""
    info = length.to_bytes(2, "big") + vector(1, b"tls13 " + label) + vector(1, context)
    return hmac.digest(secret, info + b"\x01", name)[:length]


def _certificates(body: bytes) -> tuple[tuple[bytes, ...], bytes | None]:
    """The chain of a TLS 1.3 Certificate message and the response stapled to its leaf; ((), None) when damaged."""
    at = 1 + body[0] if body else 0  # past the context
    if len(body) < at + 3 or int.from_bytes(body[at : at + 3], "big") != len(body) - at - 3:
        return (), None
    at += 3
    chain: list[bytes] = []
    staple = None
    while at < len(body):
        end = at + 3 + int.from_bytes(body[at : at + 3], "big")
        past = end + 2 + int.from_bytes(body[end : end + 2], "big")
        if past > len(body) or end == at + 3:
            return (), None
        if not chain:
            staple = _stapled_response(body[end + 2 : past])
        chain.append(body[at + 3 : end])
        at = past
    return tuple(chain), staple


def _stapled_response(extensions: bytes) -> bytes | None:
    at = 0
    while at + 4 <= len(extensions):
        number, length = (int.from_bytes(extensions[i : i + 2], "big") for i in (at, at + 2))
        if number == 5:
            return parse_certificate_status(extensions[at + 4 : at + 4 + length])
        at += 4 + length
    return None
