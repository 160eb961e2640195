"""What runs the others: the local start, the demo, units and dashboards."""
