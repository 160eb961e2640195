"""What pages, API, metrics and reports read."""
