"""A run as people read it: tables on the screen, and the same in the documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from docs.marked import between, table
from tests.bench.figures import Better, Figure

BEGIN: Final = "<!-- bench: begin; written by `make bench-readme` -->"
END: Final = "<!-- bench: end -->"

_LOADS: Final = (("hot", "hot request"), ("mixed", "mixed trace"), ("h2load", "one body by h2load"))
_ENVOY: Final = (
    ("rate", "rps"),
    ("p50_ms", "p50 ms"),
    ("p99_ms", "p99 ms"),
    ("added_p50_ms", "one at a time: added p50 ms"),
    ("envoy_cpu_us", "Envoy CPU µs"),
    ("service_cpu_us", "service CPU µs"),
)
_GROWTH: Final = (
    ("cpu_us", "CPU µs a check"),
    ("parse_s", "parse s"),
    ("check_s", "check s"),
    ("compile_s", "compile s"),
    ("load_peak_mb", "load peak MB"),
    ("swap_s", "files to swap s"),
    ("serving_mb", "serving MB"),
    ("swap_peak_mb", "all processes, peak MB"),
)
_WATCHED_COLUMNS: Final = (("", "CPU µs"), ("_more", "more than the least"))
_NO_VALUE: Final = "-"
# Without these words a reader takes the rows of the wheel for those of `pip install`, which has the source.
_OURS, _FROM_SOURCE, _NATIVE = "cors-authz, ", ", from source", ", native wheel"


def brief(results: Mapping[str, Any]) -> str:
    """Write what stands in the README: the conditions, and what a check costs, alone and behind Envoy."""
    alone, behind_envoy = results.get("decisions", {}), results.get("envoy", {})
    rows = [
        (
            _server(name),
            *(_cell(loads.get(load, {}), "cpu_us") for load in ("hot", "mixed")),
            *(_cell(behind_envoy.get(name, {}), field) for field in ("rate", "p50_ms", "p99_ms")),
        )
        for name, loads in alone.items()
    ]
    head = ("server", "hot request: CPU µs", "mixed trace: CPU µs", "through Envoy: rps", "p50 ms", "p99 ms")
    return f"{conditions(results)}\n\n{table(head, rows)}"


def tables(results: Mapping[str, Any], reached: Sequence[Figure]) -> str:
    """Write the conditions and every table that a run has, in Markdown."""
    parts = [conditions(results), _figures(reached)]
    if "decisions" in results:
        parts.append(_decisions(results["decisions"]))
    if "envoy" in results:
        parts.append(_envoy(results["envoy"]))
    if "growth" in results:
        parts.append(_growth(results["growth"]))
    if "watching" in results:
        parts.append(_watching(results["watching"]))
    skipped = [f"- {name}: skipped, {why}" for name, why in results["skipped"].items()]
    return "\n\n".join([*parts, "\n".join(skipped)] if skipped else parts)


def replaced(document: str, new: str) -> str:
    """Put new text between the bench's markers of a document.

    Raises: ValueError without both markers.
    """
    return between(document, BEGIN, END, new)


def conditions(results: Mapping[str, Any]) -> str:
    """Say what the figures hold for."""
    facts = results["facts"]
    return (
        f"{facts['cores']} cores; Python {facts['python']}, grpcio {facts['grpcio']}, protobuf {facts['protobuf']}, "
        f"`GRPC_EXPERIMENTS={facts['experiments']}` for every Python row. Medians of {facts['rounds']} rounds; one "
        "connection, 32 streams; the server on one core, the loader on the other; CPU from the operating system."
    )


def _figures(reached: Sequence[Figure]) -> str:
    rows = [
        (
            figure.name,
            _bound(figure, figure.must),
            _bound(figure, figure.want),
            _NO_VALUE if figure.reached is None else _number(figure.reached),
            figure.note or figure.verdict,
        )
        for figure in reached
    ]
    return table(("figure", "must", "want", "reached", "is"), rows)


def _bound(figure: Figure, bound: float) -> str:
    return f"{'≥' if figure.better is Better.MORE else '≤'} {bound:g}"


def _decisions(rows: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    head = ["server"]
    for _, title in _LOADS:
        head += [f"{title}: CPU µs", "checks/s"]
    body = []
    for name, loads in rows.items():
        line = [_server(name)]
        for load, _ in _LOADS:
            measured = loads.get(load, {})
            line += [_cell(measured, "cpu_us"), _cell(measured, "rate")]
        body.append(line)
    return f"{table(head, body)}{_loader(rows)}"


def _loader(rows: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Show that what sends the traces is not what is measured; nothing where there is no such loader."""
    fastest = max(rows.values(), key=lambda loads: loads["h2load"]["rate"])
    if "hot" not in fastest:
        return ""
    return (
        f"\n\nThe traces come from a loader of ours, which judges every answer: {fastest['hot']['rate']:,.0f} checks/s "
        f"where h2load reaches {fastest['h2load']['rate']:,.0f}."
    )


def _envoy(rows: Mapping[str, Mapping[str, float]]) -> str:
    plain = min(row["single_p50_ms"] for row in rows.values())
    added = {_server(name): {**row, "added_p50_ms": row["single_p50_ms"] - plain} for name, row in rows.items()}
    return _columns("through Envoy", added, _ENVOY)


def _growth(rows: Mapping[str, Mapping[str, float]]) -> str:
    *_, largest = rows.values()
    paced = (
        f"At {largest['paced_rate']:,.0f} checks/s, half of what it can answer, the p99 of the largest is "
        f"{largest['rest_p99_ms']:.2f} ms at rest and {largest['swap_p99_ms']:.2f} ms while a new version is loaded "
        f"({largest['loaded_swap_s']:.1f} s)."
    )
    return f"{_columns('policy', rows, _GROWTH)}\n\n{paced}"


def _watching(rows: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    loads = [(load, title) for load, title in _LOADS if load in next(iter(rows.values()))]
    least = {load: min(row[load]["cpu_us"] for row in rows.values()) for load, _ in loads}
    flat = {
        name: {
            **{load: row[load]["cpu_us"] for load, _ in loads},
            **{f"{load}_more": row[load]["cpu_us"] - least[load] for load, _ in loads},
        }
        for name, row in rows.items()
    }
    columns = [(f"{load}{more}", f"{title}: {text}") for load, title in loads for more, text in _WATCHED_COLUMNS]
    return _columns("watched by", flat, columns)


def _columns(title: str, rows: Mapping[str, Mapping[str, float]], columns: Sequence[tuple[str, str]]) -> str:
    head = [title, *(name for _, name in columns)]
    return table(head, [[name, *(_cell(row, field) for field, _ in columns)] for name, row in rows.items()])


def _cell(row: Mapping[str, float], field: str) -> str:
    return _number(row[field]) if field in row else _NO_VALUE


def _server(name: str) -> str:
    """Say of a server of ours that it is the native wheel, where it is."""
    return f"{name}{_NATIVE}" if name.startswith(_OURS) and not name.endswith(_FROM_SOURCE) else name


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
