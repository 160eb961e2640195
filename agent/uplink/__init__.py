"""The agent's side of the collector: enrolment, identity, plans, pushes."""
