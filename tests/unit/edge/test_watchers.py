"""Who watches the checks of a process: only who is asked for, and nothing goes on for nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cors_authz.edge.metrics.options import MetricsOptions
from cors_authz.edge.service import Watch
from cors_authz.edge.settings import Settings
from cors_authz.edge.watchers import Watchers


@pytest.fixture(autouse=True)
def _no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_METRICS_EXPORTER", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def watching(metrics: MetricsOptions | None) -> Iterator[Watchers]:
    settings = Settings(policy=Path("p"), environment="prod", listen="127.0.0.1:0", metrics=metrics)
    watchers = Watchers(settings, None)
    watchers.show(())
    watchers.start()
    try:
        yield watchers
    finally:
        watchers.stop()


def observers() -> int:
    return sum(thread.name == "observer" for thread in threading.enumerate())


def test_where_nobody_watches_nothing_is_told_and_no_thread_wakes() -> None:
    with watching(None) as watchers:
        assert (watchers.watch(), observers()) == (Watch(), 0)


def test_where_metrics_are_read_checks_are_told_from_a_thread_too() -> None:
    with watching(MetricsOptions(listen="127.0.0.1:0")) as watchers:
        assert (watchers.watch() == Watch(), observers()) == (False, 1)
    assert observers() == 0


def test_where_spans_alone_are_made_a_check_goes_straight_to_its_span(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with watching(None) as watchers:
        watch = watchers.watch()
        assert getattr(watch.observe, "__name__", "") == "span_of"
        assert observers() == 0
