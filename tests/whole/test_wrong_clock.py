"""An agent whose wall clock says 1970, then is set an hour wrong, forth and back: no outage moves."""

import asyncio
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import apsw
import pytest

from deploy.demo import truth
from deploy.demo.estate import DemoService, greeting, now_ms

# Adds the seconds in the file $WALL_OFFSET to what the process it is loaded into sees as the wall clock, live.
LIAR = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long wall_offset(void) {
    char text[32] = {0};
    const char *path = getenv("WALL_OFFSET");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return 0;
    ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    return got > 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += wall_offset();
    return failed;
}
"""


@pytest.fixture(scope="session")
def liar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    folder = tmp_path_factory.mktemp("liar")
    (folder / "liar.c").write_text(LIAR)
    made = folder / "liar.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", made, folder / "liar.c", "-ldl"], check=True)
    return made


@pytest.mark.real
async def test_a_clock_of_1970_and_steps_of_an_hour_move_no_outage(lab: Any, liar: Path, tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text(f"{-int(time.time())}")
    lab.agent.program.environment = {"LD_PRELOAD": str(liar), "WALL_OFFSET": str(offset)}
    service = DemoService("the service is dead", greeting("ready"))
    await service.start()
    lab.watch({"service": {"kind": "tcp", "params": {"host": "127.0.0.1", "port": service.port, "expect": "ready"}}})
    await lab.start()
    await lab.until("service", lambda check: check["state"] == "up")
    began = now_ms()
    for seconds in (None, "3600", "-3600"):
        if seconds is not None:
            offset.write_text(seconds)
            await asyncio.sleep(1.5)
        service.die()
        await lab.until("service", lambda check: check["state"] == "down")
        await asyncio.sleep(1.0)
        await service.start()
        await lab.until("service", lambda check: check["state"] == "up")
    last = now_ms()
    await lab.until("service", lambda check: check["last_result"] > last)
    service.stop()

    spans = await lab.spans("service", began, last)
    for outage in service.outages:
        assert truth.compare("service", outage, spans, 1_500, 1_500).wrong == ()
    assert truth.contradictions(spans, service.outages) == []
    with apsw.Connection(str(lab.database), flags=apsw.SQLITE_OPEN_READONLY) as db:
        steps = [data for (data,) in db.execute("SELECT data FROM events WHERE kind = 'agent clock'")]
    assert len(steps) == 2, "each step of the wall clock is told"
