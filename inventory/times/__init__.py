"""Calendars, working days, holidays."""
