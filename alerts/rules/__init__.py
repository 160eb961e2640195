"""Rules for Prometheus, made of an inventory."""
