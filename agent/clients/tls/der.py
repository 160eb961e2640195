"""Read the few fields of an X.509 certificate that every probe needs from its DER, without a library.

Only names and dates: whatever decides trust is left to OpenSSL. Layout: RFC 5280, section 4.1.
"""

import calendar
import functools
from typing import Final

import msgspec

_SEQUENCE, _INTEGER, _EXPLICIT_0, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0x02, 0xA0, 0x17, 0x18
# object identifiers as they stand in DER
_CA_ISSUERS: Final = bytes.fromhex("06082b06010505073002")  # id-ad-caIssuers
_ATTRIBUTES: Final = {b"\x55\x04\x03": "CN", b"\x55\x04\x0a": "O", b"\x55\x04\x0b": "OU"}
_ENCODINGS: Final = {0x1E: "utf-16-be", 0x1C: "utf-32-be", 0x14: "latin-1"}  # of strings; else UTF-8 or a part of it


class DerError(ValueError):
    """Bytes that are not a certificate."""


class CertificateFields(msgspec.Struct, frozen=True):
    """``issuer`` and ``subject`` are DER names, to compare; dates in seconds since the epoch.

    ``names_issuer_place``: it says where its issuer's certificate can be fetched.
    """

    issuer: bytes
    subject: bytes
    not_before: float
    not_after: float
    names_issuer_place: bool


@functools.lru_cache(maxsize=64)
def parse(certificate: bytes) -> CertificateFields:
    """Raises DerError. Kept for the last few certificates: a server shows the same one at every look."""
    try:
        _, start, end = _element(certificate, 0, len(certificate), _SEQUENCE)
        _, at, end = _element(certificate, start, end, _SEQUENCE)  # to-be-signed
        if certificate[at] == _EXPLICIT_0:  # the version
            at = _element(certificate, at, end)[2]
        at = _element(certificate, at, end, _INTEGER)[2]  # serial number
        at = _element(certificate, at, end, _SEQUENCE)[2]  # signature algorithm
        issuer_at, _, at = _element(certificate, at, end, _SEQUENCE)
        issuer = certificate[issuer_at:at]
        _, date, at = _element(certificate, at, end, _SEQUENCE)  # validity
        not_before, date = _parse_time(certificate, date, at)
        not_after, _ = _parse_time(certificate, date, at)
        subject_at, _, at = _element(certificate, at, end, _SEQUENCE)
        subject = certificate[subject_at:at]
    except (IndexError, ValueError) as error:
        raise DerError(f"not a certificate: {error}") from None
    return CertificateFields(issuer, subject, not_before, not_after, _CA_ISSUERS in certificate)


def _element(data: bytes, at: int, limit: int, tag: int | None = None) -> tuple[int, int, int]:
    """Where the element at ``at`` begins, where its content does, and where it ends."""
    if tag is not None and data[at] != tag:
        raise DerError(f"tag {data[at]:#x} where {tag:#x} belongs")
    length, content = data[at + 1], at + 2
    if length >= 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4:
            raise DerError("bad length")
        length = int.from_bytes(data[content : content + count], "big")
        content += count
    if content + length > limit:
        raise DerError("truncated")
    return at, content, content + length


def _parse_time(data: bytes, at: int, limit: int) -> tuple[float, int]:
    """A UTCTime or GeneralizedTime as RFC 5280 has them, in seconds since the epoch, and where it ends."""
    _, start, end = _element(data, at, limit)
    text = data[start:end].decode("ascii")
    if data[at] == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif data[at] != _GENERALIZED_TIME:
        raise DerError("no time where one belongs")
    if len(text) != 15 or text[14] != "Z" or not text[:14].isdigit():
        raise DerError("bad time")
    year, month, day, hour, minute, second = int(text[:4]), *(int(text[i : i + 2]) for i in range(4, 14, 2))
    if not (1 <= month <= 12 and 1 <= day <= 31 and year >= 1):
        raise DerError("bad time")
    return float(calendar.timegm((year, month, day, hour, minute, second))), end


def attributes(name: bytes) -> dict[str, str]:
    """The CN, O and OU of a DER name, the last of each; empty when it is damaged."""
    values = {}
    try:
        _, at, end = _element(name, 0, len(name), _SEQUENCE)
        while at < end:
            _, inner, at = _element(name, at, end)  # a set of pairs
            while inner < at:
                _, pair, inner = _element(name, inner, at, _SEQUENCE)
                _, kind, kind_end = _element(name, pair, inner)
                _, value, value_end = _element(name, kind_end, inner)
                key = _ATTRIBUTES.get(name[kind:kind_end])
                if key:
                    values[key] = name[value:value_end].decode(_ENCODINGS.get(name[kind_end], "utf-8"), "replace")
    except (IndexError, ValueError):
        return {}
    return values
