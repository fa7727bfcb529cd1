"""The audit log: what a line says, that none is lost in silence, and that no check waits for it."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import orjson
import pytest

from cors_authz.edge import audit
from cors_authz.edge.audit import AuditLog, line_of
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Reason
from tests.deciding import DECISION_ID, NOW, ask, compiled, decided

POLICY = compiled("""
    originGroups:
      web: {origins: ["https://shop.example"], trust: high}
    resourceGroups:
      api:
        match: [{hosts: [api.shop.example], paths: ["/orders/{id}"]}]
        allow: [{origins: [web], methods: [GET]}]
    """)


def read(path: Path) -> list[object]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_a_line_says_what_was_decided_by_which_rule_and_no_path_but_the_routes() -> None:
    request = ask(
        "GET https://api.shop.example/orders/42?token=s3cret", origin="https://shop.example", x_request_id="r-1"
    )
    line = line_of(decided(POLICY, request), DECISION_ID, 0.000_05)
    assert line.endswith(b"}\n")
    assert orjson.loads(line) == {
        "time": NOW,
        "decision_id": DECISION_ID,
        "outcome": "allow",
        "reason": "rule_allowed",
        "status": 0,
        "shadow": False,
        "guard": "",
        "latency_us": 50,
        "request_id": "r-1",
        "method": "GET",
        "host": "api.shop.example",
        "origin": "https://shop.example",
        "path": "/orders/{id}",
        "group": "api",
        "rule": "api/1",
        "revision": "r1",
    }


def test_what_could_not_be_read_has_a_line_too() -> None:
    line = line_of(refuse_unread(Reason.REQUEST_MALFORMED, NOW), DECISION_ID, 0.0)
    read = orjson.loads(line)
    assert (read["reason"], read["time"]) == ("request_malformed", NOW)


def test_a_refusal_names_its_guard_and_one_in_shadow_says_so() -> None:
    policy = compiled(
        """
guards: {office: {sourceIn: [10.0.0.0/8]}}
resourceGroups:
  api:
    match: [{hosts: [api.example]}]
    guards: [office]
    mode: shadow
    allow: []
