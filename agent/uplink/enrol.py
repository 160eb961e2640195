"""Enrolment and renewal: how a machine becomes an agent of one collector, and stays it.

A code ``hd1-SECRET-FINGERPRINT`` is good for one enrolment. The fingerprint is of the collector's private CA: the
CA is asked for without trust, compared with it, and everything after is said to that CA alone. The key is made
here and never leaves. Only this file needs the library for keys and certificates.
"""

import asyncio
import base64
import email.utils
import logging
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.uplink import identity as identities
from agent.uplink.connection import CollectorResponse, Unreachable, Uplink, tls_context, unverified_context
from agent.uplink.identity import Identity
from agent.uplink.push import machine_header
from inventory.base import files
from inventory.base.clock import SystemClock
from inventory.protocol import authority, machine

log = logging.getLogger("agent.enrol")

_CODE: Final = re.compile(r"hd1-([a-z2-7]{16})-([a-z2-7]{32})")
ATTEMPTS: Final = 3  # with the same key: an answer that was lost is given again
CLOCK_OFF: Final = 86_400  # seconds; worth a word

_REFUSED: Final = {
    "used": "This code has been used. A code is good for one enrolment: get a new one (haidang-collector code AGENT).",
    "expired": "This code or certificate has expired. Get a new code (haidang-collector code AGENT), then enrol.",
    "unknown": "The collector does not know this code. Check that it was copied whole and is for this collector.",
    "revoked": "The collector has revoked this agent. Ask for it to be admitted again, then enrol with a new code.",
    "replaced": "Another machine has taken this agent's place. If this machine is to be the agent again, get a new "
    "code (haidang-collector code AGENT) and enrol.",
    "a new code is needed": "The certificate ended too long ago to be renewed. Get a new code (haidang-collector code "
    "AGENT) and enrol.",
    "too many renewals": "The collector has renewed this agent's certificate as often as it does in a day. Try again "
    "tomorrow, and look why it was renewed so often: does another machine run as this agent?",
    "too many attempts": "Too many codes that do not work came from this address. Wait ten minutes, then try again.",
}


_NO_CERTIFICATE: Final = (
    ValueError,  # no JSON, no PEM
    TypeError,
    RecursionError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
)


class EnrolFailed(Exception):
    """Why this machine could not be enrolled or renewed, and what to do; for people."""


class EnrolmentToken(msgspec.Struct, frozen=True):
    secret: str
    fingerprint: str


class _Issued(msgspec.Struct):
    """The collector's answer; unknown fields may come later."""

    agent: str
    certificate: str
    ca: str


def parse_code(text: str) -> EnrolmentToken:
    """Raises EnrolFailed."""
    match = _CODE.fullmatch(text.strip().lower())
    if match is None:
        raise EnrolFailed(
            "This is not an enrolment code. It looks like hd1-(16 characters)-(32 characters); copy it whole."
        )
    return EnrolmentToken(match[1], match[2])


def check_url(url: str) -> str:
    """The collector's address in its plain form. Raises EnrolFailed."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme == "https" and parts.hostname and parts.path in ("", "/") and not parts.query
        port = parts.port  # raises for what is no port
    except ValueError:
        fine, port = False, None
    if not fine:
        raise EnrolFailed(f"{url!r} is not a collector's address; write it like https://collector.example:8443")
    host = parts.netloc if port is not None else f"{parts.netloc}:8443"
    return f"https://{host}"


async def enrol(state_dir: Path, url: str, code: EnrolmentToken, *, force: bool = False) -> Identity:
    """Make this machine an agent and store its identity. Raises EnrolFailed; then nothing has changed."""
    _check_writable(state_dir)
    authority = await _authority(url, code)
    key = ec.generate_private_key(ec.SECP256R1())
    body = msgspec.json.encode({"secret": code.secret, "csr": _request(key)})
    answer = await _post(Uplink(url, tls_context([authority], None)), "/v1/enroll", body)
    identity = _identity(answer, url, key, authority)
    try:
        old = identities.load(state_dir)
    except identities.NoIdentity:
        old = None
    if old is not None and old.agent != identity.agent:
        if not force:
            raise EnrolFailed(
                f"This code is for the agent {identity.agent!r}, but this machine is {old.agent!r} and may hold "
                f"results of it that are not delivered. If it is to become {identity.agent!r}, get a new code and "
                "use --force."
            )
        _set_aside(state_dir, old.agent)
    identities.store(state_dir, identity)
    return identity


async def renew(state_dir: Path) -> Identity:
    """A new key and certificate for the same agent. Raises EnrolFailed, NoIdentity; then the old one stays."""
    old = identities.load(state_dir)
    key = ec.generate_private_key(ec.SECP256R1())
    uplink = Uplink(old.url, tls_context([old.authority], identities.path_in(state_dir)))
    headers = {machine.HEADER: machine_header(SystemClock())}
    answer = await _post(uplink, "/v1/renew", msgspec.json.encode({"csr": _request(key)}), headers)
    identity = _identity(answer, old.url, key, old.authority)
    if identity.agent != old.agent:
        raise EnrolFailed(f"the collector answered with a certificate for {identity.agent!r}")
    identities.store(state_dir, identity)
    return identity


async def _authority(url: str, code: EnrolmentToken) -> str:
    """The collector's CA certificate, if it is the one that the code speaks of."""
    uplink = Uplink(url, unverified_context())
    try:
        answer = await uplink.request("GET", "/v1/enroll")
    except Unreachable as error:
        raise EnrolFailed(f"The collector cannot be reached: {error}. {_advice(error)}") from error
    finally:
        await uplink.close()
    try:
        der = ssl.PEM_cert_to_DER_cert(answer.body.decode("ascii").strip()) if answer.status == 200 else b""
        certificate = x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion):
        raise EnrolFailed(f"What answers at {url} is not a collector's listener for agents. Check the port.") from None
    fingerprint = base64.b32encode(authority.fingerprint(der)).decode().lower()
    if fingerprint != code.fingerprint:
        raise EnrolFailed(
            f"What answers at {url} is not the collector that gave this code: its fingerprint is {fingerprint}. "
            "Either the address is another collector's, or someone is in between. Nothing was sent to it."
        )
    _warn_of_clock(answer.headers)
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


