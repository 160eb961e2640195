"""The CA's and the listener's keys on disk: ``STATE/pki/{ca,server}.{key,pem}``, keys readable by nobody else."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from collector.keys import pki
from collector.keys.plan_signatures import PlanVerifier
from inventory.base import files
from inventory.protocol.authority import SERVER_NAME

DAY = 86_400_000


class KeysBroken(Exception):
    """The files do not make a CA; the text says which, and what to do."""


def authority(directory: Path, now: int) -> pki.CertificateAuthority:
    """The CA in ``directory``, made there on the first start. ``now``: ms since the epoch. Raises KeysBroken.

    Never made anew over something: agents are pinned to the CA, a new one would lock them all out.
    """
    key, certificate = directory / "ca.key", directory / "ca.pem"
    if not directory.exists():
        install(directory, pki.CertificateAuthority.create(now))
    try:
        return pki.CertificateAuthority(files.read(key), files.read(certificate))
    except (OSError, ValueError) as error:
        raise KeysBroken(
            f"{directory} does not hold a usable CA ({error}). Bring ca.key and ca.pem back from a backup "
            f"(haidang-collector restore); only if there is none, remove {directory} and enrol every agent again."
        ) from None


def is_authority(directory: Path) -> bool:
    """Whether the files there make a CA."""
    try:
        pki.CertificateAuthority(files.read(directory / "ca.key"), files.read(directory / "ca.pem"))
    except (OSError, ValueError):
        return False
    return True


def trusted(certificates: Iterable[Path]) -> list[str]:
    """The CAs of other collectors, in PEM. Raises KeysBroken."""
    texts = []
    for file in certificates:
        try:
            texts.append(file.read_text("ascii"))
            PlanVerifier(texts[-1:])
        except (OSError, ValueError) as error:
            raise KeysBroken(
                f"agents.trusted_authorities: {file} does not hold the CA of a collector ({error}). "
                "It is the file pki/ca.pem of that collector's state directory."
            ) from None
    return texts


def install(directory: Path, ca: pki.CertificateAuthority) -> None:
    """Put a CA's two files into a new ``directory``, all or nothing."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    fresh = directory.with_name(directory.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    files.replace(fresh / "ca.key", ca.key_pem, mode=0o600)
    files.replace(fresh / "ca.pem", ca.pem.encode(), mode=0o600)
    fresh.rename(directory)
    files.sync(directory.parent)


def server(directory: Path, ca: pki.CertificateAuthority, names: tuple[str, ...], now: int) -> tuple[Path, Path]:
    """(certificate, key) files for the agents' listener, made anew when missing, other names, or half through.

    Agents do not look at its dates, other clients of the listener may.
    """
    certificate, key = directory / "server.pem", directory / "server.key"
    try:
        pem = files.read(certificate)
        due = pki.not_after(pem) - now < pki.SERVER_DAYS * DAY // 2
        stale = due or not pki.matches(files.read(key), pem) or pki.names_of(pem) != {SERVER_NAME, *names}
    except (OSError, ValueError):
        stale = True
    if stale:
        key_pem, pem = ca.server_certificate(names, now)
        files.replace(key, key_pem, mode=0o600)
        files.replace(certificate, pem, mode=0o600)
    return certificate, key
