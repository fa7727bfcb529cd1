"""What those who watch are told of one check: counters, the audit trail, traces, the ledger of origins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from cors_authz.pdp.decision import Decision
from cors_authz.pdp.readings import TokenReading

STAGES: Final = ("decode", "match", "tokens", "decide", "encode")
"""What is done for each check, in this order."""
MEASURED_OF: Final = 32
"""Of so many checks, the stages of one are measured: a timer that all of them read would cost each a hundredth."""
NO_TOKENS: Final[Mapping[str, TokenReading]] = MappingProxyType({})


class SpanIds(NamedTuple):
    """A span by its ids, in lower-case hexadecimal: 32 characters of its trace, 16 of its own."""

    trace_id: str
    span_id: str


class Parent(NamedTuple):
    """The span of Envoy's own Check call, as the call's metadata names it.

    `state` is what `tracestate` carries. Spec: https://www.w3.org/TR/trace-context/.
    """

    ids: SpanIds
    is_sampled: bool
    state: str = ""


class Observation(NamedTuple):
    """One check that was answered.

    `laps` are readings of one timer in seconds: at the beginning and when the answer was there. Of one check in
    `MEASURED_OF`, there is one between for the end of each of `STAGES` but the last; a fault leaves some out. `tokens`
    are those that were read, by the name of their provider.
    """

    decision: Decision
    decision_id: str
    laps: Sequence[float]
    parent: Parent | None = None
    tokens: Mapping[str, TokenReading] = NO_TOKENS


Observe: TypeAlias = Callable[[Observation], object]
"""Is told each check once its answer is made; may raise `NotRecordedError`."""


class NotRecordedError(Exception):
    """The decision must be recorded before it holds, and cannot be."""
