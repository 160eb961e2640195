"""``/api/v1``: routes, answers and their schemas."""
