"""Every finding of `cors-authz doctor`. docs/doctor.md is written from it.

What Envoy does was measured on 1.40.0; docs/envoy.md has the figures.
"""

from __future__ import annotations

from typing import Final

from cors_authz.doctor.finding import Rule
from cors_authz.doctor.lines import CHECK, CLUSTER, DECISION, FILTER, HOST, MANAGER, lines, written
from cors_authz.policy.finding import Severity

_ERROR: Final = Severity.ERROR
_WARNING: Final = Severity.WARNING
_INFO: Final = Severity.INFO

_SERVICE_LINES: Final = lines(CHECK, "grpc_service")
_METADATA_LINES: Final = lines(CHECK["grpc_service"], "initial_metadata")
_RETRY_LINES: Final = lines(CLUSTER, "typed_extension_protocol_options")
_BREAKER_LINES: Final = lines(CLUSTER, "circuit_breakers")
_PANIC_LINES: Final = lines(CLUSTER, "common_lb_config")
_STRIP_LINES: Final = lines(HOST, "response_headers_to_remove")

# --- Whether the service is asked -------------------------------------------------------------------------------------

NOT_ASKED: Final = Rule(
    "DR001",
    _ERROR,
    "requests are forwarded and nobody is asked, or heard",
    "Without an ext_authz filter, or with one that never asks, Envoy forwards whatever comes; in shadow mode it asks,"
    " and forwards what was refused, preflights to the upstream, too.",
    "# in front of all others\n" + written({"http_filters": [FILTER]}),
)
DISABLED: Final = Rule(
    "DR002",
    _ERROR,
    "the check is off for some routes",
    "Envoy forwards what takes these routes without a check: no origin is judged, no preflight answered, no cross-site"
    " write refused, and the upstream's own CORS headers are not blanked.",
    """\
typed_per_filter_config: {}  # without `disabled: true` for ext_authz
""",
)
SAFE_SKIP: Final = Rule(
    "DR003",
    _INFO,
    "same-origin reads skip the check",
    "Only programs that are no browsers can forge Sec-Fetch-Site, so nothing is lost for CORS; but guards (roles,"
    " tenants) are not asked either, and answers lack `Vary: Origin`.",
    """\
response_headers_to_add:
- {header: {key: vary, value: Origin}}
""",
)
SOMETIMES: Final = Rule(
    "DR004",
    _WARNING,
    "the check is made for some requests only",
    "What the condition does not take is forwarded without a check, counted as `disabled`.",
    """\
name: envoy.filters.http.ext_authz  # without filter_enabled, filter_enabled_metadata, shadow_mode or a matcher
""",
)
UPGRADE: Final = Rule(
    "DR005",
    _ERROR,
    "an upgrade has filters of its own, without the check",
    "A WebSocket takes the filters of its `upgrade_configs` entry instead of `http_filters`. Browsers send no preflight"
    " for it and read no CORS header, so the check is all that keeps foreign pages out.",
    lines(MANAGER, "upgrade_configs"),
)
OWN_ANSWER: Final = Rule(
    "DR006",
    _INFO,
    "Envoy answers itself, without a check",
    "A redirect or direct response on a route without the check carries no CORS headers, and a browser fails a"
    " preflight that is redirected.",
    """\
typed_per_filter_config: {}  # the check adds its headers to redirects and direct responses, too
""",
)
HTTP_SERVICE: Final = Rule(
    "DR007",
    _ERROR,
    "the check goes by HTTP",
    "The service speaks gRPC alone: a check by `http_service` fails, and each request with it.",
    f"# instead of http_service\n{_SERVICE_LINES}",
)
UNRESOLVED: Final = Rule(
    "DR008",
    _INFO,
    "routes come from elsewhere and were not judged",
    "The configuration names routes or filters that a control plane sends later; a running Envoy's dump has them.",
    """\
# cors-authz doctor --envoy http://127.0.0.1:9901
""",
)
GONE_AROUND: Final = Rule(
    "DR009",
    _ERROR,
    "clients go around the check by how they write a request",
    "The condition compares the whole authority, or `:path` with its query, or reads a header that clients choose. What"
    " is named here takes the same route, does not meet the condition and is forwarded without a check: no origin is"
    " judged, no role asked for. A host may be written with a port or an empty one, in capitals and, where a virtual"
    " host takes `*`, with a dot at its end.",
    """\
# each host with any port; paths without their query; nothing that clients choose
permissions:
- {header: {name: ":authority", string_match: {exact: HOST, ignore_case: true}}}
- {header: {name: ":authority", string_match: {prefix: "HOST:", ignore_case: true}}}
- {url_path: {path: {exact: /PATH}}}
""",
)

