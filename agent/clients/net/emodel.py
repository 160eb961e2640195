"""Estimate the quality of a call over a path: jitter, and the E-model of ITU-T G.107, cut down to delay and loss."""

from collections.abc import Sequence
from itertools import pairwise


def jitter(rtts: Sequence[float]) -> float:
    """Mean absolute difference of consecutive round trips: RFC 3550's D(i-1, i), not smoothed, for there are few."""
    return sum(abs(after - before) for before, after in pairwise(rtts)) / (len(rtts) - 1)


def rating(rtt: float, jitter: float, loss: float) -> float:
    """The transmission rating R of a call on this path (seconds, seconds, ratio), at most 93.2; below 0 is possible.

    R = 93.2 - Id - Ie,eff, where 93.2 is the rating with every default of G.107. One-way delay d in ms: half the
    round trip, a play-out buffer of twice the jitter, 10 for a packet of speech. Id = 0.024 d + 0.11 (d - 177.3)
    beyond 177.3 ms (Cole and Rosenbluth, 2001). Ie,eff for G.711 with concealment at random loss of P percent:
    95 P / (P + 25.1) (G.107 with Ie = 0 and Bpl = 25.1 of G.113).
    """
    delay = rtt * 500 + jitter * 2000 + 10
    percent = loss * 100
    return 93.2 - 0.024 * delay - 0.11 * max(delay - 177.3, 0.0) - 95 * percent / (percent + 25.1)


def mos(rtt: float, jitter: float, loss: float) -> float:
    """Mean opinion score of a call on this path (seconds, seconds, ratio), 1 to 4.41: see :func:`rating`."""
    return mos_from_rating(rating(rtt, jitter, loss))


def mos_from_rating(rating: float) -> float:
    """MOS of a transmission rating R, 0 to 100 (ITU-T G.107, annex B); the cubic dips under 1 for the smallest R."""
    if rating <= 0:
        return 1.0
    return max(1.0, 1 + 0.035 * rating + rating * (rating - 60) * (100 - rating) * 7e-6)
