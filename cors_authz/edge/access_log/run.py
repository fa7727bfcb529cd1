"""The listener of Envoy's access log from start to end."""

from __future__ import annotations

import logging
from contextlib import ExitStack

from cors_authz.edge.access_log.comparison import Comparison
from cors_authz.edge.access_log.figures import Figures
from cors_authz.edge.access_log.governed import GovernedRoutes, every_route
from cors_authz.edge.access_log.inbox import Inbox
from cors_authz.edge.access_log.listener import Listener
from cors_authz.edge.access_log.options import AccessLogOptions
from cors_authz.edge.audit.writer import Append, AuditWriter
from cors_authz.edge.clock import monotonic_seconds, new_decision_id
from cors_authz.edge.ending import ended_by_signal, wait_for
from cors_authz.edge.generations import Generations
from cors_authz.edge.metrics.process import process_samples
from cors_authz.edge.metrics.sample import Source
from cors_authz.edge.transport.interface import tls_words

_log = logging.getLogger(__name__)


def listen(options: AccessLogOptions) -> None:
    """Listen until a signal ends it; then take what still comes, and write all of it. To be called in the main thread.

    Raises: SettingsError, TransportError, PolicyError, PolicyFilesError, UnknownEnvironmentError or GenerationError
        before anything is listened to.
    """
    with ExitStack() as running:
        figures, inbox = Figures(), Inbox(options.bounds.waiting_bytes, options.bounds.room_seconds)
        listener = Listener(inbox, figures, monotonic_seconds, options)
        sources: list[Source] = [figures.samples]
        append = _writer(options, running, sources)
        resource_of = _routes(options, running).resource_of if options.policy else every_route
        comparison = Comparison(inbox, resource_of, figures, append, options.sample_agreeing)
        comparison.start()
        running.callback(comparison.stop)
        _show(options, running, sources)
        ended = ended_by_signal()
        address = listener.listen()
        running.callback(listener.drain)
        _log.info("access logs are compared on %s (%s)", address, tls_words(options.tls))
        wait_for(ended)
        _log.info("draining: what Envoys send within %s s is still compared", options.grace_seconds)


def _writer(options: AccessLogOptions, running: ExitStack, sources: list[Source]) -> Append:
    if options.lines is None:
        return _write_nothing
    writer = AuditWriter(options.lines, new_decision_id())
    sources.append(writer.samples)
    writer.start()
    running.callback(writer.stop)
    return writer.append


def _write_nothing(line: bytes, *, is_expendable: bool) -> None:
    """Leave it at the figures."""


def _show(options: AccessLogOptions, running: ExitStack, sources: list[Source]) -> None:
    if options.metrics is None:
        return
    # With Prometheus' client library and an HTTP server behind it, it is imported only where it is asked for.
    from cors_authz.edge.metrics.endpoint import MetricsEndpoint

    endpoint = MetricsEndpoint(options.metrics.address(0), [*sources, process_samples])
    endpoint.start()
    running.callback(endpoint.stop)


def _routes(options: AccessLogOptions, running: ExitStack) -> GovernedRoutes:
    assert options.policy is not None  # noqa: S101 - for the type checker
    routes = GovernedRoutes()
    generations = Generations(options.policy, options.environment, routes.put_in_force)
    running.callback(generations.stop)
    generations.first()
    generations.start()
    return routes
