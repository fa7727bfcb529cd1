"""Every metric of the service. docs/metrics.md is written from it."""

from __future__ import annotations

from typing import Final

from cors_authz.edge.metrics.sample import Kind, Metric, Stability

DECISIONS: Final = Metric(
    "cors_authz_decisions_total",
    Kind.COUNTER,
    "Decisions by what became of the request, why, and of which resource group; `shadow` is true where not applied.",
    ("outcome", "reason", "group", "shadow"),
    use="watch each group's share of refusals; docs/reasons.md explains the reason, the audit trail has the decisions",
)
ORIGIN_DECISIONS: Final = Metric(
    "cors_authz_origin_decisions_total",
    Kind.COUNTER,
    "The same decisions by origin group: its name, `own` (the resource's own origin), `null`, `unlisted` or `none` (no"
    " Origin); by its trust; and by whether a cookie or an Authorization travels on.",
    ("origin_group", "trust", "credentials", "outcome"),
    use="watch what pages of little trust do with credentials, and who sends `null`",
)
NEW_ORIGINS: Final = Metric(
    "cors_authz_new_origins_total",
    Kind.COUNTER,
    "Unlisted origins that this process had not seen before.",
    use="a burst is somebody who tries origins, or a page that moved; `cors-authz origins unknown` names them",
)
CHECK_SECONDS: Final = Metric(
    "cors_authz_check_duration_seconds",
    Kind.HISTOGRAM,
    "How long checks took, from the message to the answer.",
    use="hold it against the latency budget; exemplars lead to the traces of slow checks",
)
STAGE_SECONDS: Final = Metric(
    "cors_authz_check_stage_duration_seconds",
    Kind.HISTOGRAM,
    "How long a stage of a check took; one check in 32 is measured.",
    ("stage",),
    use="see which stage a slow check was slow in",
    stability=Stability.ALPHA,
)
SHED: Final = Metric(
    "cors_authz_shed_calls_total",
    Kind.COUNTER,
    "Calls that ended without a decision: `overloaded`, `too_long` or `too_late`.",
    ("reason",),
    use="Envoy fails these calls by its own rule: add workers or replicas, or raise `--max-concurrent`",
)
POLICY: Final = Metric(
    "cors_authz_policy_info",
    Kind.GAUGE,
    "1 for the policy in force.",
    ("name", "revision", "environment"),
    use="see which revision decides where; replicas that differ for long are not all reached by the rollout",
)
POLICY_LOADED: Final = Metric(
    "cors_authz_policy_loaded_timestamp_seconds",
    Kind.GAUGE,
    "When the policy in force was put in force.",
    use="hold changes of other figures against it",
)
POLICY_NEWEST: Final = Metric(
    "cors_authz_policy_newest_in_force",
    Kind.GAUGE,
    "1 if the newest version of the policy is in force, 0 if it was refused and the last good one stays.",
    use="see the log, which says why a version was refused",
)
RELOADS: Final = Metric(
    "cors_authz_policy_reloads_total",
    Kind.COUNTER,
    "Versions of the policy that were put in force or refused.",
    ("result",),
    use="changes that are refused went out unchecked: run `cors-authz check` before",
)
EXCEPTION_EXPIRES: Final = Metric(
    "cors_authz_exception_expires_timestamp_seconds",
    Kind.GAUGE,
    "When an exception of the policy in force ends.",
    ("exception",),
    use="renew it or tell who depends on it; the 200 that end first are shown, until a day after their end",
)
JWKS_FETCHED: Final = Metric(
    "cors_authz_jwks_fetched_timestamp_seconds",
    Kind.GAUGE,
    "When the keys of an issuer were last read; 0 for never.",
    ("provider",),
    use="keys that grow older than a day are used no longer, and tokens are then refused: look at the issuer",
)
JWKS_FAILURES: Final = Metric(
    "cors_authz_jwks_failures_total",
    Kind.COUNTER,
    "Attempts to read an issuer's keys that failed.",
    ("provider",),
    use="see whether an issuer is away for a moment or for good; the log says why",
)
TOKENS: Final = Metric(
    "cors_authz_token_verifications_total",
    Kind.COUNTER,
    "Tokens that were read: `remembered` from a former check, or `verified`.",
    ("source",),
    use="many `verified` are dear: tokens that live too short, or clients that throw them away",
    stability=Stability.ALPHA,
)
AUDIT_RECORDS: Final = Metric(
    "cors_authz_audit_records_total",
    Kind.COUNTER,
    "Records that were written.",
    use="hold it against the decisions: the rest was sampled away or lost",
)
AUDIT_LOST: Final = Metric(
    "cors_authz_audit_lost_records_total",
    Kind.COUNTER,
    "Records, or lines of an `access-log`, that were lost: the queue was `full`, the sink `unwritable`, or the record "
    "not made, by a `defect` of ours.",
    ("reason",),
    use="any is a gap in the trail: look at the disk or the collector, or make more room in the queue",
)
AUDIT_QUEUE: Final = Metric(
    "cors_authz_audit_queue_records",
    Kind.GAUGE,
    "Records that wait to be written.",
    use="it grows while the sink is slower than the decisions come",
)
AUDIT_FAILING: Final = Metric(
    "cors_authz_audit_failing",
    Kind.GAUGE,
    "1 while the audit trail, or the lines of an `access-log`, cannot be written.",
    ("sink",),
    use="look at the sink that the log names; with `--audit-required`, decisions are refused meanwhile",
)
SPANS: Final = Metric(
    "cors_authz_spans_total",
    Kind.COUNTER,
    "Spans of sampled checks: `exported`, or `dropped`.",
    ("result",),
    use="`dropped` spans mean a slow collector, or a sampling rate that is too high for it",
)
EXPORT_FAILURES: Final = Metric(
    "cors_authz_telemetry_export_failures_total",
    Kind.COUNTER,
    "Batches that an OTLP collector did not take.",
    ("signal",),
    use="look at the collector; the log names its address and the cause",
)
DELIVERIES: Final = Metric(
    "cors_authz_deliveries_total",
    Kind.COUNTER,
    "Responses that Envoy logged, by how they agree with what was decided.",
    ("verdict", "group"),
    use="each verdict has its meaning and its mend in docs/access-log.md",
)
ACCESS_LOG_ENTRIES: Final = Metric(
    "cors_authz_access_log_entries_total",
    Kind.COUNTER,
    "Entries of Envoy's access log: `compared`, `ignored` (no governed request's end), `unreadable` or `dropped`.",
    ("result",),
    use="`dropped` entries were not compared: Envoy logs faster than we compare",
    stability=Stability.ALPHA,
)
ACCESS_LOG_STREAMS: Final = Metric(
    "cors_authz_access_log_streams",
    Kind.GAUGE,
    "Envoys that send their access log.",
    use="0 while Envoy runs means that it does not reach the listener",
    stability=Stability.ALPHA,
)
ACCESS_LOG_STREAMS_ENDED: Final = Metric(
    "cors_authz_access_log_streams_ended_total",
    Kind.COUNTER,
    "Streams that the listener ended: `refused` for want of room, `unidentified`, `idle`, or of `garbage`.",
    ("reason",),
    use="`garbage` and `unidentified` are no Envoys: see who reaches the listener",
    stability=Stability.ALPHA,
)
ORIGINS_FOLDED: Final = Metric(
    "cors_authz_origins_folded_total",
    Kind.COUNTER,
    "Checks from origins that the ledger of origins had no room for.",
    use="usage by origin is incomplete from here on: somebody invents origins",
    stability=Stability.ALPHA,
)
TENANT_CHECKS: Final = Metric(
    "cors_authz_tenant_checks_total",
    Kind.COUNTER,
    "Checks that came from foreign origins, by tenant: the first 200 that a process meets, the others as `other`.",
    ("tenant", "outcome"),
    use="see whose pages are refused; the audit trail says the same of every tenant",
    stability=Stability.ALPHA,
)
PROCESS: Final = (
    Metric("process_cpu_seconds_total", Kind.COUNTER, "CPU that the process took, in seconds."),
    Metric("process_resident_memory_bytes", Kind.GAUGE, "Memory that the process holds."),
    Metric("process_virtual_memory_bytes", Kind.GAUGE, "Memory that the process has addresses for."),
    Metric("process_start_time_seconds", Kind.GAUGE, "When the process was started."),
    Metric("process_open_fds", Kind.GAUGE, "Descriptors that the process has open."),
    Metric("process_max_fds", Kind.GAUGE, "Descriptors that the process may have open."),
)
"""As every Prometheus client names them; there are none where the machine has no /proc."""
