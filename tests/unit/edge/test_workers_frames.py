"""Frames: what was said is what is read, however the bytes come; what is no report is an error."""

from __future__ import annotations

import io

import pytest

from cors_authz.edge.workers.frames import (
    MAX_REPORT_BYTES,
    Frame,
    FrameError,
    Inbox,
    Kind,
    Loaded,
    Refused,
    Serving,
    encode,
    head,
    read,
)

REPORTS = (Loaded(7), Serving(12, "unix:/run/a b.sock-0"), Refused("cannot listen on `x`: in use; \u2713"))


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_reports_are_read_however_their_bytes_come(size: int) -> None:
    inbox, said = Inbox(), b"".join(report.frame() for report in REPORTS)
    heard = [report for at in range(0, len(said), size) for report in inbox.feed(said[at : at + size])]
    assert heard == list(REPORTS)


NO_REPORTS = {
    "a kind that is none": b"\x63\0\0\0\0",
    "what is said to workers only": encode(Kind.SWAP, b"1"),
    "a number that is none": encode(Kind.LOADED, b"one"),
    "a generation without a number": encode(Kind.SERVING, b"127.0.0.1:80"),
    "bytes that are no text": encode(Kind.REFUSED, b"\xff\xfe"),
    "one without end": head(Kind.REFUSED, b"x" * (MAX_REPORT_BYTES + 1)),
}


@pytest.mark.parametrize("raw", NO_REPORTS.values(), ids=NO_REPORTS)
def test_what_is_no_report_is_an_error(raw: bytes) -> None:
    with pytest.raises(FrameError):
        list(Inbox().feed(raw))


def test_a_worker_reads_frame_by_frame_until_the_stream_ends() -> None:
    stream = io.BytesIO(encode(Kind.GENERATION, b"3") + encode(Kind.PART, b"") + encode(Kind.LAST_PART, b"")[:-1])
    assert [read(stream), read(stream), read(stream)] == [
        Frame(Kind.GENERATION, b"3"),
        Frame(Kind.PART, b""),
        None,
    ]


def test_a_stream_that_ends_within_a_payload_is_at_its_end() -> None:
    assert read(io.BytesIO(encode(Kind.PART, b"abc")[:-1])) is None


def test_a_worker_refuses_a_kind_that_is_none() -> None:
    with pytest.raises(FrameError, match="99 is no kind of frame"):
        read(io.BytesIO(b"\x63\0\0\0\0"))
