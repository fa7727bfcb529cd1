"""The cluster that ext_authz asks: whether a restart, a crash or a hang of an instance fails requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from cors_authz.doctor import catalogue
from cors_authz.doctor.asking import Asked, retry_policy
from cors_authz.doctor.finding import Finding, Rule, Where
from cors_authz.doctor.lined import line_of
from cors_authz.doctor.setup import Message, endpoints_of, inner, is_loopback, maps, number

_PROTOCOL: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_RETRIED: Final = ("connect-failure", "reset", "unavailable", "cancelled", "resource-exhausted")
_DEFAULT_RETRIES: Final = 3
_DEFAULT_REQUESTS: Final = 1024


class _Cluster(NamedTuple):
    config: Message
    where: Where
    addresses: int | None

    def found(self, rule: Rule, detail: str) -> Finding:
        return Finding(rule, self.where, detail)

    @property
    def type(self) -> str:
        return str(self.config.get("type", "STATIC"))


def findings(asked: Asked) -> Iterator[Finding]:
    """Say everything that is to be said of the cluster that a filter asks."""
    name, setup = asked.cluster, asked.setup
    if not name:
        return
    config = setup.clusters.get(name)
    if config is None:
        yield asked.found(catalogue.NO_CLUSTER, f"`cluster_name: {name}`")
        return
    cluster = _Cluster(config, Where(setup.source, line_of(config), f"cluster {name}"), setup.addresses.get(name))
    for rule in _RULES:
        yield from rule(cluster)


def _protocol(cluster: _Cluster) -> Iterator[Finding]:
    options = inner(cluster.config, "typed_extension_protocol_options", _PROTOCOL)
    explicit = inner(options, "explicit_http_config")
    speaks = "http2_protocol_options" in explicit or "http2_protocol_options" in cluster.config
    # By ALPN, which needs TLS.
    if not speaks and not ("auto_config" in options and "transport_socket" in cluster.config):
        yield cluster.found(catalogue.NO_HTTP2, "no `http2_protocol_options`")


def _retries(cluster: _Cluster) -> Iterator[Finding]:
    policy = retry_policy(cluster.config)
    if not policy:
        yield cluster.found(catalogue.NO_RETRY, "no `retry_policy` in the cluster's HttpProtocolOptions")
        return
    words = [word.strip() for word in str(policy.get("retry_on", "")).split(",")]
    lacking = [word for word in _RETRIED if word not in words]
    if lacking:
        yield cluster.found(catalogue.RETRY_ON, f"`retry_on` lacks {', '.join(f'`{word}`' for word in lacking)}")
    if not maps(policy.get("retry_host_predicate")):
        yield cluster.found(catalogue.SAME_HOST, "no `retry_host_predicate`")


def _watching(cluster: _Cluster) -> Iterator[Finding]:
    # With EDS, the control plane says which instances are ready.
    is_checked = bool(maps(cluster.config.get("health_checks")))
    if not is_checked and cluster.type != "EDS":
        yield cluster.found(catalogue.NO_HEALTH_CHECK, "no `health_checks`")
    is_watched = "outlier_detection" in cluster.config
    if not is_watched:
        yield cluster.found(catalogue.NO_OUTLIER, "no `outlier_detection`")
    threshold = inner(cluster.config, "common_lb_config").get("healthy_panic_threshold")
    if (is_checked or is_watched) and threshold is None:
        yield cluster.found(catalogue.PANIC, "no `healthy_panic_threshold`")
    elif is_checked and number(threshold, 1) == 0:
        yield cluster.found(catalogue.NO_PANIC, "`healthy_panic_threshold` is 0")


def _breakers(cluster: _Cluster) -> Iterator[Finding]:
    thresholds = maps(inner(cluster.config, "circuit_breakers").get("thresholds"))
    normal = next((each for each in thresholds if each.get("priority", "DEFAULT") == "DEFAULT"), {})
    retries = number(normal.get("max_retries"), _DEFAULT_RETRIES)
    if retries <= _DEFAULT_RETRIES and "retry_budget" not in normal:
        yield cluster.found(catalogue.FEW_RETRIES, f"`max_retries` is {retries:g}")
    for name in ("max_requests", "max_pending_requests"):
        most = number(normal.get(name), _DEFAULT_REQUESTS)
        if most <= _DEFAULT_REQUESTS:
            yield cluster.found(catalogue.FEW_CHECKS, f"`{name}` is {most:g}")


def _endpoints(cluster: _Cluster) -> Iterator[Finding]:
    if cluster.type == "LOGICAL_DNS":
        yield cluster.found(catalogue.ONE_ADDRESS, "`type: LOGICAL_DNS` connects to one address at a time")
    elif cluster.addresses == 1 and cluster.type != "EDS" and not _is_local(cluster.config):
        yield cluster.found(catalogue.ONE_ADDRESS, "the cluster has one address")


def _is_local(config: Message) -> bool:
    """Tell whether all instances are on Envoy's own machine, where nothing stands between."""
    found = endpoints_of(inner(config, "load_assignment"))
    return all(is_loopback(inner(each, "endpoint", "address")) for each in found)


_RULES: Final = (_protocol, _retries, _watching, _breakers, _endpoints)
