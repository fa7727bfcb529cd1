"""The types of single values in a policy: how loading reads them, and what editors are told of them.

The grammars of origins, hosts, paths, methods and header names are for editors alone: loading leaves them to the
modules that read them and can show the right form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, TypeVar

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError, PydanticKnownError

from cors_authz.fetch.fields import (
    FORBIDDEN_METHODS,
    FORBIDDEN_REQUEST_HEADERS,
    FORBIDDEN_RESPONSE_HEADERS,
    REQUEST_ONLY_HEADERS,
    RESPONSE_ONLY_HEADERS,
)
from cors_authz.policy.forms import (
    DATE,
    DURATION,
    EXCEPTION_NAME,
    INSTANT,
    NAME,
    PERCENT,
    TOKEN,
    TOKEN_CHARACTERS,
    VERSION,
    Form,
    moment_of,
)

MAX_TEXT_CHARACTERS: Final = 500

T = TypeVar("T")


# --- what loading reads -----------------------------------------------------------------------------------------------


def _described_by(form: Form) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": form.pattern, "description": form.written})


def _matching(form: Form, value: object) -> str:
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    if re.fullmatch(form.pattern, value) is None:
        raise PydanticKnownError("string_pattern_mismatch", {"pattern": form.pattern})
    return value


_UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def _duration(value: object) -> timedelta:
    text = _matching(DURATION, value)
    number = text.rstrip("mshd")
    return int(number) * _UNITS[text[len(number) :]]


def _moment(form: Form, value: object) -> datetime:
    moment = moment_of(form, _matching(form, value))
    if moment is None:
        raise PydanticKnownError("string_pattern_mismatch", {"pattern": form.pattern})
    return moment


def _date(value: object) -> datetime:
    return _moment(DATE, value)


def _instant(value: object) -> datetime:
    return _moment(INSTANT, value)


def _percent(value: object) -> float:
    return float(_matching(PERCENT, value).rstrip("%"))


_PERIODS: Final = ("1s", "1m", "1h", "1d")


def _one_of(texts: Iterable[str], value: object) -> str:
    if isinstance(value, str) and value in texts:
        return value
    raise PydanticKnownError("literal_error", {"expected": ", ".join(repr(text) for text in texts)})


def _period(value: object) -> timedelta:
    return _duration(_one_of(_PERIODS, value))


def _flag(value: object) -> bool:
    """Accept true alone: the key that is left out is the one way to say false."""
    if value is True:
        return True
    raise PydanticKnownError("literal_error", {"expected": "true"})


def _claim_value(value: object) -> str | int | bool:
    if isinstance(value, str | int):
        return value
    raise PydanticKnownError("string_type")


def _claim_item(value: object) -> str | int:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return value
    raise PydanticKnownError("string_type")


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("listed_twice", "listed twice")
    return values


Name = Annotated[str, Field(pattern=NAME.pattern, description=NAME.written)]
ExceptionName = Annotated[str, Field(pattern=EXCEPTION_NAME.pattern, description=EXCEPTION_NAME.written)]
VersionName = Annotated[str, Field(pattern=VERSION.pattern, description=VERSION.written)]
Token = Annotated[str, Field(pattern=TOKEN.pattern)]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)]

Duration = Annotated[timedelta, PlainValidator(_duration), _described_by(DURATION)]
Date = Annotated[datetime, PlainValidator(_date), _described_by(DATE)]
Instant = Annotated[datetime, PlainValidator(_instant), _described_by(INSTANT)]
Percent = Annotated[float, PlainValidator(_percent), _described_by(PERCENT)]
Period = Annotated[timedelta, PlainValidator(_period), WithJsonSchema({"type": "string", "enum": list(_PERIODS)})]
Flag = Annotated[bool, PlainValidator(_flag), WithJsonSchema({"const": True})]
ClaimValue = Annotated[
    str | int | bool, PlainValidator(_claim_value), WithJsonSchema({"type": ["string", "integer", "boolean"]})
]
ClaimItem = Annotated[str | int, PlainValidator(_claim_item), WithJsonSchema({"type": ["string", "integer"]})]

Trust = Literal["low", "medium", "high"]
Credential = Literal["cookie", "bearer", "mtls"]
Mode = Literal["enforce", "shadow"]
Permission = Literal["allowed", "refused"]

Listed = Annotated[tuple[T, ...], Field(min_length=1)]
Credentials = Annotated[
    tuple[Credential, ...],
    AfterValidator(_distinct),
    Field(json_schema_extra={"uniqueItems": True}),
]
EnvironmentTags = Annotated[
    tuple[Name, ...], Field(min_length=1, description="the environments in which this exists; left out: all")
]


# --- what other modules read ------------------------------------------------------------------------------------------


_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_SLOT: Final = r"\{(?:digits|alnum|hex|slug)\}"
_ORIGIN_LABEL: Final = rf"(?:{_LABEL}|(?=[a-z0-9_{{-]*{_SLOT})(?:[a-z0-9_-]|{_SLOT})+|\{{label\}})"
_HOST_LABEL: Final = rf"(?:{_LABEL}|[a-z0-9_-]*\{{(?:tenant|version|digits|alnum|hex|slug|label)\}}[a-z0-9_-]*)"
_SCHEME: Final = r"(?!null$|file:|data:|blob:|about:|javascript:|wss?:)[a-z][a-z0-9+.-]{0,63}://"
_PORT: Final = r"[1-9][0-9]{0,4}"
_IPV6: Final = r"\[[0-9a-f:]+\]"
_PATH_TEXT: Final = r"(?:[A-Za-z0-9._~!$&'()+,=:@-]|%[0-9A-F]{2})"
_SEGMENT: Final = rf"(?:\*|{_PATH_TEXT}*\{{[a-z][A-Za-z0-9]{{0,31}}\}}{_PATH_TEXT}*|{_PATH_TEXT}+)"


def _any_case(names: Iterable[str]) -> str:
    """Spell names so that they match in any case: JSON Schema's expressions have no flag for it."""
    return "|".join("".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in name.lower()) for name in sorted(names))


