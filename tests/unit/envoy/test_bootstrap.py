"""The bootstrap as plain data; what Envoy makes of it is for the integration tests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import Options, ServiceTls, Tls, bootstrap

LISTEN, ADMIN = Address("0.0.0.0", 10000), Address("127.0.0.1", 9901)  # noqa: S104 - a listener's address, as data
AUTHZ = [Address("10.0.0.1", 9000), Address("", 0, "/run/authz.sock")]
UPSTREAM = Address("::1", 3000)


def build(options: Options = Options()) -> dict[str, Any]:  # noqa: B008 - frozen
    return bootstrap(LISTEN, AUTHZ, UPSTREAM, ADMIN, options)


def manager(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def test_the_authorization_filter_fails_closed_and_lets_no_header_be_injected() -> None:
    (filter_,) = (each for each in manager(build())["http_filters"] if each["name"] == "envoy.filters.http.ext_authz")

    assert filter_["typed_config"] == {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "grpc_service": {
            "envoy_grpc": {"cluster_name": "authz"},
            "timeout": "0.5s",
            "initial_metadata": [
                {"key": "x-envoy-upstream-rq-per-try-timeout-ms", "value": "100"},
                {"key": "x-request-id", "value": "%REQUEST_HEADER(X-REQUEST-ID):128%"},
            ],
        },
        "encode_raw_headers": False,
        "metadata_context_namespaces": ["envoy.filters.http.jwt_authn"],
        "route_metadata_context_namespaces": ["cors_authz"],
        "validate_mutations": True,
        "failure_mode_allow": False,
        "status_on_error": {"code": 503},
        "charge_cluster_response_stats": False,
    }


def test_the_service_is_reached_as_measured_so_that_a_restart_fails_no_request() -> None:
    authz, _ = build()["static_resources"]["clusters"]

    protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    assert authz == {
        "name": "authz",
        "connect_timeout": "0.25s",
        "type": "STATIC",
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": {
            "cluster_name": "authz",
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 9000}}}},
                        {"endpoint": {"address": {"pipe": {"path": "/run/authz.sock"}}}},
                    ]
                }
            ],
        },
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        "health_checks": [
            {
                "timeout": "0.3s",
                "interval": "0.5s",
                "unhealthy_interval": "0.5s",
                "no_traffic_interval": "0.5s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "grpc_health_check": {},
            }
        ],
        "outlier_detection": {
            "consecutive_gateway_failure": 3,
            "enforcing_consecutive_gateway_failure": 100,
            "consecutive_5xx": 3,
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 5,
            "interval": "1s",
            "base_ejection_time": "3s",
            "max_ejection_percent": 50,
        },
        "circuit_breakers": {
            "thresholds": [{"max_retries": 1000, "max_requests": 10000, "max_pending_requests": 10000}]
        },
        "typed_extension_protocol_options": {
            protocol: {
                "@type": f"type.googleapis.com/{protocol}",
                "explicit_http_config": {"http2_protocol_options": {}},
                "retry_policy": {
                    "retry_on": "connect-failure,refused-stream,reset,reset-before-request,unavailable,cancelled,"
                    "resource-exhausted",
                    "num_retries": 3,
                    "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.05s"},
                    "retry_host_predicate": [
                        {
                            "name": "envoy.retry_host_predicates.previous_hosts",
                            "typed_config": {
                                "@type": "type.googleapis.com/"
                                "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                            },
                        }
                    ],
                    "host_selection_retry_max_attempts": 5,
                },
            }
        },
    }


def test_the_path_is_normalised_before_it_is_checked_and_slashes_stay_for_the_service_to_refuse() -> None:
    names = ("normalize_path", "merge_slashes", "path_with_escaped_slashes_action", "use_remote_address")

    assert {name: manager(build())[name] for name in names} == {
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "use_remote_address": True,
    }


def test_the_upstream_may_not_say_any_cors_header_for_itself() -> None:
    (host,) = manager(build())["route_config"]["virtual_hosts"]

    assert set(host["response_headers_to_remove"]) == {
        "access-control-allow-credentials",
        "access-control-allow-headers",
        "access-control-allow-methods",
        "access-control-allow-origin",
        "access-control-allow-private-network",
        "access-control-expose-headers",
        "access-control-max-age",
    }


def test_before_a_policy_in_shadow_the_upstream_says_its_cors_headers_for_itself() -> None:
    (host,) = manager(build(Options(shadow=True)))["route_config"]["virtual_hosts"]

    assert host["response_headers_to_remove"] == []


def test_filters_and_routes_of_the_deployment_stand_around_ours() -> None:
    options = Options(
        http_filters_before=[{"name": "before"}],
        http_filters_after=[{"name": "after"}],
        routes=[{"match": {"path": "/first"}}],
    )

    built = manager(build(options))

    names = [each["name"] for each in built["http_filters"]]
    assert names == ["before", "envoy.filters.http.ext_authz", "after", "envoy.filters.http.router"]
    assert built["route_config"]["virtual_hosts"][0]["routes"] == [
        {"match": {"path": "/first"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}},
    ]


TLS = {
    "with a client authority, certificates of clients are verified and not demanded": (
        Tls("cert.pem", "key.pem", "ca.pem"),
        {"validation_context": {"trusted_ca": {"filename": "ca.pem"}}},
    ),
    "without one, clients are not asked": (Tls("cert.pem", "key.pem"), {}),
}


@pytest.mark.parametrize("sentence", TLS)
def test_a_tls_listener(sentence: str) -> None:
    tls, validation = TLS[sentence]

    (chain,) = build(Options(tls=tls))["static_resources"]["listeners"][0]["filter_chains"]

    certificate = {"certificate_chain": {"filename": "cert.pem"}, "private_key": {"filename": "key.pem"}}
    assert chain["transport_socket"]["typed_config"] == {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificates": [certificate],
            **validation,
        },
        "require_client_certificate": False,
    }


CLUSTER_TYPES = {
    "IP addresses are static": (["10.0.0.1:1", "[::1]:2"], "STATIC"),
    "a Unix socket is static": (["unix:/run/authz.sock"], "STATIC"),
    "a name is resolved, to all of its addresses": (["authz-headless:9000"], "STRICT_DNS"),
}


@pytest.mark.parametrize("sentence", CLUSTER_TYPES)
def test_how_the_instances_are_found(sentence: str) -> None:
    texts, expected = CLUSTER_TYPES[sentence]

    config = bootstrap(LISTEN, [Address.parse(text) for text in texts], UPSTREAM, ADMIN)

    assert config["static_resources"]["clusters"][0]["type"] == expected


def test_every_address_of_the_services_name_is_asked_and_others_names_are_taken_at_one_kind() -> None:
    options = Options(access_logs=Address("logs", 1), tracing=Address("spans", 1))
    config = bootstrap(LISTEN, [Address("authz", 1)], Address("localhost", 1), ADMIN, options)

    assert {each["name"]: each["dns_lookup_family"] for each in config["static_resources"]["clusters"]} == {
        "authz": "ALL",
        "upstream": "V4_PREFERRED",
        "access_log": "V4_PREFERRED",
        "tracing": "V4_PREFERRED",
    }


def test_tls_is_spoken_to_the_listener_of_the_access_log_as_to_the_service() -> None:
    tls = ServiceTls("ca.pem", "logs", "envoy.pem", "envoy.key")
    options = Options(access_logs=Address("logs", 1), tracing=Address("spans", 1), authz_tls=tls, access_logs_tls=tls)
    clusters = bootstrap(LISTEN, [Address("authz", 1)], UPSTREAM, ADMIN, options)["static_resources"]["clusters"]

    sockets = {each["name"]: each.get("transport_socket") for each in clusters}
    assert sockets["access_log"] == sockets["authz"] is not None
    assert (sockets["upstream"], sockets["tracing"]) == (None, None)


SERVICE_TLS = {
    "a name is asked for, and is the only one that the certificate may have": (
        ServiceTls("ca.pem", "authz"),
        {"sni": "authz"},
        {"san_type": "DNS", "matcher": {"exact": "authz"}},
        {},
    ),
    "an address is not asked for, and is the only one that the certificate may have": (
        ServiceTls("ca.pem", "::1"),
        {},
        {"san_type": "IP_ADDRESS", "matcher": {"exact": "::1"}},
        {},
    ),
    "Envoy shows who it is": (
        ServiceTls("ca.pem", "authz", "envoy.pem", "envoy.key"),
        {"sni": "authz"},
        {"san_type": "DNS", "matcher": {"exact": "authz"}},
        {
            "tls_certificates": [
                {"certificate_chain": {"filename": "envoy.pem"}, "private_key": {"filename": "envoy.key"}}
            ]
        },
    ),
}


@pytest.mark.parametrize("sentence", SERVICE_TLS)
def test_tls_to_the_service(sentence: str) -> None:
    tls, server_name, named, shown = SERVICE_TLS[sentence]

    authz, upstream = build(Options(authz_tls=tls))["static_resources"]["clusters"]

    assert authz["transport_socket"] == {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            **server_name,
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                **shown,
                "validation_context": {
                    "trusted_ca": {"filename": "ca.pem"},
                    "match_typed_subject_alt_names": [named],
                },
            },
        },
    }
    assert "transport_socket" not in upstream


TIMES = {
    "as it is": (500, "0.5s", "100"),
    "a fraction of a millisecond is no time of a try": (54, "0.054s", "10"),
    "whole seconds": (60_000, "60.0s", "12000"),
}


@pytest.mark.parametrize("sentence", TIMES)
def test_each_try_of_a_check_has_a_fifth_of_its_time(sentence: str) -> None:
    milliseconds, timeout, try_ = TIMES[sentence]

    service = manager(build(Options(timeout_ms=milliseconds)))["http_filters"][0]["typed_config"]["grpc_service"]

    assert (service["timeout"], service["initial_metadata"][0]) == (
        timeout,
        {"key": "x-envoy-upstream-rq-per-try-timeout-ms", "value": try_},
    )


ACCESS_LOGS = {
    "the access log goes to the standard output": ("", "envoy.access_loggers.stdout", None),
    "the access log goes to a file": ("access.log", "envoy.access_loggers.file", "access.log"),
}


@pytest.mark.parametrize("sentence", ACCESS_LOGS)
def test_the_access_log_has_the_decision(sentence: str) -> None:
    path, name, written = ACCESS_LOGS[sentence]

    (log,) = manager(build(Options(access_log=path)))["access_log"]

    decision = log["typed_config"]["log_format"]["json_format"]["decision"]
    assert (log["name"], log["typed_config"].get("path"), decision) == (
        name,
        written,
        "%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%",
    )


def test_a_listener_of_the_access_log_is_sent_what_it_compares() -> None:
    built = build(Options(access_logs=Address("logs", 9192)))

    message = "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig"
    _, log = manager(built)["access_log"]
    assert log == {
        "name": "envoy.access_loggers.http_grpc",
        "typed_config": {
            "@type": f"type.googleapis.com/{message}",
            "common_config": {
                "log_name": "authz",
                "transport_api_version": "V3",
                "grpc_service": {"envoy_grpc": {"cluster_name": "access_log"}},
                "buffer_flush_interval": "1s",
            },
            "additional_request_headers_to_log": ["origin", "x-envoy-original-host"],
            "additional_response_headers_to_log": [
                "access-control-allow-origin",
                "access-control-allow-credentials",
                "access-control-allow-methods",
                "access-control-allow-headers",
                "access-control-expose-headers",
                "access-control-max-age",
                "access-control-allow-private-network",
                "vary",
            ],
        },
    }
    protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    (cluster,) = (each for each in built["static_resources"]["clusters"] if each["name"] == "access_log")
    assert (cluster["type"], cluster["typed_extension_protocol_options"]) == (
        "STRICT_DNS",
        {
            protocol: {
                "@type": f"type.googleapis.com/{protocol}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    )


def test_it_is_json_and_every_build_is_a_value_of_its_own() -> None:
    first, second = build(), build()
    first["static_resources"]["clusters"].clear()
    manager(first)["route_config"]["virtual_hosts"][0]["response_headers_to_remove"].clear()

    assert json.loads(json.dumps(second)) == build()
