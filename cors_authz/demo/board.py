"""What a screen shows of the spans and records that come in: the latest decisions, and the trace of each."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Final, NamedTuple, TypeVar

from cors_authz.demo.receiver import ReceivedRecord, ReceivedSpan
from cors_authz.demo.screen import Line, Tone
from cors_authz.pdp.decision import Outcome
from cors_authz.policy.finding import printable

MAX_DECISIONS: Final = 200
MAX_TRACES: Final = 200
MAX_SPANS: Final = 64
"""Of one trace; what is more, and older, is forgotten."""

_NANOSECONDS_OF_MICROSECOND: Final = 1000
_T = TypeVar("_T")

_OUTCOMES: Final = frozenset(outcome.value for outcome in Outcome)
_ALLOWED: Final = frozenset({Outcome.ALLOW.value, Outcome.PREFLIGHT_ALLOW.value})
_OF_SPAN: Final = {
    "decision_id": "cors_authz.decision.id",
    "outcome": "cors_authz.decision.outcome",
    "reason": "cors_authz.decision.reason",
    "method": "http.request.method",
    "host": "server.address",
    "path": "url.template",
    "origin": "cors_authz.origin",
    "group": "cors_authz.resource_group",
    "rule": "cors_authz.rule",
}
_OF_RECORD: Final = {name: f"cors_authz.{name}" for name in _OF_SPAN}


class Decided(NamedTuple):
    """A decision, as its span or its record tells it."""

    decision_id: str
    outcome: str
    reason: str
    method: str
    host: str
    path: str
    origin: str
    group: str
    rule: str
    microseconds: int
    trace_id: str

    @property
    def is_allowed(self) -> bool:
        """Whether the request went on, or its preflight was granted."""
        return self.outcome in _ALLOWED

    def line(self, width: int | None = None) -> Line:
        """Tell it in one line, in which nothing that a client sent speaks to the terminal.

        Args:
            width: of the terminal; what was asked is cut to it, so that the reason and the id are whole. None cuts
                nothing.
        """
        origin = f" from {self.origin}" if self.origin else ""
        cause = self.rule or self.group or "no group"
        asked = f"{'✓' if self.is_allowed else '✗'} {self.method} {self.host}{self.path}{origin}"
        rest = f"  {self.reason}  ({cause})  {self.microseconds} µs  {self.decision_id[:8]}"
        if width is not None and len(asked) > (room := max(1, width - len(rest))):
            asked = f"{asked[: room - 1]}…"
        return Line(printable(f"{asked}{rest}"), Tone.GOOD if self.is_allowed else Tone.BAD, indent=0)


class Twig(NamedTuple):
    """A span in the tree of its trace, so many steps below the root."""

    depth: int
    span: ReceivedSpan

    def line(self) -> Line:
        """Tell it in one line."""
        microseconds = (self.span.end - self.span.start) // _NANOSECONDS_OF_MICROSECOND
        text = f"{microseconds:>8} µs  {'  ' * self.depth}{self.span.service}: {self.span.name}"
        return Line(printable(text), Tone.BAD if self.span.is_error else Tone.PLAIN, indent=0)


class Board:
    """Remembers what came in lately. Safe to use from many threads; bounded whatever comes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._decisions: OrderedDict[str, Decided] = OrderedDict()
        self._traces: OrderedDict[str, dict[str, ReceivedSpan]] = OrderedDict()
        self._outcomes: Counter[str] = Counter()

    def take_spans(self, spans: list[ReceivedSpan]) -> list[Decided]:
        """Remember spans, and give the decisions among them that are new."""
        with self._lock:
            for span in spans:
                of_trace = self._traces.setdefault(span.trace_id, {})
                if len(of_trace) < MAX_SPANS:
                    # No more of it is drawn.
                    of_trace[span.span_id] = span._replace(attributes={}, events=())
            _forget_oldest(self._traces, MAX_TRACES)
        return self._note([decided for span in spans if (decided := _of_span(span))])

    def take_records(self, records: list[ReceivedRecord]) -> list[Decided]:
        """Give the decisions that records tell and no span did before."""
        return self._note([decided for record in records if (decided := _of_record(record))])

    def latest(self, most: int) -> list[Decided]:
        """Give the latest decisions, the newest first."""
        with self._lock:
            return list(self._decisions.values())[: -most - 1 : -1]

    def outcomes(self) -> Mapping[str, int]:
        """Count the decisions by their outcome, the most frequent first."""
        with self._lock:
            return dict(self._outcomes.most_common())

    def tree(self, trace_id: str) -> list[Twig]:
        """Give the spans of a trace as a tree, each below its parent, in the order in which they began."""
        with self._lock:
            spans = sorted(self._traces.get(trace_id, {}).values(), key=lambda span: span.start)
        known = {span.span_id for span in spans}
        roots = [span for span in spans if span.parent_id not in known]
        return [twig for root in roots for twig in _twigs(root, spans, 0)]

    def _note(self, decisions: list[Decided]) -> list[Decided]:
        new: list[Decided] = []
        with self._lock:
            for decided in decisions:
                if decided.decision_id not in self._decisions:
                    self._decisions[decided.decision_id] = decided
                    self._outcomes[decided.outcome] += 1
                    new.append(decided)
            _forget_oldest(self._decisions, MAX_DECISIONS)
        return new


def _forget_oldest(entries: OrderedDict[str, _T], most: int) -> None:
    while len(entries) > most:
        entries.popitem(last=False)


def _twigs(span: ReceivedSpan, spans: list[ReceivedSpan], depth: int) -> Iterator[Twig]:
    yield Twig(depth, span)
    # What names itself, or its own child, as its parent is nobody's root, and so is never come to.
    for child in spans:
        if child.parent_id == span.span_id:
            yield from _twigs(child, spans, depth + 1)


def _of_span(span: ReceivedSpan) -> Decided | None:
    microseconds = (span.end - span.start) // _NANOSECONDS_OF_MICROSECOND
    return _decided(span.attributes, _OF_SPAN, microseconds, span.trace_id)


def _of_record(record: ReceivedRecord) -> Decided | None:
    attributes = record.attributes
    taken = attributes.get("cors_authz.latency_us", "")
    microseconds = int(taken) if taken.isascii() and taken.isdecimal() else 0
    return _decided(attributes, _OF_RECORD, microseconds, attributes.get("cors_authz.trace_id", ""))


def _decided(
    attributes: Mapping[str, str], names: Mapping[str, str], microseconds: int, trace_id: str
) -> Decided | None:
    texts = {field: attributes.get(name, "") for field, name in names.items()}
    if not texts["decision_id"] or texts["outcome"] not in _OUTCOMES:
        return None
    return Decided(**texts, microseconds=microseconds, trace_id=trace_id)
