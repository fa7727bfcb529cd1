"""The chart refuses what cannot be, with its path and what to write, before anything is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from tests.helm.rendering import ROOT, needs_helm, of_file, of_values

pytestmark = needs_helm

REFERENCE: Final = ROOT / "tests" / "policies" / "reference"


class Case(NamedTuple):
    """Values, and the lines that refuse them; each is part of what helm says."""

    values: str
    refused: tuple[str, ...]


SCHEMA: Final = {
    "a misspelled value": Case("{replicas: 3}", ("at '': additional properties 'replicas' not allowed",)),
    "a misspelled value within another": Case("{tls: {enable: true}}", ("at '/tls': additional properties 'enable'",)),
    "a wrong type": Case("{replicaCount: two}", ("at '/replicaCount': got string, want integer",)),
    "a mode that there is not": Case("{mode: statefulset}", ("at '/mode': value must be one of 'deployment'",)),
    "no worker at all": Case("{workers: 0}", ("at '/workers': minimum: got 0, want 1",)),
    "workers that nobody could count for the ports": Case("{workers: auto}", ("at '/workers': got string",)),
    "a privileged port, which nobody but root may take": Case("{server: {port: 443}}", ("at '/server/port': minimum",)),
    "another architecture than the image's": Case(
        "{nodeSelector: {kubernetes.io/arch: x86_64}}",
        ("at '/nodeSelector/kubernetes.io~1arch': value must be one of 'amd64', 'arm64'",),
    ),
    "root": Case(
        "{podSecurityContext: {runAsUser: 0}}", ("at '/podSecurityContext/runAsUser': minimum: got 0, want 1",)
    ),
    "a root that may be written to": Case(
        "{securityContext: {readOnlyRootFilesystem: false}}", ("at '/securityContext/readOnlyRootFilesystem': value",)
    ),
    "a capability that is kept": Case(
        "{securityContext: {capabilities: {drop: [NET_RAW]}}}",
        ("at '/securityContext/capabilities/drop': 'const' failed",),
    ),
    "the tag latest": Case("{image: {tag: latest}}", ("at '/image/tag': 'not' failed",)),
    "a digest that is cut": Case(
        "{image: {digest: 'sha256:abc'}}", ("at '/image/digest': 'sha256:abc' does not match",)
    ),
    "a label that selects": Case(
        "{commonLabels: {app.kubernetes.io/name: other}}", ("at '/commonLabels/app.kubernetes.io~1name': false schema",)
    ),
    "a policy's file that nobody would read": Case(
        "{policy: {files: {policy.yml: 'a: b'}}}",
        ("at '/policy/files': additional properties 'policy.yml' not allowed",),
    ),
    "a field that policies do not have": Case(
        "{policy: {files: {policy.yaml: {apiVersion: cors-authz/v1, kind: PolicyBundle, metadata: {name: a}, orgins: {}"
        "}}}}",
        ("at '/policy/files/policy.yaml': additional properties 'orgins' not allowed",),
    ),
    "a version of the policy language that there is not": Case(
        "{policy: {files: {policy.yaml: {apiVersion: cors-authz/v2, kind: PolicyBundle, metadata: {name: a}}}}}",
        ("at '/policy/files/policy.yaml/apiVersion': value must be 'cors-authz/v1'",),
    ),
    "an enum of the policy that is misspelled": Case(
        "{policy: {files: {policy.yaml: {apiVersion: cors-authz/v1, kind: PolicyBundle, metadata: {name: a},"
        " originGroups: {shop: {origins: ['https://shop.example'], trust: higher}}}}}}",
        ("at '/policy/files/policy.yaml/originGroups/shop/trust': value must be one of",),
    ),
    "a provider's name that Istio would refuse, and with it every request": Case(
        "{integrations: {istio: {provider: cors-authz.cors}}}",
        ("at '/integrations/istio/provider': 'cors-authz.cors' does not match pattern",),
    ),
    "an attachment to Istio without a namespace": Case(
        "{integrations: {istio: {attachments: [{name: a}]}}}",
        ("at '/integrations/istio/attachments/0': missing property 'namespace'",),
    ),
    "no rule for Istio, which would let everything pass unasked": Case(
        "{integrations: {istio: {attachments: [{name: a, namespace: b, selector: {c: d}, rules: []}]}}}",
        ("at '/integrations/istio/attachments/0/rules': minItems: got 0, want 1",),
    ),
    "a switch to fail open, which there is not": Case(
        "{integrations: {envoyGateway: {failOpen: true}}}",
        ("at '/integrations/envoyGateway': additional properties 'failOpen' not allowed",),
    ),
    "a status for no answer that is a success": Case(
        "{integrations: {statusOnError: 200}}", ("at '/integrations/statusOnError': value must be one of 403",)
    ),
    "a name of 64 characters": Case(f"{{fullnameOverride: {'a' * 64}}}", ("at '/fullnameOverride': maxLength",)),
    "a profile of AppArmor that confines nothing": Case(
        "{podSecurityContext: {appArmorProfile: {type: Unconfined}}}",
        ("at '/podSecurityContext/appArmorProfile/type': value must be one of 'RuntimeDefault', 'Localhost'",),
    ),
    "a type of SELinux that confines nothing": Case(
        "{securityContext: {seLinuxOptions: {type: spc_t}}}", ("at '/securityContext/seLinuxOptions/type': 'not' fail",)
    ),
    "targets of Istio whose group is another kind's": Case(
        "{integrations: {istio: {attachments: [{name: a, namespace: b, targetRefs: ["
        "{kind: Gateway, name: c, group: ''}, {kind: Service, name: c, group: core},"
        " {kind: ServiceEntry, name: c, group: ''}]}]}}}",
        (
            "at '/integrations/istio/attachments/0/targetRefs/0/group': value must be 'gateway.networking.k8s.io'",
            "at '/integrations/istio/attachments/0/targetRefs/1/group': value must be ''",
            "at '/integrations/istio/attachments/0/targetRefs/2/group': value must be 'networking.istio.io'",
        ),
    ),
    "blocks of addresses that are none": Case(
        "{networkPolicy: {checksFrom: [{ipBlock: {cidr: 10.0.0.0}}, {ipBlock: {cidr: 10.0.0.0/33}}],"
        " metricsFrom: [{ipBlock: {cidr: 10.0.0.256/8}}, {ipBlock: {cidr: '2001:db8::1::/32'}}],"
        " egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/016]}}, {ipBlock: {}}]}]}}",
        (
            "at '/networkPolicy/checksFrom/0/ipBlock/cidr': '10.0.0.0' does not match",
            "at '/networkPolicy/checksFrom/1/ipBlock/cidr': '10.0.0.0/33' does not match",
            "at '/networkPolicy/metricsFrom/0/ipBlock/cidr': '10.0.0.256/8' does not match",
            "at '/networkPolicy/metricsFrom/1/ipBlock/cidr': '2001:db8::1::/32' does not match",
            "at '/networkPolicy/egress/0/to/0/ipBlock/except/0': '10.1.0.0/016' does not match",
            "at '/networkPolicy/egress/0/to/1/ipBlock': missing property 'cidr'",
        ),
    ),
    "more pods missing than there are, and none": Case(
        "{podDisruptionBudget: {maxUnavailable: 101%}, updateStrategy: {rollingUpdate: {maxUnavailable: 101%,"
        " maxSurge: -1}}}",
        (
            "at '/podDisruptionBudget/maxUnavailable': '101%' does not match",
            "at '/updateStrategy/rollingUpdate/maxUnavailable': '101%' does not match",
            "at '/updateStrategy/rollingUpdate/maxSurge': minimum: got -1, want 0",
        ),
    ),
    "no percent of pods that may ever be missing": Case(
        "{podDisruptionBudget: {maxUnavailable: 0%}}", ("at '/podDisruptionBudget/maxUnavailable': '0%' does not",)
    ),
    "labels of dashboards that select": Case(
        "{metrics: {dashboards: {labels: {app.kubernetes.io/name: other}}}}",
        ("at '/metrics/dashboards/labels/app.kubernetes.io~1name': false schema",),
    ),
    "a time of which no try of a check would get enough": Case(
        "{integrations: {timeoutMilliseconds: 49}}", ("at '/integrations/timeoutMilliseconds': minimum: got 49, want",)
    ),
    "TLS to Istio's liking, which is none": Case(
        "{integrations: {istio: {tls: {credentialName: a}}}}",
        ("at '/integrations/istio/tls': missing property 'mode'",),
    ),
    "rules of Istio whose fields there are not": Case(
        "{integrations: {istio: {attachments: [{name: a, namespace: b, selector: {c: d}, rules: [{to: [{operation:"
        " {host: [a.example]}}, {operation: {hosts: a.example}}], when: [{values: [a]}]}]}]}}}",
        (
            "at '/integrations/istio/attachments/0/rules/0/to/0/operation': additional properties 'host' not allowed",
            "at '/integrations/istio/attachments/0/rules/0/to/1/operation/hosts': got string, want array",
            "at '/integrations/istio/attachments/0/rules/0/when/0': missing property 'key'",
        ),
    ),
    "no pod that may ever be missing, so that no node can be drained": Case(
        "{podDisruptionBudget: {maxUnavailable: 0}}", ("at '/podDisruptionBudget/maxUnavailable': minimum",)
    ),
}

ISTIO: Final = "integrations: {istio: {enabled: true, attachments: [{name: a, namespace: b, selector: {c: d}}]}}\n"
EVERYONE: Final = """
policy:
  files:
    policy.yaml: |
      apiVersion: cors-authz/v1
      kind: PolicyBundle
      metadata: {name: shop}
      originGroups: {anyone: {any: true}, star: {origins: ["*"]}}
      ---
      apiVersion: cors-authz/v1
      kind: PolicyPart
      metadata: {name: part, owner: web}
      resourceGroups:
        api:
          allow:
          - {origins: [shop]}
          - {origins: [shop, anyone], credentials: [bearer, cookie]}
        admin: {allow: [{origins: [star], credentials: [mtls]}]}
