"""References that are made from the code: docs/metrics.md and docs/probes.md."""
