"""First steps by kind of probe, for checks that are down and for checks that are degraded."""

from collections.abc import Mapping
from typing import Final

from alerts.incident.message import TranslatableMessage, message

Steps = tuple[TranslatableMessage, ...]

_MACHINE_ON: Final = message(
    "See that the machine is on and that its network cable is plugged in and its light blinks."
)
_RESTART_ONCE: Final = message("If it does not react, restart the machine once and wait 10 minutes.")
_CHANGED: Final = message("Was anything changed today (an update, a new setting, a new device)? If so, undo it.")
_CALL: Final = message("If that does not help, call the data centre and read out what the check saw.")
_BUSY: Final = message("Is a backup, an update or a large download running? Wait until it is over and look again.")
_KEEP_OLD: Final = message("Do not delete any older copy until a new one is known to be good.")
_FREE_SPACE: Final = message("See whether the disk for the copies is connected and has free space.")
_REPORTS: Final = message("The monitoring looks again by itself and reports when all is well.")
_LINE_BUSY: Final = message(
    "Is somebody loading or sending something large (updates, video, backups)? Stop it and look again."
)
_LINE_CABLE: Final = message(
    "See that the cables between the provider's box, the router and the switch sit firmly and are not bent."
)
_LINE_CALL: Final = message(
    "If it stays like this for an hour, call the provider, tell the circuit number, and ask for a line test."
)

