"""Deterministic keys of incidents and Message-ID parts of notices."""

from collections.abc import Iterable
from hashlib import blake2b

from alerts.incident.entities import NoticeKind


def incident_key(root: str, opened: int, *more: object) -> str:
    """16 hex digits. ``more`` tells apart what has the same root and beginning."""
    return _digest(8, root, opened, *more)


def notice_ident(kind: NoticeKind, contact: str, about: Iterable[tuple[str, int]]) -> str:
    """``about``: each incident's key and the how-manieth notice of it to this contact this is; order does not count."""
    return f"{kind}.{_digest(13, contact, kind, *(f'{key} {count}' for key, count in sorted(about)))}"


def digest_ident(contact: str, day: str) -> str:
    return f"digest.{_digest(13, contact, 'digest', day)}"


def _digest(size: int, *parts: object) -> str:
    return blake2b("\0".join(map(str, parts)).encode(), digest_size=size).hexdigest()
