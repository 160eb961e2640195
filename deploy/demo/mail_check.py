"""Compares the mails with the outages: each fault once, to whom it concerns, in time, and that it is over."""

import asyncio

import msgspec

from deploy.demo.estate import Outage, now_ms
from deploy.demo.mailbox import Arrival, MailSink


class Fault(msgspec.Struct, frozen=True):
    """Somebody (the address's left side) has to learn of an outage ``within`` so many ms of its beginning."""

    who: str
    outage: Outage
    within: int


async def check_mails(mailbox: MailSink, faults: list[Fault], everyone: set[str], recovery: int) -> bool:
    """Print each fault's mails; True when they are what they ought to be. ``recovery``: ms within which the last has
    to be told. The desk of the data centre is told of everything critical; the others of their own agency alone."""
    deadline = max(fault.outage.ended for fault in faults) + recovery
    while not all(len(_about(mailbox, fault)) == 2 for fault in faults):
        if now_ms() > deadline:
            break
        await asyncio.sleep(0.2)
    fine = True
    print(f"\n{'what truly happened':30} {'mailed after':>12} {'at most':>8}   subject")
    for fault in faults:
        mails = _about(mailbox, fault)
        wrong = _wrong(fault, mails)
        fine &= not wrong
        late = f"{(mails[0].at - fault.outage.begun) / 1000:.1f} s" if mails else "never"
        subject = mails[0].subject if mails else ""
        print(f"{fault.outage.what:30} {late:>12} {fault.within / 1000:>6.1f} s   {subject}  {wrong}")
    for who in sorted(everyone):
        expected = sum(fault.who == who for fault in faults) * 2
        matched = [one for fault in faults if fault.who == who for one in _about(mailbox, fault)]
        others = [one for one in mailbox.arrivals if one.to.partition("@")[0] == who and one not in matched]
        if (who != "truc" and others) or len(matched) != expected:
            fine = False
            print(f"{who} got {len(matched)} mails of {expected}, and besides: {[one.subject for one in others]}")
    return fine


def _about(mailbox: MailSink, fault: Fault) -> list[Arrival]:
    """The first thread to that address that began in the outage."""
    mine = [one for one in mailbox.arrivals if one.to.partition("@")[0] == fault.who]
    begun, ended = fault.outage.begun, fault.outage.ended
    first = next((one for one in mine if not one.mail["In-Reply-To"] and begun <= one.at <= ended), None)
    if first is None:
        return []
    return [first, *(one for one in mine if one.mail["In-Reply-To"] == first.mail["Message-ID"])]


def _wrong(fault: Fault, mails: list[Arrival]) -> str:
    if not mails:
        return "NOBODY WAS TOLD"
    if mails[0].at - fault.outage.begun > fault.within:
        return "TOO LATE"
    kinds = [str(one.mail["X-Haidang-Notice"]) for one in mails]
    if "recovery" not in kinds[1:]:
        return f"ITS END WAS NOT TOLD ({', '.join(kinds)})"
    return ""
