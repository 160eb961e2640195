"""Words for people: one language at a time, from gettext catalogues. English is what the source says."""
