"""The log for machines: one line a record, whatever is in it."""

from __future__ import annotations

import json
import logging

import pytest

from cors_authz.edge.logs import JsonFormatter, log_to_stderr


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


QUIETED = {
    "at info, of the watcher only what went wrong": ("info", ["ours info", "ours warning", "watcher warning"]),
    "at debug too: its every change is no help": ("debug", ["ours info", "ours warning", "watcher warning"]),
    "at error, the watcher is as silent as the rest": ("error", []),
}


@pytest.mark.parametrize("sentence", QUIETED)
def test_the_watcher_of_files_speaks_up_only_when_something_is_wrong(
    sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    level, expected = QUIETED[sentence]
    ours, watcher = logging.getLogger("cors_authz.edge"), logging.getLogger("watchfiles.main")
    root, levels = logging.getLogger(), (logging.getLogger().level, logging.getLogger("watchfiles").level)
    with monkeypatch.context() as patched:
        patched.setattr(root, "handlers", [])
        try:
            log_to_stderr(level, "json")
            for logger, name in ((ours, "ours"), (watcher, "watcher")):
                logger.info("%s info", name)
                logger.warning("%s warning", name)
        finally:
            root.setLevel(levels[0])
            logging.getLogger("watchfiles").setLevel(levels[1])
    assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == expected


def test_of_grpc_what_a_client_sent_is_dropped_and_its_own_faults_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grpc, root = logging.getLogger("grpc._cython.cygrpc"), logging.getLogger()
    level = root.level
    with monkeypatch.context() as patched:
        patched.setattr(root, "handlers", [])
        patched.setattr(grpc, "filters", [])
        try:
            log_to_stderr("info", "json")
            for fault in (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "injected"), ValueError("injected")):
                grpc.error("told %s", type(fault).__name__, exc_info=fault)
            grpc.warning("told without")
        finally:
            root.setLevel(level)
            logging.getLogger("watchfiles").setLevel(logging.NOTSET)
    told = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert told == ["told ValueError", "told without"]
