"""Budgets: what one agent may cost, what strangers may, as ``budgets:`` in collector.yaml.

They are generous to an honest agent, also to one that comes back after months; what each does above its number is in
``docs/operating.md``. Where they are held: ``collector/ingest/budgets.py`` (pushes), ``collector/web/admission.py``
(connections), ``collector/web/agents.py`` (uploads).
"""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from inventory.base.types import Size

KIB = 1 << 10
MIB = 1 << 20
MAX_INFLATED = 1 * MIB  # of any push with a batch: under 50 ms of decoding, whatever is in it


def _count(least: int, most: int = 10**9) -> msgspec.Meta:
    return msgspec.Meta(ge=least, le=most)


class BudgetsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Each field is one budget. The least values are what an honest agent of three checks needs.

    Of a push: ``inflated`` and ``inflated_per_check`` bytes once it is inflated; ``asked_plan`` bytes of one that
    brings plans that were asked for; ``results``; ``texts`` characters of its reasons and records; ``rows`` and
    ``rows_per_check`` runs, records and missing ranges together; ``decoding_memory`` inflated bytes of all
    agents' large pushes in work. Of an agent: ``pushes_at_once``, and ``uploading`` bytes of their bodies;
    ``decoding_share`` ms of processor time a second for decoding, and ``decoding_burst`` ms of them saved up;
    ``plans_per_hour`` that it brings; ``reasons`` new texts saved up, and ``reasons_per_check`` of them an hour;
    ``stored`` bytes saved up, and ``stored_per_check`` of them a day.
    Of connections at the agents' listener: ``strangers`` that have not proven who they are, of these
    ``strangers_per_address``; ``connections_per_agent``. ``operator_connections`` at the operators' listener.
    """

    inflated: Annotated[Size, _count(640 * KIB, MAX_INFLATED)] = 640 * KIB
    inflated_per_check: Annotated[Size, _count(0, 64 * KIB)] = 256
    asked_plan: Annotated[Size, _count(64 * KIB, 16 * MIB)] = 4 * MIB
    results: Annotated[int, _count(1_000, 20_000)] = 2_500
    texts: Annotated[Size, _count(64 * KIB, MIB)] = 256 * KIB
    rows: Annotated[int, _count(1_000, 20_000)] = 1_500
    rows_per_check: Annotated[int, _count(2, 1_000)] = 4
    decoding_memory: Annotated[Size, _count(MAX_INFLATED)] = 3 * MIB
    pushes_at_once: Annotated[int, _count(1)] = 8
    uploading: Annotated[Size, _count(MIB)] = 2 * MIB
    decoding_share: Annotated[int, _count(1, 1_000)] = 50
    decoding_burst: Annotated[int, _count(1_000)] = 10_000
    plans_per_hour: Annotated[int, _count(1)] = 100
    reasons: Annotated[int, _count(1_000)] = 20_000
    reasons_per_check: Annotated[int, _count(1)] = 120
    stored: Annotated[Size, _count(64 * MIB)] = 256 * MIB
    stored_per_check: Annotated[Size, _count(64 * KIB)] = 1 * MIB
    strangers: Annotated[int, _count(8)] = 256
    strangers_per_address: Annotated[int, _count(2)] = 32
    connections_per_agent: Annotated[int, _count(2)] = 8
    operator_connections: Annotated[int, _count(8)] = 128

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Sizes out of their bounds, which the file's reader does not judge: (key after "budgets", what is wrong)."""
        try:
            msgspec.convert(msgspec.to_builtins(self), BudgetsConfig)
        except msgspec.ValidationError as error:
            words, _, where = str(error).partition(" - at `$")
            yield where.rstrip("`"), words
