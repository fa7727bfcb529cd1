"""Lines on their way to files, pipes and a collector: none is lost in silence, none torn, and no check waits long."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from io import FileIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, Final, NamedTuple, cast

import orjson
import pytest
from google.protobuf.json_format import Parse

from cors_authz._gen.v1.decision_pb2 import ChainHead
from cors_authz.edge.audit import lane, line_queue
from cors_authz.edge.audit.line_queue import Clocks, LineQueue, Lost
from cors_authz.edge.audit.options import MIN_ROTATE_BYTES, AuditOptions, WhenFull, WriterOptions
from cors_authz.edge.audit.otlp_sink import OtlpSink
from cors_authz.edge.audit.sinks import DescriptorSink, FileSink, Sink, SinkError
from cors_authz.edge.audit.trail import AuditTrail
from cors_authz.edge.audit.writer import AuditWriter
from cors_authz.edge.metrics.catalogue import EXPORT_FAILURES
from cors_authz.edge.metrics.sample import Sample
from cors_authz.edge.observation import NotRecordedError, Observation
from cors_authz.edge.settings_error import SettingsError
from cors_authz.edge.telemetry.advice import Place
from cors_authz.edge.telemetry.collector import Collector
from cors_authz.edge.telemetry.exporters import WatchedLogs
from cors_authz.review.audit.verify import At, Loss, Report, Verifier
from tests.deciding import DECISION_ID, NOW, ask, compiled, decided
from tests.serving import until

QUEUE: Final = 256
NOBODY: Final = 65534
COLLECTOR: Final = "the OTLP collector of logs: the collector does not take it"
MEANWHILE: Final = "decisions go on, and records wait while there is room for them: mend it soon"
POLICY: Final = compiled("""
originGroups:
  web: {origins: ["https://shop.example"], trust: high}
resourceGroups:
  api: {match: [{hosts: [api.example]}], allow: [{origins: [web], methods: [PUT]}]}
""")


def line(number: int, size: int = 0) -> bytes:
    return b'{"kind":"decision","number":%d,"filling":"%b"}\n' % (number, b"." * size)


def numbers(*files: Path) -> list[int]:
    """Read the lines of files that are no heads; each must be whole."""
    lines = (orjson.loads(each) for file in files for each in file.read_bytes().splitlines())
    return [each["number"] for each in lines if each["kind"] == "decision"]


def writer_to(*targets: Path | str, writer_id: str = "w", **how: Any) -> AuditWriter:  # noqa: ANN401 - any option
    return AuditWriter(WriterOptions(targets=tuple(map(str, targets)), **how), writer_id)


def append(writer: AuditWriter, *which: int, is_expendable: bool = False) -> None:
    for number in which:
        writer.append(line(number), is_expendable=is_expendable)


def verified(*files: Path) -> Report:
    verifier = Verifier([str(file) for file in files], None)
    for number, file in enumerate(files):
        with file.open("rb") as lines:
            verifier.read(number, lines)
    return verifier.report()


def aside(file: Path) -> list[Path]:
    return sorted(file.parent.glob(f"{file.name}.*"))


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


def sample(writer: AuditWriter | AuditTrail, name: str, *labels: str) -> float:
    found = [each.value for each in writer.samples() if (each.metric.name, each.labels) == (name, labels)]
    assert len(found) == 1
    assert isinstance(found[0], int | float)
    return found[0]


def lost(writer: AuditWriter) -> float:
    return sum(sample(writer, "cors_authz_audit_lost_records_total", reason.value) for reason in Lost)


# --- Files ------------------------------------------------------------------------------------------------------------


def test_lines_are_written_in_their_order_all_of_them_at_the_end_between_heads(tmp_path: Path) -> None:
    writer = writer_to(tmp_path / "log", head_lines=400)
    writer.start()
    append(writer, *range(1000))
    writer.stop()
    assert (numbers(tmp_path / "log"), lost(writer)) == (list(range(1000)), 0)
    heads = [each for each in (tmp_path / "log").read_bytes().splitlines() if each.startswith(b'{"kind":"head"')]
    read = [Parse(each, ChainHead()) for each in heads]
    assert [(head.writer, head.records, head.end) for head in read] == [
        ("w", 0, False),
        ("w", 400, False),
        ("w", 800, False),
        ("w", 1000, True),
    ]
    assert verified(tmp_path / "log")[:4] == ((), 0, 1000, 4)


def test_who_records_nothing_leaves_an_empty_file(tmp_path: Path) -> None:
    writer = writer_to(tmp_path / "log")
    writer.start()
    writer.stop()
    assert (tmp_path / "log").read_bytes() == b""


def test_a_file_is_made_for_its_owner_and_group_alone(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        writer_to(tmp_path / "log").stop()
    finally:
        os.umask(mask)
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o640


def test_a_log_goes_on_where_the_last_one_ended_on_a_line_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "log"
    for number in range(2):
        writer = writer_to(file, writer_id=f"w{number}")
        append(writer, number)
        writer.stop()
    assert numbers(file) == [0, 1]
    file.write_bytes(file.read_bytes() + b'{"kind":"decision","num')
    writer = writer_to(file, writer_id="w2")
    append(writer, 2)
    writer.stop()
    report = verified(file)
    assert (report.breach_count, report.records, [at.line for at in report.torn]) == (0, 3, [7])


def test_a_head_is_written_after_some_seconds_with_records_and_none_without(tmp_path: Path) -> None:
    seconds = [0.0]
    writer = AuditWriter(
        WriterOptions(targets=(str(tmp_path / "log"),)), "w", clocks=Clocks(lambda: NOW, lambda: seconds[0])
    )
    [only] = writer._lanes  # noqa: SLF001 - its own steps, without its clock
    for moment, count in ((0.0, 1), (4.9, 1), (5.0, 0), (5.1, 1), (5.2, 1), (20.0, 0), (40.0, 0)):
        seconds[0] = moment
        append(writer, *range(count))
        only._flush()  # noqa: SLF001 - the same
    kinds = [orjson.loads(each)["kind"] for each in (tmp_path / "log").read_bytes().splitlines()]
    assert kinds == ["head", "decision", "decision", "head", "decision", "decision", "head"]
    # Who has nothing to write does not make a file for it.
    (tmp_path / "log").unlink()
    seconds[0] = 100.0
    only._flush()  # noqa: SLF001 - the same
    assert not (tmp_path / "log").exists()


def test_a_large_file_is_put_aside_with_its_time_and_only_so_many_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "log"
    writer = writer_to(file, rotate_bytes=MIN_ROTATE_BYTES, keep=2)
    writer.start()
    for number in range(40):
        writer.append(line(number, 20_000), is_expendable=False)
        until(lambda: sample(writer, "cors_authz_audit_queue_records") == 0)
    writer.stop()
    kept = aside(file)
    assert len(kept) == 2
    found = numbers(*kept, file)
    assert found == list(range(found[0], 40))
    report = verified(*kept, file)
    assert (report.breach_count, len(report.begins_late)) == (0, 1)


HAMMER: Final = """
import sys, time
from cors_authz.edge.audit.options import WriterOptions
from cors_authz.edge.audit.writer import AuditWriter
name, file, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
writer = AuditWriter(WriterOptions(targets=(file,), rotate_bytes=65536, keep=1000), name)
writer.start()
for number in range(count):
    writer.append(b'{"kind":"decision","number":%d,"filling":"%b"}\\n' % (number, b"." * 900), is_expendable=False)
    if number % 50 == 49:
        time.sleep(0.03)
