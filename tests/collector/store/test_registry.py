"""Enrolment codes: single use, an hour, one agent, and exactly one winner of a race."""

import asyncio
import os
import tempfile
from pathlib import Path

import apsw
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.keys import pki
from collector.store import prune
from collector.store.opening import open_store
from collector.store.records import AgentMachine, Revocation
from collector.store.registry import CODE_LIFE, DAY, EnrolmentRefused, Registry, RenewalRefused
from collector.store.revocations import Revocations
from inventory.base import files
from tests.support.clock import FakeClock

NOW = 1_790_000_000_000


def new_csr() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture
def clock():
    return FakeClock(NOW)


@pytest.fixture
async def registry(tmp_path, clock):
    store = open_store(tmp_path / "c.db")
    yield Registry(
        store, pki.CertificateAuthority.create(NOW), Revocations(tmp_path / "revoked.jsonl"), wall=clock.wall_ms
    )
    await store.close()


async def secret_for(registry: Registry, agent: str = "so-ttt") -> str:
    return (await registry.make_code(agent, "an")).split("-")[1]


async def refusal(registry: Registry, secret: str, csr: str | None = None) -> str:
    with pytest.raises(EnrolmentRefused) as refused:
        await registry.enrol(secret, csr or new_csr())
    return refused.value.code


async def test_a_code_works_once(registry):
    secret = await secret_for(registry)
    agent, issued = await registry.enrol(secret, new_csr())
    assert agent == "so-ttt"
    assert x509.load_pem_x509_certificate(issued.pem.encode()).subject.rfc4514_string() == "CN=so-ttt"
    assert await refusal(registry, secret) == "used"
    held = (await registry.certificates())["so-ttt"]
    assert (held.serial, held.not_after) == (issued.serial, issued.not_after)


async def test_a_lost_answer_may_be_asked_for_again_with_the_same_key_within_the_hour(registry, clock):
    secret, csr = await secret_for(registry), new_csr()
    first = await registry.enrol(secret, csr)
    again = await registry.enrol(secret, csr)
    assert again[0] == first[0]
    assert again[1].serial != first[1].serial
    clock.advance(CODE_LIFE)
    assert await refusal(registry, secret, csr) == "expired"


async def test_a_code_ends_after_an_hour_and_with_the_next_one(registry, clock):
    secret = await secret_for(registry)
    clock.advance(CODE_LIFE - 1)
    newer = await secret_for(registry)
    assert await refusal(registry, secret) == "unknown"
    clock.advance(CODE_LIFE)
    assert await refusal(registry, newer) == "expired"
    assert await refusal(registry, "a" * 16) == "unknown"


async def test_a_bad_request_does_not_cost_the_code(registry):
    secret = await secret_for(registry)
    with pytest.raises(pki.RequestRefused):
        await registry.enrol(secret, "no request")
    assert (await registry.enrol(secret, new_csr()))[0] == "so-ttt"


async def test_of_twenty_racing_for_one_code_one_wins(registry, tmp_path):
    secret = await secret_for(registry)
    # half of them through another process's connection
    other = open_store(tmp_path / "c.db")
    beside = Registry(other, registry.authority, Revocations(tmp_path / "revoked.jsonl"), wall=lambda: NOW)
    racing = [(registry, beside)[n % 2].enrol(secret, new_csr()) for n in range(20)]
    ends = await asyncio.gather(*racing, return_exceptions=True)
    await other.close()
    assert sum(isinstance(end, tuple) for end in ends) == 1
    assert sum(isinstance(end, EnrolmentRefused) and end.code == "used" for end in ends) == 19


async def test_codes_are_of_one_agent_each(registry):
    one, two = await secret_for(registry, "so-tc"), await secret_for(registry, "so-yt")
    assert (await registry.enrol(two, new_csr()))[0] == "so-yt"
    assert (await registry.enrol(one, new_csr()))[0] == "so-tc"


async def test_the_secret_is_nowhere_in_the_store(registry, tmp_path):
    secret = await secret_for(registry)
    held = b"".join(path.read_bytes() for path in tmp_path.glob("c.db*"))
    assert secret.encode() not in held
    assert pki.secret_hash(secret) in held