# --- When the service fails -------------------------------------------------------------------------------------------

FAIL_OPEN: Final = Rule(
    "DR010",
    _ERROR,
    "an outage lets everything pass",
    "On any gRPC error or timeout Envoy forwards the request unchecked, preflights to the upstream, too.",
    lines(CHECK, "failure_mode_allow"),
)
STATUS_ON_ERROR: Final = Rule(
    "DR011",
    _WARNING,
    "an outage looks like a refusal",
    "Envoy answers 403 with an empty body and no CORS headers, and browsers call that a CORS error. 503 is what clients"
    " and alerts take for an outage.",
    lines(CHECK, "status_on_error"),
)
UNVALIDATED: Final = Rule(
    "DR012",
    _WARNING,
    "answers of the service are taken unchecked",
    "A line break in a value that the service sends becomes a header of its own. The service writes none; this is the"
    " second lock.",
    lines(CHECK, "validate_mutations"),
)

SWITCHED_OFF: Final = Rule(
    "DR013",
    _ERROR,
    "the runtime switches the check off",
    "A layer of the runtime sets the key that decides over the check, and its value counts instead of the default: what"
    " it does not take is forwarded without a check.",
    """\
name: envoy.filters.http.ext_authz  # without filter_enabled
""",
)
RUNTIME_KEY: Final = Rule(
    "DR014",
    _WARNING,
    "the runtime may switch the check off",
    "A layer of the runtime, or anyone who reaches the admin interface (`/runtime_modify`), sets the key; then requests"
    " are forwarded without a check, and no configuration shows it.",
    """\
name: envoy.filters.http.ext_authz  # without a runtime_key in filter_enabled and deny_at_disable
""",
)

CHOSEN_LATER: Final = Rule(
    "DR015",
    _WARNING,
    "routes are chosen later and were not judged",
    "Virtual hosts that are sent on demand (VHDS), and routes that only a matcher knows, may have the check off; no"
    " configuration shows it.",
    """\
virtual_hosts:  # all of them, without vhds and matcher
- {name: NAME, domains: [HOST], routes: [{match: {prefix: /}, route: {cluster: CLUSTER}}]}
""",
)
PASSED_ON: Final = Rule(
    "DR016",
    _WARNING,
    "a listener passes TCP on and reads no HTTP",
    "Where clients speak HTTP to it, in plain text or in TLS that ends further on, their requests are forwarded and"
    " nobody is asked.",
    """\
filters:  # in place of envoy.filters.network.tcp_proxy
- name: envoy.filters.network.http_connection_manager  # with envoy.filters.http.ext_authz
""",
)

# --- What the service is told -----------------------------------------------------------------------------------------

