"""A message before translation: its English template with {fields}, and the fields' values.

What a field means is known by its name, so that each language can write it its own way: ``..._at`` is a moment (ms),
``..._for`` a length of time (ms), ``..._share`` a ratio; ``agency``, ``site``, ``link``, ``provider``, ``check``,
``goal``, ``device`` and ``agent`` are ids that stand for names; ``reason`` is the reason of a look, as the agent wrote
it. Anything else stands as it is. English texts are the keys of the catalogue.
"""

import msgspec


class TranslatableMessage(msgspec.Struct, frozen=True, array_like=True):
    """``text`` is a literal at the place that says it, so that the catalogue can be made from the source."""

    text: str
    values: dict[str, str | int | float] = {}


def message(text: str, **values: str | int | float) -> TranslatableMessage:
    """A sentence with its fields; Babel finds the calls of this name."""
    return TranslatableMessage(text, values)
