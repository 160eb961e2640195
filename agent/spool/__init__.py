"""The agent's disk queue: results survive power cuts, crashes and full disks until every collector has them."""

from agent.spool.files import FileOps, SpoolBroken, SpoolError, SpoolLocked
from agent.spool.frames import CheckResult
from agent.spool.spool import Spool
from inventory.protocol.wire import Position

__all__ = ["CheckResult", "FileOps", "Position", "Spool", "SpoolBroken", "SpoolError", "SpoolLocked"]