writer.stop()
lost = [each.value for each in writer.samples() if each.metric.name == "cors_authz_audit_lost_records_total"]
assert lost == [0, 0, 0], lost
"""


def hammer(name: str, file: Path, count: int) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[3]
    return subprocess.Popen([sys.executable, "-c", HAMMER, name, str(file), str(count)], cwd=root)


def test_workers_that_share_a_file_put_it_aside_together_and_lose_nothing(tmp_path: Path) -> None:
    file, count = tmp_path / "log", 1500
    workers = [hammer(name, file, count) for name in ("a", "b", "c")]
    # Somebody else puts it aside as well, as logrotate does.
    for number in range(10):
        time.sleep(0.1)
        # Between two files there is none.
        with suppress(FileNotFoundError):
            file.rename(tmp_path / f"log.by-others-{number}")
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    files = [*aside(file), file]
    report = verified(*files)
    assert (report.breaches, report.records, len(report.writers)) == ((), 3 * count, 3)
    assert report.begins_late == ()
    assert len(files) > 15
    # Two that put it aside at once would leave one almost empty.
    assert all(each.stat().st_size > 50_000 for each in aside(file) if "by-others" not in each.name)


def test_a_file_that_is_removed_or_put_aside_by_others_is_opened_anew_and_told_where_it_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, moved = tmp_path / "log", tmp_path / "moved"
    writer = writer_to(file)
    writer.start()
    append(writer, 0)
    until(lambda: file.stat().st_size > 0)
    file.rename(moved)
    append(writer, 1)
    until(file.exists)
    file.unlink()
    append(writer, 2)
    writer.stop()
    assert (numbers(moved), numbers(file), lost(writer)) == ([0], [2], 0)
    assert said(caplog) == [f"WARNING the audit file is gone, removed or packed by others, and is begun anew: `{file}`"]


def test_a_file_that_is_copied_and_truncated_goes_on_at_its_beginning(tmp_path: Path) -> None:
    file = tmp_path / "log"
    writer = writer_to(file)
    writer.start()
    append(writer, 0)
    until(lambda: file.stat().st_size > 0)
    os.truncate(file, 0)
    append(writer, 1)
    writer.stop()
    assert numbers(file) == [1]


# --- What cannot be written -------------------------------------------------------------------------------------------


def test_a_folder_that_goes_away_is_told_once_and_all_is_written_once_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "folder" / "log"
    file.parent.mkdir()
    writer = writer_to(file)
    writer.start()
    append(writer, 0)
    until(lambda: file.stat().st_size > 0)
    shutil.rmtree(file.parent)
    append(writer, 1)
    until(lambda: sample(writer, "cors_authz_audit_failing", "file") == 1)
    append(writer, 2)
    time.sleep(0.3)
    file.parent.mkdir()
    until(lambda: sample(writer, "cors_authz_audit_failing", "file") == 0)
    writer.stop()
    assert (numbers(file), lost(writer)) == ([1, 2], 0)
    assert said(caplog) == [
        f"ERROR the audit trail cannot be written: `{file}`: No such file or directory; {MEANWHILE}",
        f"WARNING the audit file is gone, removed or packed by others, and is begun anew: `{file}`",
        f"WARNING the audit trail is written again: `{file}`; 0 records were lost",
    ]


def test_each_outage_tells_its_own_losses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "folder" / "log"
    file.parent.mkdir()
    writer = writer_to(file, queue_lines=QUEUE)
    writer.start()
    for records in (QUEUE + 7, 1):
        shutil.rmtree(file.parent)
        append(writer, 0)
        until(lambda: sample(writer, "cors_authz_audit_failing", "file") == 1)
        append(writer, *range(1, records))
        file.parent.mkdir()
        until(lambda: sample(writer, "cors_authz_audit_failing", "file") == 0)
    writer.stop()
    told = [text.partition("; ")[2] for text in said(caplog) if "written again" in text]
    assert told == ["7 records were lost", "0 records were lost"]


def test_what_was_lost_is_told_by_the_next_head_and_the_chain_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "log"
    file.parent.mkdir()
    writer = writer_to(file, queue_lines=QUEUE)
    writer.start()
    for number in range(2):
        shutil.rmtree(file.parent)
        append(writer, 0)
        until(lambda: sample(writer, "cors_authz_audit_failing", "file") == 1)
        append(writer, *range(1, QUEUE + 7 + number))
        file.parent.mkdir()
        until(lambda: sample(writer, "cors_authz_audit_failing", "file") == 0)
    writer.stop()
    report = verified(file)
    assert (report.breach_count, report.records, report.lost) == (0, QUEUE, 8)
    assert report.losses == (Loss(At(0, 1), 8),)


def test_a_head_tells_of_a_loss_that_no_record_follows(tmp_path: Path) -> None:
    seconds = [0.0]
    options = WriterOptions(targets=(str(tmp_path / "log"),))
    writer = AuditWriter(options, "w", clocks=Clocks(lambda: NOW, lambda: seconds[0]))
    [only] = writer._lanes  # noqa: SLF001 - its own steps, without its clock
    append(writer, 0)
    for moment in (5.0, 10.0, 15.0):
        seconds[0] = moment
        only._flush()  # noqa: SLF001 - the same
        only.lost[Lost.FULL] = 2
    heads = [orjson.loads(each) for each in (tmp_path / "log").read_bytes().splitlines() if b'"head"' in each]
    assert [head.get("lost") for head in heads] == [None, None, 2]


@contextmanager
def limited(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as a full disk does."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("room", range(0, 1400, 97))
def test_a_disk_that_is_full_tears_a_line_which_is_written_whole_once_there_is_room(room: int, tmp_path: Path) -> None:
    file = tmp_path / "log"
    writer = writer_to(file, head_lines=2)
    [only] = writer._lanes  # noqa: SLF001 - its own steps, without its clock
    with limited(room):
        append(writer, *range(5))
        only._flush()  # noqa: SLF001 - the same
        append(writer, 5)
        only._flush()  # noqa: SLF001 - the same
    append(writer, 6)
    writer.stop()
    report = verified(file)
    assert (report.breaches, report.records, report.tails, lost(writer)) == ((), 7, (), 0)
    assert len(report.torn) <= 1
    assert report.begins_late == ()
    first = next(each for each in file.read_bytes().splitlines() if each.endswith(b"}"))
    assert orjson.loads(first)["kind"] == "head"


def test_behind_what_another_who_shares_the_file_could_not_end_a_line_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "log"
    writers = [writer_to(file, writer_id=name) for name in "ab"]
    torn, whole = (each._lanes[0] for each in writers)  # noqa: SLF001 - their own steps, without their clock
    for number, each in enumerate(writers):
        append(each, number)
    torn._flush()  # noqa: SLF001 - the same
    whole._flush()  # noqa: SLF001 - the same
    append(writers[0], 2)
    with limited(file.stat().st_size + 40):
        torn._flush()  # noqa: SLF001 - the same
    assert not file.read_bytes().endswith(b"\n")
    append(writers[1], 3)
    for each in reversed(writers):
        each.stop()
    report = verified(file)
    assert (report.breaches, report.torn, report.open_ends) == ((), (At(0, 5),), ())
    read = [each for each in file.read_bytes().splitlines() if each.endswith(b"}")]
    assert [orjson.loads(each).get("number") for each in read] == [None, 0, None, 1, 3, None, 2, None]


class Raising(DescriptorSink):
    """Raises what no sink says that it raises, once."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "the sink", "file")
        self._is_sound = False

    def write(self, lines: Sequence[bytes]) -> None:
        """Raise, the first time."""
        self._is_sound, is_sound = True, self._is_sound
        if not is_sound:
            raise RuntimeError("injected")
        super().write(lines)


