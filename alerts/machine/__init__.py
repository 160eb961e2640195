"""The incident machine: pure functions over what is wrong now and what is remembered.

``step`` is called at every evaluation with all troubles of the moment; ``adopt`` once after a restore.
"""

from alerts.machine.adopt import Sent, adopt
from alerts.machine.book import Book, Mailbox, Situation, Turn, bare, filled
from alerts.machine.step import step

__all__ = ["Book", "Mailbox", "Sent", "Situation", "Turn", "adopt", "bare", "filled", "step"]
