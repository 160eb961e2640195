"""``scripts/demo``: two agencies and a data centre on loopback, with faults made on purpose."""
