"""Evidence that a backup would restore: what copies there are, and whether they can be read.

All file work is done in processes of its own (``python -m agent.backup.worker``), which can be killed when a mount
hangs: ``hands`` starts them for the probe, ``facts`` is what goes back and forth, ``judge`` makes a state of it.
"""
