"""The words that mails have for a check of a kind of probe; English: the catalogues have the other languages."""

import msgspec


class MailWords(msgspec.Struct, frozen=True):
    """What mails say of a check that is down, or of one that is degraded."""

    headline: str = ""  # in few words, before the check's name; "": the general one ("Not working")
    link_headline: str = ""  # instead of it, for a check over a site's link
    explains: bool = False  # the headline says the cause well enough
    steps: tuple[str, ...] = ()  # two to five things to do first; none: the general ones
