"""The state of one agent and its parts: the ledger with its fast path, the timing of its clocks, its sums."""
