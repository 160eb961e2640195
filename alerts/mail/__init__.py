"""Mails about incidents: what a notice says, in the reader's language, as text, HTML and one RFC 5322 message.

``render`` is all that others need, and ``bare`` where it fails; both are pure. Templates lay a document out, modules
say what is in it.
"""

from alerts.mail.context import Bounds, Context, Day, Downtime, GoalFigure, Mail
from alerts.mail.render import bare, render

__all__ = ["Bounds", "Context", "Day", "Downtime", "GoalFigure", "Mail", "bare", "render"]
