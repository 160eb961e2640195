"""What all tests share: free ports, root, and the rule that CI skips nothing."""

import os
import socket

import pytest


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With CI set a skipped test is a failure: what ought to run there has to."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped") and exitstatus == 0:
        reporter.write_line("CI: tests were skipped that ought to run (see above)", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
