"""Why something was not up: from the evidence of both sides to a verdict. Pure: over the ledger, the agents' lives and
the inventory's topology; nothing here reads a store or a clock.
"""
