"""Format messages, times, durations and names of things in one language."""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from alerts.incident.message import TranslatableMessage
from alerts.language.locale import Locale
from alerts.mail import clean
from inventory.base.types import Text
from inventory.model.entities import Agency, Inventory, Site
from inventory.protocol.reasons import unpack

_FIELD = re.compile(r"\{(\w+)\}")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TRANSLATED: Final = 2_000  # characters of a reason that are looked at
_FIRST, _LAST = -62_000_000_000_000, 250_000_000_000_000  # ms that every zone can show


class MailFormatter:
    """Whatever it returns is clean (:mod:`alerts.mail.clean`)."""

    def __init__(self, locale: Locale, inventory: Inventory, now: int) -> None:
        self.locale = locale
        self.language = locale.language
        self.inventory = inventory
        self.now = now  # the moment from which "today" is reckoned

    def translate(self, message: TranslatableMessage) -> str:
        """The sentence with its fields, each written as its name asks for; see :mod:`alerts.incident.message`."""
        words = self.locale.gettext(message.text)
        return clean.clean(_FIELD.sub(lambda match: self._field(match[0], match[1], message.values), words))

    def _field(self, whole: str, field: str, values: Mapping[str, str | int | float]) -> str:
        if field not in values:
            return whole
        value = values[field]
        if isinstance(value, int | float) and math.isfinite(value):
            if field.endswith("_at"):
                return self.clock(int(value))
            if field.endswith("_for"):
                return self.length(int(value))
            if field.endswith("_share"):
                return self.share(float(value))
            return str(value) if isinstance(value, int) else self.locale.number(value, 2)
        if field == "reason":
            return self.reason(str(value))
        return self.called(field, str(value))

    def reason(self, text: str) -> str:
        """Why a look came out as it did, in the agent's words."""
        reason = unpack(text)
        return clean.clean(self.locale.reason(clean.clean(reason, _TRANSLATED) if reason.plain else reason))

    def share(self, ratio: float) -> str:
        """A ratio per cent, without digits that say nothing."""
        return self.locale.number(ratio * 100, 2).rstrip("0").rstrip(".,") + "%"

    # -- time

    def moment(self, ms: int) -> str:
        """ "14:05 today, 27 Nov 2026": a mail is read on another day, too."""
        _ = self.locale
        local, today = self._local(ms), self._local(self.now)
        time, day = local.strftime("%H:%M"), self.day(local)
        days = (today.date() - local.date()).days
        if days == 0:
            return _("%(time)s today, %(day)s", time=time, day=day)
        if days == 1:
            return _("%(time)s yesterday, %(day)s", time=time, day=day)
        return _("%(time)s on %(day)s", time=time, day=day)

    def clock(self, ms: int) -> str:
        """ "14:05:12", with the day when that is not today's."""
        _ = self.locale
        local = self._local(ms)
        time = local.strftime("%H:%M:%S")
        if local.date() == self._local(self.now).date():
            return time
        return _("%(time)s on %(day)s", time=time, day=self.day(local))

    def day(self, local: datetime) -> str:
        month_name = _MONTHS[local.month - 1]
        return self.locale.style.day.format(day=local.day, month=local.month, month_name=month_name, year=local.year)

    def day_of(self, ms: int) -> str:
        return self.day(self._local(ms))

    def length(self, ms: int) -> str:
        """In whole words, for people who do not read "h" as hours; the two largest units, none that is nothing."""
        counted = self.locale.counted
        whole = min(max(ms, 0), _LAST) // 1000
        days, hours, minutes, seconds = whole // 86_400, whole // 3600 % 24, whole // 60 % 60, whole % 60
        parts = [
            (days, counted("%(num)s day", "%(num)s days", days)),
            (hours, counted("%(num)s hour", "%(num)s hours", hours)),
            (minutes, counted("%(num)s minute", "%(num)s minutes", minutes)),
        ]
        if whole < 600:  # of more than ten minutes the seconds are noise
            parts.append((seconds, counted("%(num)s second", "%(num)s seconds", seconds)))
        first_nonzero = next((place for place, (count, _) in enumerate(parts) if count), len(parts) - 1)
        shown = parts[first_nonzero : first_nonzero + 2]
        return " ".join(words for place, (count, words) in enumerate(shown) if count or place == 0)

    def _local(self, ms: int) -> datetime:
        # a clock of another age is no reason to show nothing
        return datetime.fromtimestamp(min(max(ms, _FIRST), _LAST) / 1000, self.locale.zone)

    # -- names

    def text(self, text: Text) -> str:
        return clean.name(text.in_(self.language))

    def called(self, field: str, ident: str) -> str:
        """The name of what a field's id stands for; ids that the inventory does not know stand as they are."""
        inventory = self.inventory
        if field == "site":
            return self.site(ident)
        if field == "agency":
            return self.agency(ident)
        if field == "check":
            return self.check(ident)
        if field == "agent":
            return self.agent(ident)
        if field == "link":
            return self.link(ident)
        if field in ("provider", "goal", "device"):
            table: Mapping[str, Agency | Site] = getattr(inventory, f"{field}s")
            entity = table.get(ident)
            return clean.name(ident) if entity is None else self.text(entity.name) or clean.name(ident)
        return clean.clean(ident)

    def agency(self, ident: str) -> str:
        """Without the province at the end: everyone who reads it lives there."""
        agency = self.inventory.agencies.get(ident)
        if agency is None:
            return clean.name(ident)
        name = self.text(agency.name)
        province = self.text(self.inventory.province.name)
        if province and name.lower().endswith(f" {province.lower()}"):
            return name[: -len(province)].rstrip(" ,-–")
        return name or clean.name(ident)

    def site(self, ident: str) -> str:
        """A site by its agency, or by its own name where it has one beside the agency's."""
        site = self.inventory.sites.get(ident)
        if site is None:
            return clean.name(ident)
        agency = self.inventory.agencies.get(site.agency)
        if agency is None or (self.text(site.name) and self.text(site.name) != self.text(agency.name)):
            return self.text(site.name) or clean.name(ident)
        return self.agency(site.agency)

    def check(self, uid: str) -> str:
        check = self.inventory.checks.get(uid)
        if check is None:
            return clean.name(uid)
        return self.text(check.title) or clean.name(check.name)

    def agent(self, ident: str) -> str:
        agent = self.inventory.agents.get(ident)
        return clean.name(ident) if agent is None else self.site(agent.site) or clean.name(ident)

    def link(self, ident: str) -> str:
        link = self.inventory.links.get(ident)
        if link is None:
            return clean.name(ident)
        site = self.inventory.sites.get(link.site)
        if site is None or len(site.links) < 2:
            return self.site(link.site)
        return f"{self.site(link.site)} ({clean.name(link.circuit or ident)})"  # which of its lines