def test_whatever_a_sink_raises_its_lines_wait_and_are_written_when_it_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Raising(os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT))
    monkeypatch.setattr("cors_authz.edge.audit.writer.sink_of", lambda *_: sink)
    writer = writer_to("x")
    writer.start()
    append(writer, 0)
    until(lambda: sample(writer, "cors_authz_audit_records_total") == 1)
    writer.stop()
    assert (numbers(tmp_path / "log"), verified(tmp_path / "log").breaches, lost(writer)) == ([0], (), 0)
    assert said(caplog) == [
        f"ERROR the audit trail cannot be written: the sink: injected; {MEANWHILE}",
        "WARNING the audit trail is written again: the sink; 0 records were lost",
    ]
    assert caplog.records[0].exc_info


def test_wherever_a_write_is_cut_off_each_line_is_written_once(tmp_path: Path) -> None:
    lines = [b"%d\n" % number for number in range(98, 104)]
    for room in range(len(b"".join(lines)) + 1):
        file = tmp_path / f"{room}"
        sink = FileSink(file, 0, 1, lambda: NOW)
        with limited(room):
            try:
                sink.write(lines)
                whole = len(lines)
            except SinkError as error:
                whole = error.whole
        sink.write(lines[whole:])
        sink.write([b"last\n"])
        sink.close()
        written = b"".join(lines)[:room]
        is_ended = not written or written.endswith(b"\n")
        rest = b"".join([b"" if is_ended else b"\n", *lines[whole:], b"last\n"])
        # A line that lacks no more than its end is whole.
        fitting = sum(len(b"".join(lines[:count])) - 1 <= room for count in range(1, len(lines) + 1))
        assert (file.read_bytes(), whole) == (written + rest, fitting)


