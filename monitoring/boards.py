"""The dashboards of the service, from its metrics; `make dashboards` writes them as Grafana reads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from cors_authz.edge.metrics import catalogue as metrics
from cors_authz.edge.metrics.sample import Metric
from monitoring.panels import (
    SCOPE,
    SOURCE,
    WITHIN,
    Panel,
    Query,
    buckets,
    chart,
    figure,
    grown,
    listing,
    of,
    outcomes,
    quantile,
    rate,
    share,
    signed,
    spread,
    stack,
    total,
)

FOLDER: Final = Path(__file__).parent / "dashboards"

_TAG: Final = "cors-authz"
_REFUSED: Final = '=~"deny|preflight_deny|error"'
_DIFFERS: Final = '!~"agrees|would_agree|(would_)?no_response"'
_FAULT: Final = '="error"'
_APPLIED, _SHADOWED = '="false"', '="true"'
_DECISIONS, _CHECKS = metrics.DECISIONS, metrics.CHECK_SECONDS
_PROCESS: Final = {metric.name: metric for metric in metrics.PROCESS}


class Section(NamedTuple):
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


class Choice(NamedTuple):
    """A variable of a board by which its reader chooses among the values of a metric's label."""

    metric: Metric
    label: str


class Board(NamedTuple):
    """A dashboard: its file and identity, its title, what it is for, what can be chosen, and its sections."""

    name: str
    title: str
    text: str
    choices: Sequence[Choice]
    sections: Sequence[Section]


def overview() -> Board:
    """What an operator looks at first."""
    text = "What is decided, for whom, and whether the service is well."
    sections = (
        Section("Now", _figures()),
        Section("Decisions", _decisions()),
        Section("Who asks", _askers()),
        Section("Tokens and process", _process()),
    )
    return Board("overview", "Overview", text, (), sections)


def _figures() -> tuple[Panel, ...]:
    applied, refused = of(_DECISIONS, shadow=_APPLIED), of(_DECISIONS, shadow=_APPLIED, outcome=_REFUSED)
    faults = " + ".join(f"({rate(each)} or vector(0))" for each in (of(_DECISIONS, outcome=_FAULT), of(metrics.SHED)))
    behind = f"count({of(metrics.POLICY_NEWEST)} == 0)"
    lost = grown(of(metrics.AUDIT_LOST))
    of_refused = Query(share(rate(refused), rate(applied)))
    return (
        figure("Checks", "Decisions a second.", "reqps", Query(rate(of(_DECISIONS)))),
        figure("Refused", "Share of the applied decisions that refuse.", "percentunit", of_refused),
        figure("Our own faults", "Errors, and calls without a decision, a second.", "reqps", Query(faults), warn=0.001),
        figure("p99", "One check of a hundred takes longer.", "s", Query(quantile(0.99, _CHECKS)), warn=0.0025),
        figure("Behind", "Processes that refused the newest policy.", "none", Query(behind), warn=1),
        figure("Records lost", metrics.AUDIT_LOST.text, "none", Query(lost), warn=1),
    )


def _decisions() -> tuple[Panel, ...]:
    refused = of(_DECISIONS, outcome=_REFUSED, shadow=_APPLIED)
    of_group = share(rate(refused, "group"), rate(of(_DECISIONS, shadow=_APPLIED), "group"))
    by_reason = f"topk(10, {rate(refused, 'reason')})"
    shadowed = of(_DECISIONS, outcome=_REFUSED, shadow=_SHADOWED)
    return (
        outcomes("Decisions", _DECISIONS.text, of(_DECISIONS)),
        chart("Refusals by reason", "docs/reasons.md says what each means.", "reqps", Query(by_reason, "{{reason}}")),
        chart("Share refused, by resource group", "Of applied decisions.", "percentunit", Query(of_group, "{{group}}")),
        chart(
            "Refusals in shadow, by resource group",
            "What would be refused if it were applied.",
            "reqps",
            Query(rate(shadowed, "group"), "{{group}}"),
        ),
    )


