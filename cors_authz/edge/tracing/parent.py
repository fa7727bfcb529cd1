"""The span that a check belongs to, as the metadata of Envoy's call names it.

Never by the headers of the request that is checked: those are the client's to write, and Envoy's tracer has read them
where it trusts them. Read by hand: the propagators of OpenTelemetry take ten times as long, and each check pays.

Spec: https://www.w3.org/TR/trace-context/, https://github.com/openzipkin/b3-propagation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from cors_authz.edge.observation import Parent, SpanIds
from cors_authz.edge.settings_error import SettingsError
from cors_authz.edge.transport.interface import Metadata

ParentOf: TypeAlias = Callable[[Metadata], Parent | None]
"""Reads the parent from a call's metadata; None where it names none, or not as it should. Never raises."""

PROPAGATORS: Final = "OTEL_PROPAGATORS"

_MAX_STATE: Final = 512
_DIGITS_OF_TRACE: Final = 32
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
# Version 00 ends with the flags, a later one may go on; ff is none, and ids of zeros name nothing.
_TRACEPARENT: Final = re.compile(
    r"(?:00(?=.{53}\Z)|(?!00|ff)[0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]([0-9a-f])(?:-[!-~]*)?"
)
_SAMPLED: Final = frozenset("13579bdf")
_B3: Final = re.compile(r"([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?")
_B3_TRACE: Final = re.compile(r"[0-9a-f]{16}|[0-9a-f]{32}")
_B3_SPAN: Final = re.compile(r"[0-9a-f]{16}")
_B3_YES: Final = frozenset({"1", "d", "true"})

_TRACEPARENT_KEY: Final = "traceparent"
_STATE_KEY: Final = "tracestate"
_W3C: Final = (_TRACEPARENT_KEY, _STATE_KEY)
_SINGLE: Final = "b3"
_MULTI: Final = ("x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags")
_KEYS: Final = {
    "tracecontext": _W3C,
    "b3": (_SINGLE, *_MULTI),
    "b3multi": (_SINGLE, *_MULTI),
    "baggage": (),
    "none": (),
}
_DEFAULT: Final = "tracecontext,b3"


def parent_reader(environ: Mapping[str, str]) -> ParentOf:
    """Give what reads parents in the forms that `OTEL_PROPAGATORS` names; unless it is set, W3C's and B3's.

    Where a call has both, W3C's holds.

    Raises: SettingsError for a form that is not known.
    """
    named = [name.strip() for name in (environ.get(PROPAGATORS, "").strip() or _DEFAULT).split(",")]
    for name in named:
        if name not in _KEYS:
            raise SettingsError(f"{PROPAGATORS}: `{name}` is not known; write a list of {', '.join(_KEYS)}")
    keys = frozenset(key for name in named for key in _KEYS[name])

    def parent_of(metadata: Metadata) -> Parent | None:
        # What Envoy's tracer sends is read on the way; whatever is more, or other, is looked at once more.
        traceparent: str | bytes = ""
        state: str | bytes = ""
        for key, value in metadata:
            if key in keys:
                if key == _TRACEPARENT_KEY and not traceparent:
                    traceparent = value
                elif key == _STATE_KEY and not state:
                    state = value
                else:
                    return _parent([pair for pair in metadata if pair[0] in keys])
        return _of_w3c(traceparent, state) if traceparent else None

    return parent_of


def _parent(found: Metadata) -> Parent | None:
    named: dict[str, str] = {}
    for key, value in found:
        # Of two parents nobody can tell which holds; a state may be told in pieces.
        if not isinstance(value, str) or (key in named and key != _STATE_KEY):
            return None
        named[key] = f"{named[key]},{value}" if key in named else value
    if _TRACEPARENT_KEY in named:
        return _of_w3c(named[_TRACEPARENT_KEY], named.get(_STATE_KEY, ""))
    return _of_b3(named[_SINGLE]) if _SINGLE in named else _of_multiple_b3(named)


def _of_w3c(traceparent: str | bytes, state: str | bytes) -> Parent | None:
    fields = _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    if fields is None:
        return None
    trace, span, flags = fields.groups()
    kept = state if isinstance(state, str) and len(state) <= _MAX_STATE else ""
    return Parent(SpanIds(trace, span), flags in _SAMPLED, kept)


def _of_b3(text: str) -> Parent | None:
    fields = _B3.fullmatch(text)
    if fields is None:
        return None
    trace, span, sampled = fields.groups()
    # Where the decision is left to us, a trace that somebody began is worth its missing span.
    return _known(trace, span, is_sampled=sampled is None or sampled in _B3_YES)


def _of_multiple_b3(named: Mapping[str, str]) -> Parent | None:
    trace, span = (named.get(key, "") for key in _MULTI[:2])
    if not (_B3_TRACE.fullmatch(trace) and _B3_SPAN.fullmatch(span)):
        return None
    is_sampled = named.get("x-b3-sampled", "") in _B3_YES or named.get("x-b3-flags") == "1"
    return _known(trace, span, is_sampled=is_sampled)


def _known(trace: str, span: str, *, is_sampled: bool) -> Parent | None:
    trace = trace.zfill(_DIGITS_OF_TRACE)
    return None if trace == _NO_TRACE or span == _NO_SPAN else Parent(SpanIds(trace, span), is_sampled)
