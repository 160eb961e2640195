"""``haidang-inventory``: the commands."""