HEADERS_DROPPED: Final = Rule(
    "DR020",
    _ERROR,
    "the check does not carry headers that decide",
    "What Envoy does not send counts as absent: a foreign request without `origin` and `sec-fetch-*` looks like curl,"
    " and a preflight without `access-control-request-*` like a plain OPTIONS.",
    """\
allowed_headers:
  patterns:
  - {exact: origin}
  - {prefix: access-control-request-}
  - {prefix: sec-fetch-}
  - {prefix: x-cors-authz-}
  - {exact: authorization}
  - {exact: cookie}
  - {exact: content-type}
  - {exact: content-length}
  - {exact: upgrade}
  - {exact: x-http-method-override}
  - {exact: x-http-method}
  - {exact: x-method-override}
""",
)
BODY: Final = Rule(
    "DR021",
    _WARNING,
    "bodies are buffered for a check that reads none",
    "Envoy holds each body back until it is whole, and answers 413 where it is longer than `max_request_bytes`. The"
    " service never reads one.",
    """\
name: envoy.filters.http.ext_authz  # without with_request_body
""",
)
JWT_NAMESPACE: Final = Rule(
    "DR022",
    _ERROR,
    "the payload of the token does not reach the service",
    "The policy reads what jwt_authn verified (`envoyMetadata`); without the namespace Envoy sends nothing of it, and"
    " each guard refuses.",
    lines(CHECK, "metadata_context_namespaces"),
)
ROUTE_NAMESPACE: Final = Rule(
    "DR023",
    _ERROR,
    "the tenant of the route does not reach the service",
    "The policy reads `routeMetadata`; without the namespace Envoy sends nothing of it, and no request has a tenant.",
    lines(CHECK, "route_metadata_context_namespaces"),
)
NO_CLIENT_CERTIFICATE: Final = Rule(
    "DR024",
    _ERROR,
    "the policy reads principals, and the listener verifies no client",
    "Envoy names the caller (`source.principal`) from a certificate that it verified; without `trusted_ca` there is"
    " none, and `principalIn` never holds.",
    """\
common_tls_context:
  validation_context: {trusted_ca: {filename: /etc/envoy/client-ca.pem}}
""",
)
GOOGLE_GRPC: Final = Rule(
    "DR025",
    _WARNING,
    "the check goes by google_grpc",
    "Health checks, retries, outlier detection and circuit breakers belong to clusters, and this client uses none.",
    _SERVICE_LINES,
)

# --- How long, and how often ------------------------------------------------------------------------------------------

NO_TIMEOUT: Final = Rule(
    "DR030",
    _WARNING,
    "no timeout is set, so a check has 200 ms",
    "Unset means 200 ms (204 measured): too little for two tries of 100 ms.",
    _SERVICE_LINES,
)
ENDLESS: Final = Rule(
    "DR031",
    _ERROR,
    "a check may take without end",
    "A service that hangs holds each request until the client goes. `0s` means endless since Envoy 1.38; Istio's"
    " default is 600 s.",
    _SERVICE_LINES,
)
SHORT_TIMEOUT: Final = Rule(
    "DR032",
    _WARNING,
    "the timeout does not hold its tries",
    "The timeout is the whole budget, retries included: tries that do not fit are never made.",
    f"# `timeout` is at least the tries times the per-try timeout\n{_SERVICE_LINES}",
)
NO_PER_TRY: Final = Rule(
    "DR033",
    _WARNING,
    "a try has no timeout of its own",
    "An instance that hangs fails each request that it got: 28 of 561, with this header 0. `per_try_timeout` in a retry"
    " policy had no effect.",
    _METADATA_LINES,
)
NO_REQUEST_ID: Final = Rule(
    "DR034",
    _WARNING,
    "a repeated check cannot be told from another one",
    "Envoy does not send x-request-id with the check by itself, so a retry counts twice in limits and in the audit"
    " trail.",
    _METADATA_LINES,
)
IGNORED_RETRY: Final = Rule(
    "DR035",
    _WARNING,
    "a retry policy stands where ext_authz ignores it",
    "Envoy accepts `retry_policy` in `grpc_service` and never retries a check by it (`upstream_rq_retry` stayed 0).",
    f"# of the cluster, instead of that of the filter\n{_RETRY_LINES}",
)
NO_RETRY: Final = Rule(
    "DR036",
    _WARNING,
    "a check is never tried again",
    "While two instances restarted one after the other, 45 of 561 requests failed; with a retry policy in the cluster's"
    " HttpProtocolOptions, which Envoy knows from 1.37 on, none did.",
    _RETRY_LINES,
)
RETRY_ON: Final = Rule(
    "DR037",
    _WARNING,
    "failures that happen in a restart are not tried again",
    "An instance that goes refuses connections, resets streams, and says UNAVAILABLE or CANCELLED; one that has too"
    " much to do says RESOURCE_EXHAUSTED. Another instance would answer.",
    _RETRY_LINES,
)
SAME_HOST: Final = Rule(
    "DR038",
    _INFO,
    "a retry may go to the instance that just failed",
    "Without the predicate Envoy picks from all instances again.",
    _RETRY_LINES,
)

