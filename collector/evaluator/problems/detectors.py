"""Problems of conditions that bring a detector of their own (inventory.model.alerting.ConditionType)."""

import pkgutil
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import NamedTuple

from alerts.incident.message import TranslatableMessage
from alerts.incident.problem import ActiveProblem, Cause, Subject
from alerts.notify.conditions import condition_for
from collector.evaluator.context import EvaluationContext
from collector.ingest.quarantine import EVALUATION
from inventory.model.alerting import CONDITION_TYPES, ConditionType
from inventory.protocol.causes import NOT_KNOWN, CauseKind
from inventory.protocol.refs import Ref


class Detection(NamedTuple):
    """What a detector found to be wrong now. What it does not find any more is over."""

    ident: str  # of what it is about: with the condition's name before it, the problem's key and root
    subject: Subject
    since: int  # ms of the collector's time
    message: TranslatableMessage
    cause: CauseKind = NOT_KNOWN
    confirmed: bool = True  # False keeps an incident open and opens none


Detector = Callable[[EvaluationContext], Iterable[Detection]]


def detected_problems(context: EvaluationContext) -> Iterator[ActiveProblem]:
    """By every detector that a condition declares."""
    for condition_type in CONDITION_TYPES.values():
        if condition_type.detector:
            try:
                yield from _detected(condition_type, context)
            except Exception as error:  # a detector that fails costs its own problems
                context.reader.fleet.quarantine.row_failed(EVALUATION, "", error)


def _detected(condition_type: ConditionType, context: EvaluationContext) -> list[ActiveProblem]:
    detections = detector(condition_type.detector)(context)
    return [problem for detection in detections for problem in _problem(condition_type, detection, context)]


@cache
def detector(path: str) -> Detector:
    """The function of a path MODULE:FUNCTION. Raises ImportError, AttributeError."""
    found: Detector = pkgutil.resolve_name(path)
    return found


def _problem(
    condition_type: ConditionType, detection: Detection, context: EvaluationContext
) -> Iterator[ActiveProblem]:
    """With what the condition in force gives; none where that is switched off."""
    condition = condition_for(context.inventory, condition_type.name, detection.subject)
    if condition is None:
        return
    key = str(Ref(condition_type.name, detection.ident))
    yield ActiveProblem(
        key=key,
        condition=condition.id,
        subject=detection.subject,
        severity=condition.severity,
        since=detection.since,
        evidence=context.now,
        cause=Cause(root=key, cause=detection.cause),
        confirmed=detection.confirmed and context.now - detection.since >= condition.for_ms,
        message=detection.message,
        recover_ms=condition.quiet_ms,
    )
