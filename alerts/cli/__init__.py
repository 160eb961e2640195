"""``haidang-alerts``: the commands."""
