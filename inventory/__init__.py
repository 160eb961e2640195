"""The inventory (entities, checks, goals, alerting) and the protocol between agent and collector.

Imports nothing of ours. The agent and the collector both stand on it.
"""