def _askers() -> tuple[Panel, ...]:
    asked, new = metrics.ORIGIN_DECISIONS, of(metrics.NEW_ORIGINS)
    low = of(asked, credentials='="true"', trust='="low"')
    return (
        stack("By origin group", asked.text, "reqps", Query(rate(of(asked), "origin_group"), "{{origin_group}}")),
        chart(
            "Refused, by origin group",
            "Whose pages are refused.",
            "reqps",
            Query(rate(of(asked, outcome=_REFUSED), "origin_group"), "{{origin_group}}"),
        ),
        chart(
            "New origins and null",
            f"{metrics.NEW_ORIGINS.text} `null` is the origin of sandboxes, redirects and files.",
            "reqps",
            Query(rate(new), "new"),
            Query(rate(of(asked, origin_group='="null"')), "null"),
            Query(rate(of(metrics.ORIGINS_FOLDED)), "no room to tell apart"),
        ),
        chart(
            "Credentials from origins of little trust",
            "A cookie or an Authorization that travels on, by origin group and outcome.",
            "reqps",
            Query(rate(low, "origin_group", "outcome"), "{{origin_group}} {{outcome}}"),
        ),
    )


def _process() -> tuple[Panel, ...]:
    fetched = of(metrics.JWKS_FETCHED)
    cpu, memory = (_PROCESS[name] for name in ("process_cpu_seconds_total", "process_resident_memory_bytes"))
    cost = f"{rate(of(cpu))} / ({rate(of(_DECISIONS))} > 0)"
    return (
        chart(
            "Age of keys", "Since an issuer's keys were read.", "s",
            Query(f"time() - max by (provider) ({fetched} > 0)", "{{provider}}"),
            Query(f"max by (provider) ({fetched} == bool 0) > 0", "{{provider}} (never read)"),
        ),
        chart("Reads of keys that failed", metrics.JWKS_FAILURES.use, "reqps",
              Query(rate(of(metrics.JWKS_FAILURES), "provider"), "{{provider}}")),
        chart("Tokens", metrics.TOKENS.text, "reqps", Query(rate(of(metrics.TOKENS), "source"), "{{source}}")),
        chart("CPU per check", "All that the processes do, shared out among the checks.", "s", Query(cost, "CPU")),
        chart("Memory", memory.text, "bytes", Query(of(memory), "{{instance}}")),
    )  # fmt: skip


def group() -> Board:
    """One resource group."""
    chosen = '=~"$group"'
    mine = of(_DECISIONS, group=chosen)
    refused = of(_DECISIONS, group=chosen, outcome=_REFUSED, shadow=_APPLIED)
    shadowed = of(_DECISIONS, group=chosen, outcome=_REFUSED, shadow=_SHADOWED)
    applied = of(_DECISIONS, group=chosen, shadow=_APPLIED)
    delivered = of(metrics.DELIVERIES, group=chosen, verdict=_DIFFERS)
    decisions = (
        outcomes("Decisions", "By outcome.", mine),
        chart("Share refused", "Of applied decisions.", "percentunit",
              Query(share(rate(refused), rate(applied)), "refused")),
        chart("Refusals by reason", "docs/reasons.md says what each means.", "reqps",
              Query(rate(refused, "reason"), "{{reason}}")),
        chart("Refusals in shadow", "What would be refused if it were applied.", "reqps",
              Query(rate(shadowed, "reason"), "{{reason}}")),
    )  # fmt: skip
    outcome = (
        listing(
            "Decisions in this time",
            "By outcome and reason.",
            "none",
            Query(f"sort_desc({grown(mine, 'outcome', 'reason')})"),
        ),
        chart(
            "Deliveries that differ", metrics.DELIVERIES.use, "reqps", Query(rate(delivered, "verdict"), "{{verdict}}")
        ),
    )
    sections = (Section("Decisions", decisions), Section("What came of it", outcome))
    return Board("group", "Resource group", "One resource group at a time.", (Choice(_DECISIONS, "group"),), sections)


def tenant() -> Board:
    """One tenant, and all of them side by side."""
    checks, chosen = metrics.TENANT_CHECKS, '=~"$tenant"'
    refused, of_all = of(checks, tenant=chosen, outcome=_REFUSED), of(checks, tenant=chosen)
    mine = (
        outcomes("Checks", checks.text, of_all),
        chart("Share refused", "Of the checks that came from foreign origins.", "percentunit",
              Query(share(rate(refused, "tenant"), rate(of_all, "tenant")), "{{tenant}}")),
    )  # fmt: skip
    everybody = (
        listing("Refused most", checks.use, "none",
                Query(f"sort_desc(topk(20, {grown(of(checks, outcome=_REFUSED), 'tenant')}))")),
        chart("Busiest", "The ten tenants with the most checks.", "reqps",
              Query(f"topk(10, {rate(of(checks), 'tenant')})", "{{tenant}}")),
    )  # fmt: skip
    sections = (Section("These tenants", mine), Section("All tenants", everybody))
    return Board("tenant", "Tenant", "Checks from foreign origins, by tenant.", (Choice(checks, "tenant"),), sections)


