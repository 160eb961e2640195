"""Debian's chrony as a time server on loopback, unpacked only, with a private configuration."""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.paths import ROOT

COMPONENTS = ROOT / ".venv" / "components"  # unpacked there by scripts/test
CHRONYD = next((p for p in (COMPONENTS / "usr/sbin/chronyd", Path("/usr/sbin/chronyd")) if p.exists()), None)


@contextmanager
def chrony(port: int, *lines: str) -> Iterator[None]:
    """Debian's chronyd that only serves: it may not touch this machine's clock (-x)."""
    if CHRONYD is None:
        pytest.skip("needs chrony")
    with tempfile.TemporaryDirectory(prefix="haidang-chrony-") as name:
        file = Path(name) / "chrony.conf"
        own = [f"port {port}", "bindaddress 127.0.0.1", "cmdport 0", "bindcmdaddress /", f"pidfile {name}/pid", "allow"]
        file.write_text("\n".join([*own, *lines, ""]), "utf-8")
        user = pwd.getpwuid(os.geteuid()).pw_name
        process = subprocess.Popen([CHRONYD, "-x", "-U", "-d", "-u", user, "-f", str(file)], stderr=subprocess.PIPE)
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if b"Disabled control of system clock" in line:
                    break
            yield
        finally:
            process.terminate()
            process.communicate(timeout=20)
