"""Queries and panels, made from the metrics of the catalogue: a name or a label that is not there cannot be written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from cors_authz.edge.metrics.sample import Kind, Metric
from cors_authz.pdp.decision import Outcome

SOURCE: Final = DataSourceRef("prometheus", "${source}")
SCOPE: Final = ("job", "instance")
"""The labels that Prometheus adds by itself, of which each board has a variable."""

WITHIN: Final = ",".join(f'{label}=~"${label}"' for label in SCOPE)
"""Matches what the reader of the board chose of them."""

_COLOURS: Final = {
    Outcome.ALLOW: "green",
    Outcome.PREFLIGHT_ALLOW: "super-light-green",
    Outcome.DENY: "orange",
    Outcome.PREFLIGHT_DENY: "super-light-orange",
    Outcome.ERROR: "red",
}
_CHARTS_HEIGHT, _STATS_HEIGHT = 8, 4
_COLUMNS: Final = 24

Panel: TypeAlias = Any
"""A builder of a panel; those of Grafana's kit have no base that says so."""


class Query(NamedTuple):
    """An expression, and what its lines are called: `{{label}}` stands for a label's value."""

    expression: str
    legend: str = ""


def of(metric: Metric, **matchers: str) -> str:
    """Select the series of a metric within the scope of the board; a matcher is an operator and a text.

    Raises: KeyError for a label that the metric does not have.
    """
    unknown = set(matchers) - {*metric.labels, "le"}
    if unknown:
        raise KeyError(*unknown)
    name = f"{metric.name}_bucket" if metric.kind is Kind.HISTOGRAM else metric.name
    return f"{name}{{{','.join((WITHIN, *(f'{label}{matcher}' for label, matcher in matchers.items())))}}}"


def rate(series: str, *by: str) -> str:
    """Add up the rates a second of counters, by labels."""
    return total(f"rate({series}[$__rate_interval])", *by)


def grown(series: str, *by: str) -> str:
    """Add up how much counters grew within the time that the board shows, by labels."""
    return total(f"increase({series}[$__range])", *by)


def total(expression: str, *by: str) -> str:
    """Add up series by labels."""
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum({expression})"


def share(part: str, whole: str) -> str:
    """Divide, where there is something to divide by; a part that is not there is none."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def quantile(of_all: float, metric: Metric, *by: str) -> str:
    """Estimate a quantile of a histogram, by labels."""
    return f"histogram_quantile({of_all}, {rate(of(metric), 'le', *by)})"


def chart(title: str, text: str, unit: str, *queries: Query) -> Panel:
    """Draw lines over time, from 0."""
    return _with_queries(_chart(title, text, unit).min(0), queries)


def signed(title: str, text: str, *queries: Query) -> Panel:
    """Draw differences of shares over time."""
    return _with_queries(_chart(title, text, "percentunit").min(-1).max(1), queries)


def spread(title: str, text: str, *queries: Query) -> Panel:
    """Draw durations that lie far apart: lines over time, on a scale of powers of ten."""
    powers = common.ScaleDistributionConfig().type(kinds.ScaleDistribution.LOG).log(10)
    return _with_queries(_chart(title, text, "s").scale_distribution(powers), queries)


def outcomes(title: str, text: str, series: str) -> Panel:
    """Draw the rate of what has an outcome, as areas in the colours of the outcomes."""
    panel = stack(title, text, "reqps", Query(rate(series, "outcome"), "{{outcome}}"))
    for outcome, colour in _COLOURS.items():
        fixed = DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})
        panel = panel.override_by_name(outcome.value, [fixed])
    return panel


def stack(title: str, text: str, unit: str, *queries: Query) -> Panel:
    """Draw areas over time, one upon the other."""
    stacked = _chart(title, text, unit).stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL))
    return _with_queries(stacked.min(0).fill_opacity(40), queries)


def figure(title: str, text: str, unit: str, query: Query, *, warn: float | None = None) -> Panel:
    """Show the latest value in large; red from `warn` on."""
    steps = [Threshold(None, "green"), *([] if warn is None else [Threshold(warn, "red")])]
    shown = (
        stat.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .unit(unit)
        .height(_STATS_HEIGHT)
        .span(_COLUMNS // 6)
        .no_value("0")
        .graph_mode(kinds.BigValueGraphMode.AREA)
        .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    return _with_queries(shown, (query,))


def listing(title: str, text: str, unit: str, query: Query) -> Panel:
    """List the latest values, one series a line."""
    listed = table.Panel().title(title).description(text).datasource(SOURCE).unit(unit)
    listed = listed.with_transformation(DataTransformerConfig("organize", options={"excludeByName": {"Time": True}}))
    target = _target(query).instant().format(PromQueryFormat.TABLE).ref_id("A")
    return listed.height(_CHARTS_HEIGHT).span(_COLUMNS // 2).with_target(target)


def buckets(title: str, text: str, metric: Metric) -> Panel:
    """Draw how the values of a histogram spread over time, with its exemplars."""
    query = Query(total(f"increase({of(metric)}[$__rate_interval])", "le"), "{{le}}")
    drawn = heatmap.Panel().title(title).description(text).datasource(SOURCE).height(_CHARTS_HEIGHT).span(_COLUMNS // 2)
    drawn = drawn.y_axis(heatmap.YAxisConfig().unit("s"))
    return drawn.with_target(_target(query).exemplar(exemplar=True).format(PromQueryFormat.HEATMAP).ref_id("A"))


def _chart(title: str, text: str, unit: str) -> timeseries.Panel:
    return (
        timeseries.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .unit(unit)
        .height(_CHARTS_HEIGHT)
        .span(_COLUMNS // 2)
        .fill_opacity(10)
        .show_points(kinds.VisibilityMode.NEVER)
        .legend(common.VizLegendOptions().show_legend(show_legend=True).placement(kinds.LegendPlacement.BOTTOM))
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
    )


def _with_queries(panel: Panel, queries: Sequence[Query]) -> Panel:
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        panel = panel.with_target(_target(query).ref_id(letter))
    return panel


def _target(query: Query) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.expression).legend_format(query.legend).datasource(SOURCE)
