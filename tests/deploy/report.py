"""A verification as people read it: tables, and what in them is not as it must be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from docs.marked import table
from tests.deploy.disturbances import DISTURBANCES
from tests.deploy.probes import ALLOWED, PROBES, Probe

BEGIN: Final = "<!-- verified: begin; written by `make verify-deploy ARGS=--record` -->"
END: Final = "<!-- verified: end -->"

_PLANES: Final = ("envoy", "istio", "envoy-gateway")
_MOST_SECONDS_TO_DECISION: Final = 10
_MOST_SECONDS_FROM_FILES: Final = 1
_LEAST_REQUESTS: Final = 500
# Envoy Gateway answers 500 for a route whose service has no endpoints, and Envoy then 403 to WebSockets.
_REFUSALS: Final = {"403 -", "500 -", "503 -"}
_MOST_EXCUSED: Final = 0.1
_RIGHT, _UNANSWERED = f"200 {ALLOWED}", "503 None"
_SPANS: Final = ["envoy.service.auth.v3.Authorization/Check"]

Results = Mapping[str, Any]


class Row(NamedTuple):
    """A line of the first table: what, how it must be, how it is, and whether that is so."""

    what: str
    must: str
    found: str
    holds: bool


def tables(results: Results) -> str:
    """Write all that a verification found, in Markdown."""
    planes = _planes(results)
    facts = results["facts"]
    parts = [
        f"Kubernetes {facts['kubernetes']}{facts['note'] and ', '}{facts['note']}.",
        table(("what", "must", "found"), [(row.what, row.must, row.found) for row in _rows(results)]),
        _probes(),
        _asked(results),
        *(f"- {name}: {plane['note']}." for name, plane in planes.items() if plane["note"]),
        *(f"- {part}: skipped, {why}." for part, why in _skipped(results)),
    ]
    return "\n\n".join(part for part in parts if part)


def wrong(results: Results) -> list[str]:
    """Name what is not as it must be; a data plane that says why may leave a tenth of the requests unanswered."""
    lines = [f"{part}: {found['failed']}" for part, found in results.items() if "failed" in found]
    lines += [f"{row.what}: {row.found}, must be {row.must}" for row in _rows(results) if not row.holds]
    for name, plane in _planes(results).items():
        lines += [f"{name}: {line}" for line in (*_wrong_answers(plane["answers"]), *_wrong_counts(plane))]
    for name, answers in _modes(results).items():
        lines += [f"{name}: {line}" for line in _wrong_answers(answers)]
    return lines


def _planes(results: Results) -> dict[str, Any]:
    whole = (results.get(part, {}) for part in _PLANES)
    return {name: plane for found in whole if _whole(found) for name, plane in found.items()}


def _modes(results: Results) -> dict[str, Any]:
    found = results.get("modes", {})
    return dict(found) if _whole(found) else {}


def _skipped(results: Results) -> Iterator[tuple[str, str]]:
    return ((part, found["skipped"]) for part, found in results.items() if "skipped" in found)


def _whole(found: Results) -> bool:
    return bool(found) and not {"skipped", "failed"} & set(found)


def _rows(results: Results) -> list[Row]:
    rows: list[Row] = []
    for part, made in (("lifecycle", _lifecycle), ("reload", _reload), ("trace", _trace)):
        found = results.get(part, {})
        if _whole(found):
            rows += made(found)
    return rows


def _lifecycle(found: Results) -> list[Row]:
    first = found["seconds to the first decision"]
    left = found["left behind"]
    closed = found["answers without it"]
    return [
        Row(
            "from `helm install` to the first correct decisions through Envoy",
            f"≤ {_MOST_SECONDS_TO_DECISION} s",
            f"{first} s",
            first <= _MOST_SECONDS_TO_DECISION,
        ),
        Row("`helm test`", "passes", "passes", holds=True),
        _yes("`helm upgrade` of a setting rolls the pods", holds=found["upgraded"]),
        _yes("`helm rollback` brings the former pods back", holds=found["rolled back"]),
        Row("`helm uninstall` leaves", "nothing", ", ".join(left) or "nothing", not left),
        Row("a plain Envoy then answers", "refusals", ", ".join(closed), _all_refused(closed)),
    ]


def _reload(found: Results) -> list[Row]:
    taken = found["seconds from files to decision"]
    return [
        Row(
            f"from the kubelet's files to a changed decision, worst of {len(taken)}",
            f"≤ {_MOST_SECONDS_FROM_FILES} s",
            f"{max(taken):.2f} s",
            max(taken) <= _MOST_SECONDS_FROM_FILES,
        )
    ]


def _trace(found: Results) -> list[Row]:
    spans = found["spans"]
    return [
        Row("the span of a refusal, in Jaeger by its id", f"`{_SPANS[0]}`", f"`{', '.join(spans)}`", spans == _SPANS)
    ]


def _yes(what: str, *, holds: bool) -> Row:
    return Row(what, "yes", "yes" if holds else "no", holds)


def _probes() -> str:
    rows = [(probe.what, f"`{probe.method} {probe.path}`", _expected(probe)) for probe in PROBES]
    return table(("request", "", "status, and who may read"), rows)


def _asked(results: Results) -> str:
    head = ("through", "answers as they must be", "upstream's CORS headers", "no pod left", *DISTURBANCES)
    rows = [(name, *_cells(plane)) for name, plane in _planes(results).items()]
    rows += [(f"plain Envoy, {name}", _right(answers)) for name, answers in _modes(results).items()]
    return table(head, [(*row, *[""] * (len(head) - len(row))) for row in rows]) if rows else ""


def _cells(plane: Mapping[str, Any]) -> Iterator[str]:
    yield _right(plane["answers"])
    yield "removed" if plane["stripped"] else "blank"
    yield ", ".join(plane["no pods"])
    yield from map(_count, (plane["load"] or {}).values())


def _right(answers: Mapping[str, str]) -> str:
    return f"{len(PROBES) - len(list(_wrong_answers(answers)))} of {len(PROBES)}"


def _count(answers: Mapping[str, int]) -> str:
    return f"{_lost(answers)} of {sum(answers.values())}"


def _lost(answers: Mapping[str, int]) -> int:
    return sum(answers.values()) - answers.get(_RIGHT, 0)


def _expected(probe: Probe) -> str:
    return f"{probe.status} {probe.reader or '-'}"


def _wrong_answers(answers: Mapping[str, str]) -> Iterator[str]:
    for probe in PROBES:
        if (found := answers[probe.what]) != _expected(probe):
            yield f"{probe.what}: {found}, must be {_expected(probe)}"


def _all_refused(answers: Sequence[str]) -> bool:
    return bool(answers) and set(answers) <= _REFUSALS


def _wrong_counts(plane: Mapping[str, Any]) -> Iterator[str]:
    if not _all_refused(plane["no pods"]):
        yield f"without pods: {', '.join(plane['no pods'])}, must be refusals"
    if plane["must be stripped"] and not plane["stripped"]:
        yield "the upstream's CORS headers are blank, must be removed"
    for name in DISTURBANCES if plane["load"] is not None else ():
        answers = plane["load"].get(name, {})
        count, excused = sum(answers.values()), _MOST_EXCUSED if plane["note"] else 0
        if count < _LEAST_REQUESTS:
            yield f"{name}: {count} requests, must be at least {_LEAST_REQUESTS}"
        elif _lost(answers) > excused * count or not set(answers) <= {_RIGHT, _UNANSWERED}:
            yield f"{name}: {_count(answers)} requests failed: {dict(answers)}"
