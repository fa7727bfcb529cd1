"""Everything that is to be said of an Envoy that asks the service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from cors_authz.doctor import asking, catalogue, connection, istio, order, routes, scope, service_cluster
from cors_authz.doctor.asking import Asked
from cors_authz.doctor.finding import Finding, Where
from cors_authz.doctor.reads import Reads
from cors_authz.doctor.setup import Setup
from cors_authz.policy.finding import Severity, shown

_RANK = {severity: rank for rank, severity in enumerate(Severity)}


def diagnose(setup: Setup, reads: Reads | None = None) -> tuple[Finding, ...]:
    """Judge an Envoy.

    Args:
        setup: its configuration.
        reads: what the policy reads of requests; None for what every policy reads.

    Returns: the findings, errors first, then as the configuration has them; what is said twice is said once.
    """
    return in_order(replace(each, plane=setup.plane) for each in _all(setup, reads or Reads()))


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Put errors first, and say once what is said twice."""
    unique = {(each.rule.code, each.where, each.detail): each for each in findings}
    return tuple(sorted(unique.values(), key=lambda each: (_RANK[each.rule.severity], each.rule.code)))


def _all(setup: Setup, reads: Reads) -> Iterator[Finding]:
    for each in setup.refused:
        yield Finding(catalogue.REFUSED, Where(setup.source, 0, each.name), shown(each.said) or "Envoy did not say why")
    for manager in scope.judged(setup):
        yield from istio.findings(setup, manager)
        yield from routes.findings(setup, manager)
        yield from order.findings(setup, manager)
        if manager.checks:
            yield from connection.findings(setup, manager)
        for check in manager.checks:
            asked = Asked(setup, manager, check, reads)
            yield from asking.findings(asked)
            yield from service_cluster.findings(asked)
