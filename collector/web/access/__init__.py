"""Who may do what at the operators' listener: users and roles, sessions, tokens, names, and the proof of the origin."""
