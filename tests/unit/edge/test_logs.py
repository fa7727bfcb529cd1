"""The log for machines: one line a record, whatever is in it."""

from __future__ import annotations

import json
import logging

import pytest

from cors_authz.edge.logs import JsonFormatter


def test_a_record_is_one_line_with_its_time_in_utc() -> None:
    record = logging.makeLogRecord(
        {"name": "a.b", "levelname": "ERROR", "msg": "two\n%s", "args": ('"lines"',), "created": 1_800_000_000.5}
    )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2027-01-15T08:00:00.500000+00:00",
        "level": "error",
        "logger": "a.b",
        "message": 'two\n"lines"',
    }


def test_an_exception_stays_on_the_line() -> None:
    with pytest.raises(ValueError, match="injected") as raised:
        int("injected")
    info = (raised.type, raised.value, raised.tb)
    record = logging.makeLogRecord({"msg": "failed", "exc_info": info})
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("base 10: 'injected'")


def test_a_text_that_no_encoding_can_carry_is_still_a_line() -> None:
    json.loads(JsonFormatter().format(logging.makeLogRecord({"msg": "a\ud800b"})))