async def test_revoking_voids_what_was_issued_and_unused_codes_not_what_comes_after(registry, clock):
    _, old = await registry.enrol(await secret_for(registry), new_csr())
    waiting = await secret_for(registry)
    _, other = await registry.enrol(await secret_for(registry, "so-tc"), new_csr())
    await registry.revoke("so-ttt", "an", "stolen")
    voids = registry.revocations.is_revoked
    assert voids("so-ttt", old.serial)
    assert not voids("so-tc", other.serial)
    assert await refusal(registry, waiting) == "unknown"
    clock.step_wall(-1000)
    _, new = await registry.enrol(await secret_for(registry), new_csr())
    assert not voids("so-ttt", new.serial)


@pytest.mark.parametrize("what", ["revoke", "keep", "another code"])
async def test_who_was_shut_out_does_not_come_back_by_the_code_that_let_it_in(registry, clock, what):
    """The answer to a code is given again within the hour, as long as nobody has decided anything since."""
    secret, csr = await secret_for(registry), new_csr()
    await registry.enrol(secret, csr)
    await registry.enrol(secret, csr)
    machines = [AgentMachine("b", f"s{n}", "n", f"192.0.2.{n}", "0" * 40, NOW, NOW) for n in (1, 2)]
    if what == "revoke":
        await registry.revoke("so-ttt", "an", "stolen")
    elif what == "keep":
        await registry.keep("so-ttt", machines[0], machines[1:], "an")
    else:
        await secret_for(registry)
    assert await refusal(registry, secret, csr) == "expired"
    clock.step_wall(-CODE_LIFE // 2)
    assert await refusal(registry, secret, csr) == "expired"


async def test_what_is_issued_while_a_revocation_is_written_is_void_too(registry, monkeypatch):
    """By a collector beside the command, to who had asked before."""
    secret, csr = await secret_for(registry), new_csr()
    _, old = await registry.enrol(secret, csr)
    write, issued = registry._store.write, []

    async def slowly(work):
        monkeypatch.setattr(registry._store, "write", write)
        issued.append((await registry.enrol(secret, csr))[1].serial)
        with pytest.raises(RenewalRefused, match="revoked"):
            await registry.renew("so-ttt", new_csr(), old.serial, old.not_after)
        return await write(work)

    monkeypatch.setattr(registry._store, "write", slowly)
    await registry.revoke("so-ttt", "an", "stolen")
    assert all(registry.revocations.is_revoked("so-ttt", serial) for serial in (old.serial, *issued))
    assert await refusal(registry, secret, csr) == "expired"
    _, new = await registry.enrol(await secret_for(registry), new_csr())
    assert not registry.revocations.is_revoked("so-ttt", new.serial)


async def test_a_certificate_issued_under_a_clock_ahead_is_revoked_too(registry, clock):
    clock.advance(365 * 86_400_000)
    _, ahead = await registry.enrol(await secret_for(registry), new_csr())
    clock.set_wall(NOW)
    await registry.revoke("so-ttt", "an", "stolen")
    assert registry.revocations.is_revoked("so-ttt", ahead.serial)


async def test_a_lost_file_is_made_again_from_the_store(registry, tmp_path):
    _, old = await registry.enrol(await secret_for(registry), new_csr())
    await registry.revoke("so-ttt", "an", "stolen")
    (tmp_path / "revoked.jsonl").unlink()
    assert not registry.revocations.is_revoked("so-ttt", old.serial)
    await registry.load()
    assert registry.revocations.is_revoked("so-ttt", old.serial)


def test_a_torn_line_loses_itself_alone(tmp_path, caplog):
    path = tmp_path / "revoked.jsonl"
    revocations = Revocations(path)
    revocations.add(Revocation("a", "ff", 1, "an", "x"))
    path.write_bytes(path.read_bytes() + b'{"agent":"b","up_to":"f')
    assert (revocations.up_to("a"), revocations.up_to("b")) == (255, -1)
    revocations.add(Revocation("c", "10", 1, "an", "x"))
    assert (revocations.up_to("a"), revocations.up_to("c")) == (255, 16)
    assert "damaged" in caplog.text
    assert path.stat().st_mode & 0o777 == 0o600


async def test_what_people_did_is_in_the_audit(registry):
    await registry.enrol(await secret_for(registry), new_csr())
    await registry.revoke("so-ttt", "an", "stolen")
    told = await registry._store.read(lambda tx: [(who, what) for _, who, what, _ in tx.audit.all()])
    assert told == [("an", "code"), ("agent so-ttt", "enrolled"), ("an", "revoke")]


# -- one machine after another


async def enrolled(registry: Registry, agent: str = "so-ttt") -> pki.SignedCertificate:
    return (await registry.enrol(await secret_for(registry, agent), new_csr()))[1]


async def renewed(registry: Registry, of: pki.SignedCertificate, agent: str = "so-ttt") -> pki.SignedCertificate:
    return await registry.renew(agent, new_csr(), of.serial, of.not_after)


async def test_a_newer_machine_voids_the_older_one_with_its_first_use_not_before(registry, clock):
    old = await enrolled(registry)
    assert await registry.admit("so-ttt", old.serial) == ""
    clock.advance(DAY)
    new, other = await enrolled(registry), await enrolled(registry, "so-tc")
    assert await registry.admit("so-ttt", old.serial) == "", "the answer may have been lost"
    old_again = await renewed(registry, old)
    assert await registry.admit("so-ttt", old_again.serial) == "", "and does not get past the newer one by renewing"
    assert await registry.admit("so-ttt", new.serial) == ""
    for void in (old, old_again):
        assert await registry.admit("so-ttt", void.serial) == "replaced"
    assert await registry.admit("so-ttt", (await renewed(registry, new)).serial) == ""
    assert await registry.admit("so-tc", other.serial) == ""


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["enrol", "renew", "use", "load", "clock"]), st.integers(0, 5)), max_size=14
    )
)
def test_whatever_happens_a_machine_that_was_followed_is_void_and_the_last_one_in_use_is_not(steps):
    """A model beside it: machines in their order, those in use up to now, and the certificates of each."""

    async def walk(folder: Path) -> None:
        clock = FakeClock(NOW)
        store = open_store(folder / "c.db")
        authority, file = pki.CertificateAuthority.create(NOW), folder / "revoked.jsonl"

        def make() -> Registry:
            return Registry(store, authority, Revocations(file), wall=clock.wall_ms, renewals=99)

        registry = make()
        machines: list[list[pki.SignedCertificate]] = []
        newest_used = -1
        for what, number in steps:
            if what == "enrol":
                machines.append([await enrolled(registry)])
            elif what == "load":
                registry = make()
                await registry.load()
            elif what == "clock":
                clock.step_wall((number - 2) * DAY)
            elif machines:
                index = number % len(machines)
                if what == "renew" and index >= newest_used:
                    machines[index].append(await renewed(registry, machines[index][-1]))
                if what == "use":
                    why = await registry.admit("so-ttt", machines[index][-1].serial)
                    assert why == ("replaced" if index < newest_used else "")
                    newest_used = max(newest_used, index)
            for index, certificates in enumerate(machines):
                for certificate in certificates:
                    void = registry.revocations.why_void("so-ttt", certificate.serial)
                    assert void == ("replaced" if index < newest_used else ""), (index, newest_used)
        await store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(walk(Path(folder)))


