"""Kubernetes objects, and the files that they stand in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from cors_authz.doctor.finding import Finding, Rule, Where
from cors_authz.doctor.lined import line_of
from cors_authz.doctor.plane import Plane
from cors_authz.doctor.reads import Reads
from cors_authz.doctor.setup import Message, inner

_OF_ISTIO: Final = frozenset({"AuthorizationPolicy", "ConfigMap", "EnvoyFilter", "IstioOperator", "VirtualService"})

_WITHOUT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "EnvoyFilter": "# EnvoyFilter\nspec: {configPatches: []}  # without this one\n",
        "EnvoyPatchPolicy": "# EnvoyPatchPolicy\nspec: {jsonPatches: []}  # without this one\n",
    }
)
"""What to have instead where a patch is what is wrong, whatever it does."""


class Thing(NamedTuple):
    """An object and the file that it stands in."""

    source: str
    body: Message

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.body.get("kind", ""))

    @property
    def api(self) -> str:
        """Its API group."""
        return str(self.body.get("apiVersion", "")).partition("/")[0]

    @property
    def name(self) -> str:
        """Its name."""
        return str(inner(self.body, "metadata").get("name", ""))

    @property
    def namespace(self) -> str:
        """Its namespace; "" where the one who applies it says so."""
        return str(inner(self.body, "metadata").get("namespace", ""))

    @property
    def spec(self) -> Message:
        """What it asks for."""
        return inner(self.body, "spec")

    def found(self, rule: Rule, detail: str, part: object = None) -> Finding:
        """Say that it breaks a rule, at one of its parts if one is given."""
        line = line_of(part) or line_of(self.body)
        plane = Plane.ISTIO if self.kind in _OF_ISTIO else Plane.ENVOY_GATEWAY
        where = Where(self.source, line, f"{self.kind} {self.name}")
        return Finding(rule, where, detail, plane, instead=_WITHOUT.get(self.kind, ""))


class Estate(NamedTuple):
    """All objects that are judged together, and what the policy reads of requests."""

    things: Sequence[Thing]
    reads: Reads

    def of(self, kind: str) -> list[Thing]:
        """Give the objects of a kind."""
        return [thing for thing in self.things if thing.kind == kind]