# --- The service's cluster --------------------------------------------------------------------------------------------

NO_CLUSTER: Final = Rule(
    "DR040",
    _ERROR,
    "the service's cluster is not there",
    "Envoy asks a cluster that it does not know: each check fails, and each request with it.",
    written({"clusters": [CLUSTER]}),
)
NO_HTTP2: Final = Rule(
    "DR041",
    _ERROR,
    "Envoy speaks HTTP/1.1 to the service",
    "gRPC needs HTTP/2; without it each check fails, and each request with it.",
    _RETRY_LINES,
)
NO_HEALTH_CHECK: Final = Rule(
    "DR042",
    _WARNING,
    "instances are not health-checked",
    "An instance that ends says NOT_SERVING first; without a health check Envoy asks it until it refuses. With gRPC"
    " health checks each 0.5 s a drained restart failed 0 of 561, without 45.",
    lines(CLUSTER, "health_checks"),
)
NO_OUTLIER: Final = Rule(
    "DR043",
    _WARNING,
    "instances that fail are asked on",
    "An instance that hangs or fails stays in the set; outlier detection takes it out after a few failures.",
    lines(CLUSTER, "outlier_detection"),
)
FEW_RETRIES: Final = Rule(
    "DR044",
    _WARNING,
    "few retries may run at once",
    "Three is the default; beyond it a retry is dropped (`upstream_rq_retry_overflow`): 17 of 701 requests failed in a"
    " restart that fails none otherwise.",
    _BREAKER_LINES,
)
FEW_CHECKS: Final = Rule(
    "DR045",
    _WARNING,
    "few checks may run at once",
    "1,024 is the default; what comes beyond it is refused by Envoy itself, although the service has room.",
    _BREAKER_LINES,
)
ONE_ADDRESS: Final = Rule(
    "DR046",
    _WARNING,
    "all instances stand behind one address",
    "Envoy opens one connection per thread and address, and can neither check, skip nor retry an instance that it does"
    " not see: one that hung behind a virtual address failed 30 of 561, even with retries. In Kubernetes use a headless"
    " service.",
    lines(CLUSTER, "type", "dns_lookup_family", "load_assignment"),
)
PANIC: Final = Rule(
    "DR047",
    _INFO,
    "with half of the instances down, those that are down are asked, too",
    "Below 50 % healthy instances Envoy spreads checks over all of them, health checks or not.",
    _PANIC_LINES,
)

NO_PANIC: Final = Rule(
    "DR048",
    _WARNING,
    "where no instance is healthy, none is asked",
    "At a threshold of 0, as Istio has it, a health check that comes late refuses each request, and so do instances"
    " that drain while they are the only ones left: 17 to 36 of 97. At 1, those are asked when there is no other.",
    _PANIC_LINES,
)

# --- The order of filters ---------------------------------------------------------------------------------------------

