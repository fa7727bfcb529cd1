"""Every metric of the service. docs/metrics.md is written from it."""

from __future__ import annotations

from typing import Final

from cors_authz.edge.metrics.sample import Kind, Metric

DECISIONS: Final = Metric(
    "cors_authz_decisions_total",
    Kind.COUNTER,
    "Decisions by what became of the request, why, and of which resource group; `shadow` is true where not applied.",
    ("outcome", "reason", "group", "shadow"),
)
ORIGIN_DECISIONS: Final = Metric(
    "cors_authz_origin_decisions_total",
    Kind.COUNTER,
    "Decisions by the origin group of the request's origin: a group's name, `null`, `unlisted` or `none` (no Origin).",
    ("origin_group", "trust", "credentials", "outcome"),
)
NEW_ORIGINS: Final = Metric(
    "cors_authz_new_origins_total", Kind.COUNTER, "Unlisted origins that this process had not seen before."
)
CHECK_SECONDS: Final = Metric(
    "cors_authz_check_duration_seconds", Kind.HISTOGRAM, "How long checks took, from the message to the answer."
)
STAGE_SECONDS: Final = Metric(
    "cors_authz_check_stage_duration_seconds",
    Kind.HISTOGRAM,
    "How long a stage of a check took; one check in 32 is measured.",
    ("stage",),
)
SHED: Final = Metric(
    "cors_authz_shed_calls_total",
    Kind.COUNTER,
    "Calls that ended without a decision: `overloaded`, `too_long` or `too_late`.",
    ("reason",),
)
POLICY: Final = Metric(
    "cors_authz_policy_info", Kind.GAUGE, "1 for the policy in force.", ("name", "revision", "environment")
)
POLICY_LOADED: Final = Metric(
    "cors_authz_policy_loaded_timestamp_seconds", Kind.GAUGE, "When the policy in force was put in force."
)
POLICY_NEWEST: Final = Metric(
    "cors_authz_policy_newest_in_force",
    Kind.GAUGE,
    "1 if the newest version of the policy is in force, 0 if it was refused and the last good one stays.",
)
RELOADS: Final = Metric(
    "cors_authz_policy_reloads_total",
    Kind.COUNTER,
    "Versions of the policy that were put in force or refused.",
    ("result",),
)
EXCEPTION_EXPIRES: Final = Metric(
    "cors_authz_exception_expires_timestamp_seconds",
    Kind.GAUGE,
    "When an exception of the policy in force ends.",
    ("exception",),
)
JWKS_FETCHED: Final = Metric(
    "cors_authz_jwks_fetched_timestamp_seconds",
    Kind.GAUGE,
    "When the keys of an issuer were last read; 0 for never.",
    ("provider",),
)
JWKS_FAILURES: Final = Metric(
    "cors_authz_jwks_failures_total", Kind.COUNTER, "Attempts to read an issuer's keys that failed.", ("provider",)
)
TOKENS: Final = Metric(
    "cors_authz_token_verifications_total",
    Kind.COUNTER,
    "Tokens that were read: `remembered` from a former check, or `verified`.",
    ("source",),
)
AUDIT_RECORDS: Final = Metric("cors_authz_audit_records_total", Kind.COUNTER, "Records that were written.")
AUDIT_LOST: Final = Metric(
    "cors_authz_audit_lost_records_total",
    Kind.COUNTER,
    "Records that were lost: the queue was `full`, or the sink `unwritable`.",
    ("reason",),
)
AUDIT_QUEUE: Final = Metric("cors_authz_audit_queue_records", Kind.GAUGE, "Records that wait to be written.")
AUDIT_FAILING: Final = Metric(
    "cors_authz_audit_failing", Kind.GAUGE, "1 while the audit trail cannot be written.", ("sink",)
)
SPANS: Final = Metric(
    "cors_authz_spans_total", Kind.COUNTER, "Spans of sampled checks: `exported`, or `dropped`.", ("result",)
)
EXPORT_FAILURES: Final = Metric(
    "cors_authz_telemetry_export_failures_total",
    Kind.COUNTER,
    "Batches that an OTLP collector did not take.",
    ("signal",),
)
DELIVERIES: Final = Metric(
    "cors_authz_deliveries_total",
    Kind.COUNTER,
    "Responses that Envoy logged, by how they agree with what was decided.",
    ("verdict", "group"),
)
ACCESS_LOG_ENTRIES: Final = Metric(
    "cors_authz_access_log_entries_total",
    Kind.COUNTER,
    "Entries of Envoy's access log: `compared`, `unreadable` or `dropped`.",
    ("result",),
)
ACCESS_LOG_STREAMS: Final = Metric("cors_authz_access_log_streams", Kind.GAUGE, "Envoys that send their access log.")