def _left_to_others(pattern: str, description: str) -> WithJsonSchema:
    """Show a pattern to editors only: the module that reads the text says better what is wrong with it."""
    return WithJsonSchema({"type": "string", "pattern": pattern, "description": description})


OriginPattern = Annotated[
    str,
    _left_to_others(
        rf"^{_SCHEME}(?:(?:\*\.)?{_ORIGIN_LABEL}(?:\.{_ORIGIN_LABEL})*\.?|{_IPV6})(?::(?:{_PORT}|\*))?$",
        "scheme://host[:port] as a browser serializes it; '*.' for one or more labels, slots {digits} {alnum} {hex} "
        "{slug} {label}, port '*'",
    ),
]
ExactOrigin = Annotated[
    str,
    _left_to_others(
        rf"^{_SCHEME}(?:{_LABEL}(?:\.{_LABEL})*\.?|{_IPV6})(?::{_PORT})?$",
        "one serialized origin, no wildcard, no slot",
    ),
]
HostPattern = Annotated[
    str,
    _left_to_others(
        rf"^(?:(?:\*\.)?{_HOST_LABEL}(?:\.{_HOST_LABEL})*|{_IPV6})(?::{_PORT})?$",
        "a host name; '*.' for one or more labels, {tenant} and {version} in a label; without a port: any port",
    ),
]
PathTemplate = Annotated[
    str,
    _left_to_others(
        rf"^/(?:(?:{_SEGMENT}/)*(?:\*\*|{_SEGMENT}))?$",
        "segments: '**' for the rest (only last), '*' or {name} for one, {tenant} and {version} mean something",
    ),
]
Method = Annotated[
    str,
    _left_to_others(
        rf"^(?!(?:{_any_case(FORBIDDEN_METHODS)})$){TOKEN_CHARACTERS}$",
        "an HTTP method as it is sent (case-sensitive), or * for any; CONNECT, TRACE and TRACK are forbidden by Fetch",
    ),
]
RequestHeader = Annotated[
    str,
    _left_to_others(
        rf"^(?!(?:{_any_case(FORBIDDEN_REQUEST_HEADERS | RESPONSE_ONLY_HEADERS | {'authorization'})})$"
        rf"|{_any_case(['proxy-'])}|{_any_case(['sec-'])}){TOKEN_CHARACTERS}$",
        "a request header that scripts may set; not a forbidden one, not authorization (say credentials: [bearer]); "
        "* covers every other name",
    ),
]
ResponseHeader = Annotated[
    str,
    _left_to_others(
        rf"^(?!(?:{_any_case(FORBIDDEN_RESPONSE_HEADERS | REQUEST_ONLY_HEADERS)})$){TOKEN_CHARACTERS}$",
        "a response header that scripts may read beyond the safelist",
    ),
]
SpiffeId = Annotated[
    str,
    _left_to_others(
        r"^spiffe://[a-z0-9._-]+/[A-Za-z0-9._/-]+(?:\*)?$", "a SPIFFE ID; '*' at the end makes it a prefix"
    ),
]
Network = Annotated[str, _left_to_others(r"^[0-9a-f.:]+/[0-9]{1,3}$", "a network, such as 10.0.0.0/8")]
Territory = Annotated[
    str, _left_to_others(r"^[^/ ]+(?:/.*)?$", "a host pattern, with or without the path template within it")
]
