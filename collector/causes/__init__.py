"""Causes of what was not up: from the evidence of both sides to a verdict. Pure: over the ledger, agents' lives and
the inventory's topology; nothing here reads a store or a clock.

    inventory --> Topology: the way of each check, as elements                    elements, locate, topology
    spans --> Proofs: what was proven, and when                                   evidence
    starts, stops, the UPS, looks from outside --> Gap: an agent that did not look        lives
    a picture of one moment --> Solver: what is left to have broken --> Finding   explain
        of this moment, from what is published                                    present
        of the past, part by part of every stretch not up --> Verdict             stretches, moments, verdicts
    verdicts of both ends of a circuit --> Down, additions to counters            links
    the evidence, as sentences                                                    words
"""
