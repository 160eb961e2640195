"""Who is told what, when: conditions, routing, schedule, digest."""