async def _post(uplink: Uplink, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> CollectorResponse:
    try:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = await uplink.request(
                    "POST", path, body, {"Content-Type": "application/json", **(headers or {})}
                )
                break
            except Unreachable as error:
                if attempt == ATTEMPTS or error.kind == "tls":
                    raise EnrolFailed(f"The collector cannot be reached: {error}. {_advice(error)}") from error
                await asyncio.sleep(attempt)
    finally:
        await uplink.close()
    if answer.status != 200:
        error_text = answer.error_text
        raise EnrolFailed(_REFUSED.get(error_text, f"The collector refuses: {error_text}."))
    return answer


def _identity(answer: CollectorResponse, url: str, key: ec.EllipticCurvePrivateKey, authority: str) -> Identity:
    """The new identity, if the answer is a certificate of that authority for our key."""
    try:
        issued = msgspec.json.decode(answer.body, type=_Issued)
        certificate = x509.load_pem_x509_certificate(issued.certificate.encode())
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.encode()))
        for_this_key = certificate.public_key() == key.public_key()
    except (
        ValueError,
        TypeError,
        InvalidSignature,
        UnsupportedAlgorithm,
        RecursionError,
        x509.InvalidVersion,
    ) as error:
        raise EnrolFailed(f"The collector's answer is not a certificate of its own: {error}") from None
    if not for_this_key:
        raise EnrolFailed("The collector's answer is a certificate for another key.")
    begins, ends = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    issued_at = _date(answer.headers) or begins  # certificates are dated back a little
    return Identity(
        agent=issued.agent,
        url=url,
        key=_pem(key),
        certificate=certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"),
        authority=authority,
        issued=int(min(max(issued_at, begins), ends) * 1000),
        expires=int(ends * 1000),
    )


def _request(key: ec.EllipticCurvePrivateKey) -> str:
    """A certificate request. Its subject means nothing: the collector knows whom the code is for."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")


def _check_writable(state_dir: Path) -> None:
    """Before the code is used up: can an identity be kept here?"""
    try:
        files.check_writable(files.make_directory(state_dir))
    except OSError as error:
        raise EnrolFailed(f"{state_dir} cannot be written: {error.strerror}. Run this as root.") from None


def _set_aside(state_dir: Path, agent: str) -> None:
    """Another agent's results and plans are not sent under the new name; they are kept beside."""
    former = files.make_directory(state_dir / "former")
    for name in ("spool", "plans"):
        if (state_dir / name).exists():
            number = len(tuple(former.iterdir()))
            (state_dir / name).rename(former / f"{agent}-{name}-{number}")


def _advice(error: Unreachable) -> str:
    return {
        "dns": "Check the name in the address, and this machine's resolvers.",
        "refused": "Check the address and port, and that the collector runs.",
        "timeout": "Check the route and the firewalls between here and there.",
        "tls": "Check the address and port; a proxy that opens TLS cannot be in between.",
    }.get(error.kind, "Check the network between here and there.")


def _date(headers: Mapping[str, str]) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (ValueError, TypeError):
        return None


def _warn_of_clock(headers: Mapping[str, str]) -> None:
    import time

    collector_time = _date(headers)
    if collector_time is not None and abs(offset := time.time() - collector_time) > CLOCK_OFF:
        direction = "ahead of" if offset > 0 else "behind"
        log.warning(
            "this machine's clock is %.0f days %s the collector's; enrolment works all the same",
            abs(offset) / 86_400,
            direction,
        )
