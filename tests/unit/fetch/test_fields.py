"""Names and methods: tokens, what Fetch forbids, and a bounded read of what a preflight asks for."""

from __future__ import annotations

import pytest

from cors_authz.fetch.fields import (
    MAX_ASKED_BYTES,
    MAX_ASKED_NAMES,
    asked_headers,
    is_forbidden_method,
    is_forbidden_request_header,
    is_token,
)

TOKENS = {
    "letters": ("PATCH", True),
    "one letter": ("x", True),
    "every mark": ("!#$%&'*+-.^_`|~09azAZ", True),
    "nothing": ("", False),
    "a space within": ("a b", False),
    "a space after": ("a ", False),
    "a comma": ("a,b", False),
    "a colon": ("a:b", False),
    "a slash": ("a/b", False),
    "a quote": ('a"', False),
    "a line break": ("a\r\n", False),
    "a letter beyond ASCII": ("\u00e9", False),
    "a digit beyond ASCII": ("\u0663", False),
}


@pytest.mark.parametrize(("text", "then"), TOKENS.values(), ids=TOKENS)
def test_is_token(text: str, then: bool) -> None:  # noqa: FBT001 - the expectation
    assert is_token(text) is then


ASKED = {
    "nothing": ("", ()),
    "as browsers send them": ("content-type,x-a", ("content-type", "x-a")),
    "the order stays": ("x-b,x-a", ("x-b", "x-a")),
    "upper case is lowered": ("Content-Type", ("content-type",)),
    "blanks are dropped": ("\tx-a , x-b\t", ("x-a", "x-b")),
    "empty elements are dropped": (",x-a,,x-b, ,", ("x-a", "x-b")),
    "commas alone": (",,", ()),
    "a star is a token": ("*", ("*",)),
    "a name with a space": ("x a", None),
    "a name with a line break": ("x-a\r\nx-b", None),
    "a name with a colon": ("x-a:1", None),
    "a letter beyond ASCII": ("x-\u00e9", None),
    "a letter whose lower case is ASCII": ("x-to\u212aen", None),
    "blanks beyond ASCII": ("\u00a0x-a", None),
    "as many names as are read": (",".join(["a"] * MAX_ASKED_NAMES), ("a",) * MAX_ASKED_NAMES),
    "one name more": (",".join(["a"] * (MAX_ASKED_NAMES + 1)), None),
    "as many bytes as are read": ("a" * MAX_ASKED_BYTES, ("a" * MAX_ASKED_BYTES,)),
    "one byte more": ("a" * (MAX_ASKED_BYTES + 1), None),
}


@pytest.mark.parametrize(("value", "then"), ASKED.values(), ids=ASKED)
def test_asked_headers(value: str, then: tuple[str, ...] | None) -> None:
    assert asked_headers(value) == then


METHODS = {
    "CONNECT": True, "connect": True, "TRACE": True, "Track": True, "GET": False, "OPTIONS": False, "TRACER": False,
}  # fmt: skip


@pytest.mark.parametrize(("method", "then"), METHODS.items(), ids=METHODS)
def test_forbidden_methods(method: str, then: bool) -> None:  # noqa: FBT001 - the expectation
    assert is_forbidden_method(method) is then


NAMES = {
    "cookie": True, "host": True, "origin": True, "via": True, "set-cookie": True, "proxy-": True, "sec-": True,
    "proxy-authorization": True, "content-type": False, "authorization": False, "user-agent": False, "x-sec-a": False,
    "secure": False, "access-control-request-method": True,
}  # fmt: skip


@pytest.mark.parametrize(("name", "then"), NAMES.items(), ids=NAMES)
def test_forbidden_request_headers(name: str, then: bool) -> None:  # noqa: FBT001 - the expectation
    assert is_forbidden_request_header(name) is then
