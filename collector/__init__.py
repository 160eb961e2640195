"""The collector: takes results, keeps the ledger, and says how available everything was and how sure that is."""
