"""scripts/setup: a new environment that cannot be made leaves the one in use as it is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT


@pytest.mark.timeout(300)  # a virtual environment is made
def test_a_changed_lock_without_a_network_leaves_the_environment_in_use(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup", tmp_path / "scripts" / "setup")
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "requirements.lock").write_text(f"nowhere-to-be-had==1.0 --hash=sha256:{'0' * 64}\n")
    in_use = tmp_path / ".venvs" / "old"
    (in_use / "bin").mkdir(parents=True)
    (in_use / "bin" / "python").symlink_to(sys.executable)
    (in_use / "made-from-lock").write_text("of another lock")
    (tmp_path / ".venv").symlink_to(".venvs/old")
    offline = {**os.environ, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PYTHON": sys.executable}
    done = subprocess.run([tmp_path / "scripts" / "setup"], env=offline, capture_output=True, text=True, timeout=280)
    assert done.returncode != 0
    assert "nowhere-to-be-had" in done.stderr
    assert (tmp_path / ".venv").resolve() == in_use
    assert (in_use / "made-from-lock").read_text() == "of another lock"
    assert [path.name for path in (tmp_path / ".venvs").iterdir()] == ["old"]
