"""What the process takes of its machine: CPU, memory, descriptors, as every Prometheus client names them."""

from __future__ import annotations

from collections.abc import Iterator

from cors_authz.edge.metrics.catalogue import PROCESS
from cors_authz.edge.metrics.sample import Sample


def process_samples() -> Iterator[Sample]:
    """Read what the process takes; a `Source`. There is nothing to read where there is no /proc."""
    from prometheus_client import PROCESS_COLLECTOR

    values = {sample.name: sample.value for family in PROCESS_COLLECTOR.collect() for sample in family.samples}
    return (Sample(metric, (), values[metric.name]) for metric in PROCESS if metric.name in values)
