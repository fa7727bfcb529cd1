"""The flags of a pasted curl command: those that make its request, and those that change nothing of it.

Source: https://curl.se/docs/manpage.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])

_REQUEST: Final[tuple[Callable[[Any], Any], ...]] = (
    click.option("--url", "url_flags", multiple=True, hidden=True),
    click.option("-X", "--request", "method", default="", help="The method; without it GET, or POST with -d or -F."),
    click.option("-H", "--header", "headers", multiple=True, help="A header, `name: value`; repeatable."),
    click.option(
        *("-d", "--data", "--data-raw", "--data-binary", "--data-ascii", "data"),
        multiple=True,
        help="A body, as curl sends it.",
    ),
    click.option("--data-urlencode", "encoded", multiple=True, help="The same, encoded as curl does."),
    click.option("-F", "--form", "form", multiple=True, help="A part of a multipart/form-data body."),
    click.option("-G", "--get", "get", is_flag=True, help="Put the data of -d into the query."),
    click.option("-I", "--head", is_flag=True, help="Ask by HEAD."),
    click.option("-u", "--user", metavar="NAME:PASSWORD", default="", help="The header Authorization, as Basic."),
    click.option("--oauth2-bearer", "bearer", metavar="TOKEN", default="", help="The same, as Bearer."),
    click.option("-A", "--user-agent", "agent", default="", help="The header User-Agent."),
    click.option("-e", "--referer", default="", help="The header Referer."),
    click.option("-b", "--cookie", default="", help="The header Cookie."),
)
_IDLE_SWITCHES: Final = (
    ("-L", "--location"),
    ("-k", "--insecure"),
    ("-s", "--silent"),
    ("-S", "--show-error"),
    ("-f", "--fail"),
    ("-v", "--verbose"),
    ("-i", "--include"),
    ("-N", "--no-buffer"),
    ("--http1.1",),
    ("--http2",),
    ("--compressed",),
)
_IDLE_VALUES: Final = (
    ("-o", "--output"),
    ("-w", "--write-out"),
    ("-m", "--max-time"),
    ("--connect-timeout",),
    ("--retry",),
)

UNDERSTOOD: Final = "-X, -H, -d, -F, -G, -I, -u, -A, -e, -b"
"""For a message; what changes nothing of the request is understood beside these."""


def curl_flags(command: F) -> F:
    """Give a command the flags that make curl's request, and let it pass over those that change nothing of it."""
    for option in reversed((*_REQUEST, *_idle(_IDLE_SWITCHES, is_flag=True), *_idle(_IDLE_VALUES, is_flag=False))):
        command = option(command)
    return command


def _idle(flags: Iterable[tuple[str, ...]], *, is_flag: bool) -> tuple[Callable[[Any], Any], ...]:
    return tuple(
        # The name is given, since `http1.1` makes none.
        click.option(
            *names,
            re.sub(r"\W", "_", names[-1].removeprefix("--")),
            is_flag=is_flag,
            expose_value=False,
            hidden=True,
        )
        for names in flags
    )
