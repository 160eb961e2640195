"""Incidents and the mails about them: pure functions; the collector stores and drives them."""
