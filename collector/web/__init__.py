"""Both listeners: the agents' and the operators' pages and API."""
