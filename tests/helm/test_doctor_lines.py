"""What `doctor` says to have in Istio's and Envoy Gateway's objects is what the chart has in them."""

from __future__ import annotations

from typing import Any, Final

import pytest
import yaml

from cors_authz.doctor.finding import Finding, Where
from cors_authz.doctor.plane import Plane
from cors_authz.doctor.remedies import lines_of
from docs.generated import rules
from tests.helm.rendering import needs_helm, of_file

pytestmark = needs_helm

_HERE: Final = Where("dump.json", 0, "")
_NAMES: Final = frozenset({"name", "service", "namespace", "backendRefs"})
"""Fields whose values each release has of its own."""


def _lines(plane: Plane) -> dict[str, str]:
    return {rule.code: lines_of(Finding(rule, _HERE, "", plane)) for rule in rules()}


_OTHERS: Final = frozenset({"DR021", "DR052"})
"""They say what is to go, and have nothing to hold against the chart."""

POLICIES: Final = {
    code: text
    for code, text in _lines(Plane.ENVOY_GATEWAY).items()
    if text.startswith("# SecurityPolicy") and code not in _OTHERS
}
PROVIDERS: Final = {code: text for code, text in _lines(Plane.ISTIO).items() if "extensionProviders:" in text}
UNSET: Final = frozenset({("spec", "extAuth", "headersToExtAuth"), ("spec", "extAuth", "recomputeRoute")})
"""They stand in a fix as the defaults that they are, and in the chart not at all."""


def differing(wanted: Any, rendered: Any, way: tuple[str, ...] = ()) -> list[tuple[str, ...]]:  # noqa: ANN401 - YAML
    """Name what is said otherwise than it is rendered."""
    if isinstance(wanted, dict) and isinstance(rendered, dict):
        return [
            each
            for key, value in wanted.items()
            if key not in _NAMES
            for each in differing(value, rendered.get(key), (*way, key))
        ]
    if isinstance(wanted, list) and isinstance(rendered, list) and len(wanted) == len(rendered):
        return [each for said, had in zip(wanted, rendered, strict=True) for each in differing(said, had, way)]
    return [] if wanted == rendered or way in UNSET else [way]


@pytest.mark.parametrize("code", POLICIES)
def test_a_security_policy_is_told_as_the_chart_has_it(code: str) -> None:
    rendered = of_file("values-envoy-gateway").one("SecurityPolicy")
    assert differing(yaml.safe_load(POLICIES[code]), rendered) == []


@pytest.mark.parametrize("code", PROVIDERS)
def test_a_provider_is_told_as_the_chart_has_it(code: str) -> None:
    maps = of_file("values-istio").of("ConfigMap")
    (mesh,) = [yaml.safe_load(each["data"]["mesh-config.yaml"]) for each in maps if "mesh-config.yaml" in each["data"]]
    assert differing(yaml.safe_load(PROVIDERS[code]), mesh) == []


def test_all_that_is_told_of_outlier_detection_is_all_that_the_chart_has() -> None:
    told = yaml.safe_load(POLICIES["DR043"])["spec"]["extAuth"]["grpc"]["backendSettings"]["healthCheck"]["passive"]
    policy = of_file("values-envoy-gateway").one("SecurityPolicy")
    assert told == policy["spec"]["extAuth"]["grpc"]["backendSettings"]["healthCheck"]["passive"]