_ORDER_LINES: Final = """\
http_filters:
- name: envoy.filters.http.ext_authz
- name: envoy.filters.http.jwt_authn  # and all others that refuse
- name: envoy.filters.http.router
"""
REFUSES_FIRST: Final = Rule(
    "DR050",
    _ERROR,
    "a filter in front of the check refuses preflights",
    "A preflight carries no credentials, so this filter refuses it before the service is asked, and what it answers"
    " carries no CORS headers: the page's request fails.",
    _ORDER_LINES,
)
UNREADABLE: Final = Rule(
    "DR051",
    _WARNING,
    "refusals of a filter in front of the check cannot be read by pages",
    "What a filter in front of ext_authz answers carries no CORS headers: a page reads a failed request and no reason."
    " Behind it, the same answer carries them.",
    """\
requires_any: {requirements: [{provider_name: main}, {allow_missing_or_failed: {}}]}
""",
)
NATIVE_CORS: Final = Rule(
    "DR052",
    _ERROR,
    "Envoy's own cors filter answers preflights first",
    "It answers each preflight that its list matches by itself (200, no check), with fixed methods and headers,"
    " whatever the policy says, and never sets `Vary`.",
    """\
http_filters:  # without envoy.filters.http.cors
- name: envoy.filters.http.ext_authz
- name: envoy.filters.http.router
""",
)
MAY_ANSWER: Final = Rule(
    "DR053",
    _WARNING,
    "a filter in front of the check may answer by itself, or change what is asked",
    "Its 429, 4xx or 5xx carries no CORS headers, and preflights meet it, too; behind ext_authz the same answer can be"
    " read by the page. A filter that Envoy does not ship, or one that runs a program, may also answer with content, or"
    " change the headers that decide.",
    _ORDER_LINES,
)
HEADER_MUTATION: Final = Rule(
    "DR054",
    _ERROR,
    "a header_mutation filter takes the service's own headers off",
    "Behind ext_authz it strips refusals and preflights, in front of it everything. `response_headers_to_remove` of the"
    " virtual host takes the upstream's headers alone.",
    _STRIP_LINES,
)
ROUTE_CACHE: Final = Rule(
    "DR055",
    _WARNING,
    "the route is chosen anew after the check",
    "What was decided is then for another route than the one taken, and that one may have the check disabled, or"
    " another tenant.",
    """\
clear_route_cache: false
""",
)

CACHE: Final = Rule(
    "DR056",
    _ERROR,
    "a cache answers before anyone is asked",
    "A cache in front of ext_authz hands out what it keeps without a check: to origins, callers and tenants for whom it"
    " was not made, with the CORS headers of the first who asked.",
    """\
http_filters:
- name: envoy.filters.http.ext_authz
- name: envoy.filters.http.cache
- name: envoy.filters.http.router
""",
)

CHANGED_FIRST: Final = Rule(
    "DR057",
    _ERROR,
    "headers that decide are changed before the check",
    "The service sees what is left: without `origin` and `sec-fetch-*` a foreign request looks like curl, and where"
    " `sec-fetch-site` says `same-origin` like one of the site's own pages. Change headers behind ext_authz.",
    """\
http_filters:
- name: envoy.filters.http.ext_authz
- name: envoy.filters.http.header_mutation
- name: envoy.filters.http.router
""",
)

SERVES_FIRST: Final = Rule(
    "DR058",
    _ERROR,
    "files are served before anyone is asked",
    "A file_server in front of ext_authz hands out its files without a check: to any origin, caller and tenant.",
    """\
http_filters:
- name: envoy.filters.http.ext_authz
- name: envoy.filters.http.file_server
- name: envoy.filters.http.router
""",
)

# --- The connection manager -------------------------------------------------------------------------------------------

