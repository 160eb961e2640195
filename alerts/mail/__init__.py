"""Mails about incidents: what a notice says, in the reader's language, as text, HTML and one RFC 5322 message.

``render`` is all that others need, and ``render_fallback`` where it fails; both are pure. Templates lay a document
out, modules say what is in it.
"""

from alerts.mail.context import DigestFigures, Downtime, DurationBounds, GoalFigure, MailContext, RenderedMail
from alerts.mail.render import render, render_fallback

__all__ = [
    "DigestFigures",
    "Downtime",
    "DurationBounds",
    "GoalFigure",
    "MailContext",
    "RenderedMail",
    "render",
    "render_fallback",
]
