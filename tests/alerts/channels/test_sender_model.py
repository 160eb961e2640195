"""Whatever relays do, whenever we are killed: what must always be true of letters, drawn at random.

The relays are stand-ins that answer as they are told; the sender, its journal and its outbox are the real ones.
"""

import asyncio
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from alerts.channels.config import ChannelSettings, RelaySettings
from alerts.channels.notification_log import NotificationLog
from alerts.channels.outbox import OutgoingMail
from alerts.channels.sender import MAIL_BACKOFF, RELAY_BACKOFF, MailSender
from alerts.channels.smtp import SmtpRefusal
from tests.support.clock import FakeClock
from tests.support.outboxes import MemoryOutbox, outgoing_mail

HOUR = 3600
GIVE_UP = 5 * 24 * HOUR * 1000
BEHAVIOURS = ("fine", "dead", "no login", "greylists", "no such user", "spam", "takes and dies", "dies in DATA")


class StandIn:
    """A relay that behaves. ``taken``: what it has, answered or not."""

    def __init__(self) -> None:
        self.behaviour = "fine"
        self.taken: list[str] = []
        self.unanswered: list[str] = []
        self.tries = 0
        self.timeout = 30.0
        self.connected = False

    async def send(self, one: OutgoingMail, patience: float) -> str:
        self.tries += 1
        match self.behaviour:
            case "fine":
                self.taken.append(one.ident)
                return "2.0.0 queued"
            case "dead":
                raise SmtpRefusal("connect", 0, "connection refused")
            case "no login":
                raise SmtpRefusal("login", 535, "5.7.8 authentication failed")
            case "greylists":
                raise SmtpRefusal("recipient", 450, "4.2.0 greylisted")
            case "no such user":
                raise SmtpRefusal("recipient", 550, "5.1.1 no such user")
            case "spam":
                raise SmtpRefusal("data", 554, "5.7.1 spam")
            case "takes and dies":
                self.taken.append(one.ident)
                self.unanswered.append(one.ident)
                raise SmtpRefusal("data", 0, "connection lost", uncertain=True)
            case _:
                raise SmtpRefusal("data", 0, "connection lost", uncertain=True)

    async def reset(self) -> None: ...

    async def close(self) -> None: ...

    def abort(self) -> None: ...


class Killed(BaseException):
    pass


class KilledOutbox(MemoryOutbox):
    """``kill``: at the next time that a letter is said to be sent, before or after that is kept."""

    kill = ""

    async def sent(self, letter: OutgoingMail, at: int, way: str) -> None:
        if self.kill == "before":
            raise Killed
        await super().sent(letter, at, way)
        if self.kill == "after":
            raise Killed


