"""The lines of audit files, compressed by gzip or not."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BufferedReader
from typing import Final

import click

MAX_LINE_BYTES: Final = 1 << 20
"""A longer line is no record of ours."""

_STDIN: Final = "-"
_GZIP: Final = b"\x1f\x8b"


class TornFileError(click.UsageError):
    """The compressed data of a file end too early: it was cut off, or is still written."""


def lines_of(name: str) -> Iterator[bytes]:
    """Give the lines of a file, `-` for standard input, each with its end; of one that is too long the beginning.

    Raises: TornFileError behind the last line that could be read; click.UsageError for a file that cannot be read.
    """
    try:
        with _opened(name) as stream:
            while line := stream.readline(MAX_LINE_BYTES):
                yield line
                while not line.endswith(b"\n") and (line := stream.readline(MAX_LINE_BYTES)):
                    pass
    except EOFError as error:
        raise TornFileError(f"`{name}` cannot be read as an audit file: its compressed data end too early") from error
    except (OSError, zlib.error) as error:
        raise click.UsageError(f"`{name}` cannot be read as an audit file: {error}") from error


@contextmanager
def _opened(name: str) -> Iterator[BufferedIOBase]:
    with _buffered(name) as stream:
        # A pipe cannot be wound back.
        if stream.peek(len(_GZIP)).startswith(_GZIP):
            with gzip.open(stream) as plain:
                yield plain
        else:
            yield stream


@contextmanager
def _buffered(name: str) -> Iterator[BufferedReader]:
    if name != _STDIN:
        with open(name, "rb") as stream:  # noqa: PTH123 - a Path would read `-` and a URL as files too
            yield stream
        return
    # What stands in for standard input need not be one that can be looked into.
    stream = BufferedReader(sys.stdin.buffer)  # type: ignore[arg-type] # it has all that is read of it
    try:
        yield stream
    finally:
        stream.detach()
