"""Everything that is to be said of an Envoy that asks the service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from cors_authz.doctor import asking, catalogue, connection, istio, order, routes, scope, service_cluster, upgrades
from cors_authz.doctor.asking import Asked
from cors_authz.doctor.finding import Finding, Where
from cors_authz.doctor.reads import Reads
from cors_authz.doctor.remedies import ASK_AGAIN
from cors_authz.doctor.setup import Manager, Passed, Setup
from cors_authz.policy.finding import Severity, shown

_RANK = {severity: rank for rank, severity in enumerate(Severity)}


def diagnose(setup: Setup, reads: Reads | None = None) -> tuple[Finding, ...]:
    """Judge an Envoy.

    Args:
        setup: its configuration.
        reads: what the policy reads of requests; None for what every policy reads.

    Returns: the findings, errors first, then as the configuration has them; what is said twice is said once.
    """
    return in_order(
        replace(each, plane=setup.plane, listeners=setup.listeners, instead=_instead(each, setup))
        for each in _all(setup, reads or Reads())
    )


def _instead(finding: Finding, setup: Setup) -> str:
    return ASK_AGAIN if setup.is_running and finding.rule is catalogue.UNRESOLVED else ""


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Put errors first, and say once what is said twice."""
    unique = {(each.rule.code, each.where, each.detail): each for each in findings}
    return tuple(sorted(unique.values(), key=lambda each: (_RANK[each.rule.severity], each.rule.code)))


def _all(setup: Setup, reads: Reads) -> Iterator[Finding]:
    yield from _of_source(setup)
    for manager in scope.judged(setup):
        yield from istio.findings(setup, manager)
        yield from routes.findings(setup, manager)
        if manager.checks:
            yield from connection.findings(setup, manager)
            yield from upgrades.findings(setup, manager)
        for one in (manager, *upgrades.taken(manager)):
            yield from _asked(setup, one, reads)


def _asked(setup: Setup, manager: Manager, reads: Reads) -> Iterator[Finding]:
    yield from order.findings(setup, manager, reads)
    for check in manager.checks:
        asked = Asked(setup, manager, check, reads)
        yield from asking.findings(asked)
        yield from service_cluster.findings(asked)


def _of_source(setup: Setup) -> Iterator[Finding]:
    """Say what keeps the configuration from being all that runs."""
    for each in setup.refused:
        yield Finding(catalogue.REFUSED, Where(setup.source, 0, each.name), shown(each.said) or "Envoy did not say why")
    for stray in setup.strays:
        said = f"`{stray.field}: {shown(stray.value)}`"
        yield Finding(catalogue.NO_BOOLEAN, Where(setup.source, stray.line, stray.field), said)
    yield from (_passed(setup, each) for each in scope.passed(setup))
    if setup.awaits_listeners:
        where = Where(setup.source, 0, "dynamic_resources")
        yield Finding(catalogue.UNRESOLVED, where, "listeners are sent by a control plane (LDS)")


def _passed(setup: Setup, each: Passed) -> Finding:
    chain = f" > filter chain {each.chain}" if each.chain else ""
    where = Where(setup.source, each.line, f"listener {each.listener}{chain}")
    clusters = ", ".join(f"`{name}`" for name in each.clusters)
    return Finding(catalogue.PASSED_ON, where, f"`tcp_proxy` leads to {clusters}")
