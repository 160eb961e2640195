"""The agent's disk queue: results survive power cuts, crashes and full disks until every collector has them."""

from agent.spool.files import FileOps, SpoolBroken, SpoolError, SpoolLocked
from agent.spool.frames import Result
from agent.spool.spool import Spool
from inventory.protocol.wire import Position

__all__ = ["FileOps", "Position", "Result", "Spool", "SpoolBroken", "SpoolError", "SpoolLocked"]