def rollout() -> Board:
    """A change of the policy, on its way to every process."""
    return Board(
        "rollout",
        "Policy rollout",
        "Which revision decides where, and what it changed.",
        (),
        (Section("Where", _revisions()), Section("What it changes", _changes())),
    )


def _revisions() -> tuple[Panel, ...]:
    policy, reloads = of(metrics.POLICY), metrics.RELOADS
    where = f"max by (instance, name, revision, environment) ({policy})"
    age = f"time() - {of(metrics.POLICY_LOADED)}"
    behind = f"1 - {of(metrics.POLICY_NEWEST)}"
    return (
        stack("Processes by revision", metrics.POLICY.use, "none",
              Query(f"count by (revision) ({policy})", "{{revision}}")),
        listing("In force", metrics.POLICY.text, "none", Query(where)),
        chart("Age of the policy in force", metrics.POLICY_LOADED.use, "s", Query(age, "{{instance}}")),
        chart("Newest version refused", metrics.POLICY_NEWEST.use, "none", Query(behind, "{{instance}}")),
        chart("Reloads", reloads.text, "none",
              Query(total(f"increase({of(reloads)}[$__rate_interval])", "result"), "{{result}}")),
        listing("Exceptions that end", metrics.EXCEPTION_EXPIRES.use, "s",
                Query(f"sort(min by (exception) ({of(metrics.EXCEPTION_EXPIRES)}) - time())")),
    )  # fmt: skip


def _changes() -> tuple[Panel, ...]:
    applied = rate(of(_DECISIONS, shadow=_APPLIED), "group")
    refused = rate(of(_DECISIONS, outcome=_REFUSED, shadow=_APPLIED), "group")
    shadowed = rate(of(_DECISIONS, outcome=_REFUSED, shadow=_SHADOWED), "group", "reason")
    earlier = [each.replace("$__rate_interval]", "$__rate_interval] offset 1h") for each in (refused, applied)]
    change = f"{share(refused, applied)} - {share(*earlier)}"
    return (
        chart("Share refused", "By resource group.", "percentunit", Query(share(refused, applied), "{{group}}")),
        signed("Share refused, against an hour ago", "Above 0: more is refused.", Query(change, "{{group}}")),
        chart("Refusals in shadow", "What would be refused once the group is applied.", "reqps",
              Query(shadowed, "{{group}} {{reason}}")),
    )  # fmt: skip


def latency() -> Board:
    """How long checks take, and where."""
    stages = metrics.STAGE_SECONDS
    checks = (
        spread("Quantiles", _CHECKS.text,
               *(Query(quantile(each, _CHECKS), f"p{each * 100:g}") for each in (0.5, 0.9, 0.99, 0.999))),
        buckets("Spread", "Checks by their duration; the dots lead to traces.", _CHECKS),
        spread("p99 by process", _CHECKS.use, Query(quantile(0.99, _CHECKS, "instance"), "{{instance}}")),
        chart("Beyond 2.5 ms", "Share of the checks that take longer.", "percentunit",
              Query(_slower_than("0.0025"), "slower")),
        spread("Stages, p99", stages.text, Query(quantile(0.99, stages, "stage"), "{{stage}}")),
        spread("Stages, p50", stages.text, Query(quantile(0.5, stages, "stage"), "{{stage}}")),
    )  # fmt: skip
    burdens = (
        chart(
            "Calls without a decision", metrics.SHED.use, "reqps", Query(rate(of(metrics.SHED), "reason"), "{{reason}}")
        ),
        chart("Tokens", metrics.TOKENS.use, "reqps", Query(rate(of(metrics.TOKENS), "source"), "{{source}}")),
    )
    sections = (Section("Checks", checks), Section("What makes them slow", burdens))
    return Board("latency", "Latency", "How long checks take, and where.", (), sections)


