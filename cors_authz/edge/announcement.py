"""What the log says of the service at its start: how it serves, who watches it, and then by which policy it decides."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from cors_authz.edge.audit.options import OTLP, STDOUT, AuditOptions
from cors_authz.edge.generation import Generation
from cors_authz.edge.settings import Settings
from cors_authz.edge.telemetry.otlp import Signal, is_wanted, place
from cors_authz.edge.telemetry.variables import unknown
from cors_authz.edge.tracing.sampling import named_sampler
from cors_authz.edge.transport.interface import tls_words
from cors_authz.policy.finding import Severity

_log = logging.getLogger(__name__)

_LEVELS: Final = {Severity.ERROR: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.INFO: logging.INFO}


def announce_watchers(settings: Settings, environ: Mapping[str, str]) -> None:
    """Tell who is served, and where decisions are recorded, traced and counted; warn of variables that nothing heeds.

    Raises: SettingsError for a variable that cannot be, or a key that cannot be read.
    """
    for text in unknown(environ):
        _log.warning("%s", text)
    audit, traces, metrics = _audit(settings.audit, environ), _traces(environ), _metrics(settings, environ)
    _log.info("%s; audit %s; traces %s; metrics %s", tls_words(settings.transport.tls), audit, traces, metrics)


def announce(policy: Generation, addresses: Iterable[str]) -> None:
    """Tell which version of the policy decides and where, and what it loaded with."""
    for finding in policy.findings:
        _log.log(_LEVELS[finding.severity], "%s", finding)
    name, revision, environment = policy.report.name, policy.report.revision, policy.report.environment
    _log.info("policy %s, revision %s, decides on %s as %s", name, revision, ", ".join(addresses), environment)


def _audit(options: AuditOptions | None, environ: Mapping[str, str]) -> str:
    if options is None:
        return "off"
    targets = ", ".join(_target(target, environ) for target in options.writer.targets)
    if options.writer.key is None:
        return f"to {targets}, unsigned"
    # With `cryptography` behind it, it is imported only where there is a key.
    from cors_authz.edge.audit.signing import signer_of

    return f"to {targets}, signed with key {signer_of(options.writer.key, 'audit-key').key_id}"


def _target(target: str, environ: Mapping[str, str]) -> str:
    if target == OTLP:
        return place(Signal.LOGS, environ)
    return "standard output" if target == STDOUT else f"`{target}`"


def _traces(environ: Mapping[str, str]) -> str:
    if not is_wanted(Signal.TRACES, environ):
        return "off"
    return f"to {place(Signal.TRACES, environ)}, sampler {named_sampler(environ)}"


def _metrics(settings: Settings, environ: Mapping[str, str]) -> str:
    at = (f"at {settings.metrics.listen}",) if settings.metrics else ()
    to = (f"to {place(Signal.METRICS, environ)}",) if is_wanted(Signal.METRICS, environ) else ()
    return ", ".join((*at, *to)) or "off"
