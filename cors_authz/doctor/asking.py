"""The ext_authz filter itself: when it fails, what it tells the service, how long and how often it asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from cors_authz.doctor import catalogue, gate, istio, runtime
from cors_authz.doctor.condition import Answer, fits
from cors_authz.doctor.finding import Finding, Rule
from cors_authz.doctor.lined import line_of
from cors_authz.doctor.reads import Reads
from cors_authz.doctor.setup import HttpFilter, Manager, Message, Setup, inner, maps, number, seconds, texts
from cors_authz.doctor.spelling import Routing, object_to
from cors_authz.envoy.bootstrap import JWT_AUTHN_FILTER, ROUTE_NAMESPACE

PER_TRY: Final = "x-envoy-upstream-rq-per-try-timeout-ms"

_REQUEST_ID: Final = "x-request-id"
_REFUSALS: Final = frozenset({"", "0", "403", "Forbidden", "200", "OK"})


class Asked(NamedTuple):
    """An ext_authz filter, where it stands, and what the policy reads."""

    setup: Setup
    manager: Manager
    check: HttpFilter
    reads: Reads

    @property
    def config(self) -> Message:
        """The filter's message."""
        return self.check.config

    @property
    def service(self) -> Message:
        """Whom it asks."""
        return inner(self.config, "grpc_service")

    @property
    def cluster(self) -> str:
        """The cluster that it asks; "" where it asks by other ways."""
        return str(inner(self.service, "envoy_grpc").get("cluster_name", ""))

    def found(self, rule: Rule, detail: str, field: str = "") -> Finding:
        """Say that the filter breaks a rule, by one of its fields where one is named."""
        line = line_of(self.config, field) if field in self.config else self.check.line
        return Finding(rule, self.setup.at(self.manager, f"filter {self.check.name}", line=line), detail)


def findings(asked: Asked) -> Iterator[Finding]:
    """Say everything that is to be said of an ext_authz filter."""
    for rule in _RULES:
        yield from rule(asked)


def lists(patterns: object, name: str) -> Answer:
    """Tell whether a ListStringMatcher takes a header; None where that cannot be told.

    Envoy holds patterns against names in lower case: `exact: Origin` takes no header at all.
    """
    answers = {fits(each, name) for each in maps(inner(patterns).get("patterns"))}
    return True if True in answers else None if None in answers else False


# --- whether it is asked, and what happens when it fails --------------------------------------------------------------


def _sometimes(asked: Asked) -> Iterator[Finding]:
    yield from _switched(asked)
    if not _denies_unasked(asked):
        yield from _gated(asked)
    if asked.config.get("shadow_mode") is True:
        yield asked.found(catalogue.NOT_ASKED, "`shadow_mode: true` forwards what is refused", "shadow_mode")
    if asked.check.conditional:
        said = "a matcher stands around the filter"
        yield asked.found(*object_to(gate.of_matcher(asked.check.matcher), _routing(asked), said))


def _gated(asked: Asked) -> Iterator[Finding]:
    """Judge what the filter leaves out by itself."""
    enabled = inner(asked.config, "filter_enabled", "default_value")
    share, whole = number(enabled.get("numerator"), 0), runtime.whole(enabled)
    if "filter_enabled" in asked.config and share < whole and not any(_settings(asked, "filter_enabled")):
        rule = catalogue.SOMETIMES if share > 0 else catalogue.NOT_ASKED
        yield asked.found(rule, f"`filter_enabled` takes {share:g} of {whole}", "filter_enabled")
    metadata = inner(asked.config, "filter_enabled_metadata")
    if metadata and (objection := _object_to_gate(asked, metadata)):
        rule, said = objection
        yield asked.found(rule, f"`filter_enabled_metadata`: {said}", "filter_enabled_metadata")


def _denies_unasked(asked: Asked) -> bool:
    """Tell whether Envoy refuses what `filter_enabled` and its metadata leave out, whatever the runtime is set to."""
    default = inner(asked.config, "deny_at_disable").get("default_value")
    return default in (True, {"value": True}) and all(value is True for _, value in _settings(asked, "deny_at_disable"))


def _settings(asked: Asked, field: str) -> Iterator[tuple[str, object]]:
    """Give what the layers of the runtime set the key of a field to; they count instead of its default."""
    key = str(inner(asked.config, field).get("runtime_key") or "")
    return runtime.settings(asked.setup.runtime, key) if key else iter(())


def _switched(asked: Asked) -> Iterator[Finding]:
    """Judge the keys by which the runtime decides over the check, whatever the configuration of the filter says."""
    for field in ("filter_enabled", "deny_at_disable"):
        key = str(inner(asked.config, field).get("runtime_key") or "")
        if not key:
            continue
        said = f"`runtime_key: {key}` of `{field}`"
        yield asked.found(catalogue.RUNTIME_KEY, said, field)
        for layer, value in _settings(asked, field):
            if field == "filter_enabled" and not runtime.is_whole(value) and not _denies_unasked(asked):
                yield asked.found(catalogue.SWITCHED_OFF, f"{said}: layer `{layer}` sets it to {value}", field)


def _object_to_gate(asked: Asked, metadata: Message) -> tuple[Rule, str] | None:
    writer = str(metadata.get("filter", ""))
    if writer == istio.RBAC:
        return istio.object_to_gate(asked.manager, asked.check)
    return object_to(gate.of_metadata(asked.manager, metadata), _routing(asked), f"of `{writer}`")


def _routing(asked: Asked) -> Routing:
    return Routing(asked.manager.tables, asked.manager.config)


