"""The metrics by OTLP: what is sent, when, and what a collector that takes nothing can do to us."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.resources import Resource

from cors_authz.edge.metrics.catalogue import (
    AUDIT_QUEUE,
    CHECK_SECONDS,
    EXPORT_FAILURES,
    JWKS_FETCHED,
    NEW_ORIGINS,
    PROCESS,
    SHED,
)
from cors_authz.edge.metrics.otlp import MetricsExport, Pace, export_from, pace_of
from cors_authz.edge.metrics.otlp_data import metrics_data
from cors_authz.edge.metrics.sample import Distribution, Exemplar, Sample
from cors_authz.edge.metrics.sources import Sources
from cors_authz.edge.observation import SpanIds
from cors_authz.edge.settings_error import SettingsError
from cors_authz.edge.telemetry.advice import Place
from cors_authz.edge.telemetry.collector import Collector
from cors_authz.edge.telemetry.exporters import WatchedMetrics

SECONDS = 10.0
ABOUT = Resource({"service.name": "x"})
SPAN = SpanIds("0a" * 16, "0b" * 8)
NEWS = Sample(NEW_ORIGINS, (), 3)
EXPORT = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"


def sent(*samples: Sample) -> list[object]:
    """Give the metrics as they are on the wire, without what is said of them."""
    data = metrics_data(Sources([lambda: samples]).read(), ABOUT, 100.0, 160.5)
    message = MessageToDict(encode_metrics(data))
    (resource,) = message["resourceMetrics"]
    assert resource["resource"]["attributes"] == [{"key": "service.name", "value": {"stringValue": "x"}}]
    (scope,) = resource["scopeMetrics"]
    assert scope["scope"]["name"] == "cors_authz"
    assert all(metric.pop("description") for metric in scope["metrics"])
    return list(scope["metrics"])


TIMES = {"startTimeUnixNano": "100000000000", "timeUnixNano": "160500000000"}
CUMULATIVE = "AGGREGATION_TEMPORALITY_CUMULATIVE"


def attribute(key: str, value: str) -> list[object]:
    return [{"key": key, "value": {"stringValue": value}}]


def test_a_counter_is_a_cumulative_sum_that_only_grows() -> None:
    overloaded, late = Sample(SHED, ("overloaded",), 2), Sample(SHED, ("too_late",), 0)
    points = [
        {"attributes": attribute("reason", "overloaded"), "asInt": "2", **TIMES},
        {"attributes": attribute("reason", "too_late"), "asInt": "0", **TIMES},
    ]
    assert sent(overloaded, late) == [
        {
            "name": "cors_authz_shed_calls_total",
            "sum": {"dataPoints": points, "aggregationTemporality": CUMULATIVE, "isMonotonic": True},
        }
    ]


def test_a_gauge_says_how_it_is_now() -> None:
    now = {"timeUnixNano": TIMES["timeUnixNano"]}
    assert sent(Sample(AUDIT_QUEUE, (), 2.5), Sample(JWKS_FETCHED, ("main",), 7.0)) == [
        {"name": "cors_authz_audit_queue_records", "gauge": {"dataPoints": [{"asDouble": 2.5, **now}]}},
        {
            "name": "cors_authz_jwks_fetched_timestamp_seconds",
            "unit": "s",
            "gauge": {"dataPoints": [{"attributes": attribute("provider", "main"), "asDouble": 7.0, **now}]},
        },
    ]


def test_a_histogram_has_the_same_buckets_and_the_spans_that_fell_into_them() -> None:
    exemplars = (None, Exemplar(SPAN, 5e-4, 150.25), None)
    point = {
        "count": "6",
        "sum": 0.5,
        "bucketCounts": ["1", "2", "3"],
        "explicitBounds": [25e-6, 1e-3],
        "exemplars": [
            {
                "timeUnixNano": "150250000000",
                "asDouble": 5e-4,
                "spanId": "CwsLCwsLCws=",
                "traceId": "CgoKCgoKCgoKCgoKCgoKCg==",
            }
        ],
        **TIMES,
    }
    assert sent(Sample(CHECK_SECONDS, (), Distribution((25e-6, 1e-3), (1, 2, 3), 0.5, exemplars))) == [
        {
            "name": "cors_authz_check_duration_seconds",
            "unit": "s",
            "histogram": {"dataPoints": [point], "aggregationTemporality": CUMULATIVE},
        }
    ]


def test_the_unit_is_the_one_that_the_name_says() -> None:
    values = [Sample(metric, (), 1.0) for metric in PROCESS]
    told = {metric["name"]: metric.get("unit") for metric in sent(*values) if isinstance(metric, dict)}
    assert told == {
        "process_cpu_seconds_total": "s",
        "process_resident_memory_bytes": "By",
        "process_virtual_memory_bytes": "By",
        "process_start_time_seconds": "s",
        "process_open_fds": None,
        "process_max_fds": None,
    }


PACES = {
    "nothing said": ({}, Pace(60.0, 30.0)),
    "both": ({"OTEL_METRIC_EXPORT_INTERVAL": "1500", "OTEL_METRIC_EXPORT_TIMEOUT": "250"}, Pace(1.5, 0.25)),
    "empty values": ({"OTEL_METRIC_EXPORT_INTERVAL": "", "OTEL_METRIC_EXPORT_TIMEOUT": " "}, Pace(60.0, 30.0)),
}


@pytest.mark.parametrize(("environ", "pace"), PACES.values(), ids=PACES)
def test_the_pace_is_what_the_variables_say(environ: Mapping[str, str], pace: Pace) -> None:
    assert pace_of(environ) == pace


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1s", "\u0661"])
def test_a_pace_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        pace_of({"OTEL_METRIC_EXPORT_INTERVAL": text})
    assert str(refused.value) == f"OTEL_METRIC_EXPORT_INTERVAL: `{text}` is no time; write milliseconds, such as 60000"


@pytest.mark.parametrize("name", ["OTEL_METRIC_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_TIMEOUT"])
def test_a_pace_of_more_than_a_day_is_refused(name: str) -> None:
    pace_of({name: "86400000"})
    for text in ("86400001", "9" * 20, "9" * 21):
        with pytest.raises(SettingsError, match=rf"^{name}: `{text}` is no time; write milliseconds up to 86400000, "):
            pace_of({name: text})


def test_metrics_stay_cumulative_whatever_is_preferred(caplog: pytest.LogCaptureFixture) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    for preferred in ("", "Cumulative", "delta"):
        export_from({**endpoint, "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": preferred}, [], None).stop()
    (record,) = caplog.records
    assert record.getMessage() == (
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: `delta` is not done here, metrics are cumulative; let the"
        " collector convert them"
    )


# --- The thread that sends --------------------------------------------------------------------------------------------


class Kept(MetricExporter):
    """An exporter that keeps what it is given."""

    def __init__(self, export: Callable[[], MetricExportResult] = lambda: MetricExportResult.SUCCESS) -> None:
        super().__init__()
        self.readings: list[MetricsData] = []
        self.timeouts: set[float] = set()
        self.is_shut = False
        self._export = export

    def export(self, metrics_data: MetricsData, timeout_millis: float = 0, **_kwargs: object) -> MetricExportResult:
        """Keep a reading."""
        self.readings.append(metrics_data)
        self.timeouts.add(timeout_millis)
        return self._export()

    def force_flush(self, timeout_millis: float = 0) -> bool:
        """Have nothing to flush."""
        return bool(timeout_millis) or True

    def shutdown(self, timeout_millis: float = 0, **_kwargs: object) -> None:
        """Note the end."""
        self.is_shut = not timeout_millis or True


def exporting(kept: Kept, pace: Pace) -> MetricsExport:
    collector = Collector("metrics", Place("http://collector", "/", "", 1.0))
    return MetricsExport([lambda: [NEWS]], WatchedMetrics(kept, collector), ABOUT, pace, lambda: 50.0)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.005)


def names(reading: MetricsData) -> list[str]:
    return [metric.name for metric in reading.resource_metrics[0].scope_metrics[0].metrics]


def test_readings_are_sent_again_and_again_and_a_last_time_at_the_end() -> None:
    kept = Kept()
    export = exporting(kept, Pace(0.02, 0.5))
    export.start()
    until(lambda: len(kept.readings) > 2)
    export.stop()
    assert {tuple(names(reading)) for reading in kept.readings} == {(NEW_ORIGINS.name, EXPORT_FAILURES.name)}
    assert kept.timeouts == {500.0}
    assert kept.is_shut
    count = len(kept.readings)
    time.sleep(0.05)
    assert len(kept.readings) == count


def test_the_end_sends_what_no_interval_has_sent_yet() -> None:
    kept = Kept()
    export = exporting(kept, Pace())
    export.start()
    export.stop()
    assert len(kept.readings) == 1


def test_what_was_never_started_can_be_stopped() -> None:
    kept = Kept()
    exporting(kept, Pace()).stop()
    assert (kept.readings, kept.is_shut) == ([], True)


def test_a_reading_that_fails_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    def failing() -> MetricExportResult:
        raise RuntimeError("injected")

    kept = Kept(failing)
    export = exporting(kept, Pace(0.01, 0.5))
    export.start()
    until(lambda: len(kept.readings) > 2)
    export.stop()
    assert "could not be sent by OTLP" in caplog.text
    (failures,) = export.samples()
    assert (failures.metric, failures.labels) == (EXPORT_FAILURES, ("metrics",))
    assert failures.value == len(kept.readings)


# --- Real collectors, and what only looks like one --------------------------------------------------------------------


@pytest.fixture
def collected() -> Iterator[tuple[str, list[ExportMetricsServiceRequest]]]:
    taken: list[ExportMetricsServiceRequest] = []

    def take(request: ExportMetricsServiceRequest, _context: object) -> ExportMetricsServiceResponse:
        taken.append(request)
        return ExportMetricsServiceResponse()

    service, _, method = EXPORT[1:].partition("/")
    handler = grpc.unary_unary_rpc_method_handler(
        take, ExportMetricsServiceRequest.FromString, ExportMetricsServiceResponse.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}", taken
    server.stop(None).wait()


def test_a_collector_gets_the_metrics(collected: tuple[str, list[ExportMetricsServiceRequest]]) -> None:
    endpoint, taken = collected
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_METRIC_EXPORT_INTERVAL": "20"}
    export = export_from(environ, [lambda: [NEWS]], 3)
    export.start()
    until(lambda: len(taken) > 1)
    export.stop()
    (resource,) = taken[0].resource_metrics
    told = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert (told["service.name"], told["service.instance.id"].rpartition("/")[2]) == ("cors-authz", "3")
    assert [metric.name for metric in resource.scope_metrics[0].metrics] == [NEW_ORIGINS.name, EXPORT_FAILURES.name]
    assert [sample.value for sample in export.samples()] == [0]


@pytest.mark.parametrize("listens", [False, True], ids=["nobody listens", "it takes connections and says nothing"])
def test_a_collector_that_takes_nothing_is_counted_and_holds_up_no_end(
    listens: bool,  # noqa: FBT001 - a case
    caplog: pytest.LogCaptureFixture,
) -> None:
    with closing(socket.socket()) as hole:
        hole.bind(("127.0.0.1", 0))
        if listens:
            hole.listen()
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{hole.getsockname()[1]}",
            "OTEL_METRIC_EXPORT_INTERVAL": "20",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "200",
        }
        export = export_from(environ, [lambda: [NEWS]], None)
        export.start()
        until(lambda: [sample.value for sample in export.samples()] > [1])
        began = time.monotonic()
        export.stop()
        assert time.monotonic() - began < 3
    assert caplog.text.count("does not take metrics, and decisions go on") == 1
