"""First steps for the reader of a mail: numbered, for somebody who may look after the network as a second duty.

Each step is one thing that can be done on the spot without special tools, and says what one sees or does there. What is
for the data centre's own people says so. ``steps`` picks by what is known best: the condition, the cause, the kind.
"""

from collections.abc import Mapping
from typing import Final

from alerts.incident.message import TranslatableMessage, message
from inventory.protocol import kinds
from inventory.protocol.causes import AGENT, COLLECTOR, LAN, NOT_KNOWN, POWER, SERVICE, WAN
from inventory.protocol.refs import Ref

Steps = tuple[TranslatableMessage, ...]

BY_CAUSE: Final[Mapping[str, Steps]] = {
    POWER: (
        message("Ask somebody on the spot: are the lights on in this building, and next door?"),
        message("If the whole area is dark, ask the electricity company when the power will be back."),
        message(
            "If only this building or room is dark, look at the circuit breaker. Switch it on once; if it trips again,"
            " leave it off and call an electrician."
        ),
        message("If the lights are on, see that the UPS and the network cabinet are plugged in and switched on."),
        message(
            "When the power is back, see that the network devices come on again. The monitoring reports it by itself."
        ),
    ),
    WAN: (
        message(
            "Look at the provider's box, where the line enters the building: is it on? A red or blinking light marked"
            " LOS means that the fibre is cut."
        ),
        message("See that the cables from the provider's box to the router sit firmly at both ends."),
        message(
            "Switch the provider's box off, wait 30 seconds, and switch it on again. Do this only once; wait 5 minutes."
        ),
        message(
            "If the line is still down, call the provider. Tell the circuit number and since when, and write down the"
            " ticket number and the name of the person you spoke to."
        ),
        message("Do not change any settings of the router: they are hardly ever the reason."),
    ),
    LAN: (
        message("Look at the router and the main switch: are they on, and do the lights of their ports blink?"),
        message("Try a web page on two different PCs: is the whole building affected, or one room only?"),
        message(
            "Was a cable moved or a device added lately? Take it out again: a cable plugged in twice stops a"
            " whole network."
        ),
        message(
            "Switch the router and the main switch off, wait 30 seconds, switch them on again, and wait 5 minutes."
        ),
        message("If that does not help, call the data centre and say what you saw."),
    ),
    AGENT: (
        message("Look at the computer that runs the monitoring agent: is it on, and is its network cable plugged in?"),
        message("If it is off, switch it on. It goes on by itself; what it measured before is kept and sent later."),
        message("If it is on but does not react, restart it once and wait 10 minutes."),
        message("The services that it looks at may well be working: see whether people at that place can work."),
        message("If there is still no contact, call the data centre."),
    ),
    COLLECTOR: (
        message(
            "Agencies need not do anything: their services may well be working, only the monitoring is in trouble."
        ),
        message(
            "Data centre: on the collector's machine, see whether the program runs: systemctl status haidang-collector"
        ),
        message("Data centre: read its last messages: journalctl -u haidang-collector -n 50"),
        message("Data centre: see that the disk is not full (df -h) and that the clock is right (timedatectl)."),
        message(
            "Do not delete any of its files. The agents keep what they measure and send it when the collector is back."
        ),
    ),
    NOT_KNOWN: (
        message("Call somebody at that place: is there electricity, and does the network work on their PCs?"),
        message("If there is no electricity, ask the electricity company. The rest comes back by itself."),
        message(
            "If there is electricity but no network, look at the provider's box: a red or blinking light marked LOS"
            " means that the fibre is cut; then call the provider."
        ),
        message(
            "If everything works there, look at the computer that runs the monitoring agent: is it on and connected?"
        ),
        message("Tell the data centre what you found, so that the cause can be recorded."),
    ),
}

