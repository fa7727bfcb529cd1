"""The shape of the house: which way imports go, and what the pure part must not touch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cors_authz"
PURE = [path for layer in ("fetch", "pdp", "policy") for path in sorted((PACKAGE / layer).rglob("*.py"))]
IMPURE_CALLS = {"open", "input", "print", "eval", "exec", "now", "utcnow", "today", "getenv"}


def test_imports_keep_the_contracts() -> None:
    """import-linter's contracts in pyproject.toml hold."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_decides_calls_nothing_impure(path: Path) -> None:
    """import-linter does not see builtins and methods: files, clocks and terminals stay out by this test."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    assert not [ast.unparse(call) for call in calls if _name(call.func) in IMPURE_CALLS]


def test_a_module_that_is_not_pure_would_be_found() -> None:
    """The test above can fail: the edge reads the clock."""
    clock = ast.parse((PACKAGE / "edge/clock.py").read_text())
    calls = (node for node in ast.walk(clock) if isinstance(node, ast.Call))
    assert [ast.unparse(call) for call in calls if _name(call.func) in IMPURE_CALLS]


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