def _transport(asked: Asked) -> Iterator[Finding]:
    if "http_service" in asked.config:
        yield asked.found(catalogue.HTTP_SERVICE, "`http_service`", "http_service")
    if "google_grpc" in asked.service:
        yield asked.found(catalogue.GOOGLE_GRPC, "`google_grpc`", "grpc_service")


def _failure(asked: Asked) -> Iterator[Finding]:
    config = asked.config
    if config.get("failure_mode_allow") is True:
        yield asked.found(catalogue.FAIL_OPEN, "`failure_mode_allow: true`", "failure_mode_allow")
    status = str(inner(config, "status_on_error").get("code", ""))
    if status in _REFUSALS:
        yield asked.found(catalogue.STATUS_ON_ERROR, f"`status_on_error` is {status or 'not set'}", "status_on_error")
    if config.get("validate_mutations") is not True:
        yield asked.found(catalogue.UNVALIDATED, "`validate_mutations` is not true", "validate_mutations")
    if config.get("charge_cluster_response_stats") not in (False, {"value": False}, {}):
        yield asked.found(
            catalogue.CHARGED, "`charge_cluster_response_stats` is not false", "charge_cluster_response_stats"
        )
    if config.get("clear_route_cache") is True:
        yield asked.found(catalogue.ROUTE_CACHE, "`clear_route_cache: true`", "clear_route_cache")


# --- what it tells ----------------------------------------------------------------------------------------------------


def _headers(asked: Asked) -> Iterator[Finding]:
    allowed, refused = (asked.config.get(name) for name in ("allowed_headers", "disallowed_headers"))
    names = sorted(asked.reads.headers)
    lost = [
        name
        for name in names
        if allowed is not None and maps(inner(allowed).get("patterns")) and lists(allowed, name) is not True
    ]
    if lost:
        yield asked.found(catalogue.HEADERS_DROPPED, f"`allowed_headers` lacks {_ticked(lost)}", "allowed_headers")
    hidden = [name for name in names if refused is not None and lists(refused, name) is not False]
    if hidden:
        yield asked.found(
            catalogue.HEADERS_DROPPED, f"`disallowed_headers` takes {_ticked(hidden)}", "disallowed_headers"
        )


def _body(asked: Asked) -> Iterator[Finding]:
    if "with_request_body" in asked.config:
        most = inner(asked.config, "with_request_body").get("max_request_bytes", 0)
        yield asked.found(catalogue.BODY, f"`with_request_body`, {most} bytes at most", "with_request_body")


def _surroundings(asked: Asked) -> Iterator[Finding]:
    reads, config = asked.reads, asked.config
    if reads.jwt_payload and JWT_AUTHN_FILTER not in texts(config.get("metadata_context_namespaces")):
        yield asked.found(
            catalogue.JWT_NAMESPACE,
            f"`metadata_context_namespaces` lacks `{JWT_AUTHN_FILTER}`",
            "metadata_context_namespaces",
        )
    if reads.route_metadata and ROUTE_NAMESPACE not in texts(config.get("route_metadata_context_namespaces")):
        yield asked.found(
            catalogue.ROUTE_NAMESPACE,
            f"`route_metadata_context_namespaces` lacks `{ROUTE_NAMESPACE}`",
            "route_metadata_context_namespaces",
        )
    if reads.principal and not asked.manager.verifies_clients:
        yield asked.found(catalogue.NO_CLIENT_CERTIFICATE, "the listener has no `validation_context`")


# --- how long, and how often ------------------------------------------------------------------------------------------


def _timeouts(asked: Asked) -> Iterator[Finding]:
    if not asked.service:
        return
    budget = seconds(asked.service.get("timeout"))
    if budget is None:
        yield asked.found(catalogue.NO_TIMEOUT, "`grpc_service.timeout` is not set", "grpc_service")
    elif budget == 0:
        yield asked.found(catalogue.ENDLESS, "`grpc_service.timeout: 0s`", "grpc_service")
    if not asked.cluster:
        return
    per_try = _metadata(asked).get(PER_TRY)
    if per_try is None:
        yield asked.found(catalogue.NO_PER_TRY, f"`initial_metadata` lacks `{PER_TRY}`", "grpc_service")
    elif budget:
        yield from _tries(asked, budget, number(per_try, 0) / 1000)


def _tries(asked: Asked, budget: float, per_try: float) -> Iterator[Finding]:
    tries = 1 + number(retry_policy(asked.setup.clusters.get(asked.cluster, {})).get("num_retries"), 1)
    if budget < tries * per_try:
        said = f"`timeout: {budget:g}s` for {tries:g} tries of {per_try:g} s"
        yield asked.found(catalogue.SHORT_TIMEOUT, said, "grpc_service")


def _repeats(asked: Asked) -> Iterator[Finding]:
    if asked.service and _REQUEST_ID not in _metadata(asked):
        yield asked.found(catalogue.NO_REQUEST_ID, f"`initial_metadata` lacks `{_REQUEST_ID}`", "grpc_service")
    if "retry_policy" in asked.service or "retry_policy" in inner(asked.service, "envoy_grpc"):
        yield asked.found(catalogue.IGNORED_RETRY, "`grpc_service` has a `retry_policy`", "grpc_service")


def _metadata(asked: Asked) -> dict[str, object]:
    return {str(each.get("key", "")).lower(): each.get("value") for each in maps(asked.service.get("initial_metadata"))}


def retry_policy(cluster: Message) -> Message:
    """Give the retry policy of a cluster: the only one that ext_authz heeds."""
    options = inner(cluster, "typed_extension_protocol_options")
    return inner(options.get("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"), "retry_policy")


def _ticked(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


_RULES: Final = (_sometimes, _transport, _failure, _headers, _body, _surroundings, _timeouts, _repeats)
