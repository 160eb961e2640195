"""The facts of a site that fill the placeholders of templates.

Any fact of the site ({gateway}, {wan}, {lan}, ...), {site}, {agency}, {agent}, {hub} (the hub site's ``wan``),
{hub_agent} and any fact of the hub as {hub_FACT}. From the rest of the inventory, unless the site says otherwise:
{lan_ipv4} (``lan``, if that is an IPv4 network), {pcs} (of the agency's register, at its main site), {down_mbit} and
{up_mbit} (of its first link). Titles may also hold {site_name} and {agency_name}.
"""

from inventory.model import entities

HUB = "hub"


def facts_of(inventory: entities.Inventory, site: entities.Site, hub: entities.Site | None) -> dict[str, str]:
    """The facts of a site by name. ``hub``: the site that its links lead to."""
    facts = {**_derived(inventory, site), **site.facts, "site": site.id, "agency": site.agency}
    if site.agent:
        facts["agent"] = site.agent
    if hub is not None and hub.id != site.id:
        facts |= {f"{HUB}_{name}": value for name, value in hub.facts.items()}
        facts["hub_agent"] = hub.agent
        if "wan" in hub.facts:
            facts["hub"] = hub.facts["wan"]
    return facts


def _derived(inventory: entities.Inventory, site: entities.Site) -> dict[str, str]:
    facts = {}
    network = site.facts.get("lan", "")
    if "." in network and ":" not in network:
        facts["lan_ipv4"] = network
    pcs = inventory.agencies[site.agency].register.pcs
    if pcs and site.id == site.agency:
        facts["pcs"] = str(pcs)
    if site.links:
        link = inventory.links[site.links[0]]
        rates = {"down_mbit": link.down_mbit, "up_mbit": link.up_mbit}
        facts |= {name: f"{rate:.12g}" for name, rate in rates.items() if rate is not None}
    return facts
