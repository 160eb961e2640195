"""The availability ledger: pure functions, apart from any store.

Results go in, in order, check by check; spans come out when a state ends; the tail is what is still open:

    (tail, look) -> (tail, spans closed)                     steps.py
    the same for a check's slice of a batch                  take.py
    spans + tail -> figures with bounds over any window      figures.py, counted.py, timeline.py
    boot time -> the collector's time, with its error        placement.py

All times are milliseconds since the Unix epoch in the collector's time, as integers.
"""
