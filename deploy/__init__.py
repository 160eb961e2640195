"""Tools that run the other packages: the local start, the demo, units and dashboards."""
