"""Envoy's access log to plain values: whole entries, entries that say little, and bytes that are none."""

from __future__ import annotations

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st

from cors_authz._gen.wire.access_log_pb2 import ResponseFlags, StreamAccessLogsMessage
from cors_authz.envoy.access_log import Entry, LogMessage, Outline, decode, outline

NOTHING = Entry(
    time=0.0,
    request_id="",
    method="",
    scheme="",
    host="",
    path="",
    origin="",
    status=0,
    flags=(),
    details="",
    duration_us=0,
    reached_upstream=False,
    decision={},
    headers={},
)


def logged(*entries: object, identified: bool = False) -> bytes:
    """Serialize a message of these HTTP entries."""
    tree: dict[str, object] = {"http_logs": {"log_entry": list(entries)}}
    if identified:
        tree["identifier"] = {}
    return ParseDict(tree, StreamAccessLogsMessage()).SerializeToString()


WHOLE = {
    "common_properties": {
        "start_time": "2026-11-21T19:39:44.250Z",
        "duration": "1.002345678s",
        "response_flags": {"upstream_connection_failure": True, "upstream_retry_limit_exceeded": True},
        "upstream_remote_address": {"socket_address": {"address": "10.0.0.1"}},
        "metadata": {
            "filter_metadata": {
                "envoy.filters.http.ext_authz": {
                    "outcome": "allow",
                    "shadow": True,
                    "empty": "",
                    "ext_authz_duration": 3,
                    "deep": {"outcome": "deny"},
                },
                "another.filter": {"outcome": "deny"},
            }
        },
        "access_log_type": 6,
    },
    "request": {
        "request_method": 3,
        "scheme": "https",
        "authority": "api.example:8443",
        "path": "/a;x=1?token=secret?more",
        "request_id": "7c1c",
        "request_headers": {"origin": "https://shop.example", "x-other": "1"},
    },
    "response": {
        "response_code": 503,
        "response_headers": {"Vary": "Origin", "access-control-allow-origin": "a,b"},
        "response_code_details": "upstream_reset",
    },
}


def test_a_whole_entry() -> None:
    assert decode(logged(WHOLE)) == LogMessage(
        entries=(
            Entry(
                time=1795289984.25,
                request_id="7c1c",
                method="POST",
                scheme="https",
                host="api.example:8443",
                path="/a;x=1",
                origin="https://shop.example",
                status=503,
                flags=("UF", "URX"),
                details="upstream_reset",
                duration_us=1_002_345,
                reached_upstream=True,
                decision={
                    "outcome": "allow",
                    "shadow": True,
                    "empty": False,
                    "ext_authz_duration": False,
                    "deep": False,
                },
                headers={"vary": "Origin", "access-control-allow-origin": "a,b"},
            ),
        ),
        ignored=0,
    )


REWRITTEN = {
    "a path that a route rewrote": (
        {"path": "/x?token=secret", "original_path": "/api/a?token=secret"},
        ("", "/api/a"),
    ),
    "a host that a route rewrote": (
        {"authority": "internal.svc", "request_headers": {"x-envoy-original-host": "api.example"}},
        ("api.example", ""),
    ),
}


@pytest.mark.parametrize("sentence", REWRITTEN)
def test_an_entry_is_of_what_the_client_asked_for(sentence: str) -> None:
    request, asked = REWRITTEN[sentence]
    read = decode(logged({"request": request}))

    assert read is not None
    assert [(entry.host, entry.path) for entry in read.entries] == [asked]


def properties(**fields: object) -> bytes:
    return logged({"common_properties": fields})