def test_what_waits_while_nothing_can_be_written_is_bounded_and_the_loss_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    writer = writer_to("/dev/full", queue_lines=QUEUE)
    writer.start()
    append(writer, 0)
    until(lambda: sample(writer, "cors_authz_audit_failing", "file") == 1)
    append(writer, *range(1, 1000))
    assert sample(writer, "cors_authz_audit_queue_records") == QUEUE
    assert sample(writer, "cors_authz_audit_lost_records_total", "unwritable") == 1000 - QUEUE
    assert sample(writer, "cors_authz_audit_lost_records_total", "full") == 0
    writer.stop()
    assert (lost(writer), sample(writer, "cors_authz_audit_records_total")) == (1000, 0)
    assert said(caplog) == [
        f"ERROR the audit trail cannot be written: `/dev/full`: No space left on device; {MEANWHILE}",
        "ERROR the audit trail loses records, 1 up to now: `/dev/full` takes too few; see that it can be written",
        "ERROR the audit trail takes nothing, and is given up: `/dev/full`; 1000 records were lost up to now",
    ]


def test_losses_are_told_again_after_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    seconds = [0.0]
    queue = LineQueue("x", WriterOptions(targets=("x",), queue_lines=QUEUE), lambda: seconds[0])
    for number in range(QUEUE + 4):
        seconds[0] = max(0.0, number - QUEUE) * 5
        queue.put(line(number), is_expendable=False)
    assert [text.partition(" up to now")[0] for text in said(caplog)] == [
        "ERROR the audit trail loses records, 1",
        "ERROR the audit trail loses records, 3",
    ]


@pytest.fixture
def nobody() -> Iterator[Path]:
    """Lay down what root may do, and give a folder to who is left."""
    user = os.geteuid()
    with TemporaryDirectory() as folder:
        if user == 0:
            os.chown(folder, NOBODY, -1)
            os.seteuid(NOBODY)
        try:
            yield Path(folder)
        finally:
            os.seteuid(user)


def test_a_file_that_may_not_be_written_is_told_at_the_start(nobody: Path) -> None:
    (nobody / "log").touch(0o400)
    with pytest.raises(SettingsError, match="cannot be written: Permission denied; name a file, - or off"):
        writer_to(nobody / "log")


def test_a_folder_that_becomes_read_only_keeps_the_file_and_takes_no_new_one(nobody: Path) -> None:
    file = nobody / "log"
    writer = writer_to(file)
    writer.start()
    nobody.chmod(0o555)
    append(writer, 0)
    until(lambda: numbers(file) == [0])
    nobody.chmod(0o755)
    file.unlink()
    nobody.chmod(0o555)
    append(writer, 1)
    until(lambda: sample(writer, "cors_authz_audit_failing", "file") == 1)
    nobody.chmod(0o755)
    until(file.exists)
    writer.stop()
    assert (numbers(file), lost(writer)) == ([1], 0)


def test_a_folder_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as told:
        writer_to(tmp_path / "absent" / "log")
    assert str(told.value) == (
        f"audit: `{tmp_path}/absent/log` cannot be written: No such file or directory; make its folder"
    )


# --- Pipes ------------------------------------------------------------------------------------------------------------


def descriptor_writer(descriptor: int, monkeypatch: pytest.MonkeyPatch, **how: Any) -> AuditWriter:  # noqa: ANN401
    def sink(*_: object) -> Sink:
        return DescriptorSink(descriptor, "the pipe", "stdout")

    monkeypatch.setattr("cors_authz.edge.audit.writer.sink_of", sink)
    return writer_to("-", **how)


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


def test_standard_output_takes_lines(capfd: pytest.CaptureFixture[str]) -> None:
    writer = writer_to("-")
    append(writer, 0)
    writer.stop()
    kinds = [orjson.loads(each)["kind"] for each in capfd.readouterr().out.splitlines()]
    assert kinds == ["head", "decision", "head"]


