"""``haidang-agent``: the commands of the agent."""
