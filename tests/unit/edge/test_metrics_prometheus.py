"""The metrics as Prometheus reads them, from sources that may fail; and the table of them in the documents."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from cors_authz.edge.metrics.catalogue import (
    AUDIT_QUEUE,
    CHECK_SECONDS,
    DECISIONS,
    EXPORT_FAILURES,
    NEW_ORIGINS,
    PROCESS,
    SHED,
    STAGE_SECONDS,
)
from cors_authz.edge.metrics.counters import MAX_SERIES
from cors_authz.edge.metrics.process import process_samples
from cors_authz.edge.metrics.prometheus import Exposition
from cors_authz.edge.metrics.sample import Distribution, Exemplar, Kind, Sample
from cors_authz.edge.metrics.sources import Sources, unhurried
from cors_authz.edge.observation import SpanIds
from docs.generated import metrics

SPAN = SpanIds("a" * 32, "b" * 16)
NEWS = Sample(NEW_ORIGINS, (), 3)
QUEUE = Sample(AUDIT_QUEUE, (), 2.5)
DECIDED = Sample(DECISIONS, ("allow", "rule_allowed", "api", "false"), 7)
CHECKS = Sample(
    CHECK_SECONDS, (), Distribution((25e-6, 1e-3), (1, 2, 3), 0.5, (None, Exemplar(SPAN, 5e-4, 17.5), None))
)
PROMETHEUS_ACCEPTS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)

OURS_AS_TEXT = """\
# HELP cors_authz_decisions_total Decisions by what became of the request, why, and of which resource group; \
`shadow` is true where not applied.
# TYPE cors_authz_decisions_total counter
cors_authz_decisions_total{group="api",outcome="allow",reason="rule_allowed",shadow="false"} 7.0
# HELP cors_authz_check_duration_seconds How long checks took, from the message to the answer.
# TYPE cors_authz_check_duration_seconds histogram
cors_authz_check_duration_seconds_bucket{le="2.5e-05"} 1.0
cors_authz_check_duration_seconds_bucket{le="0.001"} 3.0
cors_authz_check_duration_seconds_bucket{le="+Inf"} 6.0
cors_authz_check_duration_seconds_count 6.0
cors_authz_check_duration_seconds_sum 0.5
# HELP cors_authz_audit_queue_records Records that wait to be written.
# TYPE cors_authz_audit_queue_records gauge
cors_authz_audit_queue_records 2.5
"""


def shown(*samples: Sample, accept: str = "") -> str:
    return Exposition(Sources([lambda: samples])).page(accept).body.decode()


def test_the_text_format_says_each_metric_once_with_all_its_samples() -> None:
    text = shown(DECIDED, CHECKS, QUEUE)
    assert text[: len(OURS_AS_TEXT)] == OURS_AS_TEXT
    assert "# {" not in text


def test_of_one_metric_all_samples_stand_together_whoever_gave_them() -> None:
    sources = Sources(
        [lambda: [Sample(EXPORT_FAILURES, ("traces",), 1), NEWS], lambda: [Sample(EXPORT_FAILURES, ("logs",), 2)]]
    )
    assert {metric.name: [sample.labels for sample in samples] for metric, samples in sources.read().items()} == {
        EXPORT_FAILURES.name: [("traces",), ("logs",)],
        NEW_ORIGINS.name: [()],
    }


def test_openmetrics_shows_the_latest_span_of_a_bucket() -> None:
    text = shown(CHECKS, DECIDED, accept=PROMETHEUS_ACCEPTS)
    assert (
        'cors_authz_check_duration_seconds_bucket{le="0.001"} 3.0 '
        f'# {{span_id="{"b" * 16}",trace_id="{"a" * 32}"}} 0.0005 17.5\n'
    ) in text
    assert text.endswith("# EOF\n")


TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
ACCEPTS = {
    "Prometheus": (PROMETHEUS_ACCEPTS, OPENMETRICS),
    "OpenMetrics in other letters": ("Application/OpenMetrics-Text", OPENMETRICS),
    "curl": ("*/*", TEXT),
    "nothing": ("", TEXT),
    "the text format": ("text/plain;version=0.0.4", TEXT),
    "a version that is none": ("text/plain;version=x\ry", TEXT),
    "what only looks like OpenMetrics": ("application/openmetrics-text2", TEXT),
    "commas without end": ("," * 8000, TEXT),
}


@pytest.mark.parametrize(("accept", "content_type"), ACCEPTS.values(), ids=ACCEPTS)
def test_the_format_is_what_the_scraper_accepts(accept: str, content_type: str) -> None:
    assert Exposition(Sources([])).page(accept).content_type == content_type


def everything() -> Iterator[Sample]:
    for metric in metrics():
        value = Distribution((1.0,), (1, 2), 3.0) if metric.kind is Kind.HISTOGRAM else 4.0
        yield Sample(metric, tuple("x" for _ in metric.labels), value)


@pytest.mark.parametrize(("accept", "read"), [("", read_text), (PROMETHEUS_ACCEPTS, read_openmetrics)])
def test_prometheus_own_parsers_read_every_metric_of_the_catalogue(accept: str, read: object) -> None:
    assert callable(read)
    families = {family.name: family for family in read(shown(*everything(), accept=accept))}
    for metric in metrics():
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind.value, metric.text)
        assert {frozenset(sample.labels) - {"le"} for sample in family.samples} == {frozenset(metric.labels)}


def test_labels_are_written_so_that_they_are_read_back() -> None:
    hostile = 'a"b\\c\nd{},= \u00e9'
    text = shown(Sample(SHED, (hostile,), 1))
    read = {sample.labels["reason"] for family in read_text(text) for sample in family.samples if "shed" in family.name}
    assert read == {hostile}


def test_the_process_is_measured_too() -> None:
    read = {sample.metric: sample.value for sample in process_samples()}
    assert set(read) == set(PROCESS)
    assert all(value for value in read.values())
    assert "python_gc_collections_total{" in shown()
    assert "python_info{" in shown()


def test_who_waits_for_the_interpreter_gets_it_now_and_then() -> None:
    read, written = list[float](), list[float]()
    many = [Sample(DECISIONS, ("allow", "rule_allowed", f"g{n}", "false"), n) for n in range(MAX_SERIES)]
    Exposition(Sources([lambda: many], read.append), written.append).page("")
    assert read == [0.001] * (MAX_SERIES // 250)
    assert written == [0.001] * (MAX_SERIES // 50)


def test_a_pause_comes_after_so_many_items_and_never_before() -> None:
    happened: list[object] = []
    happened += unhurried("abcde", 2, lambda _: happened.append("pause"))
    assert happened == ["a", "b", "pause", "c", "d", "pause", "e"]


class Flaky:
    """A source that fails while it is told to."""

    def __init__(self) -> None:
        self.fails = True

    def __call__(self) -> Iterable[Sample]:
        """Give a sample, and fail."""
        yield NEWS
        if self.fails:
            raise RuntimeError("injected")


def test_a_source_that_fails_is_told_of_once_and_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    flaky = Flaky()
    sources = Sources([flaky, lambda: [QUEUE]])
    assert [sources.read() for _ in range(3)] == [{AUDIT_QUEUE: [QUEUE]}] * 3
    flaky.fails = False
    assert sources.read() == {NEW_ORIGINS: [NEWS], AUDIT_QUEUE: [QUEUE]}
    assert sources.read() == {NEW_ORIGINS: [NEWS], AUDIT_QUEUE: [QUEUE]}
    flaky.fails = True
    sources.read()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING", "ERROR"]
    assert "injected" in caplog.text


def test_a_scrape_leaves_nothing_behind() -> None:
    exposition = Exposition(Sources([lambda: [CHECKS, DECIDED]]))
    exposition.page(PROMETHEUS_ACCEPTS)
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(20):
        exposition.page(PROMETHEUS_ACCEPTS)
    gc.collect()
    assert len(gc.get_objects()) < before + 100


# --- The catalogue ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", metrics(), ids=lambda metric: metric.name)
def test_every_metric_says_what_it_is_and_what_to_do_with_it(metric: object) -> None:
    assert isinstance(metric, type(DECISIONS))
    assert metric.text.endswith(".")
    assert bool(metric.use) is (metric not in PROCESS)
    assert not metric.use.endswith(".")
    assert metric.name.endswith("_total") is (metric.kind is Kind.COUNTER)
    assert "|" not in metric.text + metric.use


def test_no_two_metrics_have_one_name() -> None:
    names = [metric.name for metric in metrics()]
    assert sorted(set(names)) == sorted(names)
    assert STAGE_SECONDS.name in names
