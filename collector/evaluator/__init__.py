"""The evaluator: from what is published to incidents and mails; one consumer of states, events, spans and time.

A turn, once a second: what is wrong now (``watch``, ``troubles``), what was wrong and came to light late (``past``),
the goals (``objectives``), the collector's own troubles (``own``) make one situation; the incident machine (alerts)
takes a step; the mails are written (``letters``); cursors, incidents and mails are committed together (``evaluator``).
"""