BY_KIND: Final[Mapping[str, Mapping[str, Steps]]] = {
    "backup": {
        "down": (
            message("See whether the backup program ran last night and what it says: its window, its log or its mail."),
            _FREE_SPACE,
            message("Start the backup by hand now. This can take hours; leave the machine on."),
            _KEEP_OLD,
            _REPORTS,
        ),
        "degraded": (
            message("The newest copy may be unusable. Read above what is wrong with it: broken, empty or too small."),
            _KEEP_OLD,
            message("Try to restore one file from the newest copy to another folder."),
            message("Start the backup again by hand and see that it ends without an error."),
        ),
    },
    "dns": {
        "down": (
            message("Web pages and mail are not found while names are not resolved. Try a web page on two PCs."),
            message("See that the machine with the name service (DNS) is on: often the router or a Windows server."),
            message("Restart the name service; if you do not know how, restart the machine once."),
            _CALL,
        ),
        "degraded": (
            message("Names are resolved slowly or not completely: web pages begin to load late."),
            _BUSY,
            message("Restart the name service outside of working hours."),
            _CALL,
        ),
    },
    "drill": {
        "down": (
            message(
                "A backup is only sure once something was restored from it, and that is overdue here or went wrong."
            ),
            message(
                "Restore one recent backup to a spare place, never over the data in use, and open a few files of it."
            ),
            message("Record the drill on the agent's machine: haidang-agent drill NAME ok"),
            message("If the restore fails, tell the data centre today: without it the data may be lost for good."),
        ),
        "degraded": (
            message("The last restore drill came out incomplete. Read above what was missing."),
            message("Do it once more, from another copy."),
            message("Record the drill on the agent's machine: haidang-agent drill NAME ok"),
        ),
    },
    "host": {
        "down": (
            message("A disk of the agent's machine is full or broken. See above which one."),
            message("Empty the recycle bin and delete downloads and old installers that nobody needs."),
            message("Do not delete the folder haidang: it holds measurements that are not sent yet."),
            _CALL,
        ),
        "degraded": (
            message("The agent's machine is short of disk, memory or computing time, or too hot. See above which."),
            message("Close programs that nobody uses, and free disk space."),
            message("If it is hot, take the dust off its fan and give it room."),
            message("If it stays like this, restart it outside of working hours."),
        ),
    },
    "http": {
        "down": (
            message("Open the page yourself, from your PC and from your telephone (without Wi-Fi). Does it come?"),
            _MACHINE_ON,
            message("If you look after the server: see whether the web program runs and its disk has free space."),
            _CHANGED,
            _CALL,
        ),
        "degraded": (
            message("Open the page yourself: does it come slowly, or with an error in it?"),
            message("Is it a time when many use it, or is a backup or an update running on the server?"),
            message("If you look after the server: look at its processor, memory and free disk space."),
            _CALL,
        ),
    },
    "icmp": {
        "down": (
            _MACHINE_ON,
            message("Look at the switch that it is connected to: is it on, and does the light of its port blink?"),
            message("Try another cable, then another port of the switch."),
            _RESTART_ONCE,
            _CALL,
        ),
        "degraded": (
            message("The way there loses packets or is slow: telephone and video stutter, pages load slowly."),
            _LINE_BUSY,
            _LINE_CABLE,
            _CALL,
        ),
    },
    "imap": {
        "down": (
            message("Try to read your mail, in the mail program and in the browser."),
            message("Nothing is lost: incoming mail is kept at the server or waits at its sender's."),
            message(
                "If you look after the mail server: see whether the mailbox service runs and its disk has free space."
            ),
            _CALL,
        ),
        "degraded": (
            message("Mailboxes can be read, but slowly, or the server's certificate will end soon. See above which."),
            message("If it is the certificate, have it renewed now, not on the last day."),
            _BUSY,
            _CALL,
        ),
    },
    "job": {
        "down": (
            message("A scheduled job did not run, ended with an error or did not end. See above which."),
            message("See that the machine that runs it was on at that time; a PC that is off at night runs nothing."),
            message("Look at the job's own log, and run it once by hand."),
            _FREE_SPACE,
            _REPORTS,
        ),
        "degraded": (
            message("The job ended well but took longer than it should. There may be more data than it was made for."),
            _FREE_SPACE,
            message("See that no other job runs at the same time; if so, move one of them by an hour or two."),
        ),
    },
    "lan": {
        "down": (
            message("Not one PC answers. Look at the main switch: is it on, and do its lights blink?"),
            message("Try a web page on two PCs in different rooms."),
            message("Switch the main switch off, wait 30 seconds, switch it on again, and wait 5 minutes."),
            _CALL,
        ),
        "degraded": (
            message(
                "Fewer PCs are on than the register says. Is it a holiday, a conference or a power cut in one room?"
            ),
            message(
                "Go through the rooms: is a whole room without network? Then look at that room's switch and cable."
            ),
            message("If PCs were moved, replaced or scrapped, have the register changed."),
        ),
    },
    "mail": {
        "down": (
            message("A trial mail did not arrive. Send yourself a mail and see whether it comes within 5 minutes."),
            message("If you look after the mail server: look at its queue and whether its disk has free space."),
            message("See that the trial mailbox is not full and its password was not changed."),
            _CALL,
        ),
        "degraded": (
            message(
                "Mails arrive, but late. Tell colleagues that wait for one to be patient, and not to send it twice."
            ),
            message("If you look after the mail server: see whether many mails wait in its queue, and to whom."),
            message(
                "Somebody may be sending advertising through a stolen password: look for one sender of very many mails."
            ),
        ),
    },
    "ntp": {
        "down": (
            message(
                "The time server does not answer or does not know the time. Machines keep their own clocks meanwhile."
            ),
            _MACHINE_ON,
            message("If you look after it: restart its time service and see that it reaches its own sources of time."),
            _CALL,
        ),
        "degraded": (
            message("The time server and the agent's machine differ. Compare both with your telephone's time."),
            message("Put right the one that is wrong; on Linux: timedatectl"),
            _CALL,
        ),
    },
    "path": {
        "down": (
            message("A video meeting would not work at this moment. Use the telephone for what cannot wait."),
            _LINE_BUSY,
            _LINE_CABLE,
            _LINE_CALL,
        ),
        "degraded": (
            message("A video meeting would stutter. Before one begins, stop whatever else uses the line."),
            _LINE_BUSY,
            message("Use a network cable instead of Wi-Fi for the meeting."),
            _LINE_CALL,
        ),
    },
    "power": {
        "down": (
            message("The UPS gives no power: what hangs on it is off. Go there now, or send somebody."),
            message("Is the mains there? Look at the lights of the room and at the circuit breaker."),
            message("Read the UPS's display. If the mains are there, press its power button for 3 seconds."),
            message("Switch the devices on one after the other, servers last."),
            message(
                "If the UPS stays off, plug the most important device into the mains directly, and call its service."
            ),
        ),
        "degraded": (
            message(
                "The mains have failed and the UPS runs on its battery: it may last only minutes. See above how long."
            ),
            message("Look whether only this room is dark: then look at the circuit breaker and at the UPS's plug."),
            message("If the area is dark, ask the electricity company how long; start the generator if there is one."),
            message(
                "If the power will not be back in time, shut the servers down properly now, the most important one"
                " last."
            ),
        ),
    },
    "smtp": {
        "down": (
            message("Try to send a mail to yourself and to an address outside."),
            message(
                "If you look after the mail server: see whether the mail service runs and its disk has free space."
            ),
            _CHANGED,
            _CALL,
        ),
        "degraded": (
            message("Mails can be sent, but slowly, or the server's certificate will end soon. See above which."),
            message("If it is the certificate, have it renewed now, not on the last day."),
            _BUSY,
            _CALL,
        ),
    },
    "snmp": {
        "down": (
            message("The device does not say how it is, or one of its ports is off. See above which."),
            message("See that the device is on and its lights are as usual."),
            message("If it is a port: look at the cable and at what is connected at its other end."),
            message(
                "If the device works for everybody, its monitoring access may have been changed: tell the data centre."
            ),
        ),
        "degraded": (
            message("The device works but is overloaded, too hot, restarted or has errors on a port. See above which."),
            message("If it is hot: see that the air conditioning runs and nothing covers the device."),
            message("If a port has errors: change its cable."),
            message("If a disk or the memory is nearly full: free space or tell whoever looks after the machine."),
        ),
    },
    "tcp": {
        "down": (
            message("Try the program that uses this service: does it work from your PC?"),
            _MACHINE_ON,
            message("If you look after the server: see whether the service runs, and start it again."),
            _CALL,
        ),
        "degraded": (
            message("The service answers, but slowly. Try the program that uses it."),
            _BUSY,
            message("If you look after the server: look at its processor, memory and free disk space."),
            _CALL,
        ),
    },
    "throughput": {
        "down": (
            message("The speed of the line could not be measured. Load a large page: is the line working at all?"),
            _LINE_CABLE,
            _LINE_CALL,
        ),
        "degraded": (
            message("The line is slower than what is paid for."),
            _LINE_BUSY,
            message("Look at several measurements on the check's page: only one slow night is no fault of the line."),
            _LINE_CALL,
        ),
    },
    "tls": {
        "down": (
            message("Browsers refuse the page or warn of it: its certificate has ended, or is not for this name."),
            message("Tell users not to click the warning away, and not to enter passwords there meanwhile."),
            message(
                "Have the certificate renewed by whoever looks after the server, and the web program started again."
            ),
            message("See that the server's date and time are right."),
        ),
        "degraded": (
            message("The page still works. The certificate will end soon or has a fault. See above which and when."),
            message("Have it renewed now, not on the last day: after that browsers refuse the page."),
            message("If it renews by itself, it did not this time: let whoever looks after the server see why."),
        ),
    },
    "ups": {
        "down": (
            message("The UPS is off or about to go off. Go there now, or send somebody."),
            message("Read its display, and see whether the mains are there."),
            message("Shut the servers that hang on it down properly while there is time."),
            message("Call the UPS's service and tell them what its display shows."),
        ),
        "degraded": (
            message(
                "There is power, but the UPS is at risk: old battery, too much load, too hot or on bypass. See above"
                " which."
            ),
            message("If it is the load: unplug what needs no UPS, such as printers, heaters and lamps."),
            message("If it is the battery: order a new one now; it will not last through the next power cut."),
            message("If it is hot: give it air, and see that the air conditioning runs."),
        ),
    },
}
