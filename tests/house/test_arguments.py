"""What is read from top to bottom passes one context on: no function there takes more than a handful of arguments."""

import ast
from collections.abc import Iterator

import pytest

from tests.support.paths import ROOT

MOST = 5  # arguments of a function, ``self`` aside

READ_FROM_TOP_TO_BOTTOM = sorted(
    str(path.relative_to(ROOT))
    for path in (
        *(ROOT / "collector" / "ingest").rglob("*.py"),  # a push: pipeline.py, and all that it calls out to
        ROOT / "collector" / "evaluator" / "evaluation.py",  # an evaluation
        ROOT / "alerts" / "engine.py",  # the step of the incidents, and what it calls out to
        *(ROOT / "alerts" / "incident").rglob("*.py"),
        ROOT / "alerts" / "mail" / "render.py",  # a mail
    )
)


@pytest.mark.parametrize("name", READ_FROM_TOP_TO_BOTTOM)
def test_no_function_takes_more_than_a_handful_of_arguments(name: str) -> None:
    tree = ast.parse((ROOT / name).read_text("utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [function.name for function in functions if len(list(_arguments(function))) > MOST] == []


def _arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    arguments = function.args
    for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
        if one is not None and one.arg not in ("self", "cls"):
            yield one.arg
