"""The parent of a check is read as OpenTelemetry's own propagators read it, but for what is doubtful."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.propagators.b3 import B3MultiFormat
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cors_authz.edge.observation import Parent, SpanIds
from cors_authz.edge.settings_error import SettingsError
from cors_authz.edge.tracing.parent import parent_reader
from cors_authz.edge.transport.interface import Metadata

TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN: Final = "00f067aa0ba902b7"
IDS: Final = SpanIds(TRACE, SPAN)
OTHERS: Final = (("user-agent", "envoy"), ("x-request-id", "8c9f"), ("grpc-trace-bin", b"\x00"))
W3C: Final = ("traceparent", f"00-{TRACE}-{SPAN}-01")
PARENT_OF: Final = parent_reader({})

CASES: Final[dict[str, tuple[Metadata, Parent | None]]] = {
    "a call without a parent": ((), None),
    "a sampled parent": ((W3C,), Parent(IDS, is_sampled=True)),
    "a parent that is not sampled": ((("traceparent", f"00-{TRACE}-{SPAN}-00"),), Parent(IDS, is_sampled=False)),
    "flags that are not known beside the one that is": (
        (("traceparent", f"00-{TRACE}-{SPAN}-ff"),),
        Parent(IDS, is_sampled=True),
    ),
    "flags that are not known, without it": (
        (("traceparent", f"00-{TRACE}-{SPAN}-fe"),),
        Parent(IDS, is_sampled=False),
    ),
    "a state": ((W3C, ("tracestate", "a=1")), Parent(IDS, is_sampled=True, state="a=1")),
    "a state that comes first": ((("tracestate", "a=1"), W3C), Parent(IDS, is_sampled=True, state="a=1")),
    "a state in pieces": (
        (W3C, ("tracestate", "a=1"), ("tracestate", "b=2")),
        Parent(IDS, is_sampled=True, state="a=1,b=2"),
    ),
    "an empty state, as Envoy sends it": ((W3C, ("tracestate", "")), Parent(IDS, is_sampled=True)),
    "a state that is too long is left out": ((W3C, ("tracestate", "a=" + 511 * "x")), Parent(IDS, is_sampled=True)),
    "a state as long as may be": (
        (W3C, ("tracestate", "a=" + 510 * "x")),
        Parent(IDS, is_sampled=True, state="a=" + 510 * "x"),
    ),
    "a state without a parent": ((("tracestate", "a=1"),), None),
    "two parents, though they agree": ((W3C, W3C), None),
    "two parents in one": ((("traceparent", f"{W3C[1]},{W3C[1]}"),), None),
    "a later version": ((("traceparent", f"01-{TRACE}-{SPAN}-01"),), Parent(IDS, is_sampled=True)),
    "a later version that says more": ((("traceparent", f"cc-{TRACE}-{SPAN}-01-more"),), Parent(IDS, is_sampled=True)),
    "a later version that runs on": ((("traceparent", f"cc-{TRACE}-{SPAN}-01more"),), None),
    "version 00 that says more": ((("traceparent", f"{W3C[1]}-more"),), None),
    "version ff, which is none": ((("traceparent", f"ff-{TRACE}-{SPAN}-01"),), None),
    "a trace of zeros": ((("traceparent", f"00-{'0' * 32}-{SPAN}-01"),), None),
    "a span of zeros": ((("traceparent", f"00-{TRACE}-{'0' * 16}-01"),), None),
    "upper case": ((("traceparent", f"00-{TRACE.upper()}-{SPAN}-01"),), None),
    "no hexadecimal digit": ((("traceparent", f"00-{TRACE[:-1]}g-{SPAN}-01"),), None),
    "a digit of another alphabet": ((("traceparent", f"00-{TRACE[:-1]}\u0663-{SPAN}-01"),), None),
    "too short": ((("traceparent", W3C[1][:-1]),), None),
    "a line break at the end": ((("traceparent", f"{W3C[1]}\n"),), None),
    "blanks around it": ((("traceparent", f" {W3C[1]}"),), None),
    "nothing": ((("traceparent", ""),), None),
    "bytes": ((("traceparent", W3C[1].encode()),), None),
    "bytes, twice": ((("b3", b"0"), W3C), None),
    "B3 in one header": ((("b3", f"{TRACE}-{SPAN}-1"),), Parent(IDS, is_sampled=True)),
    "B3 in one header, with its own parent": ((("b3", f"{TRACE}-{SPAN}-1-{SPAN}"),), Parent(IDS, is_sampled=True)),
    "B3 in one header, not sampled": ((("b3", f"{TRACE}-{SPAN}-0"),), Parent(IDS, is_sampled=False)),
    "B3 in one header, for debugging": ((("b3", f"{TRACE}-{SPAN}-d"),), Parent(IDS, is_sampled=True)),
    "B3 in one header, undecided": ((("b3", f"{TRACE}-{SPAN}"),), Parent(IDS, is_sampled=True)),
    "B3 in one header that names nothing": ((("b3", "0"),), None),
    "B3 in one header, twice": ((("b3", f"{TRACE}-{SPAN}-1"), ("b3", f"{TRACE}-{SPAN}-1")), None),
    "a trace of 64 bits": (
        (("b3", f"{SPAN}-{SPAN}-1"),),
        Parent(SpanIds("0" * 16 + SPAN, SPAN), is_sampled=True),
    ),
    "B3 of zeros": ((("b3", f"{'0' * 16}-{SPAN}-1"),), None),
    "B3 in several headers": (
        (("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")),
        Parent(IDS, is_sampled=True),
    ),
    "B3 in several headers, a trace of 64 bits, by an older word": (
        (("x-b3-traceid", SPAN), ("x-b3-spanid", SPAN), ("x-b3-sampled", "true")),
        Parent(SpanIds("0" * 16 + SPAN, SPAN), is_sampled=True),
    ),
    "B3 in several headers, undecided": (
        (("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)),
        Parent(IDS, is_sampled=False),
    ),
    "B3 in several headers, not sampled": (
        (("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "0")),
        Parent(IDS, is_sampled=False),
    ),
    "B3 in several headers, for debugging": (
        (("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-flags", "1")),
        Parent(IDS, is_sampled=True),
    ),
    "B3 in several headers, one missing": ((("x-b3-traceid", TRACE), ("x-b3-sampled", "1")), None),
    "both: W3C's holds": ((("b3", f"{SPAN}-{SPAN}-1"), W3C), Parent(IDS, is_sampled=True)),
    "both, and W3C's is none: a guess is worse than none": ((("b3", f"{SPAN}-{SPAN}-1"), ("traceparent", "00")), None),
}


@pytest.mark.parametrize("sentence", CASES)
def test_the_parent_of_a_call(sentence: str) -> None:
    metadata, parent = CASES[sentence]
    assert PARENT_OF((*OTHERS[:1], *metadata, *OTHERS[1:])) == parent


FORMS: Final[dict[str, tuple[str, Metadata, Parent | None]]] = {
    "W3C alone is read": ("tracecontext,baggage", (W3C,), Parent(IDS, is_sampled=True)),
    "B3 is not read where W3C alone is named": ("tracecontext", (("b3", f"{TRACE}-{SPAN}-1"),), None),
    "W3C is not read where B3 alone is named": (" b3 ", (W3C,), None),
    "B3 is read where it is named": (
        "b3multi",
        (("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")),
        Parent(IDS, is_sampled=True),
    ),
    "nothing is read where none is named": ("none", (W3C,), None),
    "an empty value is none": ("", (W3C,), Parent(IDS, is_sampled=True)),
}


@pytest.mark.parametrize("sentence", FORMS)
def test_the_forms_that_the_environment_names(sentence: str) -> None:
    named, metadata, parent = FORMS[sentence]
    assert parent_reader({"OTEL_PROPAGATORS": named})(metadata) == parent


def test_a_form_that_is_not_known_is_refused_at_the_start() -> None:
    with pytest.raises(SettingsError) as refused:
        parent_reader({"OTEL_PROPAGATORS": "tracecontext,xray"})
    assert str(refused.value) == (
        "OTEL_PROPAGATORS: `xray` is not known; write a list of tracecontext, b3, b3multi, baggage, none"
    )


def _by_oracle(propagator: TextMapPropagator, metadata: dict[str, str]) -> Parent | None:
    found = get_current_span(propagator.extract(metadata)).get_span_context()
    if not found.is_valid:
        return None
    return Parent(SpanIds(f"{found.trace_id:032x}", f"{found.span_id:016x}"), found.trace_flags.sampled)


def _ids(length: int) -> st.SearchStrategy[str]:
    digits = st.text("0123456789abcdef", min_size=length, max_size=length)
    return st.one_of(digits, digits, st.just("0" * length), st.text("0123456789abcdefABg-", max_size=length + 1))


_TWO: Final = st.one_of(st.sampled_from(["00", "01", "ff", "cc"]), st.text("0123456789abcdefF", max_size=3))


@given(parts=st.tuples(_TWO, _ids(32), _ids(16), _TWO), rest=st.sampled_from(["", "-", "-x", "x", "-00"]))
@example(parts=("00", TRACE, SPAN, "01"), rest="")
@example(parts=("01", TRACE, SPAN, "01"), rest="-x")
def test_w3c_is_read_as_the_propagator_reads_it(parts: tuple[str, ...], rest: str) -> None:
    metadata = {"traceparent": "-".join(parts) + rest}
    assert PARENT_OF(tuple(metadata.items())) == _by_oracle(TraceContextTextMapPropagator(), metadata)


@given(
    parts=st.tuples(st.one_of(_ids(32), _ids(16)), _ids(16), st.sampled_from(["0", "1", "d"])).filter(
        lambda parts: "".join(parts).islower() or "".join(parts).isdecimal()
    ),
    length=st.integers(2, 3),
)
@example(parts=(TRACE, SPAN, "1"), length=3)
def test_b3_is_read_as_the_propagator_reads_it(parts: tuple[str, ...], length: int) -> None:
    metadata = {"b3": "-".join(parts[:length])}
    assert PARENT_OF(tuple(metadata.items())) == _by_oracle(B3MultiFormat(), metadata)


@given(
    st.lists(st.tuples(st.sampled_from(["traceparent", "tracestate", "b3", "x-b3-traceid"]), st.text() | st.binary()))
)
def test_whatever_is_sent_is_data(metadata: list[tuple[str, str | bytes]]) -> None:
    parent = PARENT_OF(metadata)
    assert parent is None or len(parent.ids.trace_id) == len(TRACE)
