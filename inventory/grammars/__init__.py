"""Texts with a grammar of their own: schedules, file patterns, job names."""
