"""What the log says once the service decides."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from cors_authz.edge.generation import Generation

_log = logging.getLogger(__name__)


def announce(policy: Generation, addresses: Iterable[str]) -> None:
    """Tell which version of the policy decides and where, and what it loaded with."""
    for finding in policy.findings:
        _log.warning("%s", finding)
    name, revision, environment = policy.report.name, policy.report.revision, policy.report.environment
    _log.info("policy %s, revision %s, decides on %s as %s", name, revision, ", ".join(addresses), environment)
