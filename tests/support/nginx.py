"""Debian's nginx on loopback, with a private configuration, stopped by its process id."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest


@asynccontextmanager
async def nginx(directory: Path, port: int, certificate: Path) -> AsyncIterator[None]:
    """Serves ``directory`` by HTTPS, compressed; plain HTTP at the same port is sent on to it."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("needs nginx (package nginx-light)")
    config = directory / "nginx.conf"
    config.write_text(f"""
        daemon off; error_log stderr crit; pid {directory}/pid; {"user root;" if os.geteuid() == 0 else ""}
        events {{}}
        http {{
            access_log off; gzip on; gzip_types *;
            client_body_temp_path {directory}/a; proxy_temp_path {directory}/b; fastcgi_temp_path {directory}/c;
            uwsgi_temp_path {directory}/d; scgi_temp_path {directory}/e;
            server {{
                listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {certificate};
                error_page 497 =302 https://127.0.0.1:{port}/index.html; root {directory};
            }}
        }}""")
    command = (program, "-e", "stderr", "-p", str(directory), "-c", str(config))
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        for _ in range(200):
            assert process.returncode is None, "nginx does not start"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            break
        yield
    finally:
        process.terminate()
        await process.wait()
