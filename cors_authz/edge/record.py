"""The record of decisions: counted, and written to the audit log where there is one."""

from __future__ import annotations

from collections.abc import Callable

from cors_authz.edge.audit import AuditLog, line_of
from cors_authz.edge.counters import Counters
from cors_authz.pdp.decision import Decision

Observe = Callable[[Decision, str, float], None]
"""Is told a decision, its id, and the seconds that it took."""


def recorder(counters: Counters, audit: AuditLog | None) -> Observe:
    """Give what records each decision.

    Args:
        counters: count it.
        audit: takes its line; None writes none.
    """
    count = counters.count
    if audit is None:
        return lambda decision, _decision_id, seconds: count(decision, seconds)
    append = audit.append

    def record(decision: Decision, decision_id: str, seconds: float) -> None:
        count(decision, seconds)
        append(line_of(decision, decision_id, seconds))

    return record
