"""What can go wrong with a store, whichever it is."""


class StoreError(Exception):
    """The store could not do it; nothing of it was kept. The text says why, in words for a person."""


class StoreFull(StoreError):
    """No room to write. It may be tried again once there is."""


class StoreBroken(StoreError):
    """A sync failed: what the disk holds is not known. The process has to end and start afresh."""
