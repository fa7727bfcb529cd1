"""A version of the policy on its way to the processes that serve by it: who compiles writes it, who serves reads it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from cors_authz.edge.parts import PartsError, put_together, take_apart
from cors_authz.policy.compiled import CompiledPolicy
from cors_authz.policy.finding import Finding

_LENGTH: Final = struct.Struct("!I")
_NO_MORE: Final = _LENGTH.pack(0)
_MAX_PART_BYTES: Final = 64 << 20


class GenerationError(Exception):
    """A version of the policy that could not be compiled, through a fault that is not its author's."""


class Stream(Protocol):
    """Bytes as another process writes them."""

    def read(self, length: int, /) -> bytes:
        """Wait for so many bytes; there are fewer only at the end."""


class Report(NamedTuple):
    """What is said of a version that decides: its policy's name, its revision, its environment, warnings and notes."""

    name: str
    revision: str
    environment: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """A compiled version of the policy, in parts that any process of ours puts together."""

    report: Report
    parts: tuple[bytes, ...]

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.report.name

    @property
    def revision(self) -> str:
        """The name of this version."""
        return self.report.revision

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The warnings and notes that it loaded with."""
        return self.report.findings


def write_compiled(write: Callable[[bytes], object], policy: CompiledPolicy, findings: tuple[Finding, ...]) -> None:
    """Write a version that was compiled, for `read_generation`."""
    _write_section(write, take_apart(Report(policy.name, policy.revision, policy.environment, findings)))
    _write_section(write, take_apart(policy))


def write_refusal(write: Callable[[bytes], object], why: Exception) -> None:
    """Write why there is no version, for `read_generation`."""
    _write_section(write, take_apart(why))


def read_generation(stream: Stream, pause: Callable[[], object]) -> Generation:
    """Read what `write_compiled` or `write_refusal` wrote, from a process that is trusted like this one.

    Args:
        stream: blocks until there is something; its end is the end of the other process.
        pause: called now and then, to let other threads run.

    Raises: what `write_refusal` was given; GenerationError for anything that is not a whole version.
    """
    try:
        said = put_together(_read_section(stream), pause).value
    except PartsError as error:
        raise GenerationError(f"what was compiled is damaged: {error}") from error
    if isinstance(said, Exception):
        raise said
    if not isinstance(said, Report):
        raise GenerationError("what was compiled is damaged: it begins with no report")
    return Generation(said, tuple(_read_section(stream)))


def _write_section(write: Callable[[bytes], object], parts: Iterable[bytes]) -> None:
    for part in parts:
        write(_LENGTH.pack(len(part)))
        write(part)
    write(_NO_MORE)


def _read_section(stream: Stream) -> Iterator[bytes]:
    while length := _LENGTH.unpack(_exactly(stream, _LENGTH.size))[0]:
        if length > _MAX_PART_BYTES:
            raise GenerationError(f"what was compiled is damaged: no part has {length} bytes")
        yield _exactly(stream, length)


def _exactly(stream: Stream, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise GenerationError("what was compiled ends before it is whole")
    return data
