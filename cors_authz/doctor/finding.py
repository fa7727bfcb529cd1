"""What is said of an Envoy's configuration: a rule, the place that breaks it, and the value that stands there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from cors_authz.doctor.plane import GatewayListener, Plane
from cors_authz.policy.finding import Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that can be wrong.

    Attributes:
        code: `DR` and three digits; it never changes its meaning.
        severity: An error lets requests pass unchecked, or fail; a warning costs under load, in an outage or for some
            clients; info is good to know.
        title: What is wrong, in a few words.
        why: What Envoy does then.
        fix: The lines to have instead, as YAML.
    """

    code: str
    severity: Severity
    title: str
    why: str
    fix: str


class Where(NamedTuple):
    """A place in a configuration: the source as it was named, a line from 1 (0 for none), and the parts in words."""

    source: str
    line: int
    part: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that is broken somewhere; `detail` names the value that breaks it, `plane` who writes that.

    `listeners` are those of the Gateway that it is about, where they are known; `instead` has the lines to have instead
    where this place needs others than the rule has.
    """

    rule: Rule
    where: Where
    detail: str
    plane: Plane = Plane.FILE
    listeners: tuple[GatewayListener, ...] = ()
    instead: str = ""