class Sending(RuleBasedStateMachine):
    @initialize(relays=st.integers(1, 3))
    def begin(self, relays: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.place = tempfile.TemporaryDirectory()
        self.clock = FakeClock(wall=1_000_000, boot=0)
        self.relays = [StandIn() for _ in range(relays)]
        self.outbox = KilledOutbox()
        self.made: dict[str, int] = {}
        self.set_back = 0
        self.dice = random.Random(7)
        self.start()

    def start(self) -> None:
        ways = ChannelSettings(
            from_="a@b.example",
            relays=tuple(RelaySettings(host=f"relay-{n}", tls="none") for n in range(len(self.relays))),
        )
        self.sender = MailSender(
            ways,
            self.outbox,
            NotificationLog(Path(self.place.name)),
            now=self.clock.wall_ms,
            monotonic=self.clock.seconds,
            rng=self.dice,
        )
        self.sender.connections = list(self.relays)  # type: ignore[arg-type]

    def now(self) -> int:
        return self.clock.wall_ms()

    def work(self) -> None:
        try:
            for _ in range(200):
                if self.loop.run_until_complete(self.sender.run_once()) > 0:
                    return
        except Killed:
            self.outbox.kill = ""
            self.sender.notification_log.close()
            self.start()
            self.work()
            return
        raise AssertionError("it does not come to rest")

    @rule(count=st.integers(1, 4), critical=st.booleans())
    def something_is_wrong(self, count: int, critical: bool) -> None:
        for _ in range(count):
            ident = f"hd-{len(self.made)}"
            self.made[ident] = self.now()
            one = outgoing_mail(ident, made=self.now(), severity="critical" if critical else "warning")
            self.loop.run_until_complete(self.outbox.add(one))
        self.work()

    @rule(data=st.data(), behaviour=st.sampled_from(BEHAVIOURS))
    def a_relay_changes(self, data: Any, behaviour: str) -> None:
        data.draw(st.sampled_from(self.relays)).behaviour = behaviour

    @rule(seconds=st.sampled_from([1, 10, 60, 300, HOUR, 8 * HOUR]))
    def time_passes(self, seconds: int) -> None:
        before = sum(relay.tries for relay in self.relays)
        waiting = self.count("waiting")
        self.clock.advance(seconds=seconds)
        self.work()
        tries = sum(relay.tries for relay in self.relays) - before
        assert tries <= len(self.relays) * (waiting + 1)  # one turn, not a storm

    @rule(seconds=st.integers(-3 * HOUR, 3 * HOUR))
    def the_clock_is_set(self, seconds: int) -> None:
        self.clock.step_wall(seconds=seconds)
        self.set_back += max(0, -seconds * 1000)
        self.work()

    @rule(when=st.sampled_from(["before", "after"]))
    def a_kill_comes(self, when: str) -> None:
        self.outbox.kill = when

    @rule()
    def a_restart(self) -> None:
        self.sender.notification_log.close()
        self.start()
        self.work()

    @precondition(lambda self: self.count("sent") > 0)
    @rule()
    def an_older_copy_of_the_database_is_put_back(self) -> None:
        for row in self.outbox.rows.values():
            if row.state == "sent":
                row.state, row.due = "waiting", row.mail.made
        self.a_restart()

    @rule()
    def all_is_well_again(self) -> None:
        for relay in self.relays:
            relay.behaviour = "fine"
        due = max([self.now(), *(row.due for row in self.outbox.rows.values())])  # an hour at most, see below
        self.clock.advance(seconds=RELAY_BACKOFF[1] + 1)
        self.clock.set_wall(due)
        self.work()
        assert self.count("waiting") == 0

    def count(self, state: str) -> int:
        return sum(row.state == state for row in self.outbox.rows.values())

    @invariant()
    def nothing_is_lost(self) -> None:
        taken = Counter(ident for relay in self.relays for ident in relay.taken)
        for row in self.outbox.rows.values():
            ident, why = row.mail.ident, row.mail.last_error
            if row.state == "sent":
                assert taken[ident] >= 1
            if row.state == "failed":
                given_up = why.startswith("given up after")
                assert given_up or "no such user" in why or why.count("spam") == len(self.relays)
                assert not given_up or self.now() - self.made[ident] >= GIVE_UP - self.set_back

    @invariant()
    def nothing_is_sent_twice_but_where_the_answer_was_lost(self) -> None:
        taken = Counter(ident for relay in self.relays for ident in relay.taken)
        unanswered = Counter(ident for relay in self.relays for ident in relay.unanswered)
        assert all(count <= unanswered[ident] + 1 for ident, count in taken.items())

    @invariant()
    def nothing_is_put_off_for_more_than_an_hour(self) -> None:
        for row in self.outbox.rows.values():
            if row.state == "waiting":
                assert row.due - self.now() <= MAIL_BACKOFF[1] * 1000 + self.set_back + 1
                assert self.sender.stats.waiting == self.count("waiting")

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.sender.notification_log.close()
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            self.place.cleanup()


Sending.TestCase.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestSending = pytest.mark.timeout(300)(Sending.TestCase)