NORMALIZE: Final = Rule(
    "DR060",
    _WARNING,
    "paths are not normalised",
    "The service sees `/a/../b` as it came and refuses it: paths that Envoy could have cleaned are 400.",
    lines(MANAGER, "normalize_path"),
)
MERGE_SLASHES: Final = Rule(
    "DR061",
    _WARNING,
    "slashes are not merged",
    "The service sees `/a//b` as it came and refuses it: paths that Envoy could have cleaned are 400.",
    lines(MANAGER, "merge_slashes"),
)
UNESCAPE: Final = Rule(
    "DR062",
    _WARNING,
    "encoded slashes are decoded before the check",
    "`%2F` becomes a separator before the service sees it: groups that take opaque slashes (`encodedSlashes: opaque`)"
    " are decided on another path than the client wrote; a redirect to that path fails preflights. The service refuses"
    " encoded slashes elsewhere, with a reason.",
    lines(MANAGER, "path_with_escaped_slashes_action"),
)
ESCAPED_UNSET: Final = Rule(
    "DR063",
    _INFO,
    "what becomes of encoded slashes is not said",
    "Unset follows a runtime key of Envoy, which anyone who reaches its admin interface may change.",
    lines(MANAGER, "path_with_escaped_slashes_action"),
)
UNDERSCORES: Final = Rule(
    "DR064",
    _WARNING,
    "headers with underscores reach the upstream",
    "Upstreams behind CGI or WSGI read `x_http_method_override` as `x-http-method-override`; the service does not.",
    lines(MANAGER, "common_http_protocol_options"),
)
REMOTE_ADDRESS: Final = Rule(
    "DR065",
    _WARNING,
    "clients may name their own address and request id",
    "Without `use_remote_address` Envoy takes `x-forwarded-for` and `x-request-id` from whoever connects; checks are"
    " told apart by the id. Right for an Envoy behind another one that sets them.",
    lines(MANAGER, "use_remote_address"),
)
REQUEST_ID: Final = Rule(
    "DR066",
    _WARNING,
    "request ids are the client's, or none",
    "The service tells by x-request-id that a check is a retry; a client that names its own can make one request look"
    " like another.",
    """\
generate_request_id: true
preserve_external_request_id: false
""",
)
XFF_TRUST: Final = Rule(
    "DR067",
    _INFO,
    "the client's address is taken from a header that clients may send",
    "With `xff_num_trusted_hops` (or an IP detection extension) Envoy believes `x-forwarded-for`: right only behind so"
    " many proxies of yours that no client can pass by. `sourceIn` sees the peer of the connection in any case.",
    """\
use_remote_address: true
xff_num_trusted_hops: 0
""",
)

REFUSED_AS_OK: Final = Rule(
    "DR068",
    _ERROR,
    "refusals are turned into success",
    "What the service refuses is an answer of Envoy's own: a mapper gives it the status of a success, so that pages and"
    " clients take it for done, and a browser takes a refused preflight for granted where its headers allow.",
    """\
local_reply_config: {mappers: []}  # without a status_code of 2xx for what ext_authz answers (flag UAEX)
""",
)

# --- Logs -------------------------------------------------------------------------------------------------------------

NO_DECISION_LOGGED: Final = Rule(
    "DR070",
    _INFO,
    "the access log does not say what was decided",
    "Flags (`UAEX`), details and counters are the same for an answered preflight and for a refusal; the metadata of the"
    " decision tells them apart.",
    written({"log_format": {"json_format": {"decision": DECISION}}}),
)
CHARGED: Final = Rule(
    "DR071",
    _INFO,
    "the service's answers count as the upstream's",
    "Preflights and refusals are charged to the upstream's `upstream_rq_2xx` and `4xx`, although it never saw them.",
    lines(CHECK, "charge_cluster_response_stats"),
)

# --- The routes -------------------------------------------------------------------------------------------------------

NO_STRIP: Final = Rule(
    "DR080",
    _WARNING,
    "the upstream's own CORS headers pass",
    "The service can blank such a header, not remove it, and on routes without the check an upstream's"
    " `Access-Control-Allow-Origin: *` reaches the page as it is.",
    _STRIP_LINES,
)
STATIC_GRANT: Final = Rule(
    "DR081",
    _ERROR,
    "Envoy grants by itself",
    "A CORS header that a route, a header_mutation or local_reply_config sets is on answers whatever the service"
    " decided, a second time where it decided too (browsers refuse both). The last two put it on refusals and refused"
    " preflights as well.",
    """\
response_headers_to_add: []  # without access-control-*
""",
)

