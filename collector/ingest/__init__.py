"""From a push to the ledger.

    push -> decode -> chain -> place in time -> ledger, sums, events -> one group transaction -> publish -> Ack

``ingest`` is the way in; ``state`` what is known of an agent; ``account`` what a batch does to it (the same code
for a live push, a deferred one and a replay); ``fleet`` what others may read of it.
"""
