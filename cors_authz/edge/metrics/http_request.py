"""The head of an HTTP/1 request, as far as an endpoint that only shows pages must understand it."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

END_OF_HEAD: Final = b"\r\n\r\n"

_LINE: Final = re.compile(r"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.[01]")


class HttpRequest(NamedTuple):
    """What is asked: the path without its query, and the `Accept` header, empty where there is none."""

    method: str
    path: str
    accept: str


def parse_request(head: bytes) -> HttpRequest | None:
    """Read the head of a request, up to its empty line.

    Returns: the request; None for anything else. Never raises.
    Spec: https://www.rfc-editor.org/rfc/rfc9112#section-3.
    """
    line, *fields = head.decode("latin-1").split("\r\n")
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    named = (field.partition(":") for field in fields)
    accepted = [value.strip() for name, _, value in named if name.lower() == "accept"]
    return HttpRequest(found[1], found[2].partition("?")[0], ",".join(accepted))