async def test_a_restored_store_does_not_bring_the_older_machine_back(registry, tmp_path, clock):
    old = await enrolled(registry)
    clock.advance(DAY)
    await registry.admit("so-ttt", (await enrolled(registry)).serial)
    restored = open_store(tmp_path / "yesterday.db")
    again = Registry(restored, registry.authority, Revocations(tmp_path / "revoked.jsonl"), wall=clock.wall_ms)
    await again.load()
    assert await again.admit("so-ttt", old.serial) == "replaced"
    await restored.close()


async def test_renewals_are_few_a_day_and_end_thirty_days_after_the_certificate(registry, clock):
    held = await enrolled(registry)
    granted = [await renewed(registry, held) for _ in range(4)]
    for _ in range(60):
        with pytest.raises(RenewalRefused, match="too many renewals"):
            await renewed(registry, granted[-1])
    clock.advance(DAY + 1)
    last = await renewed(registry, granted[-1])
    clock.advance(90 * DAY + 30 * DAY - 2_000)
    late = await renewed(registry, last)
    told = [
        (who, what, data.get("expired")) for _, who, what, data in await registry._store.read(lambda tx: tx.audit.all())
    ]
    assert told[-1] == ("agent so-ttt", "renewed", True)
    assert sum(what == "renewed" for _, what, _ in told) == 6
    clock.advance(120 * DAY + 2_000)
    with pytest.raises(RenewalRefused, match="a new code is needed"):
        await renewed(registry, late)


