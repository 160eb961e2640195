"""``scripts/run``: a collector and one agent that watch this machine's surroundings."""
