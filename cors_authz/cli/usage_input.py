"""The sources of `origins`: audit files, and the metrics endpoints of live services."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Final

import click
import urllib3

from cors_authz.review.usage import UnreadablePageError, Usage

MAX_LINE_BYTES: Final = 1 << 20
"""A longer line is no record of ours, and is read in pieces."""
MAX_PAGE_BYTES: Final = 64 << 20
TIMEOUT_SECONDS: Final = 10.0

_PAGE: Final = "/origins"
_SCHEMES: Final = ("http://", "https://")
_STDIN: Final = "-"
_GZIP: Final = b"\x1f\x8b"


def read_into(usage: Usage, sources: Iterable[str]) -> None:
    """Add up all sources: audit files, compressed by gzip or not, `-` for standard input, and services by their URL.

    Raises: click.UsageError for a source that cannot be read.
    """
    for source in sources:
        if source.startswith(_SCHEMES):
            _read_service(usage, source)
        else:
            _read_file(usage, source)


def _read_file(usage: Usage, name: str) -> None:
    try:
        with _opened(name) as stream:
            while line := stream.readline(MAX_LINE_BYTES):
                if not line.isspace():
                    usage.read_line(line)
    except (OSError, EOFError, zlib.error) as error:
        raise click.UsageError(f"`{name}` cannot be read as an audit file: {error}") from error


@contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    if name == _STDIN:
        yield sys.stdin.buffer
        return
    with open(name, "rb") as stream:  # noqa: PTH123 - a Path would read `-` and a URL as files too
        is_compressed = stream.read(len(_GZIP)) == _GZIP
        stream.seek(0)
        if not is_compressed:
            yield stream
            return
        with gzip.open(stream) as plain:
            yield plain  # type: ignore[misc] # it reads lines of bytes, and that is what it is for


def _read_service(usage: Usage, url: str) -> None:
    address = url if url.endswith(_PAGE) else url.rstrip("/") + _PAGE
    try:
        usage.read_page(_fetched(address))
    except UnreadablePageError as error:
        raise click.UsageError(f"`{address}` was read, and {error}; name a service's metrics endpoint") from error


def _fetched(address: str) -> bytes:
    http = urllib3.PoolManager(timeout=TIMEOUT_SECONDS, retries=False)
    try:
        with http.request("GET", address, preload_content=False) as response:
            if response.status != 200:  # noqa: PLR2004 - the one status that brings a page
                raise click.UsageError(f"`{address}` answers {response.status}; name a service's metrics endpoint")
            page = response.read(MAX_PAGE_BYTES + 1)
    except urllib3.exceptions.HTTPError as error:
        raise click.UsageError(f"`{address}` cannot be read: {error}") from error
    if len(page) > MAX_PAGE_BYTES:
        raise click.UsageError(f"`{address}` answers more than {MAX_PAGE_BYTES} bytes, which is no page of ours")
    return page
