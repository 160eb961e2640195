"""The present view: published states as the causes read them (collector.causes.present), one view an evaluation."""

from collector.causes.present import AgentContact, PresentCauses, PresentView, present_causes
from collector.queries.causes import topology
from collector.queries.reader import LedgerReader
from inventory.protocol.states import CheckStatus


def causes_now(reader: LedgerReader, now: int, listening_since: int) -> PresentCauses:
    """Causes at the moment ``now``. ``listening_since``: when this collector began to listen."""
    fleet = reader.fleet

    def status_of(uid: str) -> CheckStatus | None:
        entry = reader.of_inventory(uid)
        return None if entry is None else fleet.status(reader.registered(entry), now)

    def contact(agent: str) -> AgentContact | None:
        state = fleet.agents.get(agent)
        return None if state is None or not state.contact else AgentContact(state.contact, state.stopped)

    push_every = reader.inventory.province.push_every
    return present_causes(
        topology(reader.inventory),
        PresentView(status=status_of, contact=contact, now=now, started=listening_since, push_every=push_every),
    )
