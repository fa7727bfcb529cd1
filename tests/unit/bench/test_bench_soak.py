"""The soak's own judgement: an OK by accident and a leak are found, and its frames are HTTP/2's."""

from __future__ import annotations

from random import Random
from typing import Final

import pytest

from cors_authz._gen.wire.external_auth_pb2 import CheckResponse, Status
from tests.bench import frames
from tests.bench.soak import SoakError, hold_memory, judge
from tests.bench.traffic import Check

MB: Final = 1_000_000
ALLOWED: Final = CheckResponse(status=Status()).SerializeToString()
REFUSED: Final = CheckResponse(status=Status(code=7)).SerializeToString()


def test_right_answers_are_counted() -> None:
    assert judge([Check(b"", "allow"), Check(b"", "preflight_allow")], [ALLOWED, REFUSED]) == "2 answered"


@pytest.mark.parametrize("answer", [ALLOWED, b""], ids=["a status of OK", "no status at all"])
def test_an_ok_by_accident_is_found(answer: bytes) -> None:
    with pytest.raises(SoakError, match="the answer to deny"):
        judge([Check(b"", "deny")], [answer])


def test_a_refusal_of_what_is_allowed_is_found() -> None:
    with pytest.raises(SoakError, match="the answer to allow"):
        judge([Check(b"", "allow")], [REFUSED])


def test_memory_that_goes_on_growing_is_a_leak() -> None:
    with pytest.raises(SoakError, match="grew from 100 to 142 MB"):
        hold_memory([100 * MB, 100 * MB, 120 * MB, 142 * MB])


@pytest.mark.parametrize("memory", [[100 * MB, 140 * MB], [80 * MB, 100 * MB, 105 * MB, 130 * MB, 120 * MB, 120 * MB]])
def test_memory_that_settles_is_none(memory: list[int]) -> None:
    hold_memory(memory)


def test_a_frame_is_length_type_flags_stream_payload() -> None:
    assert frames.frame(1, 4, 3, b"ab") == b"\x00\x00\x02\x01\x04\x00\x00\x00\x03ab"


def test_hello_is_the_preface_and_a_window() -> None:
    assert frames.hello(0) == frames.PREFACE + b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00"


def test_a_call_ends_its_stream_with_one_prefixed_message() -> None:
    assert frames.call(1, "/s/m", b"xyz").endswith(b"\x00\x00\x08\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x03xyz")


def test_garbage_is_repeatable() -> None:
    assert frames.garbage(Random(1)) == frames.garbage(Random(1))  # noqa: S311 - repeatable, not secret
