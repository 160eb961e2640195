"""``haidang-agent once`` as a person types it: the program, a plan in a file, real files and servers."""

import asyncio
import gzip
import hashlib
import json
import sys
import unicodedata
from pathlib import Path
from typing import Any

import msgspec

from inventory.protocol.plan import Plan, PlannedCheck
from tests.support.certificates import Issued, server_context, serving, silent
from tests.support.paths import ROOT


async def once(folder: Path, *checks: tuple[str, str, dict[str, Any]], table: bool = False) -> Any:
    """What it prints, by check; with ``table`` as text."""
    planned = tuple(
        PlannedCheck(
            uid=hashlib.sha256(name.encode()).hexdigest()[:16], name=name, kind=kind, interval=60_000, timeout=6_000,
            hold=120_000, recheck=60_000, params=params,
        )
        for name, kind, params in checks
    )  # fmt: skip
    plan = Plan(agent="site-1", agency="a", site="s", checks=planned, columns={}, push_every=60_000)
    (folder / "plan.json").write_bytes(msgspec.json.encode(plan))
    (folder / "state").mkdir(mode=0o700, exist_ok=True)
    program = Path(sys.executable).with_name("haidang-agent")
    process = await asyncio.create_subprocess_exec(
        program, "once", "--plan", folder / "plan.json", "--state-dir", folder / "state",
        *([] if table else ["--json"]), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    out, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode in (0, 1), errors.decode()
    if table:
        return out.decode()
    return {result["check"]: result for result in map(json.loads, out.splitlines())}


async def test_what_a_look_at_files_and_pages_says(tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    (copies / "empty.sql.gz").write_bytes(gzip.compress(b""))
    (copies / unicodedata.normalize("NFD", "kế toán.sql.gz")).write_bytes(gzip.compress(b"INSERT"))
    first = "Cổng thông tin".encode("utf-16")

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = gzip.compress(first) + gzip.compress(" ERROR".encode("utf-16-le"))
        fields = b"Content-Encoding: gzip\r\nContent-Type: text/plain; charset=utf-16\r\nContent-Length: %d" % len(body)
        writer.write(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n" + body)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    backup = {"path": str(copies), "settle": "0s", "rpo": "9999d"}
    seen = await once(
        tmp_path,
        ("empty", "backup", {**backup, "files": "empty.*"}),
        ("named", "backup", {**backup, "files": "kế toán.sql.gz"}),
        ("wanted", "http", {"url": url, "expect_body": "Cổng thông tin"}),
        ("refused", "http", {"url": url, "refuse_body": "ERROR"}),
    )
    server.close()
    assert {name: one["state"] for name, one in seen.items()} == {
        "empty": "down",
        "named": "up",
        "wanted": "up",
        "refused": "down",
    }
    assert seen["empty"]["reason"] == "there is no good backup: 'empty.sql.gz' is empty: nothing comes out of it"
    assert seen["refused"]["reason"] == "the body contains 'ERROR'"


async def test_notes_of_a_look_that_is_up(tmp_path: Path) -> None:
    root = Issued("Root", ca=True)
    (tmp_path / "root.pem").write_bytes(root.pem)
    async with serving(silent, server_context(tmp_path, Issued("localhost", root))) as port:
        params = {"host": "localhost", "family": "ipv4", "port": port, "authority": str(tmp_path / "root.pem")}
        seen = await once(tmp_path, ("certificate", "tls", params))
        shown = await once(tmp_path, ("certificate", "tls", params), table=True)
    (result,) = seen.values()
    assert (result["state"], result["reason"]) == ("up", "")
    assert any(note.startswith("nobody was asked whether") for note in result["notes"])
    assert "deviates from RFC 5280" in shown and "nobody was asked" in shown
