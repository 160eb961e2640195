"""The store: all that the collector keeps, behind one door.

``interfaces`` says what a store can do, one protocol a subject, over the values of ``records``; ``sqlite`` does it in
one file; ``opening`` is where the one is chosen. What stands above knows only the interfaces: ``prune`` lets go of what
has had its time, ``registry``, ``outbox`` and ``unsubscribed`` are rules over the repositories.
"""
