"""The log for machines: one line a record, whatever is in it."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from cors_authz.edge.logs import FLUSH_SECONDS, WAITING_LINES, JsonFormatter, UnhurriedHandler, log_to_stderr

# What a pipe of one page holds none of, until it is read.
LONG = "x" * 8000


def close(log: logging.Handler) -> None:
    log.flush()
    log.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Give both ends of a pipe that holds a page."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    yield reader, writer
    for descriptor in (reader, writer):
        os.close(descriptor)


def until_taken(log: UnhurriedHandler) -> None:
    """Wait until the thread that writes has taken all lines, and waits for a reader."""
    while log._lines:  # noqa: SLF001
        time.sleep(0.001)


def told(text: str) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": text})


def read(reader: int, lines: int) -> list[str]:
    received = b""
    while received.count(b"\n") < lines:
        received += os.read(reader, 65536)
    return received.decode().splitlines()


def test_nobody_waits_for_a_log_that_is_not_read_and_what_is_lost_is_told_where_it_is_missed(
    pipe: tuple[int, int],
) -> None:
    reader, writer = pipe
    log = UnhurriedHandler(writer)
    log.handle(told(LONG))
    until_taken(log)
    for number in range(WAITING_LINES + 5):
        log.handle(told(str(number)))
    expected = [LONG, *map(str, range(WAITING_LINES)), "nobody read this log for a while, and it lacks 5 lines here"]
    assert read(reader, len(expected)) == expected
    log.handle(told("after"))
    close(log)
    assert read(reader, 1) == ["after"]


def test_to_flush_what_is_not_read_takes_its_time_once(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    log = UnhurriedHandler(writer)
    log.handle(told(LONG))
    until_taken(log)
    took = []
    for _ in range(2):
        begun = time.monotonic()
        log.flush()
        took.append(time.monotonic() - begun)
    assert FLUSH_SECONDS <= took[0] < FLUSH_SECONDS + 2
    assert took[1] < FLUSH_SECONDS / 2
    assert read(reader, 1) == [LONG]
    close(log)


def test_a_descriptor_that_does_not_block_loses_nothing(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.set_blocking(writer, False)
    log = UnhurriedHandler(writer)
    log.handle(told(LONG))
    log.handle(told("after"))
    assert read(reader, 2) == [LONG, "after"]
    close(log)


def test_a_reader_that_went_away_ends_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    log = UnhurriedHandler(writer)
    for _ in range(2):
        log.handle(told("unread"))
        log.flush()
    close(log)
    os.close(writer)


def test_a_record_that_no_text_can_be_made_of_is_told_with_the_reason(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    log = UnhurriedHandler(writer)
    log.handle(logging.makeLogRecord({"msg": "%d", "args": ("injected",)}))
    close(log)
    assert "TypeError" in os.read(reader, 4096).decode()


ENDS = {
    "the code runs out": "pass",
    "it exits": "sys.exit(3)",
    "it fails": "raise ValueError('injected')",
    "another thread goes on": "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
}


@pytest.mark.parametrize("sentence", ENDS)
def test_no_line_is_lost_at_the_end_of_the_process(sentence: str) -> None:
    script = f"""
import logging, sys, threading, time
from cors_authz.edge.logs import log_to_stderr
log_to_stderr("info", "text")
for number in range(500):
    logging.info("line %d.", number)
{ENDS[sentence]}
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    lines = [line.rpartition(" ")[2] for line in run.stderr.splitlines() if "INFO" in line]
    assert lines == [f"{number}." for number in range(500)]


def test_without_standard_error_there_is_no_log() -> None:
    script = """
import logging, sys
from cors_authz.edge.logs import log_to_stderr
log_to_stderr("info", "text")
logging.error("unread")
"""
    closed = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, script]
    run = subprocess.run(closed, capture_output=True, check=False)
    assert (run.returncode, run.stdout) == (0, b"")


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
    sentence: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    level, expected = QUIETED[sentence]
    ours, watcher = logging.getLogger("cors_authz.edge"), logging.getLogger("watchfiles.main")
    root, levels = logging.getLogger(), (logging.getLogger().level, logging.getLogger("watchfiles").level)
    with monkeypatch.context() as patched:
        patched.setattr(root, "handlers", [])
        try:
            log = log_to_stderr(level, "json")
            for logger, name in ((ours, "ours"), (watcher, "watcher")):
                logger.info("%s info", name)
                logger.warning("%s warning", name)
            close(log)
        finally:
            root.setLevel(levels[0])
            logging.getLogger("watchfiles").setLevel(levels[1])
    assert [json.loads(line)["message"] for line in capfd.readouterr().err.splitlines()] == expected


def test_of_grpc_what_a_client_sent_is_dropped_and_its_own_faults_are_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    grpc, root = logging.getLogger("grpc._cython.cygrpc"), logging.getLogger()
    level = root.level
    with monkeypatch.context() as patched:
        patched.setattr(root, "handlers", [])
        patched.setattr(grpc, "filters", [])
        try:
            log = log_to_stderr("info", "json")
            for fault in (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "injected"), ValueError("injected")):
                grpc.error("told %s", type(fault).__name__, exc_info=fault)
            grpc.warning("told without")
            close(log)
        finally:
            root.setLevel(level)
            logging.getLogger("watchfiles").setLevel(logging.NOTSET)
    told = [json.loads(line)["message"] for line in capfd.readouterr().err.splitlines()]
    assert told == ["told ValueError", "told without"]
