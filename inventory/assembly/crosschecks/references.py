"""Check references from one entry of the files to others: selectors, calendars, recipients."""

from collections.abc import Container, Iterable, Iterator

from inventory.assembly.sections import Sections
from inventory.base.problems import Place, Problem
from inventory.model import entities
from inventory.protocol.kinds import Kinds

RECIPIENT_SECTIONS = ("contacts", "groups", "rosters")  # what groups and routes may name; one id means one of them


def selector(
    select: entities.Selector, at: Place, inventory: entities.Inventory, sections: Sections, kinds: Kinds
) -> Iterator[Problem]:
    """What a selector names and is not there."""
    tables: dict[str, Container[str]] = {
        "kinds": kinds,
        "agencies": inventory.agencies,
        "sites": inventory.sites,
        "agents": inventory.agents,
        "providers": sections.providers,
    }
    for field, table in tables.items():
        for ident in getattr(select, field):
            if ident not in table and not sections.may_be_broken(field, ident):
                yield at.problem("select", f"{field}: there is no {ident}")


def calendar(at: Place, key: str, ident: str | None, sections: Sections) -> Iterator[Problem]:
    """A calendar that is not there."""
    if ident and ident not in sections.calendars and not sections.may_be_broken("calendars", ident):
        yield at.problem(key, f"there is no calendar {ident}")


def contacts(at: Place, key: str, names: Iterable[str], sections: Sections) -> Iterator[Problem]:
    """Names that are no contacts, where only contacts may stand."""
    for name in names:
        if name in sections.contacts or sections.may_be_broken("contacts", name):
            continue
        other = next((word for word in ("groups", "rosters") if name in getattr(sections, word)), None)
        yield at.problem(key, f"{name} is a {other[:-1]}, not a contact" if other else f"there is no contact {name}")


def recipients(at: Place, key: str, names: Iterable[str], sections: Sections) -> Iterator[Problem]:
    """Names that are no contact, group or roster."""
    for name in names:
        if not any(
            name in getattr(sections, word) or sections.may_be_broken(word, name) for word in RECIPIENT_SECTIONS
        ):
            yield at.problem(key, f"there is no contact, group or roster {name}")
