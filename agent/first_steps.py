"""First steps that the mails of several kinds of probe advise: see :class:`inventory.protocol.mail_words.MailWords`."""

from typing import Final

MACHINE_ON: Final = "See that the machine is on and that its network cable is plugged in and its light blinks."
RESTART_ONCE: Final = "If it does not react, restart the machine once and wait 10 minutes."
CHANGED: Final = "Was anything changed today (an update, a new setting, a new device)? If so, undo it."
CALL: Final = "If that does not help, call the data centre and read out what the check saw."
BUSY: Final = "Is a backup, an update or a large download running? Wait until it is over and look again."
KEEP_OLD: Final = "Do not delete any older copy until a new one is known to be good."
FREE_SPACE: Final = "See whether the disk for the copies is connected and has free space."
REPORTS: Final = "The monitoring looks again by itself and reports when all is well."
LINE_BUSY: Final = "Is somebody loading or sending something large (updates, video, backups)? Stop it and look again."
LINE_CABLE: Final = (
    "See that the cables between the provider's box, the router and the switch sit firmly and are not bent."
)
LINE_CALL: Final = (
    "If it stays like this for an hour, call the provider, tell the circuit number, and ask for a line test."
)
