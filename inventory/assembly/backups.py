"""Expand a backup and its evidence into checks.

A site's ``backups:`` (and a template's) name each backup and list its ``evidence``: pings of its job, files, a
repository, a restore drill, or whatever else a check can look at. What is said of the backup goes for every evidence
that does not say otherwise; ``rpo`` goes to those whose kind has one. A site's own backup of the same key overrides
the template's, key by key.
"""

from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec

from inventory.assembly.file_schema import BackupShape, CheckShape
from inventory.base.problems import Place
from inventory.base.types import Text, duration_ms
from inventory.model import entities
from inventory.protocol.kinds import Kinds
from inventory.yaml.nodes import MappingNode, ScalarNode

TAG: Final = "backup"
NAMES: Final = {
    "pings": ("tác vụ", "its job"),
    "files": ("tệp sao lưu", "files"),
    "repository": ("kho sao lưu", "repository"),
    "drill": ("thử phục hồi", "restore drill"),
}
RPO: Final = "rpo"
SHARED_KEYS: Final = ("interval", "timeout", "hold", "recheck", "agent", "objective", "calendar")

EvidenceShapes = tuple[
    str, CheckShape | None, CheckShape | None
]  # an evidence's name, the template's check, the site's own


def checks_of(key: str, base: BackupShape | None, own: BackupShape | None, kinds: Kinds) -> Iterator[EvidenceShapes]:
    """The checks of one backup, in the order in which their evidence was written."""
    evidence_shapes = {**(base.evidence if base is not None else {}), **(own.evidence if own is not None else {})}
    for evidence in evidence_shapes:
        site_shape = own.evidence.get(evidence) if own is not None else None
        template_shape = base.evidence.get(evidence) if base is not None else None
        if site_shape is not None and site_shape.off:
            continue
        kind = _kind(evidence, kinds, site_shape, template_shape)
        kind_info = kinds.get(kind or "")
        name_param = "" if kind_info is None else kind_info.named_by  # the backup's own key if not given
        has_rpo = kind_info is not None and RPO in kind_info.schema.get("properties", {})
        template_check = (
            _check(base, template_shape, kind, name_param and (name_param, key), has_rpo)
            if base is not None and template_shape
            else None
        )
        if own is None:
            yield evidence, template_check, None
        elif template_check is None:
            yield evidence, None, _check(own, site_shape, kind, name_param and (name_param, key), has_rpo)
        else:
            yield evidence, template_check, _check(own, site_shape, None, None, has_rpo)


def _kind(evidence: str, kinds: Kinds, *shapes: CheckShape | None) -> str | None:
    """The kind that is written, else the one that evidence under this key means."""
    written = (shape.kind for shape in shapes if shape is not None and shape.kind is not None)
    return next(written, kinds.of_evidence(evidence))


def _check(
    backup: BackupShape, check: CheckShape | None, kind: str | None, name_param: Any, has_rpo: bool
) -> CheckShape:
    """A check as if all that goes for the backup had been written in it.

    ``kind``: to be filled in; None when the template has it. ``called``: (parameter, name) to be filled in, likewise.
    """
    shape = check if check is not None else CheckShape(at=Place(backup.at.file, backup.at.line, backup.at.path, {}))
    lines = dict(shape.at.lines)
    change: dict[str, Any] = {}
    for field, key in (*((name, name) for name in SHARED_KEYS), ("begins", "from"), ("ends", "to")):
        if key in backup.at.lines and key not in lines:
            change[field] = getattr(backup, field)
            lines[key] = backup.at.lines[key]
    if kind is not None:
        change["kind"] = kind
        change["tags"] = tuple(dict.fromkeys((TAG, *backup.tags, *shape.tags)))
    elif "tags" in backup.at.lines or "tags" in lines:
        change["tags"] = tuple(dict.fromkeys((TAG, *backup.tags, *shape.tags)))
        lines.setdefault("tags", backup.at.line)
    params = _params(backup, shape, name_param, has_rpo)
    if params is not shape.params:
        change["params"] = params
        lines.setdefault("params", shape.at.line)
    return msgspec.structs.replace(shape, at=Place(shape.at.file, shape.at.line, shape.at.path, lines), **change)


def _params(backup: BackupShape, check: CheckShape, name_param: Any, has_rpo: bool) -> Any:
    """The parameters with the backup's objective and name where the check gives none of its own."""
    written = check.params
    if written is not None and not isinstance(written, MappingNode):
        return written  # told as a mistake where parameters are read
    extra: dict[str, Any] = {}
    line = check.at.line
    if has_rpo and backup.rpo is not None:
        extra[RPO] = backup.rpo
    if name_param:
        extra[name_param[0]] = ScalarNode(name_param[1], line, True)
    missing = {name: node for name, node in extra.items() if written is None or name not in written.items}
    if not missing:
        return written
    merged = MappingNode(line)
    merged.items = {**(written.items if written is not None else {}), **missing}
    merged.lines = {**(written.lines if written is not None else {}), **dict.fromkeys(missing, line)}
    if RPO in missing:
        merged.lines[RPO] = backup.at.lines.get(RPO, line)
    return merged


def facts_present(shape: CheckShape | BackupShape, facts: Collection[str]) -> bool:
    """Whether all facts are there without which a template's check is left out."""
    return all(fact in facts for fact in (entry.strip() for entry in (shape.when or "").split(",")) if fact)


def title_of(backup: entities.Backup, evidence: str) -> Text:
    """What a check is called that has no name of its own."""
    vi, en = NAMES.get(evidence, (evidence, evidence))
    return Text(f"{backup.name.in_('vi')}: {vi}", f"{backup.name.in_('en')}: {en}")


def with_check(backup: entities.Backup, evidence: str, check: entities.Check, kinds: Kinds) -> entities.Backup:
    """The backup with one more check."""
    rpo_text = check.params.get(RPO, kinds[check.kind].defaults.get(RPO)) or None
    rpos = [rpo for rpo in (backup.rpo, duration_ms(str(rpo_text)) if rpo_text else None) if rpo is not None]
    return msgspec.structs.replace(
        backup, checks=(*backup.checks, check.uid), evidence=(*backup.evidence, evidence), rpo=min(rpos, default=None)
    )
