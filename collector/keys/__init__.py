"""The collector's keys and its certificate authority."""
