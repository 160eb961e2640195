"""snmpsim as a process: plays recorded devices by SNMP 1, 2c and 3, with a codec that is not ours."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from agent.clients.snmp import ber
from tests.support.paths import ROOT
from tests.support.snmp import free_udp_port

PROGRAM = ROOT / ".venv/components/snmpsim/bin/snmpsim-command-responder"  # put there by scripts/test
SECRETS = ("simulated-auth-canary", "simulated-priv-canary")
USERS: dict[str, dict[str, str]] = {
    "noAuthNoPriv": {"user": "an-danh"},
    "authNoPriv": {"user": "xac-thuc", "auth": "sha256", "auth_password": SECRETS[0]},
    "authPriv": {
        "user": "kin-dao",
        "auth": "sha1",
        "auth_password": SECRETS[0],
        "priv": "aes128",
        "priv_password": SECRETS[1],
    },
}
_NAMES = {"sha1": "SHA", "sha256": "SHA256", "aes128": "AES128"}  # as snmpsim calls them


def credential(level: str, recording: str) -> dict[str, str]:
    """How to ask for a recording: by ``level`` of version 3 (its name is the context), else by community."""
    return {**USERS[level], "context": recording} if level in USERS else {"community": recording}


@contextlib.contextmanager
def snmpsim(folder: Path, recordings: Mapping[str, str]) -> Iterator[int]:
    """The port at which each recording (snmprec lines) answers, as community and as context of version 3."""
    if not PROGRAM.exists():
        pytest.skip("needs snmpsim (scripts/test installs it)")
    data = folder / "data"
    data.mkdir()
    for name, rows in recordings.items():
        (data / f"{name}.snmprec").write_text(_in_order(rows), "utf-8")
    port = free_udp_port()
    command = [str(PROGRAM), f"--data-dir={data}", f"--cache-dir={folder / 'cache'}", "--logging-method=null"]
    command.append(f"--agent-udpv4-endpoint=127.0.0.1:{port}")
    for user in USERS.values():
        command.append(f"--v3-user={user['user']}")
        if "auth" in user:
            command += [f"--v3-auth-key={user['auth_password']}", f"--v3-auth-proto={_NAMES[user['auth']]}"]
        if "priv" in user:
            command += [f"--v3-priv-key={user['priv_password']}", f"--v3-priv-proto={_NAMES[user['priv']]}"]
    # as root it wants another user, who need not be able to read this checkout; it listens on loopback only
    environment = {**os.environ, "SNMPSIM_ALLOW_ROOT": "true", "HOME": str(folder)}
    with (folder / "said").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        _await(process, port, next(iter(recordings)), folder / "said")
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _in_order(rows: str) -> str:
    """Sorted by object, as snmpsim needs them."""
    lines = [line.strip() for line in rows.splitlines() if line.strip()]
    return "".join(
        f"{line}\n" for line in sorted(lines, key=lambda line: tuple(map(int, line.split("|")[0].split("."))))
    )


def _await(process: "subprocess.Popen[bytes]", port: int, recording: str, log: Path) -> None:
    question = ber.encode_request(1, recording.encode(), ber.GETNEXT, 1, [ber.encode_oid("1.3")])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.1)
        probe.connect(("127.0.0.1", port))
        for _ in range(300):
            assert process.poll() is None, log.read_text("utf-8", "replace")[-2000:]
            try:
                probe.send(question)
                probe.recv(2_000)
                return
            except ConnectionRefusedError:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
            except TimeoutError:
                continue
    raise RuntimeError("snmpsim did not start")