def _slower_than(seconds: str) -> str:
    quick, every = (rate(of(_CHECKS, le=f'="{bound}"')) for bound in (seconds, "+Inf"))
    return f"1 - {quick} / ({every} > 0)"


def delivery() -> Board:
    """What the clients got, and what is on record."""
    text = "Whether clients got what was decided, and whether it is on record."
    return Board(
        "delivery", "Delivery and records", text, (), (Section("Clients", _clients()), Section("Records", _records()))
    )


def _clients() -> tuple[Panel, ...]:
    deliveries, entries = metrics.DELIVERIES, metrics.ACCESS_LOG_ENTRIES
    differing = of(deliveries, verdict=_DIFFERS)
    streams = Query(of(metrics.ACCESS_LOG_STREAMS), "{{instance}}")
    ended = Query(rate(of(metrics.ACCESS_LOG_STREAMS_ENDED), "reason"), "ended: {{reason}}")
    return (
        stack("Deliveries", deliveries.text, "reqps", Query(rate(of(deliveries), "verdict"), "{{verdict}}")),
        chart("Differing, by resource group", deliveries.use, "reqps",
              Query(rate(differing, "group", "verdict"), "{{group}} {{verdict}}")),
        chart("Entries of Envoy's access log", entries.use, "reqps", Query(rate(of(entries), "result"), "{{result}}")),
        chart("Streams", metrics.ACCESS_LOG_STREAMS.use, "none", streams, ended),
    )  # fmt: skip


def _records() -> tuple[Panel, ...]:
    lost, failures = of(metrics.AUDIT_LOST), of(metrics.EXPORT_FAILURES)
    return (
        chart("Records", metrics.AUDIT_RECORDS.use, "reqps",
              Query(rate(of(metrics.AUDIT_RECORDS)), "written"), Query(rate(lost, "reason"), "lost: {{reason}}")),
        chart("Waiting", metrics.AUDIT_QUEUE.use, "none", Query(of(metrics.AUDIT_QUEUE), "{{instance}}")),
        chart("Sinks that fail", metrics.AUDIT_FAILING.use, "none",
              Query(of(metrics.AUDIT_FAILING), "{{instance}} {{sink}}")),
        chart("Telemetry", metrics.SPANS.use, "reqps",
              Query(rate(of(metrics.SPANS), "result"), "spans {{result}}"),
              Query(rate(failures, "signal"), "{{signal}} not taken")),
    )  # fmt: skip


BOARDS: Final[Sequence[Callable[[], Board]]] = (overview, group, tenant, rollout, latency, delivery)


# --- Grafana's JSON ---------------------------------------------------------------------------------------------------


def files() -> Mapping[str, str]:
    """Write every dashboard: its JSON by the name of its file."""
    boards = [make() for make in BOARDS]
    return {f"{board.name}.json": _written(board) for board in boards}


def _written(board: Board) -> str:
    built = _dashboard(board)
    for choice in (*(Choice(metrics.POLICY, label) for label in SCOPE), *board.choices):
        built = built.with_variable(_variable(choice))
    for section in board.sections:
        built = built.with_row(dashboard.Row(section.title))
        for panel in section.panels:
            built = built.with_panel(panel)
    return json.dumps(built.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _dashboard(board: Board) -> dashboard.Dashboard:
    others = (
        dashboard.DashboardLink("Dashboards")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([_TAG])
        .as_dropdown(as_dropdown=True)
    )
    return (
        dashboard.Dashboard(f"CORS authorization / {board.title}")
        .uid(f"{_TAG}-{board.name}")
        .description(board.text)
        .tags([_TAG])
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(others.keep_time(keep_time=True).include_vars(include_vars=True))
        .with_variable(dashboard.DatasourceVariable("source").label("Source").type("prometheus"))
    )


def _variable(choice: Choice) -> dashboard.QueryVariable:
    within = "" if choice.label in SCOPE else f"{{{WITHIN}}}"
    every = VariableOption(selected=True, text=["All"], value=["$__all"])
    return (
        dashboard.QueryVariable(choice.label)
        .label(choice.label.capitalize())
        .datasource(SOURCE)
        .query(f"label_values({choice.metric.name}{within}, {choice.label})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(every)
    )


def main() -> None:
    """Write the files, and remove those that are no longer made."""
    made = files()
    for stale in {path.name for path in FOLDER.glob("*.json")} - set(made):
        (FOLDER / stale).unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
