"""Passwords as they are kept: scrypt, with a salt of their own."""

import hashlib
import hmac
import secrets
from typing import Final

COST: Final = 1 << 15  # scrypt's n; with r=8, p=1 some 100 ms and 32 MiB
MAX_COST: Final = 1 << 20
MIN_PASSWORD: Final = 8  # characters
MAX_PASSWORD: Final = 500
SCHEME: Final = "scrypt"
NOBODY: Final = f"{SCHEME}:{COST}:{'00' * 16}:{'00' * 64}"  # what a password given for an unknown name is held against


def hash_password(password: str) -> str:
    """``scrypt:N:SALT:HASH``, what the users' file and the configuration hold."""
    salt = secrets.token_bytes(16)
    return f"{SCHEME}:{COST}:{salt.hex()}:{_scrypt(password, salt, COST).hex()}"


def verify_password(password: str, held: str) -> bool:
    """Whether the password is the one that was hashed; False for a hash that is none."""
    try:
        scheme, cost, salt, expected = held.split(":")
        if scheme != SCHEME or not 2 <= int(cost) <= MAX_COST:
            return False
        return hmac.compare_digest(_scrypt(password, bytes.fromhex(salt), int(cost)), bytes.fromhex(expected))
    except ValueError:
        return False


def why_not_a_password(password: str) -> str:
    """What is wrong with a new password, or ""."""
    if len(password) < MIN_PASSWORD:
        return f"a password needs at least {MIN_PASSWORD} characters"
    if len(password) > MAX_PASSWORD:
        return f"a password has at most {MAX_PASSWORD} characters"
    return ""


def _scrypt(password: str, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(password.encode(errors="replace"), salt=salt, n=cost, r=8, p=1, maxmem=1 << 28)
