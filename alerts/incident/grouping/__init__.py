"""Which problems are one incident: assigned, joined, merged, split, until there is one incident a root."""
