"""The ways out: SMTP relays, webhook, Alertmanager, dead-man's ping, and the sender that works the outbox."""
