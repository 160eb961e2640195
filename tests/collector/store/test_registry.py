"""Enrolment codes: single use, an hour, one agent, and exactly one winner of a race."""

import asyncio

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from collector.keys import pki
from collector.store.opening import open_store
from collector.store.records import Revocation
from collector.store.registry import CODE_LIFE, EnrolmentRefused, Registry
from collector.store.revocations import Revocations
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