async def test_certificates_and_codes_that_are_of_no_use_any_more_go(registry, clock, tmp_path):
    for _ in range(12):
        held = await enrolled(registry)
        clock.advance(DAY)
    clock.advance(200 * DAY)
    await prune.step(registry._store, clock.wall_ms())
    with apsw.Connection(str(tmp_path / "c.db"), flags=apsw.SQLITE_OPEN_READONLY) as db:
        assert db.execute("SELECT (SELECT count(*) FROM certificates), (SELECT count(*) FROM enrolment_codes)").get == (
            1,
            0,
        )
    assert (await registry.certificates())["so-ttt"].serial == held.serial


async def test_a_code_may_live_a_week_but_a_lost_answer_is_given_again_for_an_hour_and_eight_times(registry, clock):
    code = await registry.make_code("so-ttt", "an", 30 * DAY)
    clock.advance(7 * DAY - 1)
    secret, csr = code.split("-")[1], new_csr()
    for _ in range(8):
        await registry.enrol(secret, csr)
    assert await refusal(registry, secret, csr) == "used"
    code = await registry.make_code("so-ttt", "an", 7 * DAY)
    secret = code.split("-")[1]
    clock.advance(7 * DAY)
    assert await refusal(registry, secret) == "expired"
    secret = (await registry.make_code("so-ttt", "an", 7 * DAY)).split("-")[1]
    await registry.enrol(secret, csr)
    clock.advance(CODE_LIFE)
    assert await refusal(registry, secret, csr) == "expired"


# -- the file


def test_a_revocation_of_before_is_read(tmp_path):
    path = tmp_path / "revoked.jsonl"
    path.write_text('{"agent":"a","up_to":"ff","at":1,"who":"an","reason":"stolen"}\n')
    assert Revocations(path).why_void("a", 255) == "revoked"


@pytest.mark.parametrize("lays", ["unreadable", "directory", "link", "pipe"])
async def test_a_file_that_cannot_be_read_stops_nobody_and_is_made_anew(registry, tmp_path, caplog, lays, monkeypatch):
    old = await enrolled(registry)
    await registry.revoke("so-ttt", "an", "stolen")
    assert registry.revocations.why_void("so-ttt", old.serial) == "revoked"
    path = tmp_path / "revoked.jsonl"
    path.unlink()
    {
        "unreadable": lambda: path.write_bytes(b""),
        "directory": path.mkdir,
        "link": lambda: path.symlink_to("/etc/hostname"),
        "pipe": lambda: os.mkfifo(path),
    }[lays]()
    if lays == "unreadable":  # as for a user who is not root
        real = files.Directory.open_regular

        def refuse(self, name, flags, mode=0o600):
            if name == path.name and path.exists() and path.stat().st_size == 0 and not flags & os.O_CREAT:
                raise PermissionError(13, "Permission denied", str(path))
            return real(self, name, flags, mode)

        monkeypatch.setattr(files.Directory, "open_regular", refuse)
    for _ in range(3):
        assert registry.revocations.why_void("so-ttt", old.serial) == "revoked"
    assert caplog.text.count("cannot be read") == 1
    afresh = Registry(registry._store, registry.authority, Revocations(path), wall=lambda: NOW)
    await afresh.load()
    assert afresh.revocations.why_void("so-ttt", old.serial) == "revoked"
    assert path.is_file() and not path.is_symlink()
