"""Prometheus metrics: the fleet from the ledger, the collector about itself."""
