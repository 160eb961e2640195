"""From a push to the ledger: ``pipeline`` reads from top to bottom, ``steps`` holds its steps, one module each.

``ingest`` puts the parts together; ``committer`` writes groups of pushes and publishes them; ``state`` is what is known
of an agent, ``fleet`` what others may read of all of them; ``recovery`` and ``maintenance`` are what happens at a start
and every second.
"""
