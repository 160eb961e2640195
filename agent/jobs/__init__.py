"""Backup jobs that ping this agent, and restore drills: recorded here, so that a cut WAN is no missed backup.

``listener`` hears the pings, ``book`` keeps them on the disk, ``state`` makes of them how a job stands, ``judge`` says
whether that is as its ``schedule`` wants it. ``wrapper`` is the command that runs a job and pings for it. ``drill``
runs restore drills, which only the agent's own file can define.
"""

from typing import Final

# the kinds of probe whose records are kept here
JOB: Final = "job"
DRILL: Final = "drill"
