"""The audit log: what a line says, that none is lost in silence, and that no check waits for it."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

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
    line = line_of(decided(POLICY, request), DECISION_ID, NOW, 0.000_05)
    assert line.endswith(b"}\n")
    assert orjson.loads(line) == {
        "time": NOW,
        "decision_id": DECISION_ID,
        "outcome": "allow",
        "reason": "rule_allowed",
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
    line = line_of(refuse_unread(Reason.REQUEST_MALFORMED), DECISION_ID, NOW, 0.0)
    assert orjson.loads(line)["reason"] == "request_malformed"


@pytest.mark.parametrize("character", ["a", "\n", '"', "\u00e9", "\0"])
def test_what_a_client_sends_neither_breaks_a_line_nor_fills_the_disk(character: str) -> None:
    request = ask("GET https://other.example/a", origin=character * 100_000, x_request_id=character * 100_000)
    line = line_of(decided(POLICY, request), DECISION_ID, NOW, 0.0)
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
