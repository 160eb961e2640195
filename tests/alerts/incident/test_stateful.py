"""The promises of the incident machine, whatever happens in whatever order.

A world with its own truth (what is down, which site is silent, what each collector knows) drives the machine through
crashes, restores, standby and maintenance; a mailbox records what was really delivered and holds it to the promises.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from alerts.engine import step
from alerts.incident.entities import Command, Notice
from alerts.incident.problem import ActiveProblem, Cause, PastProblem, Subject
from alerts.incident.reconcile import SentNotice, reconcile
from alerts.incident.state import IncidentState, StepInput
from inventory.model.alerting import Alerting, Escalation, Route
from inventory.model.entities import Inventory
from tests.support.incident_world import DAY, HOUR, MINUTE, SECOND, SITES, START, down, province
from tests.support.notices import sent_notice

CHECKS = tuple(f"{site}-{what}" for site in SITES for what in ("web", "dns", "mail"))
GRACE = 45 * SECOND  # after its start a collector has heard every site that speaks
SURE_AFTER = 10 * SECOND  # of looks in a new state
SILENT_AFTER = 3 * MINUTE

INVENTORIES: dict[str, Callable[[], Inventory]] = {
    "none": province,
    "capped": lambda: province(Alerting(cap=2)),
    "routes": lambda: province(
        Alerting(
            routes=(
                Route(
                    id="ops",
                    to=("ops",),
                    agency_contacts=True,
                    repeat_ms=20 * MINUTE,
                    steps=(
                        Escalation(after_ms=10 * MINUTE, to=("boss",)),
                        Escalation(after_ms=30 * MINUTE, to=("night",)),
                    ),
                ),
            ),
            flaps=6,
        )
    ),
}
FIRST = {"trouble", "escalation"}

sites = st.sampled_from(SITES)


class Promises(RuleBasedStateMachine):
    """Roots as they are: web for itself, dns and mail by their site's LAN, a silent site by its link."""

    revises = False

    @initialize(name=st.sampled_from(sorted(INVENTORIES)))
    def start(self, name: str) -> None:
        self.inventory = INVENTORIES[name]()
        self.at = START
        self.book = IncidentState()
        self.down: dict[str, int] = {}
        self.mended: dict[str, int] = {}  # up again, when
        self.roots: dict[str, str] = {}
        self.cut: dict[str, int] = {}
        self.late: dict[str, list[tuple[str, int, int]]] = {site: [] for site in SITES}  # ended, not yet pushed
        self.maintenance: set[str] = set()
        self.muted = False
        self.running = True
        self.relay = True
        self.heard_from = START  # when sites that speak have been heard since the start
        self.queue: list[SentNotice] = []
        self.delivered: list[SentNotice] = []
        self.idents: set[str] = set()
        self.outstanding: set[tuple[str, str]] = set()  # (contact, root): they know that it is wrong
        self.copy: tuple[IncidentState, list[SentNotice], dict[str, str]] = (self.book, [], {})
        self.acked: set[str] = set()
        self.into: dict[str, str] = {}
        self.wrong_since: dict[str, int] = {}  # troubles that ought to have been told by now
        self.step()

    # ---- what the collector knows

    def root(self, uid: str) -> str:
        site, _, what = uid.partition("-")
        return self.roots.get(uid) or (f"service:{uid}" if what == "web" else f"lan:{site}")

    def heard(self, site: str) -> bool:
        return site not in self.cut and self.at >= self.heard_from

    def troubles(self) -> list[ActiveProblem]:
        found = []
        for uid, since in {**self.mended, **self.down}.items():
            site = uid.partition("-")[0]
            sure = uid in self.down and self.at - since >= SURE_AFTER
            if self.heard(site) and (uid in self.down or self.at - since < SURE_AFTER):
                found.append(down(uid, since, self.root(uid), confirmed=sure, excluded=site in self.maintenance))
        for site, since in self.cut.items():
            if self.at >= max(since, self.heard_from) + SILENT_AFTER:
                found.append(
                    ActiveProblem(
                        key=f"silent:{site}",
                        condition="silent",
                        subject=Subject(agency=site, site=site, agent=site),
                        severity="warning",
                        since=since,
                        evidence=since,
                        cause=Cause(root=f"wan:{site}", cause="wan", certainty="provisional"),
                        excluded=site in self.maintenance,
                    )
                )
        return found

    def unknown(self, key: str) -> bool:
        what, _, subject = key.partition(":")
        if what == "silent":  # whether it is silent nobody can say just after the start
            return self.at < self.heard_from + SILENT_AFTER and (subject in self.cut or self.at < self.heard_from)
        return not self.heard(subject.partition("-")[0])

    def backlog(self) -> tuple[PastProblem, ...]:
        found = []
        for site in SITES:
            if self.heard(site):
                for uid, since, until in self.late[site]:
                    if self.at - until > 15 * MINUTE:
                        found.append(
                            PastProblem(problem=down(uid, since, self.root(uid)), until=until, late_ms=self.at - until)
                        )
                self.late[site] = []
        return tuple(found)

    # ---- a step, and what is checked of it

    def step(self, *commands: Command, lost: bool = False) -> None:
        if not self.running:
            return
        troubles = self.troubles()
        situation = StepInput(
            at=self.at,
            problems=tuple(troubles),
            unknown=self.unknown,
            past=self.backlog(),
            commands=commands,
            muted=self.muted,
        )
        turn = step(self.book, situation, self.inventory)
        if lost:  # the process died before it committed
            turn = step(self.book, situation, self.inventory)
        again = step(turn.state, situation, self.inventory)
        assert again.changed == [] and again.notices == []
        assert again.state is turn.state
        before, self.book = self.book, turn.state
        for incident in turn.changed:
            if incident.into:
                self.into[incident.key] = incident.into
        present = {trouble.key: trouble for trouble in troubles}
        for notice in turn.notices:
            self.check_decided(notice, present)
            sent = sent_notice(notice, self.book)
            self.check_story(sent)
            self.queue.append(sent)
        self.check_members(present, before)
        self.check_told(present)
        self.deliver()

    def check_decided(self, notice: Notice, present: dict[str, ActiveProblem]) -> None:
        if notice.kind == "digest":
            return
        for key, kind in zip(notice.incidents, notice.kinds, strict=True):
            incident = self.book.incident(key)
            assert incident is not None and incident.resolution != "late", "late evidence is told by digests alone"
            if kind == "recovery":
                assert not incident.open
                for name, member in incident.members.items() if incident.resolution == "recovered" else ():
                    what, _, subject = name.partition(":")
                    since = (self.cut if what == "silent" else self.down).get(subject, self.at)
                    assert since >= (member.until or 0), "told as over while it went on"
                continue
            assert not self.muted
            if kind != "update":
                known = [
                    present[name] for name, member in incident.members.items() if name in present and not member.until
                ]
                sure = [one for one in known if one.confirmed and not one.excluded]
                assert sure, f"{kind} of what is not known to be wrong"
            if kind in ("repeat", "escalation"):
                assert self.resolved(key) not in {self.resolved(acked) for acked in self.acked}, "acknowledged"

    def check_members(self, present: dict[str, ActiveProblem], before: IncidentState) -> None:
        """What is wrong is in the incident of its root, and nothing opens one before it is confirmed."""
        where = {
            name: incident.cause.root
            for incident in self.book.open.values()
            for name, member in incident.members.items()
            if member.until is None
        }
        for name, trouble in present.items():
            if trouble.confirmed:
                assert where.get(name) == trouble.cause.root
        for key in self.book.open.keys() - before.open.keys():
            assert all(present[name].confirmed for name in self.book.open[key].members), "opened unconfirmed"

    def check_told(self, present: dict[str, ActiveProblem]) -> None:
        """Nothing is lost: what is wrong, known and not in maintenance is told within a quarter of an hour."""
        told = {
            name
            for incident in self.book.open.values()
            if incident.notified
            for name, member in incident.members.items()
            if member.until is None
        }
        for name in [name for name in self.wrong_since if name not in present]:
            del self.wrong_since[name]
        for name, trouble in present.items():
            if trouble.excluded or not trouble.confirmed or self.muted:
                self.wrong_since.pop(name, None)
            else:
                since = self.wrong_since.setdefault(name, self.at)
                assert name in told or self.at - since < 15 * MINUTE, f"{name} is told to nobody"

    def deliver(self) -> None:
        if not self.relay:
            return
        for sent in self.queue:
            self.check_delivered(sent)
            self.remember(sent)
        self.queue = []

    def check_delivered(self, sent: SentNotice) -> None:
        assert sent.ident not in self.idents, "the same mail twice"
        if sent.kind == "digest":
            days = {(one.contact, one.day) for one in self.delivered if one.kind == "digest"}
            assert (sent.contact, sent.day) not in days, "two digests of a day"
            return
        over = {root for kind, root in zip(sent.kinds, sent.roots, strict=True) if kind == "recovery"}
        for key, kind, root in zip(sent.incidents, sent.kinds, sent.roots, strict=True):
            before = [kind for kind, _ in self.story(self.delivered, sent.contact, key)]
            assert "recovery" not in before, f"{kind} after the recovery"
            if kind in FIRST and not self.revises and root not in over:
                assert (sent.contact, root) not in self.outstanding, "one root, one thread"

    def check_story(self, sent: SentNotice) -> None:
        """As the contact will have got it when the queue is through: told once, then only in that thread."""
        for key, kind in zip(sent.incidents, sent.kinds, strict=False):  # a digest has no kinds
            before = self.story(self.delivered + self.queue, sent.contact, key)
            assert "recovery" not in [one for one, _ in before], f"{kind} after the recovery"
            if kind in FIRST:
                assert not before, "told anew"
            else:
                assert before, f"{kind} before any word of trouble"
                if len(sent.incidents) == 1:
                    assert sent.thread in {thread for _, thread in before}, "another thread"

    def story(self, mails: list[SentNotice], contact: str, key: str) -> list[tuple[str, str]]:
        """What the contact got about the incident and those merged into it: kinds and the threads they are in."""
        key = self.resolved(key)
        return [
            (kind, one.thread or one.ident)
            for one in mails
            if one.contact == contact
            for other, kind in zip(one.incidents, one.kinds, strict=False)
            if self.resolved(other) == key
        ]

    def remember(self, sent: SentNotice) -> None:
        self.delivered.append(sent)
        self.idents.add(sent.ident)
        for kind, root in zip(sent.kinds, sent.roots, strict=False):
            if kind == "recovery":
                self.outstanding.discard((sent.contact, root))
            else:
                self.outstanding.add((sent.contact, root))

    def resolved(self, key: str) -> str:
        while key in self.into:
            key = self.into[key]
        return key

    # ---- what happens

    @rule(uid=st.sampled_from(CHECKS))
    def fails(self, uid: str) -> None:
        self.down.setdefault(uid, self.at)
        self.step()

    @rule(site=sites)
    def all_fail(self, site: str) -> None:
        for what in ("web", "dns", "mail"):
            self.down.setdefault(f"{site}-{what}", self.at)
        self.step()

    @precondition(lambda self: self.down)
    @rule(data=st.data())
    def works(self, data: st.DataObject) -> None:
        self.mend(data.draw(st.sampled_from(sorted(self.down))))
        self.step()

    def mend(self, uid: str) -> None:
        site = uid.partition("-")[0]
        since = self.down.pop(uid)
        self.mended[uid] = self.at
        self.late[site].append((uid, since, self.at))

    @rule(site=sites)
    def falls_silent(self, site: str) -> None:
        self.cut.setdefault(site, self.at)
        self.step()

    @precondition(lambda self: self.cut)
    @rule(data=st.data())
    def is_heard_again(self, data: st.DataObject) -> None:
        del self.cut[data.draw(st.sampled_from(sorted(self.cut)))]
        self.step()

    @rule(site=sites)
    def maintenance_begins_or_ends(self, site: str) -> None:
        self.maintenance ^= {site}
        self.step()

    @rule()
    def standby_begins_or_ends(self) -> None:
        self.muted = not self.muted
        self.step()

    @rule()
    def collector_stops_or_starts(self) -> None:
        self.running = not self.running
        self.heard_from = self.at + GRACE
        self.step()

    @rule()
    def crashes_before_the_commit(self) -> None:
        self.step(lost=True)

    @rule()
    def relay_fails_or_works(self) -> None:
        self.relay = not self.relay
        self.step()

    @rule()
    def is_copied(self) -> None:
        self.copy = (self.book, list(self.queue), dict(self.into))

    @rule()
    def is_restored(self) -> None:
        book, queue, into = self.copy
        self.book = reconcile(book, self.delivered)
        assert reconcile(self.book, self.delivered) is self.book
        self.queue = [one for one in queue if one.ident not in self.idents]
        self.acked = {key for key, incident in self.book.open.items() if incident.acked}
        self.into = into | {one.key: one.into for one in self.book.closed.values() if one.into}
        self.heard_from = self.at + GRACE
        self.wrong_since.clear()
        self.copy = (self.book, list(self.queue), dict(self.into))
        self.step()

    @precondition(lambda self: self.running and self.book.open)
    @rule(data=st.data(), what=st.sampled_from(["acknowledge", "acknowledge", "snooze", "close"]))
    def somebody_sees_to_it(self, data: st.DataObject, what: Any) -> None:
        key = data.draw(st.sampled_from(sorted(self.book.open)))
        self.step(Command(incident=key, what=what, who="ops", at=self.at, until=self.at + HOUR))
        incident = self.book.open.get(key)
        if incident is not None and incident.acked:
            self.acked.add(key)

    @rule(seconds=st.sampled_from([1, 3, 20, 70]))
    def a_moment(self, seconds: int) -> None:
        self.wait(seconds * SECOND, 2 * SECOND)

    @rule(minutes=st.sampled_from([5, 16, 60]))
    def a_while(self, minutes: int) -> None:
        self.wait(minutes * MINUTE, MINUTE)

    @rule(days=st.sampled_from([1, 7]))
    def days(self, days: int) -> None:
        self.wait(days * DAY, 2 * HOUR)

    def wait(self, ms: int, every: int) -> None:
        end = self.at + ms
        while self.at < end:
            self.at = min(end, self.at + every)
            self.step()

    # ---- at any time and at the end

    @invariant()
    def one_incident_a_root_and_a_trouble_in_one(self) -> None:
        if not hasattr(self, "book"):
            return
        roots = Counter(incident.cause.root for incident in self.book.open.values())
        assert not roots or max(roots.values()) == 1
        members = Counter(
            name
            for incident in self.book.open.values()
            for name, member in incident.members.items()
            if member.until is None
        )
        assert not members or max(members.values()) == 1

    def teardown(self) -> None:
        if not hasattr(self, "book"):
            return
        for uid in tuple(self.down):
            self.mend(uid)
        self.cut.clear()
        self.maintenance.clear()
        self.muted, self.running, self.relay = False, True, True
        self.heard_from = self.at + GRACE
        self.wait(MINUTE, 10 * SECOND)
        self.wait(2 * HOUR, MINUTE)
        assert self.book.open == {}, "open for ever"
        assert self.book.ended == {} and self.queue == []
        recovered: Counter[tuple[str, str]] = Counter()
        first: set[tuple[str, str]] = set()
        for one in self.delivered:
            for key, kind in zip(one.incidents, one.kinds, strict=False):
                if kind == "recovery":
                    recovered[one.contact, self.resolved(key)] += 1
                elif kind in FIRST:
                    first.add((one.contact, self.resolved(key)))
        assert first == set(recovered), "every trouble mail gets its recovery"
        assert set(recovered.values()) <= {1}, "and one only"


