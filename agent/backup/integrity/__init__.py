"""Read copies through, as a restore would, without ever writing what is in them.

``read.judge`` picks the readers by what a file begins with. A decoder turns the file into plain bytes, a sink follows
them (tar's structure, a dump's closing line); both tell from time to time from where they could go on, so that a
read of hours survives a restart.
"""
