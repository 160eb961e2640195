"""The present view: published states as the causes read them (collector.causes.present), one view an evaluation."""

from collector.causes.present import AgentContact, PresentCauses, PresentView, PublishedStatus, present_causes
from collector.queries.reading import LedgerReader


def causes_now(reader: LedgerReader, now: int, listening_since: int) -> PresentCauses:
    """Causes at the moment ``now``. ``began``: when this collector began to listen."""
    fleet = reader.fleet

    def status_of(uid: str) -> PublishedStatus | None:
        entry = reader.by_uid(uid)
        if entry is None:
            return None
        registered = reader.registered(entry)
        state = fleet.status(registered, now)
        if state is None:
            return None
        if state.provisional:
            return PublishedStatus(
                state=state.state, since=state.since, first=state.since, at=state.at, last=state.state
            )
        tail = fleet.tail(registered)
        if tail is None:
            return None
        return PublishedStatus(
            state=state.state, since=state.since, first=tail.sure_from, at=tail.last, last=tail.state
        )

    def contact(agent: str) -> AgentContact | None:
        state = fleet.agents.get(agent)
        return None if state is None or not state.contact else AgentContact(state.contact, state.stopped)

    push_every = reader.inventory.province.push_every
    return present_causes(
        reader.topology,
        PresentView(seen=status_of, contact=contact, now=now, started=listening_since, push_every=push_every),
    )
