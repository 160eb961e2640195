"""``scripts/words``: collects what programs say and compiles the catalogues."""
