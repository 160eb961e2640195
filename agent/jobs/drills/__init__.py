"""Restore drills: their runs, what is remembered of them, when the next is due."""
