"""Protobuf's wire format, held against protobuf."""

from __future__ import annotations

import pytest
from google.protobuf.struct_pb2 import Value

from cors_authz.envoy.wire import Spliced, delimited, varint_field

TEXTS = {
    "nothing": "",
    "a letter": "a",
    "the longest of one byte of length": "a" * 127,
    "the shortest of two": "a" * 128,
    "one that is not kept": "a" * 5000,
    "what the frame is learnt by": "\0" * 9,
    "what stands in the frame, too": "\x12\x0b\x18\x02",
    "more bytes than letters": "é𝄞",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_field_is_what_protobuf_writes(text: str) -> None:
    assert delimited(3, text.encode()) == Value(string_value=text).SerializeToString()


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_message_around_a_text_is_the_message_with_the_text(text: str) -> None:
    def write(name: str) -> bytes:
        return delimited(3, delimited(1, delimited(2, name.encode()) + varint_field(3, 2)))

    message = Spliced(write)
    assert [message.with_text("b" * len(text)), message.with_text(text), message.with_text(text)] == [
        write("b" * len(text)),
        write(text),
        write(text),
    ]


@pytest.mark.parametrize(("value", "then"), [(0, b""), (1, b"\x08\x01"), (127, b"\x08\x7f"), (300, b"\x08\xac\x02")])
def test_a_number_is_written_in_groups_of_seven_bits_and_zero_is_left_out(value: int, then: bytes) -> None:
    assert varint_field(1, value) == then
