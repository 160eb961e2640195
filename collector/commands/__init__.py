"""``haidang-collector``: the commands."""
