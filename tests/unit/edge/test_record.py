"""The record: each decision is counted, and is a line of the audit log where there is one."""

from __future__ import annotations

import os
from pathlib import Path

import orjson

from cors_authz.edge.audit import AuditLog
from cors_authz.edge.counters import Counters
from cors_authz.edge.observation import Observation
from cors_authz.edge.record import recorder
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Reason

REFUSED = refuse_unread(Reason.REQUEST_MALFORMED, 1234.5)


def test_without_an_audit_log_a_decision_is_counted() -> None:
    counters = Counters()
    recorder(counters, None)(Observation(REFUSED, "1" * 32, (1.0, 1.5)))
    counts = counters.read()
    assert (counts.decisions.total(), counts.seconds) == (1, 0.5)


def test_with_one_it_is_counted_and_written_at_its_time(tmp_path: Path) -> None:
    counters, file = Counters(), tmp_path / "audit"
    audit = AuditLog(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))
    recorder(counters, audit)(Observation(REFUSED, "1" * 32, (1.0, 1.5)))
    audit.stop()
    line = orjson.loads(file.read_bytes())
    assert (line["time"], line["decision_id"], line["latency_us"]) == (1234.5, "1" * 32, 500_000)
    assert counters.read().decisions.total() == 1
