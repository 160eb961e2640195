"""Localisation: one language at a time, from gettext catalogues. English is the source's language."""
