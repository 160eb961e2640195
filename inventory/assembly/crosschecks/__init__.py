"""Cross-checks: what no single section of the files can know of itself, from unknown names to unreachable people."""
