"""The collector's process: configuration, wiring, run."""
