"""The problem types that the service's code can answer with, found by reading it. Runs none of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import service

_TREES = [ast.parse(file.read_text()) for file in sorted(Path(service.__file__).parent.rglob("*.py"))]


def written() -> set[str]:
    """Every slug that is written down: as an argument of `Kind`, or of a function that hands it on to `Kind`."""
    return {str(slug.value) for slug in _given() if isinstance(slug, ast.Constant)}


def computed() -> list[str]:
    """The expressions that make a slug of something else."""
    return [ast.unparse(slug) for slug in _given() if not isinstance(slug, ast.Constant | ast.Name)]


def _given() -> list[ast.expr]:
    makers = _makers()
    return [slug for tree in _TREES for slug in _slugs(tree, makers)]


def _makers() -> dict[str, int]:
    """The functions that take a slug, and as which argument."""
    functions = [
        node for tree in _TREES for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    makers, before = {"Kind": 0}, 0
    while len(makers) > before:
        before = len(makers)
        for function in functions:
            parameters = [argument.arg for argument in function.args.args]
            for slug in _slugs(function, makers):
                if isinstance(slug, ast.Name) and slug.id in parameters:
                    makers[function.name] = parameters.index(slug.id)
    return makers


def _slugs(tree: ast.AST, makers: dict[str, int]) -> Iterator[ast.expr]:
    """What is given to makers for a slug."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in makers:
            yield node.args[makers[node.func.id]]