"""
    )
    read = orjson.loads(line_of(decided(policy, ask("GET https://api.example/")), DECISION_ID, 0.0))
    assert (read["outcome"], read["status"], read["shadow"], read["guard"]) == ("deny", 403, True, "office")


def test_workers_that_share_a_pipe_do_not_tear_their_lines() -> None:
    reader, writer = os.pipe()
    writers = [AuditLog(os.dup(writer)) for _ in range(2)]
    os.close(writer)
    received = bytearray()

    def read() -> None:
        while chunk := os.read(reader, 1000):
            received.extend(chunk)
            time.sleep(0.0002)

    thread = Thread(target=read)
    thread.start()
    for log in writers:
        log.start()
    for _ in range(2000):
        for letter, log in zip(b"ab", writers, strict=True):
            log.append(bytes([letter]) * 299 + b"\n")
    for log in writers:
        log.stop()
    thread.join()
    os.close(reader)
    assert set(bytes(received).splitlines()) == {b"a" * 299, b"b" * 299}


@pytest.mark.parametrize("character", ["a", "\n", '"', "\u00e9", "\0"])
def test_what_a_client_sends_neither_breaks_a_line_nor_fills_the_disk(character: str) -> None:
    request = ask("GET https://other.example/a", origin=character * 100_000, x_request_id=character * 100_000)
    line = line_of(decided(POLICY, request), DECISION_ID, 0.0)
    assert line.count(b"\n") == 1
    assert orjson.loads(line)["request_id"] == character * 256
    assert len(line) < 5000


def test_lines_are_written_in_their_order_and_all_of_them_at_the_end(tmp_path: Path) -> None:
    log = AuditLog.open(str(tmp_path / "log"))
    log.start()
    for number in range(1000):
        log.append(b"%d\n" % number)
    log.stop()
    assert (read(tmp_path / "log"), log.lost) == (list(range(1000)), 0)


def test_a_log_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    for number in range(2):
        log = AuditLog.open(str(tmp_path / "log"))
        log.append(b"%d\n" % number)
        log.stop()
    assert read(tmp_path / "log") == [0, 1]


def test_what_finds_no_room_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "LINES_OF_A_CHUNK", 3)
    monkeypatch.setattr(audit, "MAX_WAITING_CHUNKS", 1)
    log = AuditLog.open(str(tmp_path / "log"))
    for number in range(5):
        log.append(b"%d\n" % number)
    log.stop()
    assert (read(tmp_path / "log"), log.lost) == ([0, 1, 2], 2)


def test_a_file_that_takes_no_more_is_reported_once_and_no_line_is_lost_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = AuditLog.open(str(tmp_path / "log"))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6, limits[1]))
        for _ in range(2):
            log.append(b'"12345"\n')
            log._flush()  # noqa: SLF001 - the writer's own step, without its clock
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    log.append(b'"last"\n')
    log.stop()
    assert (tmp_path / "log").read_bytes() == b'"12345\n"last"\n'
    assert log.lost == 2
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_standard_output_takes_lines(capfd: pytest.CaptureFixture[str]) -> None:
    log = AuditLog.open("-")
    log.append(b"{}\n")
    log.stop()
    assert capfd.readouterr().out == "{}\n"


class Pipe(NamedTuple):
    """A pipe that is full, and how much it holds."""

    reader: FileIO
    writer: int
    held: int


@pytest.fixture
def full_pipe() -> Iterator[Pipe]:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    held = 0
    try:
        while True:
            held += os.write(writer, b"-" * 4095 + b"\n")
    except BlockingIOError:
        os.set_blocking(writer, True)
    with FileIO(reader) as file:
        yield Pipe(file, writer, held)


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_a_pipe_that_nobody_empties_does_not_hold_up_the_end_and_each_line_is_counted(
    full_pipe: Pipe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audit, "STOP_SECONDS", 0.2)
    log = AuditLog(full_pipe.writer)
    log.start()
    log.append(b"being written\n")
    time.sleep(4 * audit.FLUSH_SECONDS)
    for _ in range(100):
        log.append(b"waiting\n")
    began = time.monotonic()
    log.stop()
    assert time.monotonic() - began < 2
    assert log.lost == 101
    assert [record.getMessage() for record in caplog.records] == [
        "the audit log takes nothing, and is given up; 101 lines were lost up to now"
    ]
    # The thread still writes there: nothing else may get the number.
    assert is_open(full_pipe.writer)
    full_pipe.reader.close()
    while is_open(full_pipe.writer):
        time.sleep(0.01)
    assert log.lost == 101


def test_a_log_that_never_began_does_not_hold_up_the_end_either(
    full_pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "STOP_SECONDS", 0.2)
    log = AuditLog(full_pipe.writer)
    log.append(b"{}\n")
    log.stop()
    assert log.lost == 1


def test_while_the_file_takes_nothing_lines_are_dropped_and_counted_and_never_piled_up(
    full_pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "LINES_OF_A_CHUNK", 3)
    monkeypatch.setattr(audit, "MAX_WAITING_CHUNKS", 4)
    log = AuditLog(full_pipe.writer)
    log.start()
    began = time.monotonic()
    for number in range(10_000):
        log.append(b"%d\n" % number)
    assert time.monotonic() - began < 5
    with ThreadPoolExecutor(1) as pool:
        read_to_the_end = pool.submit(full_pipe.reader.readall)
        log.stop()
        written = read_to_the_end.result()[full_pipe.held :].splitlines()
    # What was being written, and what waited.
    assert len(written) <= 2 * (3 * 4 + 3)
    assert len(written) + log.lost == 10_000
    assert {int(line) for line in written} <= set(range(10_000))
