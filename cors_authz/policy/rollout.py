"""How revisions of a policy go live, and what stays open in a lockdown."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cors_authz.policy.shape import NotEmpty, Shape
from cors_authz.policy.values import Duration, Listed, Name, Percent


class RolloutStep(Shape):
    """How much of the traffic a new revision decides, in percent, and for how long."""

    term = "a rollout step"
    enforce: Percent
    for_: Duration | None = None


class AbortAbove(Shape):
    """What stops a rollout; shares are in percent."""

    term = "abortAbove"
    rules = (NotEmpty(),)
    new_refusals: Percent | None = None
    errors: Percent | None = None
    latency_p99: Duration | None = Field(None, alias="latencyP99")


class Rollout(Shape):
    """How every new revision goes live."""

    term = "a rollout"
    shadow: Duration | None = None
    steps: Listed[RolloutStep]
    sticky_by: Literal["origin", "tenant"] | None = None
    abort_above: AbortAbove | None = None


class Lockdown(Shape):
    """What a lockdown leaves open, and how long it may last."""

    term = "a lockdown"
    first_party: Listed[Name] = Field(description="origin groups of high trust")
    max_duration: Duration | None = None