# --- The hosts --------------------------------------------------------------------------------------------------------

UNGOVERNED: Final = Rule(
    "DR090",
    _WARNING,
    "a host is routed and no group of the policy lists it",
    "The service answers 421 (`host_unknown`) to every request for it, wherever the check is made.",
    """\
resourceGroups:
  NAME: {match: [{hosts: [HOST]}], allow: []}
""",
)
UNROUTED: Final = Rule(
    "DR091",
    _INFO,
    "the policy governs a host that is not routed here",
    "No virtual host takes it, so Envoy answers 404: another Envoy's host, or one that has moved.",
    """\
virtual_hosts:
- {name: NAME, domains: [HOST]}
""",
)
ASKED_UNGOVERNED: Final = Rule(
    "DR092",
    _WARNING,
    "clients ask for a host that no group of the policy lists",
    "The records have requests for it; the service answers 421 (`host_unknown`) to each.",
    """\
resourceGroups:
  NAME: {match: [{hosts: [HOST]}], allow: []}
""",
)

# --- Kubernetes' objects ----------------------------------------------------------------------------------------------

UNKNOWN_PROVIDER: Final = Rule(
    "DR100",
    _ERROR,
    "Istio does not know the provider, or cannot use it",
    "An AuthorizationPolicy whose provider meshConfig.extensionProviders lacks, or whose service Istio does not find,"
    " becomes a deny: 403 for each request, and only istiod's log says why.",
    """\
extensionProviders:
- name: cors-authz
  envoyExtAuthzGrpc: {service: cors-authz.cors-authz.svc.cluster.local, port: 9191, timeout: 0.5s, statusOnError: "503"}
""",
)
NO_GRANT: Final = Rule(
    "DR101",
    _ERROR,
    "a SecurityPolicy may not refer to a service of another namespace",
    "Without a ReferenceGrant in the service's namespace Envoy Gateway refuses the policy, and its routes answer 500.",
    """\
kind: ReferenceGrant
spec:
  from: [{group: gateway.envoyproxy.io, kind: SecurityPolicy, namespace: NAMESPACE}]
  to: [{group: "", kind: Service}]
""",
)

OVERRIDDEN: Final = Rule(
    "DR102",
    _ERROR,
    "a SecurityPolicy takes the place of the one with the check",
    "Of the SecurityPolicies for a Gateway and for a route of it, the route's counts alone (the other says"
    " `Overridden`): without `extAuth` of its own, or a `mergeType`, its requests are forwarded and nobody is asked.",
    """\
kind: SecurityPolicy
spec: {mergeType: StrategicMerge}  # or the same extAuth as that of the Gateway
""",
)

PATCHED_AWAY: Final = Rule(
    "DR103",
    _ERROR,
    "a patch removes the check",
    "Without the filter, or the one that says what it is asked about, requests are forwarded and nobody is asked.",
    """\
configPatches: []  # of an EnvoyFilter; of an EnvoyPatchPolicy: jsonPatches, without this one
""",
)

# --- What runs, and what was sent -------------------------------------------------------------------------------------

REFUSED: Final = Rule(
    "DR110",
    _ERROR,
    "Envoy refused the newest configuration, and what runs is older",
    "What is judged here is what Envoy still runs, not what its control plane sent last: changes since then are not in"
    " force, and an Envoy that starts now has none of it.",
    """\
# what the control plane writes has to be one that Envoy takes: what Envoy said of it stands above
""",
)
NO_BOOLEAN: Final = Rule(
    "DR111",
    _ERROR,
    "a value is neither true nor false",
    "Envoy refuses a file in which a boolean is something else, so what is judged here is not what will run.",
    """\
failure_mode_allow: false  # true or false, without quotes
""",
)
