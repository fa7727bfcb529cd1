"""`make bench`: measure, print the tables, keep the JSON, and hold the ratios against the committed ones."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

from cors_authz.edge.clock import now_seconds
from tests.bench import decisions, growth, through_envoy, watching
from tests.bench.decisions import HOT, LOADS, ONE_BODY
from tests.bench.estate import Estate
from tests.bench.figures import Figure, as_json, figures, ratios, worse
from tests.bench.machine import RESULTS, ROOT, MissingError, cores, facts, require_h2load
from tests.bench.report import brief, replaced, tables
from tests.bench.servers import EXPERIMENTS, collecting
from tests.bench.workspace import FULL, QUICK, Shop, Workspace, open_shop

_TRACE: Final = Estate(groups=40, origins=200)
_RESULT: Final = RESULTS / "results.json"
_BASELINE: Final = Path(__file__).with_name("baseline.json")
_README: Final = ROOT / "README.md"
_DETAILS: Final = ROOT / "docs" / "performance.md"
_HOT, _DECISIONS, _ENVOY, _GROWTH, _WATCHING = "hot", "decisions", "envoy", "growth", "watching"
_README_PART, _BASELINE_PART = "readme", "baseline"
_WHOLE: Final = (_DECISIONS, _ENVOY, _GROWTH, _WATCHING)
_PARTS: Final = (_HOT, *_WHOLE, _README_PART, _BASELINE_PART)


def main(arguments: Sequence[str]) -> int:
    """Do what is asked; 0 if it is done, or if a tool that it needs is not there."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(_PARTS)}; default: {', '.join(_WHOLE)}"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller policies, for development")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.parts) - set(_PARTS):
        parser.error(f"there is no part `{min(unknown)}`; write some of {', '.join(_PARTS)}")
    if _README_PART in asked.parts:
        return _write_documents()
    if _BASELINE_PART in asked.parts:
        return _write_baseline()
    try:
        require_h2load()
        return _bench(asked.parts or _WHOLE, quick=asked.quick)
    except MissingError as error:
        _say(f"bench skipped: {error}")
        return 0


def _bench(parts: Sequence[str], *, quick: bool) -> int:
    RESULTS.mkdir(exist_ok=True)
    size = QUICK if quick else FULL
    pinned = cores()
    with tempfile.TemporaryDirectory(prefix="cors-authz-bench-") as folder, collecting(pinned) as collector:
        space = Workspace(pinned, size, Path(folder), collector, _say)
        results = _measure(parts, open_shop(_TRACE, space.folder / "shop", int(now_seconds())), space)
    results["facts"] = {**facts(), "experiments": EXPERIMENTS, "rounds": size.rounds}
    reached = figures(results)
    results["figures"] = [as_json(figure) for figure in reached]
    _RESULT.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
    _print(results, reached)
    # Small runs are too noisy to be held against anything.
    return 0 if quick else _judge(reached)


def _measure(parts: Sequence[str], shop: Shop, space: Workspace) -> dict[str, Any]:
    skipped: dict[str, str] = {}
    measures: Mapping[str, tuple[str, Callable[[], Mapping[str, Any]]]] = {
        _HOT: (_DECISIONS, partial(decisions.measure, shop, space, skipped, (ONE_BODY, HOT))),
        _DECISIONS: (_DECISIONS, partial(decisions.measure, shop, space, skipped, LOADS)),
        _ENVOY: (_ENVOY, partial(through_envoy.measure, shop, space)),
        _GROWTH: (_GROWTH, partial(growth.measure, space)),
        _WATCHING: (_WATCHING, partial(watching.measure, shop, space)),
    }
    results: dict[str, Any] = {"skipped": skipped}
    for part in parts:
        name, measure = measures[part]
        try:
            results[name] = measure()
        except MissingError as error:
            skipped[name] = str(error)
    return results


def _print(results: Mapping[str, Any], reached: list[Figure]) -> None:
    _say(f"\n{tables(results, reached)}\n")
    _say(f"kept in {_RESULT.relative_to(ROOT)}; `make bench-readme` writes the documents' tables from it")


def _judge(reached: list[Figure]) -> int:
    """Fail on a figure that is worse than the committed one."""
    said = worse(reached, orjson.loads(_BASELINE.read_bytes())) if _BASELINE.exists() else []
    for line in said:
        _say(f"worse than tests/bench/baseline.json: {line}")
    return 1 if said else 0


def _write_documents() -> int:
    """Write the tables of the last run."""
    results = _results()
    reached = figures(results)
    for document, text in ((_README, brief(results)), (_DETAILS, tables(results, reached))):
        document.write_text(replaced(document.read_text(), text))
    return 0


def _write_baseline() -> int:
    """Commit what the last run reached."""
    reached = ratios(figures(_results()))
    _BASELINE.write_bytes(orjson.dumps(reached, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return 0


def _results() -> dict[str, Any]:
    results: dict[str, Any] = orjson.loads(_RESULT.read_bytes())
    return results


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
