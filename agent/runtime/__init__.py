"""The agent's process: service, scheduler, configuration, credentials; it owns time."""