"""
MISSPELLED: Final = """
policy:
  files:
    policy.yaml: |
      ---
      apiVersion: cors-authz/v1
      kind: PolicyBundle
      metadata: {name: shop, changes: [{part: a, why: b}, {part: a, because: b}]}
      identity: {jwt: {staff: {issuer: "https://id.example", keys: {jwksUrl: "https://id.example/keys"}}}}
      resourceGroups: {api: {allow: [{origin: [shop]}]}}
    part.yaml: "{kind: PolicyPart, originGroup: {}}"
"""
MISTAKES: Final = {
    "no image and no policy, both at once": Case(
        "{image: {repository: ''}, policy: {files: null}}",
        ("image.repository: nothing is named", "policy: there is none"),
    ),
    "two policies": Case(
        "{policy: {existingConfigMap: shop}}", ("policy: files and existingConfigMap exclude each other",)
    ),
    "a signed bundle, which is not built yet": Case(
        "{policy: {bundleUrl: 'https://policy.example/bundle'}}",
        ("policy.bundleUrl: signed bundles are not built yet",),
    ),
    "every origin with credentials": Case(
        EVERYONE,
        (
            "policy.files.policy.yaml: resourceGroups.api.allow[1]: `anyone` is every origin, and with credentials",
            "policy.files.policy.yaml: resourceGroups.admin.allow[0]: `star` is every origin, and with credentials",
            "policy.files.policy.yaml: originGroups.star.origins: `*` is no origin",
        ),
    ),
    "a policy that is no YAML": Case(
        "{policy: {files: {policy.yaml: 'a: ['}}}", ("policy.files.policy.yaml: this is no YAML",)
    ),
    "fields that policies do not have, in a text": Case(
        MISSPELLED,
        (
            "policy.files.part.yaml: originGroup: there is no such field; write one of: apiVersion, exceptions, gu",
            "policy.files.policy.yaml: identity.jwt.staff.keys.jwksUrl: there is no such field; write one of: envo",
            "policy.files.policy.yaml: metadata.changes[1].because: there is no such field; write one of: part, ticke",
            "policy.files.policy.yaml: resourceGroups.api.allow[0].origin: there is no such field; write one of: allow",
        ),
    ),
    "kinds of documents that policies do not have": Case(
        "{policy: {files: {policy.yaml: 'kind: PolicyTest', other.yaml: 'originGroups: {}'}}}",
        (
            "policy.files.policy.yaml: kind: `PolicyTest` is none; write PolicyBundle, PolicyPart or TenantOverlay",
            "policy.files.other.yaml: kind: there is none; write PolicyBundle, PolicyPart or TenantOverlay",
        ),
    ),
    "TLS without a certificate": Case("{tls: {enabled: true}}", ("tls: there is no certificate",)),
    "a certificate that nobody serves by": Case(
        "{tls: {certManager: {enabled: true}}}",
        ("tls.certManager.issuerRef: nothing is named", "tls.certManager.enabled: nothing is served by TLS"),
    ),
    "TLS over a unix socket": Case(
        "{mode: sidecar, tls: {enabled: true, existingSecret: a}}", ("tls.enabled: a unix socket needs no TLS",)
    ),
    "a DaemonSet that is scaled": Case(
        "{mode: daemonset, autoscaling: {enabled: true}}", ("autoscaling.enabled: only mode deployment is scaled",)
    ),
    "a DaemonSet whose pods are all taken at once": Case(
        "{mode: daemonset, updateStrategy: {type: Recreate}}",
        ("updateStrategy.type: mode daemonset has no `Recreate`",),
    ),
    "a Deployment whose pods wait to be deleted": Case(
        "{updateStrategy: {type: OnDelete}}", ("updateStrategy.type: mode deployment has no `OnDelete`",)
    ),
    "a rollout that could replace no pod": Case(
        "{updateStrategy: {rollingUpdate: {maxSurge: 0%, maxUnavailable: 0}}}",
        ("updateStrategy.rollingUpdate: maxSurge and maxUnavailable are both 0, so no pod could ever be replaced",),
    ),
    "a rollout of a DaemonSet that could replace no pod": Case(
        "{mode: daemonset, updateStrategy: {rollingUpdate: {maxSurge: null, maxUnavailable: 0}}}",
        ("updateStrategy.rollingUpdate: maxSurge and maxUnavailable are both 0",),
    ),
    "a rollout of a DaemonSet that both adds and misses": Case(
        "{mode: daemonset, updateStrategy: {rollingUpdate: {maxUnavailable: null}}}",
        ("updateStrategy.rollingUpdate: a DaemonSet takes maxSurge or maxUnavailable, and both are above 0",),
    ),
    "a mount of no volume": Case(
        "{extraVolumes: [{name: a, emptyDir: {}}], extraVolumeMounts: [{name: a, mountPath: /a},"
        " {name: b, mountPath: /b}]}",
        ("extraVolumeMounts[1].name: there is no volume `b`; add it to extraVolumes, or write one of: a, cors-authz-",),
    ),
    "a policy in shadow, where pages would lose what their upstreams grant": Case(
        "{clusterChecks: false, integrations: {"
        "istio: {enabled: true, attachments: [{name: a, namespace: b, selector: {c: d}}]},"
        "gatewayApi: {enabled: true, routes: [{name: a, parentRefs: [{name: b}], backendRefs: [{name: c}]}]}}}",
        (
            "policy.files.policy.yaml: defaults.mode: shadow changes no answer, but integrations.istio, integrations.",
            "break; set integrations.stripUpstreamHeaders=false until the policy is in force\n",
        ),
    ),
    "a group in shadow beside others, in an object, where a Gateway would lose what upstreams grant": Case(
        "{clusterChecks: false, integrations: {envoyGateway: {enabled: true, targetRefs: [{kind: Gateway, name: edge}],"
        " patch: {enabled: true, gateway: edge, listeners: [{name: http, port: 80, protocol: HTTP}]}}},"
        " policy: {files: {policy.yaml: {apiVersion: cors-authz/v1, kind: PolicyBundle, metadata: {name: a},"
        " resourceGroups: {a: {match: [{hosts: [a.example]}], allow: []}, b: {match: [{hosts: [b.example]}], allow: [],"
        " mode: shadow}}}}}}",
        ("policy.files.policy.yaml: resourceGroups.b.mode: shadow changes no answer, but integrations.envoyGateway",),
    ),
    "fewer at most than at least": Case(
        "{autoscaling: {enabled: true, minReplicas: 5, maxReplicas: 3}}", ("minReplicas 5 is above maxReplicas 3",)
    ),
    "workers whose ports meet those of the metrics": Case(
        "{workers: 4, metrics: {port: 9193}}", ("metrics.port: the ports of 4 workers from 9193 on meet those from",)
    ),
    "workers beyond the last port": Case(
        "{workers: 2, server: {port: 65535}}", ("workers: 2 workers need ports beyond",)
    ),
    "an audit trail on a read-only root": Case(
        "{audit: {targets: [/var/log/audit.jsonl]}}", ("audit.targets: `/var/log/audit.jsonl` lies on no volume",)
    ),
    "an audit trail to a collector that is not named": Case(
        "{audit: {targets: [otlp]}}", ("`otlp` needs otel.endpoint",)
    ),
    "an audit trail that is required and not written": Case(
        "{audit: {required: true}}", ("audit: nothing is recorded",)
    ),
    "a flag on which the chart depends": Case(
        "{extraArgs: ['--listen=127.0.0.1:1']}", ("extraArgs: `--listen=127.0.0.1:1` is set by a value of its own",)
    ),
    "variables that values of their own set": Case(
        "{extraEnv: [{name: CORS_AUTHZ_LISTEN, value: a}, {name: POD_NAME, value: b}, {name: TZ, value: UTC}],"
        " otel: {endpoint: 'http://collector:4317'}}",
        (
            "extraEnv: `CORS_AUTHZ_LISTEN` is set by a value of its own",
            "extraEnv: `POD_NAME` is set by a value of its own",
        ),
    ),
    "a mount that would never change": Case(
        "{extraVolumeMounts: [{name: a, mountPath: /etc/cors-authz/policy/b.yaml, subPath: b.yaml}]}",
        ("extraVolumeMounts: `/etc/cors-authz/policy/b.yaml` by subPath would never change",),
    ),
    "beside an Envoy what has no place there": Case(
        "{mode: sidecar, clusterChecks: false, metrics: {serviceMonitor: {enabled: true}},"
        " extraContainers: [{name: a}], initContainers: [{name: b}]}",
        (
            "metrics.serviceMonitor.enabled: mode sidecar has no Service to find the pods by; scrape those of your",
            "extraContainers: mode sidecar has no pod of its own, and they would not run",
            "initContainers: mode sidecar has no pod of its own, and they would not run",
        ),
    ),
    "metrics that are scraped and not served": Case(
        "{clusterChecks: false, metrics: {enabled: false, serviceMonitor: {enabled: true}}}",
        ("metrics.serviceMonitor.enabled: there are no metrics to scrape; set metrics.enabled",),
    ),
    "both kinds of key sets": Case(
        "{jwks: {existingSecret: a, existingConfigMap: b}}", ("jwks: existingConfigMap and existingSecret exclude",)
    ),
    "Istio without the CRDs": Case(
        ISTIO,
        (
            "integrations.istio: the cluster knows no AuthorizationPolicy of security.istio.io/v1; install its CRDs",
            "integrations.istio.envoyFilter: the cluster knows no EnvoyFilter",
        ),
    ),
    "Envoy Gateway without the CRDs": Case(
        "{integrations: {envoyGateway: {enabled: true, targetRefs: [{kind: Gateway, name: a}]}}}",
        ("the cluster knows no SecurityPolicy of gateway.envoyproxy.io/v1alpha1",),
    ),
    "Gateway API without the CRDs": Case(
        "{integrations: {gatewayApi: {enabled: true, routes: [{name: a, parentRefs: [{name: b}],"
        " backendRefs: [{name: c}]}]}}}",
        ("the cluster knows no HTTPRoute of gateway.networking.k8s.io/v1",),
    ),
    "Prometheus and cert-manager without the CRDs": Case(
        "{metrics: {serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}},"
        " tls: {enabled: true, certManager: {enabled: true, issuerRef: {name: a}}}}",
        ("knows no ServiceMonitor", "knows no PrometheusRule", "knows no Certificate"),
    ),
    "Istio with several workers": Case(
        ISTIO + "workers: 2\nclusterChecks: false", ("workers: Istio's provider names one port",)
    ),
    "Istio attached to nothing": Case(
        "{clusterChecks: false, integrations: {istio: {enabled: true}}}", ("attachments: nothing is attached",)
    ),
    "Istio's attachments that meet": Case(
        "{clusterChecks: false, integrations: {istio: {enabled: true, attachments: [{name: a, namespace: b},"
        " {name: a, namespace: b, selector: {c: d}}, {name: e, namespace: cors}]}}}",
        (
            "integrations.istio.attachments[1]: `a` is a name twice",
            "integrations.istio.attachments[1]: attachments[0] has its workloads too, and both would patch them; name",
            "integrations.istio.attachments[2]: the whole of `cors` holds the service too, which would ask itself",
        ),
    ),
    "TLS that Istio was not told of": Case(
        ISTIO + "clusterChecks: false\ntls: {enabled: true, existingSecret: a}",
        ("integrations.istio.tls: the service serves by TLS, and Envoy would not speak it",),
    ),
    "TLS that Envoy Gateway was not told of": Case(
        "{clusterChecks: false, tls: {enabled: true, existingSecret: a, requireClientCertificate: true},"
        " integrations: {envoyGateway: {enabled: true}}}",
        (
            "integrations.envoyGateway.targetRefs: nothing is attached",
            "integrations.envoyGateway.caCertificateRefs: the service serves by TLS",
            "tls.requireClientCertificate: a BackendTLSPolicy names no certificate of Envoy's own",
        ),
    ),
    "an attachment of a sidecar": Case(
        ISTIO + "mode: sidecar\nclusterChecks: false", ("mode sidecar serves the Envoy beside it alone",)
    ),
    "one request checked twice": Case(
        "{clusterChecks: false, integrations: {envoyGateway: {enabled: true, targetRefs: [{kind: Gateway, name: a}]},"
        " gatewayApi: {enabled: true, externalAuth: true}}}",
        ("each request would be checked twice", "integrations.gatewayApi.routes: there are none"),
    ),
}
ODD: Final = {
    "variables of one's own": "extraEnv: [{name: POD_NAME, value: a}, {name: TZ, value: UTC}]",
    "shapes that no policy has are left to `check`": "policy: {files: {a.yaml: '{kind: PolicyPart, originGroups: 7,"
    " metadata: [8], resourceGroups: {a: 3, b: {allow: [4, {origins: 5}]}, c: {allow: 6}}}'}}",
    "blocks of addresses": "networkPolicy: {checksFrom: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}],"
    " metricsFrom: [{ipBlock: {cidr: '2001:db8::/32'}}, {ipBlock: {cidr: '::/0'}}, {ipBlock: {cidr: 0.0.0.0/0}},"
    " {ipBlock: {cidr: 'FE80:0:0:0:1:2:3:4/128'}}]}",
    "whoever is confined in another way": "securityContext: {seLinuxOptions: {type: container_t, level: 's0:c1'},"
    " appArmorProfile: {type: Localhost, localhostProfile: cors}}",
    "a rollout by misses": "updateStrategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 25%}}",
    "a rollout of a Deployment that both adds and misses": "updateStrategy: {rollingUpdate: {maxUnavailable: 1}}",
    "a rollout as Kubernetes would": "updateStrategy: {rollingUpdate: {maxSurge: null, maxUnavailable: 0}}",
    "pods that are recreated": "updateStrategy: {type: Recreate, rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}",
    "the chart's own volume at another place": "extraVolumeMounts: [{name: cors-authz-policy, mountPath: /policy}]",
    "a policy in shadow beside upstreams that are taken at their word": "{clusterChecks: false, integrations: {"
    "stripUpstreamHeaders: false, istio: {enabled: true, attachments: [{name: a, namespace: b, selector: {c: d}}]}}}",
    "a policy in shadow for some hosts, where none is stripped": "{clusterChecks: false, integrations: {istio: {"
    "enabled: true, attachments: [{name: a, namespace: b, selector: {c: d}, rules: [{}]}]}}}",
    "containers beside the service": "{extraContainers: [{name: a}], initContainers: [{name: b}]}",
    "beside an Envoy no containers but the service": "{mode: sidecar, metrics: {enabled: false}}",
    "every origin without credentials": "policy: {files: {a.yaml: '{kind: PolicyPart, originGroups: {all: {any: true}},"
    " resourceGroups: {a: {allow: [{origins: [all]}, {origins: [all], credentials: [bearer]}]}}}'}}",
}


@pytest.mark.parametrize("case", (SCHEMA | MISTAKES).values(), ids=SCHEMA | MISTAKES)
def test_is_refused(case: Case, tmp_path: Path) -> None:
    values: dict[str, Any] = yaml.safe_load(case.values)
    refusal = of_values(tmp_path, values).refusal
    assert [text for text in case.refused if text not in refusal] == [], refusal


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_is_let_pass(text: str, tmp_path: Path) -> None:
    assert not of_values(tmp_path, yaml.safe_load(text)).refusal


def test_policies_without_mistakes_are_let_pass(tmp_path: Path) -> None:
    texts = {
        "-".join(path.relative_to(REFERENCE).parts): path.read_text()
        for path in REFERENCE.rglob("*.yaml")
        if "\nkind: " in path.read_text()
    }
    assert len(texts) > 15
    assert not of_values(tmp_path, {"policy": {"files": texts}}).refusal


def test_a_cluster_that_knows_the_kinds_is_served() -> None:
    known = (
        "--api-versions=security.istio.io/v1/AuthorizationPolicy",
        "--api-versions=networking.istio.io/v1alpha3/EnvoyFilter",
        "--api-versions=gateway.networking.k8s.io/v1/Gateway",
    )
    assert of_file("values-istio", "--set", "clusterChecks=true").refusal
    assert not of_file("values-istio", "--set", "clusterChecks=true", *known).refusal


def test_an_older_kubernetes_is_refused() -> None:
    refusal = of_file("values-deployment", "--kube-version", "1.28.0").refusal
    assert "kubeVersion: >=1.29.0-0 which is incompatible with Kubernetes v1.28.0" in refusal


@pytest.mark.parametrize("release", ["2nd", "a.b"])
def test_a_release_whose_name_no_service_may_have_is_refused(release: str, tmp_path: Path) -> None:
    refusal = of_values(tmp_path, {}, release=release).refusal
    assert f"fullnameOverride: `{release}-cors-authz` cannot name a Service; write lower-case letters" in refusal
