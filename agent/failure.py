"""How a probe fails: the clients' one exception, and the errors of sockets as reasons."""

import errno
from typing import Final

from inventory.protocol.reasons import Why, sentence, template
from inventory.protocol.states import DOWN, UNKNOWN

_TARGET: Final = {
    errno.ECONNREFUSED: template("{who} refused the connection"),
    errno.ECONNRESET: template("{who} reset the connection"),
    errno.ECONNABORTED: template("{who} broke the connection off"),
    errno.EPIPE: template("{who} closed the connection while the request was being sent"),
    errno.ETIMEDOUT: template("{who} did not answer"),
    errno.EHOSTUNREACH: template("{who} cannot be reached: no route to the host"),
    errno.ENETUNREACH: template("{who} cannot be reached: no route to its network"),
    errno.EHOSTDOWN: template("{who} cannot be reached: the host is down"),
}
# these say something about this machine, nothing about the target: no evidence
_LOCAL_ERRORS: Final = {
    errno.EPERM: sentence("this machine's own firewall forbids the connection"),
    errno.EACCES: sentence("this machine does not permit the connection"),
    errno.EMFILE: sentence("this agent has too many files open"),
    errno.ENFILE: sentence("this machine has too many files open"),
    errno.ENOBUFS: sentence("this machine has no buffer space left"),
    errno.ENOMEM: sentence("this machine has no memory left"),
    errno.EADDRNOTAVAIL: sentence("this machine has no local port or address left for the connection"),
    errno.EAFNOSUPPORT: sentence("this machine does not speak this family of addresses"),
}


class ProbeFailed(Exception):
    """A look came to nothing. ``reason`` is one plain sentence, ``state`` what it says of the target."""

    def __init__(self, reason: Why, state: int = DOWN) -> None:
        super().__init__(reason)
        self.reason = reason
        self.state = state


def from_oserror(error: OSError, who: str) -> ProbeFailed:
    """The error of a socket to ``who``, in words."""
    if error.errno in _LOCAL_ERRORS:
        return ProbeFailed(_LOCAL_ERRORS[error.errno], UNKNOWN)
    words = _TARGET.get(error.errno or 0)
    if words:
        return ProbeFailed(sentence(words, who=who))
    return ProbeFailed(sentence("{who}: {error}", who=who, error=error.strerror or type(error).__name__))


def printable(data: bytes | str, limit: int = 40) -> str:
    """What a stranger sent, fit for a sentence: printable, quoted, short."""
    text = data.decode("latin-1") if isinstance(data, bytes) else data
    short = "".join(c if c.isprintable() else "?" for c in text[:limit])
    return f"'{short}{'…' if len(text) > limit else ''}'"
