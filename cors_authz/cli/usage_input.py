"""The sources of `origins`: audit files, and the metrics endpoints of live services."""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import Future
from threading import Thread
from typing import Final, NamedTuple

import click
import urllib3

from cors_authz.cli.audit_lines import TornFileError, lines_of
from cors_authz.policy.finding import shown
from cors_authz.review.usage import UnreadablePageError, Usage

MAX_PAGE_BYTES: Final = 64 << 20
TIMEOUT_SECONDS: Final = 10.0
DEADLINE_SECONDS: Final = 60.0
"""For a whole answer: one that comes a byte at a time is never late by the other."""

_PAGE: Final = "/origins"
_PAGE_OF_ENDPOINT: Final = re.compile("(?:/metrics|/origins)?/*$")
_SCHEMES: Final = ("http://", "https://")
_ADDRESS: Final = re.compile(r"[\w.\-\[\]:]+:[0-9]{1,5}(?:/[a-z]*)?")
"""An address that lacks its scheme."""

_CONNECTION: Final = re.compile(r"^HTTPS?Connection(?:Pool)?\(.*?\): ")
"""How urllib3 names the address, which was named before."""


class Mends(NamedTuple):
    """What to do where no page comes: `late` where it takes too long, `long` where there is no end to it, `other`."""

    late: str
    long: str
    other: str


_MENDS: Final = Mends("name audit files", "which is no page of ours", "name a service's metrics endpoint")


def read_into(usage: Usage, sources: Iterable[str]) -> None:
    """Add up all sources: audit files, compressed by gzip or not, `-` for standard input, and services by their URL.

    Of a file whose compressed data end too early, what there is is taken, and `Sources.torn` names it.

    Raises: click.UsageError for a source that cannot be read.
    """
    for source in sources:
        if source.startswith(_SCHEMES):
            _read_service(usage, source)
        else:
            _read_file(usage, source)


def _read_file(usage: Usage, name: str) -> None:
    try:
        for line in lines_of(name):
            if not line.isspace():
                usage.read_line(line)
    except TornFileError:
        usage.sources.torn.append(name)
    except click.UsageError as error:
        hint = f"; of a running service, write http://{name}" if _ADDRESS.fullmatch(name) else ""
        raise click.UsageError(f"{error.message}{hint}") from error


def _read_service(usage: Usage, url: str) -> None:
    address = _PAGE_OF_ENDPOINT.sub("", url) + _PAGE
    try:
        usage.read_page(fetched(address, _MENDS, MAX_PAGE_BYTES))
    except UnreadablePageError as error:
        raise click.UsageError(f"`{address}` was read, and {error}; name a service's metrics endpoint") from error


def fetched(address: str, mends: Mends, max_bytes: int) -> bytes:
    """Read the page at a URL, for at most a minute.

    Raises: click.UsageError that says what to do.
    """
    answer: Future[bytes] = Future()
    # A thread that nobody waits for: a socket knows no deadline but that of the next byte.
    Thread(target=_fetch, args=(address, mends, max_bytes, answer), daemon=True).start()
    try:
        return answer.result(DEADLINE_SECONDS)
    except TimeoutError as error:
        said = f"`{address}` has not answered to the end within {DEADLINE_SECONDS:g} seconds; {mends.late}"
        raise click.UsageError(said) from error


def _fetch(address: str, mends: Mends, max_bytes: int, answer: Future[bytes]) -> None:
    try:
        answer.set_result(_answer_of(address, mends, max_bytes))
    except Exception as error:  # noqa: BLE001 - it is raised where the answer is waited for
        answer.set_exception(error)


def _answer_of(address: str, mends: Mends, max_bytes: int) -> bytes:
    http = urllib3.PoolManager(timeout=TIMEOUT_SECONDS, retries=False)
    try:
        with http.request("GET", address, preload_content=False) as response:
            if response.status != 200:  # noqa: PLR2004 - the one status that brings a page
                raise click.UsageError(f"`{address}` answers {response.status}; {mends.other}")
            page = response.read(max_bytes + 1)
    except urllib3.exceptions.HTTPError as error:
        raise click.UsageError(f"`{address}` cannot be read: {_said(error)}; {mends.other}") from error
    if len(page) > max_bytes:
        raise click.UsageError(f"`{address}` answers more than {max_bytes} bytes, {mends.long}")
    return page


def _said(error: Exception) -> str:
    """Give the words of an error, which may be those of whoever answered."""
    return shown(_CONNECTION.sub("", ": ".join(str(each).rstrip(".") for each in error.args)))