@pytest.mark.parametrize("blocking", [True, False], ids=["a pipe that blocks", "a pipe that does not"])
def test_workers_that_share_a_pipe_do_not_tear_their_lines(blocking: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a parameter of the test
    reader, shared = os.pipe()
    os.set_blocking(shared, blocking)
    writers = [descriptor_writer(os.dup(shared), monkeypatch, writer_id=name) for name in "ab"]
    os.close(shared)
    received = bytearray()

    def read() -> None:
        while chunk := os.read(reader, 1000):
            received.extend(chunk)
            time.sleep(0.0002)

    thread = Thread(target=read)
    thread.start()
    for writer in writers:
        writer.start()
    for number in range(1000):
        for writer in writers:
            writer.append(line(number, 300), is_expendable=False)
    for writer in writers:
        writer.stop()
    thread.join()
    os.close(reader)
    verifier = Verifier(["pipe"], None)
    verifier.read(0, bytes(received).splitlines())
    report = verifier.report()
    assert (report.breaches, report.torn, report.records) == ((), (), 2000)


@pytest.mark.changes_constants
def test_a_pipe_that_nobody_empties_does_not_hold_up_the_end_and_each_line_is_counted(
    full_pipe: Pipe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lane, "STOP_SECONDS", 0.2)
    writer = descriptor_writer(full_pipe.writer, monkeypatch)
    writer.start()
    append(writer, 0)
    time.sleep(4 * lane.FLUSH_SECONDS)
    append(writer, *range(1, 101))
    began = time.monotonic()
    writer.stop()
    assert time.monotonic() - began < 2
    assert lost(writer) == 101
    assert said(caplog) == [
        "ERROR the audit trail takes nothing, and is given up: the pipe; 101 records were lost up to now"
    ]
    # The thread still writes there: nothing else may get the number.
    assert is_open(full_pipe.writer)
    full_pipe.reader.close()
    until(lambda: not is_open(full_pipe.writer))
    assert (lost(writer), sample(writer, "cors_authz_audit_queue_records")) == (101, 0)


def test_a_writer_that_never_began_does_not_hold_up_the_end_either(
    full_pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "STOP_SECONDS", 0.2)
    writer = descriptor_writer(full_pipe.writer, monkeypatch)
    append(writer, 0)
    writer.stop()
    assert lost(writer) == 1


def test_while_a_pipe_takes_nothing_lines_are_dropped_and_counted_and_never_piled_up(
    full_pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = descriptor_writer(full_pipe.writer, monkeypatch, queue_lines=QUEUE)
    writer.start()
    began = time.monotonic()
    append(writer, *range(10_000))
    assert time.monotonic() - began < 5
    with ThreadPoolExecutor(1) as pool:
        read_to_the_end = pool.submit(full_pipe.reader.readall)
        writer.stop()
        written = read_to_the_end.result()[full_pipe.held :].splitlines()
    kept = [each for each in written if each.startswith(b'{"kind":"decision"')]
    assert len(kept) <= 2 * QUEUE
    assert len(kept) + lost(writer) == 10_000


# --- A full queue -----------------------------------------------------------------------------------------------------


def queue_of(when_full: WhenFull, *, required: bool = False) -> LineQueue:
    options = WriterOptions(targets=("x",), queue_lines=QUEUE, when_full=when_full, required=required)
    return LineQueue("x", options, time.monotonic)


def test_allows_are_dropped_from_three_quarters_on_and_refusals_once_there_is_no_room() -> None:
    queue = queue_of(WhenFull.DROP_ALLOW_FIRST)
    for number in range(1000):
        queue.put(line(number), is_expendable=number % 2 == 0)
    taken = [orjson.loads(each)["number"] for each in queue.take()]
    refusals = [number for number in taken if number >= QUEUE * 3 // 4]
    assert taken[: QUEUE * 3 // 4] == list(range(QUEUE * 3 // 4))
    assert all(number % 2 for number in refusals)
    assert (len(taken), queue.lost) == (QUEUE, {Lost.FULL: 1000 - QUEUE, Lost.UNWRITABLE: 0, Lost.DEFECT: 0})
    queue.written(len(taken))
    queue.put(line(1), is_expendable=True)
    assert queue.waiting == 1


def test_what_is_taken_has_its_place_until_it_is_written() -> None:
    queue = queue_of(WhenFull.DROP_ALLOW_FIRST)
    for number in range(QUEUE):
        queue.put(line(number), is_expendable=False)
    assert len(queue.take()) == QUEUE
    queue.put(line(0), is_expendable=False)
    assert (queue.waiting, queue.lost[Lost.FULL]) == (QUEUE, 1)


def test_what_is_given_up_and_written_after_all_leaves_the_room_as_it_is() -> None:
    queue = queue_of(WhenFull.DROP_ALLOW_FIRST)
    for number in range(QUEUE):
        queue.put(line(number), is_expendable=False)
    taken = queue.take()
    queue.lose_all()
    queue.written(len(taken))
    assert (queue.waiting, queue.lost[Lost.UNWRITABLE]) == (0, QUEUE)


def test_where_checks_wait_one_waits_for_room_and_goes_on_as_soon_as_there_is_some() -> None:
    queue = queue_of(WhenFull.BLOCK)
    for number in range(QUEUE):
        queue.put(line(number), is_expendable=True)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(queue.put, line(QUEUE), is_expendable=True)
        time.sleep(0.05)
        assert not waiting.done()
        queue.written(len(queue.take()))
        waiting.result(timeout=0.1)
    assert (queue.waiting, sum(queue.lost.values())) == (1, 0)


def test_one_that_waited_in_vain_is_lost_and_the_next_does_not_wait_as_well() -> None:
    queue = queue_of(WhenFull.BLOCK, required=True)
    for number in range(QUEUE):
        queue.put(line(number), is_expendable=True)
    waits = []
    for _ in range(20):
        began = time.monotonic()
        with pytest.raises(NotRecordedError):
            queue.put(line(0), is_expendable=False)
        waits.append(time.monotonic() - began)
    assert waits[0] >= line_queue.BLOCK_SECONDS
    assert sum(waits[1:]) < line_queue.BLOCK_SECONDS
    assert queue.lost[Lost.FULL] == 20
    # Once there was room, the next one waits again.
    queue.written(1)
    queue.put(line(0), is_expendable=False)
    began = time.monotonic()
    with pytest.raises(NotRecordedError):
        queue.put(line(0), is_expendable=False)
    assert time.monotonic() - began >= line_queue.BLOCK_SECONDS


def test_who_waited_in_vain_waits_no_more_for_a_sink_that_took_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = queue_of(WhenFull.BLOCK)
    for number in range(QUEUE + 1):
        queue.put(line(number), is_expendable=True)
    # So long that a busy machine's pauses are none.
    monkeypatch.setattr(line_queue, "BLOCK_SECONDS", 5)
    began = time.monotonic()
    for _ in range(5):
        queue.written(0)
        queue.put(line(0), is_expendable=True)
    assert time.monotonic() - began < 5
    assert queue.lost[Lost.FULL] == 6


def test_nobody_waits_for_a_sink_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_queue, "BLOCK_SECONDS", 5)
    queue = queue_of(WhenFull.BLOCK)
    for number in range(QUEUE):
        queue.put(line(number), is_expendable=True)
    queue.say_failing(failing=True)
    began = time.monotonic()
    queue.put(line(0), is_expendable=True)
    assert time.monotonic() - began < 5
    assert queue.lost == {Lost.FULL: 0, Lost.UNWRITABLE: 1, Lost.DEFECT: 0}


def test_several_targets_without_room_are_waited_for_together(tmp_path: Path) -> None:
    targets = [tmp_path / f"{number}" for number in range(4)]
    writer = writer_to(*targets, queue_lines=QUEUE, when_full=WhenFull.BLOCK)
    append(writer, *range(QUEUE))
    began = time.monotonic()
    append(writer, QUEUE, QUEUE)
    waited = time.monotonic() - began
    assert line_queue.BLOCK_SECONDS <= waited < 3 * line_queue.BLOCK_SECONDS
    writer.stop()
    assert (lost(writer), *(numbers(each) for each in targets)) == (8, *[list(range(QUEUE))] * 4)


def test_from_many_threads_each_line_is_written_once(tmp_path: Path) -> None:
    writer = writer_to(tmp_path / "log")
    writer.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda begin: append(writer, *range(begin, begin + 2500)), range(0, 10_000, 2500)))
    writer.stop()
    assert sorted(numbers(tmp_path / "log")) == list(range(10_000))


# --- Where records are required ---------------------------------------------------------------------------------------


def test_while_the_sink_fails_what_is_required_is_refused_and_taken_again_once_it_is_back(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "log"
    file.parent.mkdir()
    writer = writer_to(file, required=True)
    writer.start()
    append(writer, 0)
    until(lambda: file.stat().st_size > 0)
    shutil.rmtree(file.parent)
    append(writer, 1)
    until(lambda: sample(writer, "cors_authz_audit_failing", "file") == 1)
    with pytest.raises(NotRecordedError):
        append(writer, 2)
    file.parent.mkdir()
    until(lambda: sample(writer, "cors_authz_audit_failing", "file") == 0)
    append(writer, 3)
    writer.stop()
    assert (numbers(file), lost(writer)) == ([1, 3], 1)


def test_of_several_targets_one_that_fails_does_not_hold_up_the_others(tmp_path: Path) -> None:
    writer = writer_to(tmp_path / "log", "/dev/full", queue_lines=QUEUE)
    writer.start()
    append(writer, *range(200))
    until(lambda: sample(writer, "cors_authz_audit_queue_records") == 200)
    append(writer, *range(200, 400))
    writer.stop()
    assert numbers(tmp_path / "log") == list(range(400))
    assert (lost(writer), sample(writer, "cors_authz_audit_records_total")) == (400, 400)
    assert verified(tmp_path / "log").writers == ("w-0",)


def test_of_several_targets_that_are_required_each_gets_the_line_though_one_refuses_it(tmp_path: Path) -> None:
    writer = writer_to("/dev/full", tmp_path / "log", required=True)
    writer.start()
    append(writer, 0)
    until(lambda: any(each.labels == ("file",) and each.value == 1 for each in writer.samples()))
    with pytest.raises(NotRecordedError):
        append(writer, 1)
    writer.stop()
    assert numbers(tmp_path / "log") == [0, 1]


# --- The trail --------------------------------------------------------------------------------------------------------


def test_refusals_are_all_recorded_and_of_allows_the_share_that_their_ids_draw(tmp_path: Path) -> None:
    options = AuditOptions(writer=WriterOptions(targets=(str(tmp_path / "log"),)), sample_allow=0.25)
    trail = AuditTrail(options, "w")
    allowed = decided(POLICY, ask("PUT https://api.example/", origin="https://shop.example"))
    refused = decided(POLICY, ask("PUT https://api.example/", origin="https://evil.example"))
    for number in range(16):
        for decision in (allowed, refused):
            seen = Observation(decision, f"{number:x}{DECISION_ID[1:]}", (0.0, 1.0))
            trail.append(seen, None)
    trail.stop()
    lines = [orjson.loads(each) for each in (tmp_path / "log").read_bytes().splitlines()]
    ids = {
        outcome: [each["decision_id"][0] for each in lines if each.get("outcome") == outcome]
        for outcome in ("allow", "deny")
    }
    assert ids == {"allow": list("0123"), "deny": list("0123456789abcdef")}
    assert sample(trail, "cors_authz_audit_records_total") == 20


@pytest.mark.parametrize(("share", "kept"), [(0.0, 0), (1.0, 2)])
def test_none_and_all_are_shares_too(share: float, kept: int, tmp_path: Path) -> None:
    trail = AuditTrail(AuditOptions(writer=WriterOptions(targets=(str(tmp_path / "l"),)), sample_allow=share), "w")
    allowed = decided(POLICY, ask("PUT https://api.example/", origin="https://shop.example"))
    for decision_id in ("0" * 32, "f" * 32):
        trail.append(Observation(allowed, decision_id, (0.0, 1.0)), None)
    trail.stop()
    assert sample(trail, "cors_authz_audit_records_total") == kept


@pytest.mark.parametrize("required", [False, True])
def test_a_decision_that_cannot_be_put_into_words_is_a_record_that_is_lost(
    required: bool,  # noqa: FBT001 - a parameter of the test
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("cors_authz.edge.audit.record.Recorder.line_of", lambda *_: 1 // 0)
    targets = tuple(str(tmp_path / name) for name in "ab")
    trail = AuditTrail(AuditOptions(writer=WriterOptions(targets=targets, required=required)), "w")
    decision = decided(POLICY, ask("PUT https://api.example/", origin="https://shop.example"))
    seen = Observation(decision, DECISION_ID, (0.0, 1.0))
    for _ in range(3):
        with pytest.raises(NotRecordedError) if required else nullcontext():
            trail.append(seen, None)
    assert sample(trail, "cors_authz_audit_lost_records_total", "defect") == 6
    trail.stop()
    why = "lacks what could not be put into words, which is a defect of ours: report this"
    assert said(caplog) == [f"ERROR the audit trail loses records, 1 up to now: `{each}` {why}" for each in targets]
    assert all(each.exc_info for each in caplog.records)


# --- A collector ------------------------------------------------------------------------------------------------------


class Exporter:
    """Takes batches in place of the SDK's exporter, or refuses them."""

    def __init__(self, takes: Callable[[int], bool]) -> None:
        from opentelemetry.sdk._logs.export import LogRecordExportResult

        self._takes, self._results, self._calls = takes, LogRecordExportResult, 0
        self.records: list[Any] = []
        self.sent: list[list[str]] = []
        self.collector = Collector("logs", Place("http://collector", "/", "", 1.0), keeps=True)
        self.raises_at = 0

    def export(self, batch: Sequence[Any]) -> Any:  # noqa: ANN401 - the SDK's
        """Take a batch, or refuse it."""
        self._calls += 1
        self.sent.append([each.log_record.body for each in batch])
        if self._calls == self.raises_at:
            raise RuntimeError("injected")
        if not self._takes(self._calls):
            return self._results.FAILURE
        self.records += batch
        return self._results.SUCCESS

    def shutdown(self) -> None:
        """Do nothing."""


def otlp_writer(exporter: Exporter, monkeypatch: pytest.MonkeyPatch, **how: Any) -> AuditWriter:  # noqa: ANN401 - the same
    from opentelemetry.sdk.resources import Resource

    sink = OtlpSink(cast("Any", exporter), Resource.create({"service.name": "cors-authz"}))
    monkeypatch.setattr("cors_authz.edge.audit.writer.sink_of", lambda *_: sink)
    return writer_to("otlp", **how)


def test_a_collector_gets_each_line_with_its_fields_and_its_span(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = Exporter(lambda _: True)
    writer = otlp_writer(exporter, monkeypatch)
    said = {"kind": "decision", "time": NOW, "outcome": "deny", "shadow": False, "guards": [], "latency_us": 7}
    span = {"trace_id": "a" * 32, "span_id": "b" * 16}
    writer.append(orjson.dumps({**said, **span}) + b"\n", is_expendable=False)
    writer.stop()
    head, decision, end = (each.log_record for each in exporter.records)
    assert [head.event_name, end.event_name] == ["cors_authz.head", "cors_authz.head"]
    read = orjson.loads(decision.body)
    assert (decision.event_name, decision.timestamp, decision.severity_text) == (
        "cors_authz.decision",
        int(NOW * 1e9),
        "INFO",
    )
    assert (decision.trace_id, decision.span_id) == (int("a" * 32, 16), int("b" * 16, 16))
    assert dict(decision.attributes) == {
        f"cors_authz.{name}": value for name, value in read.items() if not isinstance(value, list)
    }
    verifier = Verifier(["collector"], None)
    verifier.read(0, [each.log_record.body.encode() for each in exporter.records])
    assert verifier.report()[:4] == ((), 0, 1, 2)


def test_a_collector_that_refuses_what_is_required_says_that_checks_are_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    writer = otlp_writer(Exporter(lambda _: False), monkeypatch, required=True)
    writer.append(b'{"kind":"decision","time":1.5}\n', is_expendable=False)
    writer.start()
    until(lambda: sample(writer, "cors_authz_audit_failing", "otlp") == 1)
    with pytest.raises(NotRecordedError):
        writer.append(b'{"kind":"decision","time":1.5}\n', is_expendable=False)
    refused = "every check is refused until it can"
    assert said(caplog)[0] == f"ERROR the audit trail cannot be written: {COLLECTOR}; {refused}"
    writer.stop()


def test_what_a_collector_refuses_is_sent_again_and_nothing_twice(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = Exporter(lambda call: call not in {2, 3})
    exporter.raises_at = 5
    writer = otlp_writer(exporter, monkeypatch)
    for number in range(1500):
        writer.append(b'{"kind":"decision","time":1.5,"number":%d}\n' % number, is_expendable=False)
    writer.start()
    until(lambda: sample(writer, "cors_authz_audit_queue_records") == 0)
    writer.stop()
    bodies = [orjson.loads(each.log_record.body) for each in exporter.records]
    assert [each["number"] for each in bodies if each["kind"] == "decision"] == list(range(1500))
    assert [each["seq"] for each in bodies] == list(range(1, len(bodies) + 1))
    failing = f"ERROR the audit trail cannot be written: {COLLECTOR}; {MEANWHILE}"
    again = "WARNING the audit trail is written again: the OTLP collector of logs; 0 records were lost"
    assert said(caplog) in ([failing, again], [failing, again] * 2)


def test_what_a_collector_may_have_taken_is_sent_again_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = Exporter(lambda call: call > 3)
    writer = otlp_writer(exporter, monkeypatch, head_lines=2)
    [only] = writer._lanes  # noqa: SLF001 - its own steps, without its clock
    for number in range(4):
        writer.append(b'{"kind":"decision","time":1.5,"number":%d}\n' % number, is_expendable=False)
        only.lost[Lost.FULL] = number
        only._flush()  # noqa: SLF001 - the same
    writer.stop()
    first, *again = exporter.sent[:4]
    assert (len(first), again) == (2, [first] * 3)
    verifier = Verifier(["collector"], None)
    verifier.read(0, [body.encode() for batch in exporter.sent[3:] for body in batch])
    report = verifier.report()
    assert (report.breaches, report.records, report.lost, report.open_ends) == ((), 4, 3, ())


def test_what_a_collector_took_before_it_refused_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = Exporter(lambda call: call not in {2, 3})
    writer = otlp_writer(exporter, monkeypatch)
    [only] = writer._lanes  # noqa: SLF001 - its own steps, without its clock
    for number in range(600):
        writer.append(b'{"kind":"decision","time":1.5,"number":%d}\n' % number, is_expendable=False)
    for _ in range(3):
        only._flush()  # noqa: SLF001 - the same
    writer.stop()
    taken, refused, *again = exporter.sent
    assert (len(taken), len(refused), again[:2]) == (512, 89, [refused, refused])
    assert sample(writer, "cors_authz_audit_records_total") == 600


def test_what_a_collector_refuses_is_counted_with_what_traces_and_metrics_could_not_send(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exporter = Exporter(lambda call: call > 1)
    watched = WatchedLogs(cast("Any", exporter), exporter.collector)
    writer = otlp_writer(cast("Any", watched), monkeypatch)
    writer.append(b'{"kind":"decision","time":1.5}\n', is_expendable=False)
    writer.start()
    until(lambda: sample(writer, "cors_authz_audit_queue_records") == 0)
    failures = Sample(EXPORT_FAILURES, ("logs",), 1)
    assert [each for each in writer.samples() if each.metric is EXPORT_FAILURES] == [failures]
    writer.stop()


# --- Options ----------------------------------------------------------------------------------------------------------

WRONG: Final = {
    "no target": ({"targets": ()}, "audit: name each target once"),
    "an empty target": ({"targets": ("",)}, "audit: name each target once"),
    "a target twice": ({"targets": ("-", "-")}, "audit: name each target once"),
    "files that are put aside all the time": ({"rotate_bytes": MIN_ROTATE_BYTES - 1}, "audit-rotate-bytes: "),
    "files of less than nothing": ({"rotate_bytes": -1}, "audit-rotate-bytes: "),
    "no file kept": ({"keep": 0}, "audit-keep: "),
    "a queue for a few lines": ({"queue_lines": 255}, "audit-queue: "),
    "a queue that takes the machine's memory": ({"queue_lines": (1 << 20) + 1}, "audit-queue: "),
    "heads without lines": ({"head_lines": 0}, "audit-head-records: "),
}


@pytest.mark.parametrize(("how", "told"), WRONG.values(), ids=WRONG)
def test_an_option_that_cannot_be_is_told(how: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=f"^{told}"):
        WriterOptions(**{"targets": ("-",), **how})


def test_a_file_may_be_left_to_others_to_put_aside(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "log", WriterOptions(targets=("-",), rotate_bytes=0).rotate_bytes, 1, lambda: NOW)
    assert sink.prepare()
    sink.write([b"0\n"])
    assert not sink.prepare()
    sink.close()


def refuse(*_: object, **__: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize(("step", "told"), [("rename", "put aside, and grows"), ("unlink", "rid of its oldest")])
def test_a_file_that_cannot_be_put_aside_is_written_on_and_that_is_told_once(
    step: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = iter(range(1000, 2000))
    sink = FileSink(tmp_path / "log", 1, 1, lambda: float(next(seconds)))
    monkeypatch.setattr(Path, step, refuse)
    for number in range(5):
        sink.prepare()
        sink.write([b"%d\n" % number])
    monkeypatch.undo()
    written = b"".join(file.read_bytes() for file in (*aside(tmp_path / "log"), tmp_path / "log"))
    assert written == b"0\n1\n2\n3\n4\n"
    assert said(caplog) == [f"ERROR the audit trail cannot be {told}: `{tmp_path}/log`: Permission denied"]
    with (tmp_path / "log").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    sink.prepare()
    sink.close()
    assert len(aside(tmp_path / "log")) == 1


def test_a_folder_that_we_may_not_look_into_any_more_is_no_reason_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = FileSink(tmp_path / "log", 1 << 20, 1, lambda: NOW)
    monkeypatch.setattr(Path, "stat", refuse)
    assert [sink.prepare(), sink.prepare()] == [True, False]
    sink.close()


def test_what_is_put_aside_never_takes_another_s_name(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "log", 1, 1000, lambda: NOW)
    for number in range(3):
        sink.prepare()
        sink.write([b"%d\n" % number])
    sink.close()
    assert [each.read_bytes() for each in aside(tmp_path / "log")] == [b"0\n", b"1\n"]
    assert [each.name for each in aside(tmp_path / "log")] == [
        "log.20270115T080000.000000Z",
        "log.20270115T080000.000001Z",
    ]


def test_a_file_that_another_process_put_aside_in_the_same_moment_is_not_put_aside_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "log"
    first, second = (FileSink(file, 10, 9, lambda: NOW) for _ in range(2))
    for sink in (first, second):
        sink.prepare()
        sink.write([b"0\n1\n2\n"])
    first.prepare()
    first.write([b"3\n"])
    # The second one looked just before the first one did it.
    seen = iter([True, False])
    monkeypatch.setattr(FileSink, "_is_in_place", lambda _: next(seen))
    assert second.prepare()
    second.write([b"4\n"])
    for sink in (first, second):
        sink.close()
    assert (len(aside(file)), file.read_bytes()) == (1, b"3\n4\n")


def test_another_process_that_puts_the_file_aside_now_is_not_waited_for(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "log", 1, 9, lambda: NOW)
    sink.prepare()
    sink.write([b"0\n"])
    with (tmp_path / "log").open("rb") as other:
        # Shared, as that is the weakest lock that must keep another from being taken.
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not sink.prepare()
    assert aside(tmp_path / "log") == []
    assert sink.prepare()
    sink.close()
