"""Who is notified of what, and when: conditions, routing, schedule, digest."""
