"""The store: all that the collector keeps, in one SQLite file.

``database`` opens it and owns its one writer; ``migrations`` are numbered SQL files; ``queries`` reads for pages,
metrics and reports; ``prune`` lets go of what has had its time. Spans stay for ever.
"""