TCP = ParseDict({"tcp_logs": {"log_entry": [{}]}}, StreamAccessLogsMessage()).SerializeToString()
ONE = LogMessage(entries=(NOTHING,), ignored=0)
NONE = LogMessage(entries=(), ignored=1)
READ = {
    "no message at all": (b"", LogMessage(entries=(), ignored=0)),
    "an identifier alone": (logged(identified=True), LogMessage(entries=(), ignored=0)),
    "an entry that says nothing": (logged({}), ONE),
    "a method that Envoy's log has no word for": (logged({"request": {"request_method": 0}}), ONE),
    "a method of a later Envoy": (logged({"request": {"request_method": 10}}), ONE),
    "a method that is no number of a method": (logged({"request": {"request_method": -1}}), ONE),
    "another filter's metadata": (properties(metadata={"filter_metadata": {"x": {"outcome": "allow"}}}), ONE),
    "a duration that went back": (properties(duration="-3s"), ONE),
    "the end of a request, as older Envoys say it": (properties(access_log_type=0), ONE),
    "the beginning of a request": (properties(access_log_type=4), NONE),
    "a long request, now and then": (properties(access_log_type=5), NONE),
    "a connection to an upstream": (properties(access_log_type=7), NONE),
    "a TCP connection": (TCP, NONE),
    "all that is left of entries, in their order": (
        logged({"request": {"path": "/a"}}, {"common_properties": {"access_log_type": 4}}, {"request": {"path": "/b"}}),
        LogMessage(entries=(NOTHING._replace(path="/a"), NOTHING._replace(path="/b")), ignored=1),
    ),
}


@pytest.mark.parametrize("sentence", READ)
def test_what_is_read(sentence: str) -> None:
    raw, expected = READ[sentence]

    assert decode(raw) == expected


def test_a_duration_beyond_every_number_is_cut() -> None:
    read = decode(properties(duration="315576000000s"))

    assert read is not None
    assert read.entries[0].duration_us == 2**53


def test_every_flag_has_its_word() -> None:
    tree: dict[str, object] = {
        field.name: {} if field.message_type else True for field in ResponseFlags.DESCRIPTOR.fields
    }

    read = decode(properties(response_flags=tree))

    assert read is not None
    assert ",".join(read.entries[0].flags) == (
        "LH,UH,UT,LR,UR,UF,UC,UO,NR,DI,FI,RL,UAEX,RLSE,DC,URX,SI,IH,DPE,UMSDR,RFCF,NFCF,DT,UPE,NC,OM,DF,DR"
    )


GARBAGE = {
    "bytes": b"\xff\xff",
    "a message that breaks off": logged(WHOLE)[:-1],
    "text that is no UTF-8": logged(WHOLE).replace(b"upstream_reset", b"upstream_rese\xff"),
}


@pytest.mark.parametrize("sentence", GARBAGE)
def test_what_is_no_message_is_none(sentence: str) -> None:
    assert (decode(GARBAGE[sentence]), outline(GARBAGE[sentence])) == (None, None)


OUTLINES = {
    "no message at all": (b"", Outline(is_identified=False, entries=0, tcp_entries=0)),
    "an identifier and entries": (
        logged({}, WHOLE, identified=True),
        Outline(is_identified=True, entries=2, tcp_entries=0),
    ),
    "beginnings count too": (
        properties(access_log_type=4),
        Outline(is_identified=False, entries=1, tcp_entries=0),
    ),
    "TCP connections": (TCP, Outline(is_identified=False, entries=0, tcp_entries=1)),
}


@pytest.mark.parametrize("sentence", OUTLINES)
def test_a_message_is_looked_over(sentence: str) -> None:
    raw, expected = OUTLINES[sentence]

    assert outline(raw) == expected


@given(st.integers(0, 400), st.binary(max_size=8))
def test_no_bytes_make_it_fail(place: int, spliced: bytes) -> None:
    whole = logged(WHOLE)

    for raw in (spliced, whole[:place] + spliced + whole[place + len(spliced) :]):
        assert (decode(raw) is None) == (outline(raw) is None)


def test_every_method_has_its_name() -> None:
    read = decode(logged(*({"request": {"request_method": number}} for number in range(10))))

    assert read is not None
    methods = ["", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
    assert [entry.method for entry in read.entries] == methods
