"""References: as a value they are what their text was, and the text at the edges stays what it was."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from alerts.incident.entities import Incident, IncidentMember
from alerts.incident.problem import Cause, Subject
from inventory.protocol.refs import Ref

kinds = st.sampled_from(["agent", "wan", "wans", "service", "lan", "missed"])
refs = st.builds(Ref, kinds, st.text(max_size=20))


@given(refs)
def test_what_is_printed_is_read_again(ref: Ref) -> None:
    assert Ref.parse(str(ref)) == ref and str(ref) == f"{ref.kind}:{ref.id}"


@given(st.lists(refs, max_size=20))
def test_they_stand_in_the_order_of_their_texts(several: list[Ref]) -> None:
    """What is decided by the smallest of several is decided as it was when they were text."""
    assert [str(ref) for ref in sorted(several)] == sorted(str(ref) for ref in several)


def test_only_the_first_part_is_the_kind() -> None:
    assert Ref.parse("finding:agent disk:so-ttt") == ("finding", "agent disk:so-ttt")
    assert Ref.parse("collector") == ("collector", "")


def test_an_incident_is_kept_with_its_references_as_text() -> None:
    """Bytes as stores of earlier versions have them."""
    cause = Cause(root="wan:so-a", cause="wan")
    member = IncidentMember(key="down:uid", condition="down", subject=Subject(), severity="critical", since=1, joined=2)
    incident = Incident(
        key="00",
        cause=cause,
        severity="critical",
        opened=1,
        noticed=2,
        members={"down:uid": member},
        roots=("wan:so-a",),
    )
    raw = msgspec.msgpack.decode(msgspec.msgpack.encode(incident))
    assert (raw["cause"]["root"], raw["cause"]["cause"], raw["roots"]) == ("wan:so-a", "wan", ["wan:so-a"])
    assert raw["members"]["down:uid"]["key"] == "down:uid"
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(incident), type=Incident)
    assert kept.cause.ref == Ref("wan", "so-a") and kept.members["down:uid"].ref == Ref("down", "uid")
