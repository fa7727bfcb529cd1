"""What the chart renders: valid in each Kubernetes it names, hardened, failing closed, in step with the service."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cors_authz.cli.health import health
from cors_authz.cli.serve import serve
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import Options, authz_cluster, authz_filter, host_settings
from cors_authz.policy.document import Source
from cors_authz.policy.load import check_policy
from helm import generated
from tests.helm.rendering import (
    KUBECTL,
    VALUES,
    Kind,
    Rendered,
    containers,
    helm,
    needs_helm,
    of_file,
    of_values,
    pods,
    text_of_values,
)

pytestmark = needs_helm

KUBERNETES: Final = tuple(f"1.{minor}" for minor in range(29, 38))
NAMESPACED_LENGTH: Final = 63
HARDENED: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
ATTACHED: Final = ("AuthorizationPolicy", "SecurityPolicy", "HTTPRoute")
every_file: Final = pytest.mark.parametrize("name", VALUES)


def _walk(node: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any JSON
    if isinstance(node, dict):
        for key, value in node.items():
            yield key, value
            yield from _walk(value)
    elif isinstance(node, list):
        for each in node:
            yield from _walk(each)


def _names(rendered: Rendered) -> set[tuple[str, str, str]]:
    return {(each["kind"], each["metadata"]["namespace"], each["metadata"]["name"]) for each in rendered.objects}


def _env(container: Kind) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


@every_file
def test_lint_finds_nothing(name: str) -> None:
    linted = helm("lint", "--strict", generated.CHART, "--values", VALUES[name])
    assert (linted.returncode, "WARNING" in linted.stdout) == (0, False), linted.stdout + linted.stderr


@every_file
def test_each_mode_and_integration_is_rendered(name: str) -> None:
    rendered = of_file(name)
    assert rendered.refusal == ""
    assert rendered.objects
    assert {each["metadata"]["labels"]["app.kubernetes.io/instance"] for each in rendered.objects} == {"shop"}


@pytest.mark.skipif(
    importlib.util.find_spec("kubernetes_validate") is None, reason="kubernetes-validate is not installed"
)
@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_knows_every_field(version: str) -> None:
    validate = importlib.import_module("kubernetes_validate")
    seen = {json.dumps(each) for name in VALUES for each in of_file(name, "--kube-version", f"{version}.0").objects}
    unknown = set()
    for text in sorted(seen):
        try:
            validate.validate(json.loads(text), version, strict=True)
        except validate.SchemaNotFoundError as error:
            unknown.add(error.api_version)
    assert {each.partition("/")[0] for each in unknown} == {
        "cert-manager.io",
        "gateway.envoyproxy.io",
        "gateway.networking.k8s.io",
        "monitoring.coreos.com",
        "networking.istio.io",
        "security.istio.io",
    }


@every_file
def test_every_container_is_hardened(name: str) -> None:
    for kind, pod in pods(of_file(name)):
        owner = {"runAsUser": 101, "runAsGroup": 101} if kind == "sidecar" else {}
        assert [each["securityContext"] for each in containers(pod)] == [HARDENED | owner] * len(containers(pod))
        if kind != "sidecar":
            assert pod["automountServiceAccountToken"] is False
            assert pod["securityContext"]["runAsNonRoot"] is True
        assert all({"cpu", "memory"} <= set(each["resources"]["requests"]) for each in containers(pod))


@every_file
def test_nothing_is_mounted_by_sub_path(name: str) -> None:
    for _, pod in pods(of_file(name)):
        mounted = {mount["name"] for each in pod["containers"] for mount in each.get("volumeMounts", ())}
        mounted |= {mount["name"] for each in pod.get("initContainers", ()) for mount in each["volumeMounts"]}
        assert mounted == {each["name"] for each in pod.get("volumes", ())}
        assert "subPath" not in dict(_walk(pod))


@every_file
def test_everything_fails_closed(name: str) -> None:
    told = [(key, value) for each in of_file(name).objects for key, value in _walk(each)]
    snippets = [(key, value) for _, text in told if isinstance(text, str) and "extensionProviders" in text
                for key, value in _walk(yaml.safe_load(text))]  # fmt: skip
    answers = {(key, str(value)) for key, value in told + snippets if "fail" in key.lower() and "open" in key.lower()}
    answers |= {(key, str(value)) for key, value in told if key == "failure_mode_allow"}
    assert answers <= {("failOpen", "False")}
    attached = {each["kind"] for each in of_file(name).objects} & {"SecurityPolicy", "AuthorizationPolicy"}
    assert bool(answers) == bool(attached)


@every_file
def test_what_is_attached_asks_this_service(name: str) -> None:
    # Each kind of attachment has its file of values.
    expected = {("cors", "shop-cors-authz")} if any(each in name for each in ("istio", "gateway")) else set()
    assert _asked_by(of_file(name)) == expected


def _asked_by(rendered: Rendered) -> set[tuple[str, str]]:
    mesh = {
        provider["name"]: provider["envoyExtAuthzGrpc"]["service"]
        for text in _texts(rendered, "mesh-config.yaml")
        for provider in yaml.safe_load(text)["extensionProviders"]
    }
    return {_asked(each, mesh) for kind in ATTACHED for each in rendered.of(kind)}


def _texts(rendered: Rendered, key: str) -> list[str]:
    return [each["data"][key] for each in rendered.of("ConfigMap") if key in each["data"]]


def _asked(attached: Kind, mesh: Mapping[str, str]) -> tuple[str, str]:
    """Give the namespace and the name of the Service that an attachment asks about each request that it takes."""
    spec = attached["spec"]
    match attached["kind"]:
        case "AuthorizationPolicy":
            assert spec["action"] == "CUSTOM"
            name, namespace, *_ = mesh[spec["provider"]["name"]].split(".")
            return namespace, name
        case "SecurityPolicy":
            (reference,) = {(each["namespace"], each["name"]) for each in spec["extAuth"]["grpc"]["backendRefs"]}
            return reference
        case _:
            backends = [
                each["externalAuth"]["backendRef"]
                for rule in spec["rules"]
                for each in rule["filters"]
                if each["type"] == "ExternalAuth"
            ]
            assert len(backends) == len(spec["rules"])
            return backends[0]["namespace"], backends[0]["name"]


def test_a_route_without_a_filter_is_another_attachments(tmp_path: Path) -> None:
    gateway = {"enabled": True, "targetRefs": [{"kind": "HTTPRoute", "name": "a"}]}
    values = yaml.safe_load(_ROUTES.replace("externalAuth: true, ", ""))
    values["integrations"] |= {"envoyGateway": gateway, "stripUpstreamHeaders": False}
    rendered = of_values(tmp_path, {**values, "clusterChecks": False})
    route, policy = rendered.one("HTTPRoute"), rendered.one("SecurityPolicy")
    assert "filters" not in route["spec"]["rules"][0]
    assert policy["spec"]["targetRefs"] == [
        {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": route["metadata"]["name"]}
    ]
    assert policy["metadata"]["namespace"] == route["metadata"]["namespace"]


def test_a_request_that_names_a_port_is_asked_about_too(tmp_path: Path) -> None:
    hosts = ["api.shop.example", "cdn.shop.example:*", "www.*", "*"]
    rules = [{"to": [{"operation": {"hosts": hosts, "methods": ["GET"]}}], "when": [{"key": "a", "values": ["b"]}]}, {}]
    attachment = {"name": "a", "namespace": "b", "selector": {"c": "d"}, "rules": rules}
    istio = {"enabled": True, "attachments": [attachment]}
    policy = of_values(tmp_path, {"clusterChecks": False, "integrations": {"istio": istio}}).one("AuthorizationPolicy")
    whole = ["api.shop.example", "api.shop.example:*", "cdn.shop.example", "cdn.shop.example:*", "www.*", "*"]
    assert policy["spec"]["rules"] == [
        {"to": [{"operation": {"hosts": whole, "methods": ["GET"]}}], "when": rules[0]["when"]},
        {},
    ]


@every_file
def test_what_selects_pods_selects_those_that_serve_and_no_others(name: str) -> None:
    rendered = of_file(name)
    serving = [each for each in rendered.objects if each["kind"] in {"Deployment", "DaemonSet"}]
    selectors = [each["spec"]["selector"] for each in rendered.of("Service")]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in serving + rendered.of("PodDisruptionBudget")]
    selectors += [each["spec"]["podSelector"]["matchLabels"] for each in rendered.of("NetworkPolicy")]
    for selector in selectors:
        assert all(selector.items() <= each["spec"]["template"]["metadata"]["labels"].items() for each in serving)
        assert not any(selector.items() <= each["metadata"]["labels"].items() for each in rendered.of("Pod"))


@every_file
def test_envoy_sees_each_port_of_each_pod(name: str) -> None:
    services = {each["spec"].get("clusterIP", ""): each["spec"]["ports"] for each in of_file(name).of("Service")}
    for kind, pod in pods(of_file(name)):
        if kind in {"sidecar", "test"}:
            continue
        (container,) = containers(pod)
        numbers = {each["name"]: each["containerPort"] for each in container["ports"]}
        checks = {each["name"]: each["port"] for each in services[""]}
        assert {each["targetPort"]: each["port"] for each in services["None"]} == numbers
        assert checks == {key: value for key, value in numbers.items() if key.startswith("grpc")}
        assert len(checks) == int(_env(container)["CORS_AUTHZ_WORKERS"])
        assert {each["appProtocol"] for each in services[""]} == {"grpc"}
        first, *_ = checks.values()
        assert (first, _env(container)["CORS_AUTHZ_LISTEN"]) == (9191, "0.0.0.0:9191")


@every_file
def test_probes_ask_what_does_not_depend_on_the_newest_policy(name: str) -> None:
    for kind, pod in pods(of_file(name)):
        if kind == "test":
            continue
        for container in containers(pod):
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                _is_of_the_service(container[probe], spoken=kind != "sidecar" and "TLS" not in str(container["env"]))


def _is_of_the_service(probe: Kind, *, spoken: bool) -> None:
    if spoken:
        assert probe["grpc"] == {"port": 9191}
    else:
        command = probe["exec"]["command"]
        assert command[:2] == ["cors-authz", "health"]
        assert not any(each.startswith("--service") for each in command)


@every_file
def test_a_pod_that_ends_is_asked_on_and_then_drains(name: str) -> None:
    for kind, pod in pods(of_file(name)):
        if kind not in {"Deployment", "DaemonSet"}:
            continue
        (container,) = containers(pod)
        env = _env(container)
        waits = [
            container["lifecycle"]["preStop"]["sleep"]["seconds"],
            env["CORS_AUTHZ_DRAIN_SECONDS"],
            env["CORS_AUTHZ_GRACE_SECONDS"],
        ]
        assert [float(each) for each in waits] == [10, 2.5, 5]
        assert pod["terminationGracePeriodSeconds"] == 23


def test_before_kubernetes_can_sleep_the_service_itself_waits_longer() -> None:
    (_, pod), *_ = pods(of_file("values-deployment", "--kube-version", "1.29.0"))
    (container,) = containers(pod)
    assert "lifecycle" not in container
    assert _env(container)["CORS_AUTHZ_DRAIN_SECONDS"] == "12.5"
    assert pod["terminationGracePeriodSeconds"] == 23


def test_a_policy_that_changes_restarts_nobody_and_a_setting_that_changes_does(tmp_path: Path) -> None:
    text = "apiVersion: cors-authz/v1\nkind: PolicyBundle\nmetadata: {name: other}\n"
    before = of_file("values-deployment").one("Deployment")
    assert of_values(tmp_path, {"policy": {"files": {"policy.yaml": text}}}).one("Deployment") == before
    assert of_values(tmp_path, {"environment": "staging"}).one("Deployment") != before


def test_what_a_node_does_not_count_is_taken_off_as_the_document_says(tmp_path: Path) -> None:
    text = (generated.ROOT / "docs" / "kubernetes.md").read_text()
    (flag,) = set(re.findall(r"--set (resources\.\S*ephemeral-storage=null)", text))
    assert "ephemeral-storage" in json.dumps(of_file("values-deployment").objects)
    assert "ephemeral-storage" not in json.dumps(of_file("values-deployment", "--set", flag).objects)
    # As `--reuse-values` hands on what was taken off.
    handed_on = of_values(tmp_path, {"resources": {"requests": {"example.com/fpga": None}, "limits": None}})
    assert "fpga" not in json.dumps(handed_on.objects)


def test_text_of_a_policy_arrives_as_it_was_written() -> None:
    written = yaml.safe_load(VALUES["values-deployment"].read_text())["policy"]["files"]
    assert of_file("values-deployment").one("ConfigMap")["data"] == written


@pytest.mark.parametrize("name", [name for name in VALUES if name != "values-existing"])
def test_the_policies_of_the_examples_load(name: str) -> None:
    (policy,) = [each for each in of_file(name).of("ConfigMap") if each["metadata"]["name"] == "shop-cors-authz-policy"]
    sources = [Source(file, text.encode()) for file, text in policy["data"].items()]
    assert [str(each) for each in check_policy(sources, "prod") if each.severity.value == "error"] == []


def test_a_config_map_that_exists_is_not_the_charts() -> None:
    rendered = of_file("values-existing")
    assert rendered.of("ConfigMap") == []
    assert "shop-policy" in str(rendered.one("Deployment")["spec"]["template"]["spec"]["volumes"])


def test_the_service_knows_each_variable_that_is_set() -> None:
    known = {each.envvar for each in serve.params}
    set_by_charts = {
        variable
        for name in VALUES
        for _, pod in pods(of_file(name))
        for each in containers(pod)
        for variable in _env_names(each)
    }
    assert {each for each in set_by_charts if each.startswith("CORS_AUTHZ_")} <= known
    asked = {flag for each in health.params for flag in each.opts}
    commands = {
        part.partition("=")[0]
        for name in VALUES
        for _, pod in pods(of_file(name))
        for key, value in _walk(pod)
        if key in {"command", "args"} and "health" in value
        for part in value
        if part.startswith("--")
    }
    assert {"--timeout", "--tls-ca"} <= commands <= asked


def _env_names(container: Kind) -> set[str]:
    return {each["name"] for each in container.get("env", ())}


def test_pods_are_as_many_as_the_scaler_says() -> None:
    assert "replicas" not in of_file("values-workers").one("Deployment")["spec"]
    scaler = of_file("values-workers").one("HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == of_file("values-workers").one("Deployment")["metadata"]["name"]
    assert of_file("values-deployment").one("Deployment")["spec"]["replicas"] == 2


def test_an_instance_on_each_node_serves_that_node() -> None:
    services = {each["metadata"]["name"]: each["spec"] for each in of_file("values-daemonset").of("Service")}
    assert services["shop-cors-authz"]["internalTrafficPolicy"] == "Local"
    assert of_file("values-daemonset").of("PodDisruptionBudget") == []


def test_names_of_63_characters_stay_whole_and_those_made_from_them_fit(tmp_path: Path) -> None:
    longest = {"fullnameOverride": "a" * NAMESPACED_LENGTH, "metrics": {"dashboards": {"enabled": True}}}
    names = {name for _, _, name in _names(of_values(tmp_path, longest))}
    assert "a" * NAMESPACED_LENGTH in names
    assert max(len(each) for each in names) == NAMESPACED_LENGTH
    assert len(names) == 5
    release = of_values(tmp_path, {"nameOverride": "b" * 50}, release="c" * 53)
    labels = {str(value) for each in release.objects for value in each["metadata"]["labels"].values()}
    assert max(len(each) for each in labels | {name for _, _, name in _names(release)}) == NAMESPACED_LENGTH


@pytest.mark.parametrize("name", [name for name in VALUES if "istio" in name or "gateway" in name])
def test_names_of_attachments_fit_too(name: str) -> None:
    longest = "a" * NAMESPACED_LENGTH
    rendered = of_file(name, f"--set=fullnameOverride={longest}")
    own = [each["metadata"]["name"] for each in rendered.objects if each["kind"] != "HTTPRoute"]
    assert max(map(len, own)) == NAMESPACED_LENGTH
    assert len(_names(rendered)) == len(_names(of_file(name)))
    assert _asked_by(rendered) == {("cors", longest)}


def test_two_releases_in_a_namespace_share_nothing(tmp_path: Path) -> None:
    one, other = (of_values(tmp_path, {}, release=release) for release in ("a" * 49 + "-one", "a" * 49 + "-two"))
    assert _names(one) & _names(other) == set()
    selectors = [each.one("Deployment")["spec"]["selector"]["matchLabels"] for each in (one, other)]
    assert selectors[0] != selectors[1]


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed: neither on the PATH nor in .tools/bin")
def test_the_patch_of_a_sidecar_leaves_the_rest_of_a_deployment_as_it_was(tmp_path: Path) -> None:
    (patch,) = [
        each["data"]["patch.yaml"] for each in of_file("values-sidecar").of("ConfigMap") if "patch.yaml" in each["data"]
    ]
    own = {
        "containers": [
            {"name": "proxy", "image": "envoy", "volumeMounts": [{"name": "policy", "mountPath": "/policy"}]}
        ],
        "initContainers": [{"name": "first", "image": "first"}],
        "volumes": [{"name": "policy", "emptyDir": {}}],
    }
    template = {"metadata": {"labels": {"app": "a"}}, "spec": own}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
                  "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": template}}  # fmt: skip
    file = tmp_path / "deployment.json"
    file.write_text(json.dumps(deployment))
    assert KUBECTL is not None
    command = [KUBECTL, "patch", "--local", "--filename", str(file), "--patch", patch, "--output", "json"]
    pod = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["spec"]["template"][
        "spec"
    ]
    assert {each["name"]: each.get("restartPolicy") for each in pod["initContainers"]} == {
        "cors-authz": "Always",
        "first": None,
    }
    (proxy,) = pod["containers"]
    assert {each["name"]: each["mountPath"] for each in proxy["volumeMounts"]} == {
        "policy": "/policy",
        "cors-authz-socket": "/run/cors-authz",
    }
    assert {"name": "policy", "emptyDir": {}} in pod["volumes"]
    assert {each["name"] for each in pod["volumes"]} == {
        "policy",
        "cors-authz-policy",
        "cors-authz-jwks",
        "cors-authz-socket",
    }


def _sidecar(rendered: Rendered) -> Kind:
    (patch,) = _texts(rendered, "patch.yaml")
    return Kind(yaml.safe_load(patch)["spec"]["template"]["spec"])


def test_a_sidecar_is_pulled_by_the_secrets_and_runs_as_envoys_user(tmp_path: Path) -> None:
    context = {"runAsUser": 4, "runAsGroup": 5}
    pod = _sidecar(of_values(tmp_path, {"mode": "sidecar", "sidecar": {"runAsUser": 101}, "securityContext": context,
                                        "imagePullSecrets": [{"name": "registry"}]}))  # fmt: skip
    (container,) = containers(pod)
    assert container["securityContext"] == HARDENED | {"runAsUser": 101, "runAsGroup": 5}
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert "imagePullSecrets" not in _sidecar(of_file("values-sidecar"))


def test_the_pod_of_a_test_lands_where_the_service_runs(tmp_path: Path) -> None:
    affinity: Kind = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}
    where = {"nodeSelector": {"a": "b"}, "affinity": affinity, "tolerations": [{"operator": "Exists"}]}
    rendered = of_values(tmp_path, {"mode": "daemonset", **where})
    placed = [rendered.one("DaemonSet")["spec"]["template"]["spec"], rendered.one("Pod")["spec"]]
    assert [{key: each[key] for key in where} for each in placed] == [where, where]


def _patches(rendered: Rendered) -> dict[str, Any]:
    return {each["applyTo"]: each["patch"]["value"] for each in rendered.one("EnvoyFilter")["spec"]["configPatches"]}


@pytest.mark.parametrize(
    ("name", "inbound", "outbound"),
    [("ingress", "GATEWAY", "GATEWAY"), ("catalogue", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND")],
)
def test_istio_changes_what_comes_in_and_the_way_out_to_the_service_alone(
    name: str, inbound: str, outbound: str
) -> None:
    (found,) = [each for each in of_file("values-istio").of("EnvoyFilter") if each["metadata"]["name"].endswith(name)]
    matches = {each["applyTo"]: each["match"] for each in found["spec"]["configPatches"]}
    assert matches.pop("CLUSTER") == {
        "context": outbound,
        "cluster": {"service": "shop-cors-authz.cors.svc.cluster.local", "portNumber": 9191},
    }
    assert {each["context"] for each in matches.values()} == {inbound}
    (policy,) = [
        each for each in of_file("values-istio").of("AuthorizationPolicy") if each["metadata"]["name"].endswith(name)
    ]
    assert (policy["metadata"]["namespace"], policy["spec"]["selector"]["matchLabels"]) == (
        found["metadata"]["namespace"],
        found["spec"]["workloadSelector"]["labels"],
    )


def test_a_strategy_without_a_rolling_update_says_nothing_of_one(tmp_path: Path) -> None:
    recreated = of_values(tmp_path, {"updateStrategy": {"type": "Recreate"}}).one("Deployment")
    assert recreated["spec"]["strategy"] == {"type": "Recreate"}


def _without_request_id(metadata: list[Kind]) -> list[Kind]:
    # Older Envoys of Istio know `%REQ%` alone.
    return [each for each in metadata if each["key"] != "x-request-id"]


def _destination(folder: Path, *, mode: str, served: bool) -> Kind:
    tls = {"enabled": served, "existingSecret": "a"}
    istio = {"tls": {"mode": mode}, "enabled": True}
    istio |= {"attachments": [{"name": "a", "namespace": "b", "selector": {"c": "d"}}]}
    values = {"clusterChecks": False, "tls": tls, "integrations": {"stripUpstreamHeaders": False, "istio": istio}}
    rendered = of_values(folder, values)
    return Kind(rendered.one("DestinationRule")["spec"]["trafficPolicy"]["tls"])


def test_a_certificate_of_istios_own_names_no_host(tmp_path: Path) -> None:
    host = "shop-cors-authz.cors.svc.cluster.local"
    simple = {"mode": "SIMPLE", "sni": host, "subjectAltNames": [host]}
    assert _destination(tmp_path, mode="SIMPLE", served=True) == simple
    assert _destination(tmp_path, mode="ISTIO_MUTUAL", served=False) == {"mode": "ISTIO_MUTUAL"}


def test_istio_is_told_what_every_envoy_is_told() -> None:
    patches = _patches(of_file("values-istio-tls"))
    cluster = authz_cluster([Address("127.0.0.1", 9191)], None)
    assert patches["CLUSTER"] == {key: cluster[key] for key in patches["CLUSTER"]}
    assert patches["VIRTUAL_HOST"] == host_settings()
    asked, ours = patches["HTTP_FILTER"]["typed_config"], authz_filter(Options())["typed_config"]
    assert {key: value for key, value in asked.items() if key != "grpc_service"} == {
        key: ours[key] for key in asked if key != "grpc_service"
    }
    assert _without_request_id(asked["grpc_service"]["initial_metadata"]) == _without_request_id(
        ours["grpc_service"]["initial_metadata"]
    )
    provider = yaml.safe_load(_mesh_config())["extensionProviders"][0]
    assert provider == {
        "name": "shop-cors-authz-cors",
        "envoyExtAuthzGrpc": {
            "service": "shop-cors-authz.cors.svc.cluster.local",
            "port": 9191,
            "timeout": ours["grpc_service"]["timeout"],
            "failOpen": False,
            "statusOnError": str(ours["status_on_error"]["code"]),
        },
    }
    named = {each["spec"]["provider"]["name"] for each in of_file("values-istio").of("AuthorizationPolicy")}
    assert named == {provider["name"]}


def _mesh_config() -> str:
    (text,) = [
        each["data"]["mesh-config.yaml"]
        for each in of_file("values-istio").of("ConfigMap")
        if "istio" in each["metadata"]["name"]
    ]
    return str(text)


def test_envoy_gateway_is_told_what_every_envoy_is_told() -> None:
    rendered = of_file("values-envoy-gateway")
    policy = rendered.one("SecurityPolicy")["spec"]["extAuth"]
    assert [each["port"] for each in policy["grpc"]["backendRefs"]] == [9191, 9192]
    whole = of_file("values-envoy-gateway-tls")
    values = {
        each["operation"].get("path"): each["operation"]["value"]
        for each in whole.one("EnvoyPatchPolicy")["spec"]["jsonPatches"]
    }
    (protocol,) = authz_cluster([Address("127.0.0.1", 9191)], None)["typed_extension_protocol_options"].values()
    ours = authz_filter(Options())["typed_config"]
    assert values["/retry_policy"] == protocol["retry_policy"]
    assert values["/response_headers_to_remove"] == host_settings()["response_headers_to_remove"]
    assert _without_request_id(values["/initial_metadata"]) == _without_request_id(
        ours["grpc_service"]["initial_metadata"]
    )
    grant = rendered.one("ReferenceGrant")
    assert (grant["metadata"]["namespace"], grant["spec"]["from"][0]["namespace"]) == ("cors", "shop")
    assert whole.of("ReferenceGrant") == []


def test_a_route_asks_the_service_and_takes_off_what_upstreams_say() -> None:
    rendered = of_file("values-gateway-api")
    route, grant = rendered.one("HTTPRoute"), rendered.one("ReferenceGrant")
    asked, taken_off = route["spec"]["rules"][0]["filters"]
    service = {"group": "", "kind": "Service", "name": "shop-cors-authz"}
    assert asked == {
        "type": "ExternalAuth",
        "externalAuth": {"protocol": "GRPC", "backendRef": service | {"namespace": "cors", "port": 9191}},
    }
    removed = {"remove": host_settings()["response_headers_to_remove"]}
    assert taken_off == {"type": "ResponseHeaderModifier", "responseHeaderModifier": removed}
    assert (route["metadata"]["namespace"], grant["metadata"]["namespace"]) == ("shop", "cors")
    assert grant["spec"] == {
        "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "shop"}],
        "to": [service],
    }


_ATTACHED: Final = "integrations: {istio: {enabled: true, attachments: [{name: a, namespace: b, selector: {c: d}%s}]}}"
_TARGETS: Final = (
    "integrations: {envoyGateway: {enabled: true, targetRefs: [%s], patch: {enabled: true, gateway: edge,"
    " listeners: [{name: http, port: 80, protocol: HTTP}]}}}"
)
_ROUTES: Final = (
    "integrations: {gatewayApi: {enabled: true, externalAuth: true, routes: [{name: a, parentRefs: [{name: b}],"
    " backendRefs: [{name: c}]}]}}"
)
STRIPPED: Final[dict[str, tuple[str, set[str]]]] = {
    "all that Istio's gateway serves": (_ATTACHED % "", {"EnvoyFilter"}),
    "some hosts of Istio's gateway, where others keep what they say": (
        _ATTACHED % ", rules: [{to: [{operation: {hosts: [api.shop.example]}}]}]",
        set(),
    ),
    "the patched Gateway": (_TARGETS % "{kind: HTTPRoute, name: a}, {kind: Gateway, name: edge}", {"EnvoyPatchPolicy"}),
    "a listener of the patched Gateway": (_TARGETS % "{kind: Gateway, name: edge, sectionName: http}", set()),
    "another Gateway than the patched one": (_TARGETS % "{kind: Gateway, name: other}", set()),
    "a route of the patched Gateway": (_TARGETS % "{kind: HTTPRoute, name: edge}", set()),
    "routes of Gateway API": (_ROUTES, {"HTTPRoute"}),
}


@pytest.mark.parametrize(("attached", "kinds"), STRIPPED.values(), ids=STRIPPED)
def test_upstreams_are_taken_at_their_word_but_where_all_is_asked_about(
    attached: str, kinds: set[str], tmp_path: Path
) -> None:
    values = {"clusterChecks": False, "policy": {"files": None, "existingConfigMap": "shop"}}
    stripped = of_values(tmp_path, yaml.safe_load(attached) | values)
    kept = of_values(tmp_path, yaml.safe_load(attached) | values, "--set=integrations.stripUpstreamHeaders=false")
    assert _strip(stripped) == kinds
    assert (_strip(kept), len(kept.objects)) == (set(), len(stripped.objects))


def _strip(rendered: Rendered) -> set[str]:
    assert rendered.refusal == ""
    return {each["kind"] for each in rendered.objects if "access-control-allow-origin" in str(each)}


def test_a_target_of_istio_is_of_the_group_of_its_kind() -> None:
    groups = {"Gateway": "gateway.networking.k8s.io", "Service": ""}
    objects = of_file("values-istio").of("AuthorizationPolicy") + of_file("values-istio").of("EnvoyFilter")
    targets = [target for each in objects for target in each["spec"].get("targetRefs", ())]
    assert [(target["name"], target["group"] == groups[target["kind"]]) for target in targets] == [
        ("edge", True),
        ("orders", True),
        ("edge", True),
    ]


def test_providers_of_two_long_names_stay_two(tmp_path: Path) -> None:
    istio = {"enabled": True, "attachments": [{"name": "a", "namespace": "b", "selector": {"c": "d"}}]}
    values = {"clusterChecks": False, "policy": {"files": None, "existingConfigMap": "shop"}}
    values |= {"integrations": {"istio": istio}}
    values |= {"fullnameOverride": "a" * 60}
    policies = [
        of_values(tmp_path, values, f"--namespace={name}").one("AuthorizationPolicy") for name in ("cors-a", "cors-b")
    ]
    named = {each["spec"]["provider"]["name"] for each in policies}
    assert [len(each) for each in named] == [NAMESPACED_LENGTH] * 2


def test_a_label_that_two_values_name_stands_once_and_none_selects_anew(tmp_path: Path) -> None:
    every = {"commonLabels": {"team": "platform", "tier": "a"}, "podLabels": {"team": "", "app": "1e3"}}
    every["podAnnotations"] = {"kubectl.kubernetes.io/default-container": "proxy", "note": "true"}
    labels = {"team": "observability"}
    metrics = {name: {"enabled": True, "labels": labels} for name in ("serviceMonitor", "prometheusRule", "dashboards")}
    metrics["prometheusRule"]["runbookUrlPrefix"] = "https://git.example/a: b #"
    text = text_of_values(tmp_path, every | {"metrics": metrics, "clusterChecks": False})
    assert _repeated_keys(text) == []
    objects = [each for each in yaml.safe_load_all(text) if each]
    (pod,) = [each["spec"]["template"]["metadata"] for each in objects if each["kind"] == "Deployment"]
    assert {key: value for key, value in pod["labels"].items() if "/" not in key} == {
        "team": "",
        "tier": "a",
        "app": "1e3",
    }
    assert pod["annotations"] == every["podAnnotations"]
    watched = [each["metadata"]["labels"] for each in objects if each["metadata"]["labels"]["team"] == "observability"]
    assert [each["tier"] for each in watched] == ["a"] * 3
    assert "runbook_url: 'https://git.example/a: b #docs/playbook.md" in text


def _repeated_keys(text: str) -> list[str]:
    mappings = [each for each in _nodes(text) if isinstance(each, yaml.MappingNode)]
    keys = [[key.value for key, _ in each.value] for each in mappings]
    return [key for each in keys for key in set(each) if each.count(key) > 1]


def _nodes(text: str) -> Iterator[yaml.Node]:
    left = list(yaml.compose_all(text))
    while left:
        node = left.pop()
        yield node
        if isinstance(node, yaml.MappingNode):
            left += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            left += node.value


@pytest.mark.parametrize("word", ["null", "true", "1e3"])
@every_file
def test_a_name_that_reads_as_something_else_stays_a_name(name: str, word: str, tmp_path: Path) -> None:
    named = _named_by(tmp_path, name, word)
    assert _bare(named, word) == _bare(_named_by(tmp_path, name, "other"), word)
    assert f'namespace: "{word}"' in named


def _named_by(folder: Path, name: str, word: str) -> str:
    # A Service's name begins with a letter; namespaces and the names of others need not.
    full = word if word.isalpha() else "a"
    values = {
        "fullnameOverride": full,
        "nameOverride": full,
        "priorityClassName": word,
        "serviceAccount": {"create": False, "name": word},
        "sidecar": {"envoyContainer": word},
        "jwks": {"existingConfigMap": word, "existingSecret": ""},
        "tls": {"existingSecret": word},
    }
    return text_of_values(folder, values, f"--namespace={word}", base=name, release=word)


def _bare(text: str, word: str) -> int:
    """Count where the word stands without quotes, in texts within the text too."""
    scalars = [each for each in _nodes(text) if isinstance(each, yaml.ScalarNode)]
    within = sum(_bare(each.value, word) for each in scalars if each.style == "|" and "apiVersion" not in each.value)
    return within + len([each for each in scalars if each.style is None and each.value == word])


def test_a_certificate_names_the_services_and_nothing_else() -> None:
    rendered = of_file("values-cert-manager")
    issued = rendered.one("Certificate")["spec"]
    hosts = [
        f"{name}{suffix}"
        for name in ("shop-cors-authz", "shop-cors-authz-headless")
        for suffix in ("", ".cors", ".cors.svc", ".cors.svc.cluster.local")
    ]
    assert issued["dnsNames"] == hosts
    assert issued["usages"] == ["digital signature", "server auth", "client auth"]
    (_, pod), *_ = pods(rendered)
    (volume,) = [each for each in pod["volumes"] if each["name"] == "cors-authz-tls"]
    assert volume["secret"] == {"secretName": issued["secretName"], "defaultMode": 0o440}
    (container,) = containers(pod)
    assert {key: value for key, value in _env(container).items() if "TLS" in key} == {
        "CORS_AUTHZ_TLS_CERT": "/etc/cors-authz/tls/tls.crt",
        "CORS_AUTHZ_TLS_KEY": "/etc/cors-authz/tls/tls.key",
        "CORS_AUTHZ_TLS_CLIENT_CA": "/etc/cors-authz/tls/ca.crt",
    }
    asked = container["livenessProbe"]["exec"]["command"]
    assert asked[2:] == [
        "--timeout=2",
        "--tls-ca=/etc/cors-authz/tls/ca.crt",
        f"--tls-name={hosts[3]}",
        "--tls-cert=/etc/cors-authz/tls/tls.crt",
        "--tls-key=/etc/cors-authz/tls/tls.key",
    ]


def test_what_watches_is_told_where_to_write() -> None:
    (_, pod), *_ = pods(of_file("values-observed"))
    (container,) = containers(pod)
    told = {key: value for key, value in _env(container).items() if "AUDIT" in key or "OTEL" in key}
    assert told == {
        "CORS_AUTHZ_AUDIT": "- otlp /var/log/cors-authz/decisions.jsonl",
        "CORS_AUTHZ_AUDIT_KEY": "/etc/cors-authz/audit/audit.key",
        "CORS_AUTHZ_AUDIT_REQUIRED": "true",
        "CORS_AUTHZ_AUDIT_REVEAL": "header:x-device",
        "CORS_AUTHZ_AUDIT_SAMPLE_ALLOW": "1",
        "CORS_AUTHZ_AUDIT_WHEN_FULL": "drop-allow-first",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.observability:4317",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_RESOURCE_ATTRIBUTES": "k8s.namespace.name=cors,k8s.pod.name=$(POD_NAME)",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.1",
    }


def _notes(name: str, *flags: str) -> str:
    words = ("install", "shop", generated.CHART, "--namespace", "cors", "--dry-run=client", "--values", VALUES[name])
    return helm(*words, *flags).stdout.partition("NOTES:")[2]


def test_notes_name_the_next_step_and_what_goes_wrong_without_it() -> None:
    notes = {name: _notes(name) for name in VALUES}
    assert all("mode: shadow" in each and "421" in each and "cors-authz doctor" in each for each in notes.values())
    assert "envoyExtAuthzGrpc" in notes["values-istio"]
    assert "kubectl --namespace cors patch deployment" in notes["values-sidecar"]
    assert all("integrations.stripUpstreamHeaders=false" in each for each in notes.values())
    assert "Put them into meshConfig" in notes["values-istio"]
    assert (
        'port-forward "$(kubectl --namespace istio-ingress get pods --selector istio=ingressgateway --output name'
        in notes["values-istio"]
    )
    assert "the policy in `shop-policy`" in notes["values-existing"]
    assert "`Overridden`" in notes["values-envoy-gateway"]
    assert "get securitypolicy shop-cors-authz" in notes["values-envoy-gateway"]
    assert "get httproute shop" in notes["values-gateway-api"]
    assert "shop-cors-authz-headless.cors.svc.cluster.local:9193`" in notes["values-workers"]
    assert "--authz shop-cors-authz.cors.svc.cluster.local:9191`" in notes["values-daemonset"]
    assert "headless" not in notes["values-daemonset"]
    spread = _notes("values-daemonset", "--set=service.internalTrafficPolicy=Cluster")
    assert "--authz shop-cors-authz-headless.cors.svc.cluster.local:9191`" in spread


def test_the_document_shows_values_that_render_and_the_provider_of_its_release(tmp_path: Path) -> None:
    text = (generated.ROOT / "docs" / "kubernetes.md").read_text()
    shown = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]
    attached = [each for each in shown if "integrations" in each]
    refusals = [of_values(tmp_path, each | {"clusterChecks": False}).refusal for each in attached]
    assert (len(attached), set(refusals)) == (3, {""})
    istio = of_values(tmp_path, attached[0] | {"clusterChecks": False}, release="cors-authz")
    (mesh,) = [each["data"] for each in istio.of("ConfigMap") if each["metadata"]["name"] == "cors-authz-istio"]
    assert yaml.safe_load(mesh["mesh-config.yaml"]) in shown


def test_the_rules_are_shipped_whole_with_a_place_to_read_on() -> None:
    source = yaml.safe_load((generated.ROOT / "monitoring" / "rules.yaml").read_text())
    shipped = of_file("values-observed").one("PrometheusRule")["spec"]
    prefix = "https://git.example/cors-authz/blob/main/"
    assert json.loads(json.dumps(shipped).replace(prefix, "")) == source
    assert json.dumps(shipped).count(prefix) == json.dumps(source).count("runbook_url")
    (boards,) = [
        each["data"] for each in of_file("values-observed").of("ConfigMap") if "dashboards" in each["metadata"]["name"]
    ]
    assert len(boards) == 6
    assert all(json.loads(text)["title"] for text in boards.values())
