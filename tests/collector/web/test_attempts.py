"""Attempts that failed: who guesses waits, others do not, and counting them costs little."""

import pytest

from collector.web.attempts import MOST_ADDRESSES, WINDOW, FailedAttempts, network


class Watched:
    def __init__(self) -> None:
        self.now = 0.0
        self.attempts = FailedAttempts(lambda: self.now)

    def fail(self, address: str, times: int = 1) -> None:
        for _ in range(times):
            self.attempts.failed(address)


def test_ten_failures_and_that_address_waits_until_the_window_has_passed() -> None:
    watched = Watched()
    watched.fail("192.0.2.1", 9)
    assert watched.attempts.wait("192.0.2.1") == 0
    watched.fail("192.0.2.1")
    assert watched.attempts.wait("192.0.2.1") == WINDOW
    assert watched.attempts.wait("192.0.2.2") == 0
    watched.now = WINDOW
    assert watched.attempts.wait("192.0.2.1") == 0


def test_many_addresses_that_guess_have_one_attempt_each_and_who_never_failed_gets_in() -> None:
    watched = Watched()
    for number in range(300):
        watched.fail(f"192.0.{number >> 8}.{number & 255}")
    assert watched.attempts.wait("192.0.0.5") > 0
    assert watched.attempts.wait("203.0.113.1") == 0


def test_memory_is_bounded() -> None:
    watched = Watched()
    for number in range(3 * MOST_ADDRESSES):
        watched.fail(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 2)
    assert len(watched.attempts._failures) == MOST_ADDRESSES
    watched.now = 2 * WINDOW
    watched.fail("192.0.2.1")
    assert len(watched.attempts._failures) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "x", False),
    ],
)
def test_what_one_party_has_counts_together(one: str, other: str, same: bool) -> None:
    assert (network(one) == network(other)) is same