class PromisesWithRevisions(Promises):
    """The same while verdicts on causes are revised, so that incidents merge and split."""

    revises = True

    @rule(
        chosen=st.sets(sites, min_size=1),
        root=st.sampled_from(["", "power:{}", "lan:{}", "wan:{}", "wan:hub"]),
        some=st.sets(st.sampled_from(["web", "dns", "mail"]), min_size=1),
    )
    def verdicts_are_revised(self, chosen: set[str], root: str, some: set[str]) -> None:
        for site in chosen:
            for what in some:
                self.roots[f"{site}-{what}"] = root.format(site)
        self.wrong_since.clear()  # what splits off is told anew
        self.step()

    @rule(chosen=st.sets(sites, min_size=2), told=st.booleans(), copied=st.booleans(), restored=st.booleans())
    def it_was_one_thing_after_all(self, chosen: set[str], told: bool, copied: bool, restored: bool) -> None:
        """Told apart (or not yet), then merged; the store may be put back from between."""
        for site in sorted(chosen):
            self.down.setdefault(f"{site}-web", self.at)
            self.wait(SURE_AFTER + 4 * SECOND * told, 2 * SECOND)
        if copied:
            self.is_copied()
        self.verdicts_are_revised(chosen, "power:hub", {"web"})
        self.wait(6 * MINUTE, MINUTE)
        if restored:
            self.is_restored()

    @rule(chosen=st.sets(sites, min_size=2))
    def and_all_is_well(self, chosen: set[str]) -> None:
        for uid in [uid for uid in self.down if uid.partition("-")[0] in chosen]:
            self.mend(uid)
        self.wait(2 * MINUTE, 10 * SECOND)


OFTEN = settings(max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
TestPromises = Promises.TestCase
TestPromises.settings = OFTEN
TestPromisesWithRevisions = PromisesWithRevisions.TestCase
TestPromisesWithRevisions.settings = OFTEN
