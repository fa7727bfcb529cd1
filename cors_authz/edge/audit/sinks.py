"""Where lines of the audit trail are written: standard output, a pipe, or a file that is put aside when it is large."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import select
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from select import PIPE_BUF
from stat import S_ISFIFO, S_ISREG
from typing import Final, Protocol

from cors_authz.edge.audit.options import OTLP, STDOUT, WriterOptions
from cors_authz.edge.metrics.sample import Sample
from cors_authz.edge.settings_error import SettingsError

_log = logging.getLogger(__name__)

_MODE: Final = 0o640
_STAMP: Final = "%Y%m%dT%H%M%S.%fZ"
_STAMPED: Final = re.compile(r"\.[0-9]{8}T[0-9]{6}\.[0-9]{6}Z")
_WAIT_SECONDS: Final = 1.0


class SinkError(Exception):
    """A sink did not take all lines.

    Args:
        why: for people.
        whole: how many lines it took, from the first on.
        may_be_taken: whether it may have taken others without saying so.
    """

    def __init__(self, why: str, whole: int = 0, *, may_be_taken: bool = False) -> None:
        super().__init__(why)
        self.whole = whole
        self.may_be_taken = may_be_taken


class Sink(Protocol):
    """Takes lines of one lane, from its one thread.

    `kind` is one of a few words for metrics, `target` names the sink to people.
    """

    kind: str
    target: str

    def prepare(self) -> bool:
        """Make ready to write, and tell whether what is written next begins a file.

        Raises: SinkError.
        """

    def write(self, lines: Sequence[bytes]) -> None:
        """Write whole lines.

        Raises: SinkError.
        """

    def close(self) -> None:
        """Let go of it; never raises."""

    def samples(self) -> Iterable[Sample]:
        """Read what it counts itself; a `Source`."""


def sink_of(target: str, options: WriterOptions, now: Callable[[], float], worker: int | None) -> Sink:
    """Open a sink.

    Args:
        target: a path, `-` for standard output or `otlp`.
        options: how files are put aside.
        now: gives the time in seconds since the epoch.
        worker: the number of the worker that writes, where there are several.

    Raises: SettingsError if that cannot be.
    """
    if target == OTLP:
        from cors_authz.edge.audit.otlp_sink import OtlpSink
        from cors_authz.edge.telemetry.otlp import log_exporter, resource

        return OtlpSink(log_exporter(), resource(worker))
    try:
        if target == STDOUT:
            return DescriptorSink(os.dup(1), "standard output", "stdout")
        return FileSink(Path(target), options.rotate_bytes, options.keep, now)
    except OSError as error:
        mend = "make its folder" if isinstance(error, FileNotFoundError) else "name a file, - or off"
        raise SettingsError(f"{options.setting}: `{target}` cannot be written: {error.strerror}; {mend}") from error


class DescriptorSink:
    """Writes to an open descriptor."""

    def __init__(self, descriptor: int, target: str, kind: str) -> None:
        self._descriptor = descriptor
        self._is_pipe = S_ISFIFO(os.fstat(descriptor).st_mode)
        self._is_new = True
        self._is_torn = False
        self.target = target
        self.kind = kind

    def prepare(self) -> bool:
        """Tell whether this is the first time."""
        is_new, self._is_new = self._is_new, False
        return is_new

    def write(self, lines: Sequence[bytes]) -> None:
        """Write whole lines; to a pipe that several workers share, in pieces that stay together."""
        pieces = _short_pieces(lines) if self._is_pipe else (b"".join(lines),)
        self._write_pieces(lines, pieces)

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)

    def samples(self) -> Iterable[Sample]:
        """Count nothing."""
        return ()

    def _write_pieces(self, lines: Sequence[bytes], pieces: Sequence[bytes] | Iterator[bytes]) -> None:
        written = 0
        try:
            for piece in pieces:
                # What failed may have left half a line behind.
                text = memoryview(b"\n" + piece if self._is_torn else piece)
                written -= len(text) - len(piece)
                while text:
                    count = self._write_some(text)
                    written += count
                    text = text[count:]
                self._is_torn = False
        except OSError as error:
            whole, self._is_torn = _whole_lines(lines, written, was_torn=self._is_torn)
            raise SinkError(error.strerror or str(error), whole) from error

    def _write_some(self, text: memoryview) -> int:
        try:
            return os.write(self._descriptor, text)
        except BlockingIOError:
            # Somebody made the descriptor non-blocking, for all who share it.
            select.select((), (self._descriptor,), (), _WAIT_SECONDS)
            return 0


class FileSink(DescriptorSink):
    """Appends to a file by its name, which other processes may share, put aside, or remove.

    Args:
        path: the file; its folder must be there.
        rotate_bytes: the size from which it is put aside; 0 for never.
        keep: how many that were put aside are kept.
        now: gives the time in seconds since the epoch.

    Raises: OSError if it cannot be opened.
    """

    def __init__(self, path: Path, rotate_bytes: int, keep: int, now: Callable[[], float]) -> None:
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._keep = keep
        self._now = now
        self._has_told = False
        super().__init__(_open(path), f"`{path}`", "file")
        self._begin()

    def prepare(self) -> bool:
        """See that the file is the one of that name, and not too large; tell whether it is another one than before."""
        try:
            if self._is_file and not self._is_in_place():
                self._reopen()
            elif self._is_file and self._is_large():
                self._put_aside()
        except OSError as error:
            raise SinkError(error.strerror or str(error)) from error
        return super().prepare()

    def write(self, lines: Sequence[bytes]) -> None:
        """Write whole lines, on a line of their own where another who writes to the file could not end its last."""
        if self._is_file:
            self._look_at_its_end()
        super().write(lines)

    def _begin(self) -> None:
        self._is_file = S_ISREG(os.fstat(self._descriptor).st_mode)
        self._is_new = True
        # Where we may write and not read, an empty line at first does no harm.
        self._is_torn = self._is_file

    def _look_at_its_end(self) -> None:
        size = os.fstat(self._descriptor).st_size
        if last := _last_byte(self._path, size) if size else b"\n":
            self._is_torn = last != b"\n"

    def _reopen(self) -> None:
        # Who finds a new one in its place was not the first to see that it is gone.
        is_lost = not os.fstat(self._descriptor).st_nlink and not self._path.exists()
        descriptor = _open(self._path)
        if is_lost:
            _log.warning("the audit file is gone, removed or packed by others, and is begun anew: %s", self.target)
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._begin()

    def _is_in_place(self) -> bool:
        try:
            there, ours = self._path.stat(), os.fstat(self._descriptor)
        except FileNotFoundError:
            return False
        except OSError:
            # Where we may not look, we may still write to what is open.
            return True
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _is_large(self) -> bool:
        return 0 < self._rotate_bytes <= os.fstat(self._descriptor).st_size

    def _put_aside(self) -> None:
        """Put the file aside and begin a new one, unless another process does so now."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        # Another may have done it before the lock was ours.
        if not self._is_in_place() or self._is_renamed():
            self._reopen()
            self._remove_oldest()

    def _is_renamed(self) -> bool:
        try:
            self._path.rename(self._aside())
        except OSError as error:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self._tell("put aside, and grows", error)
            return False
        return True

    def _aside(self) -> Path:
        seconds = self._now()
        while True:
            stamp = datetime.fromtimestamp(seconds, UTC).strftime(_STAMP)
            path = self._path.with_name(f"{self._path.name}.{stamp}")
            if not path.exists():
                return path
            seconds += 1e-6

    def _remove_oldest(self) -> None:
        name = self._path.name
        aside = sorted(
            path
            for path in self._path.parent.iterdir()
            if path.name.startswith(name) and _STAMPED.fullmatch(path.name, len(name))
        )
        try:
            for path in aside[: -self._keep]:
                path.unlink(missing_ok=True)
        except OSError as error:
            self._tell("rid of its oldest", error)

    def _tell(self, what: str, error: OSError) -> None:
        """Log what does not keep records from being written, once."""
        if not self._has_told:
            self._has_told = True
            _log.error("the audit trail cannot be %s: %s: %s", what, self.target, error.strerror)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)


def _last_byte(path: Path, size: int) -> bytes:
    """Give the last byte of a file, none where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(size - 1)
            return file.read(1)
    except OSError:
        return b""


def _whole_lines(lines: Sequence[bytes], written: int, *, was_torn: bool) -> tuple[int, bool]:
    """Count the lines that so many bytes hold, the end of the last one apart, and tell whether that is missing."""
    if written <= 0:
        return 0, was_torn and written < 0
    rest = written
    for whole, line in enumerate(lines):
        if rest < len(line):
            is_whole = rest == len(line) - 1
            return whole + is_whole, rest > 0
        rest -= len(line)
    return len(lines), False


def _short_pieces(lines: Sequence[bytes]) -> Iterator[bytes]:
    """Cut at the ends of lines: of what several workers write to one pipe, only so much at once stays together."""
    piece = b""
    for line in lines:
        if piece and len(piece) + len(line) > PIPE_BUF:
            yield piece
            piece = b""
        piece += line
    yield piece