BY_ON: Final[Mapping[str, Steps]] = {
    "silent": BY_CAUSE[AGENT],
    "collector": BY_CAUSE[COLLECTOR],
    "clock": (
        message("Compare the date and time of the computer that runs the agent with your telephone's."),
        message(
            "Switch on its automatic setting of the time, with the data centre's time server. On Linux: timedatectl"
        ),
        message(
            "If its time is wrong again after every switching off, the small battery on its board is empty: have"
            " it replaced."
        ),
        message("Nothing is lost: the measurements' times are corrected by the collector."),
    ),
    "quarantine": (
        message("Nothing has to be done at the agent's place: it goes on measuring, and keeps what it measures."),
        message(
            "Data centre: read in the collector's log what it failed at: journalctl -u haidang-collector"
            " | grep quarantine"
        ),
        message(
            "Data centre: was this agent's machine stolen, or somebody at it who should not be? Then shut it"
            " out: haidang-collector revoke AGENT"
        ),
        message(
            "Data centre: else let it in again: haidang-collector release AGENT. If it is back in quarantine at"
            " once: haidang-collector release --set-aside AGENT"
        ),
        message("Report the lines of the log to those who maintain Hải Đăng: the fault is the collector's."),
    ),
    "risk": (
        message("Nothing may be broken at this moment: time without service adds up too fast for what was promised."),
        message("Open the goal's page and see which services or lines were down longest in the last days."),
        message("Put those right first, and put off work that interrupts service until the period is over."),
        message("Interruptions that were planned and agreed: declare them as maintenance, with the reason."),
    ),
    "missed": (
        message("The promise for this period cannot be kept any more. See on the goal's page what took the most time."),
        message("If a leased line did, export its down times with their evidence and claim them from the provider."),
        message("If planned work did, declare it as maintenance, with the reason; that is possible afterwards, too."),
        message("Agree with those responsible what has to change so that the next period is better."),
    ),
    "finding": (
        message("Nothing has to be done at once: the measuring goes on, and services are not affected by this."),
        message(
            "Was the agent's computer restored from a copy, cloned, replaced or switched off hard? Then that is"
            " the reason."
        ),
        message("If nobody did anything to it, tell the data centre; the incident's page shows the details."),
    ),
}

DEVICE: Final[Steps] = (
    message(
        "Go to the device: is it on, does its fan run, are its lights as usual? A red or orange light means a fault."
    ),
    message("See that its power plug and its network cables sit firmly. Try another socket and another cable."),
    message("If it does not react, switch it off, wait 30 seconds, and switch it on again, once."),
    message("If it does not come back, a spare is needed: tell the data centre its name and what its lights show."),
)

# as each kind of probe declares it, by the state of its check
BY_KIND: Final[Mapping[str, Mapping[str, Steps]]] = {
    name: {state: tuple(map(TranslatableMessage, words.steps)) for state, words in kind.mails.items() if words.steps}
    for name, kind in kinds.load().items()
}

# for a kind that declares none, or that this version does not have (of a newer agent)
GENERIC: Final[Mapping[str, Steps]] = {
    "down": (
        message("Try it yourself: does it work from your PC?"),
        message("See that the machine it runs on is on and connected to the network."),
        message("Was anything changed today? If so, undo it."),
        message("If it does not come back, call the data centre and read out what the check saw."),
    ),
    "degraded": (
        message("It works, but not as it should. Try it yourself: is it slow, or does it fail now and then?"),
        message(
            "Is much going on at this time, such as a backup, an update or a large download? Wait until it is over."
        ),
        message("If it stays like this for an hour, call the data centre and read out what the check saw."),
    ),
}


def steps(cause: str, root: str, kind: str, on: str) -> Steps:
    """What to do first. ``root``: the cause's (:class:`alerts.incident.problem.Cause`); ``kind`` of probe, "" for
    none; ``on`` of the condition (:class:`inventory.model.alerting.Condition`)."""
    if on in ("clock", "quarantine", "risk", "missed", "finding", "collector"):
        return BY_ON[on]
    scope = Ref.parse(root).kind
    if scope == "device":
        return DEVICE
    # a UPS says it better than the cause does, and a check whose cause is open is looked at where it stands
    itself = kinds.of(kind).about == "power" or cause == SERVICE or (cause == NOT_KNOWN and scope == "service")
    if not itself and cause in BY_CAUSE:
        return BY_CAUSE[cause]
    if on == "silent":
        return BY_ON["silent"]
    steps_by_state = BY_KIND.get(kind) or GENERIC
    return steps_by_state.get(on, steps_by_state["down"])
