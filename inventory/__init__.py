"""The vocabulary of the house: what is watched, by whom, against which goals, and what travels on the wire.

Imports nothing of ours. The agent and the collector both stand on it.
"""
