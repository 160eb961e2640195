"""What programs say to each other: wire, plans, states, causes, kinds."""
