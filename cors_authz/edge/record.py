"""The record of decisions: counted, and written to the audit log where there is one."""

from __future__ import annotations

from cors_authz.edge.audit import AuditLog, line_of
from cors_authz.edge.counters import Counters
from cors_authz.edge.observation import Observation, Observe


def recorder(counters: Counters, audit: AuditLog | None) -> Observe:
    """Give what records each decision.

    Args:
        counters: count it.
        audit: takes its line; None writes none.
    """
    count = counters.count
    if audit is None:
        return lambda seen: count(seen.decision, seen.seconds)
    append = audit.append

    def record(seen: Observation) -> None:
        count(seen.decision, seen.seconds)
        append(line_of(seen.decision, seen.decision_id, seen.seconds))

    return record
