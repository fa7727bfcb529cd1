"""A request as people have it at hand: curl's words, a JSON object, or a CheckRequest that was kept."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple
from urllib.parse import quote

import click

from cors_authz.envoy.captured import read_captured
from cors_authz.fetch.fields import is_token
from cors_authz.fetch.request import Request, spoofed_names

MAX_INPUT_BYTES: Final = 1 << 20
"""More is no request: Envoy refuses headers long before."""

JSON_KEYS: Final = ("method", "url", "headers", "source", "principal", "claims")

_ENCODED: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BARE_HOST: Final = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]+\])(?::[0-9]*)?")


class Given(NamedTuple):
    """A request, and the claims of tokens that are taken for valid, by the name of their provider."""

    request: Request
    claims: Mapping[str, Mapping[str, object]]


class CurlWords(NamedTuple):
    """What of a curl command makes its request: a URL, and the values of its flags as they were given."""

    url: str
    method: str = ""
    headers: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    encoded: tuple[str, ...] = ()
    form: tuple[str, ...] = ()
    get: bool = False
    head: bool = False
    user: str = ""
    bearer: str = ""
    agent: str = ""
    referer: str = ""
    cookie: str = ""


def read_curl(words: CurlWords) -> Request:
    """Give the request that curl would send, as Envoy shows it; the path is taken as it is written.

    Raises: click.UsageError.
    """
    lines = [_split_header(line) for line in words.headers]
    fields = _joined((name, value) for name, value in lines if value is not None)
    silenced = {name for name, value in lines if value is None}
    implied = {name: value for name, value in _implied(words).items() if value and name not in silenced}
    return _request(words.method or _default_method(words), _asked_url(words), {**implied, **fields})


def is_written_as_url(word: str) -> bool:
    """Tell whether a word can stand for a URL, with its scheme or, as curl has it, without."""
    return bool(_SCHEME.match(word) or _BARE_HOST.fullmatch(_split_authority(word)[0]))


def read_json(data: bytes) -> Given:
    """Read `{"method", "url", "headers", "source", "principal", "claims"}`; all but `url` may be left out.

    `headers` maps names to a value, or to a list of values. `claims` maps providers to the claims of a token that is
    taken for valid.

    Raises: click.UsageError.
    """
    document = _object(data, "the request on standard input")
    unknown = sorted(document.keys() - set(JSON_KEYS))
    if unknown:
        raise click.UsageError(f"`{unknown[0]}` is no key of a request; its keys are {', '.join(JSON_KEYS)}")
    headers = _object_at(document, "headers")
    fields = _joined((name, value) for name, values in headers.items() for value in _texts(name, values))
    request = _request(_text_at(document, "method") or "GET", _text_at(document, "url"), fields)
    claims = _object_at(document, "claims")
    return Given(
        request._replace(source=_text_at(document, "source"), principal=_text_at(document, "principal")),
        {name: _object_at(claims, name) for name in claims},
    )


def read_check_request(path: Path) -> Request:
    """Read a CheckRequest from a file, binary or as text proto.

    Raises: click.UsageError.
    """
    try:
        with path.open("rb") as stream:
            data = read_bounded(stream)
    except OSError as error:
        raise click.UsageError(f"`{path}` cannot be read: {error.strerror}") from error
    request = read_captured(data)
    if request is None:
        raise click.UsageError(f"`{path}` is no CheckRequest with an HTTP request, neither binary nor as text proto")
    return request


def read_claims(words: Iterable[str]) -> Mapping[str, Mapping[str, object]]:
    """Read claims that are given as `PROVIDER=JSON`.

    Raises: click.UsageError.
    """
    claims: dict[str, Mapping[str, object]] = {}
    for word in words:
        provider, separator, text = word.partition("=")
        if not separator or not provider:
            raise click.UsageError(f'`--claims {word}` names no provider; write --claims main=\'{{"sub": "ada"}}\'')
        claims[provider] = _object(text.encode(), f"the claims of `{provider}`")
    return claims


def read_bounded(stream: BinaryIO) -> bytes:
    """Read a stream to its end.

    Raises: click.UsageError for more than `MAX_INPUT_BYTES`.
    """
    data = stream.read(MAX_INPUT_BYTES + 1)
    if len(data) > MAX_INPUT_BYTES:
        raise click.UsageError(f"the input is longer than {MAX_INPUT_BYTES} bytes; one request is asked for")
    return data


def _implied(words: CurlWords) -> Mapping[str, str]:
    body, typed = _data(words), _body_type(words)
    return {
        "authorization": _authorization(words),
        "user-agent": words.agent,
        "referer": words.referer,
        "cookie": words.cookie,
        "content-type": typed,
        # What stands behind `@` is a file that curl would read, and its length decides nothing.
        "content-length": str(len(body.encode())) if typed == _ENCODED and not body.startswith("@") else "",
    }


def _body_type(words: CurlWords) -> str:
    """Give the type of the body, empty where none is sent."""
    if words.get:
        return ""
    return _MULTIPART if words.form else _ENCODED if words.data or words.encoded else ""


def _default_method(words: CurlWords) -> str:
    if words.head:
        return "HEAD"
    return "POST" if _body_type(words) else "GET"


def _asked_url(words: CurlWords) -> str:
    """Give the URL, with the data in its query where -G puts it there."""
    data = _data(words) if words.get else ""
    if not data:
        return words.url
    file = next((word for word in data.split("&") if word.startswith("@")), None)
    if file is not None:
        raise click.UsageError(f"with -G, what stands in the file of `{file}` is of the URL; write it in its place")
    url = words.url.partition("#")[0]
    return f"{url}{'&' if '?' in url else '?'}{data}"


def _data(words: CurlWords) -> str:
    return "&".join((*words.data, *map(_urlencoded, words.encoded)))


def _urlencoded(word: str) -> str:
    """Encode `content`, `=content` or `name=content`; `@file` and `name@file` give `@file`."""
    name, separator, content = word.partition("=")
    if not separator:
        return word[word.index("@") :] if "@" in word else quote(word, safe="")
    return f"{name}={quote(content, safe='')}" if name else quote(content, safe="")


def _authorization(words: CurlWords) -> str:
    if words.bearer:
        return f"Bearer {words.bearer}"
    login = words.user if ":" in words.user else f"{words.user}:"
    return f"Basic {b64encode(login.encode()).decode()}" if words.user else ""


def _split_header(line: str) -> tuple[str, str | None]:
    """Split `Name: value`; `Name;` has the empty value and `Name:` takes away what curl would send, as with curl."""
    name, colon, value = line.partition(":")
    if not colon and line.endswith(";"):
        return line[:-1], ""
    if not colon or not is_token(name.strip()):
        raise click.UsageError(f"`-H {line}` is not a header; write -H 'name: value'")
    return name.strip().lower(), value.strip(" \t") or None


def _joined(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Bring header fields to Envoy's form: names in lower case, repeated ones joined by a comma."""
    joined: dict[str, str] = {}
    for raw, value in fields:
        name = raw.lower()
        if not is_token(name) or not all(letter.isprintable() or letter == "\t" for letter in value):
            raise click.UsageError(f"header `{raw}` has a name or a value that no header line can carry")
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _request(method: str, url: str, headers: Mapping[str, str]) -> Request:
    if not is_token(method):
        raise click.UsageError(f"`{method}` is not a method")
    scheme, authority, target = _split_url(url)
    host = headers.get("host", authority)
    rest = {name: value for name, value in headers.items() if name != "host"}
    return Request(method, scheme, host, target, rest, spoofed=spoofed_names(rest))


def _split_url(url: str) -> tuple[str, str, str]:
    """Split a URL and repair nothing of it, so that what is explained is what was written; no scheme is http.

    Source: https://curl.se/docs/manpage.html#URL.
    """
    named = _SCHEME.match(url)
    scheme = named[1].lower() if named else "http"
    authority, rest = _split_authority(url.removeprefix(named[0]) if named else url)
    if "@" in authority:
        raise click.UsageError(f"`{url}` holds a login; write it as -H 'Authorization: ...'")
    if scheme not in {"http", "https"} or not is_written_as_url(url):
        raise click.UsageError(f"`{url}` is not a URL; write https://host/path")
    if not authority or not url.isascii():
        raise click.UsageError(f"`{url}` is not a URL as it travels; write the host, and all of it in ASCII")
    target = rest.partition("#")[0]
    return scheme, authority, target if target.startswith("/") else f"/{target}"


def _split_authority(text: str) -> tuple[str, str]:
    ending = min((at for mark in "/?#" if (at := text.find(mark)) >= 0), default=len(text))
    return text[:ending], text[ending:]


def _object(data: bytes, what: str) -> dict[str, object]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{what} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise click.UsageError(f"{what} is not a JSON object")
    return document


def _object_at(document: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = document.get(key, {})
    if not isinstance(value, dict):
        raise click.UsageError(f"`{key}` is not a JSON object")
    return value


def _text_at(document: Mapping[str, object], key: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise click.UsageError(f"`{key}` is not a string")
    return value


def _texts(name: str, values: object) -> list[str]:
    listed = values if isinstance(values, list) else [values]
    texts = [value for value in listed if isinstance(value, str)]
    if len(texts) != len(listed):
        raise click.UsageError(f"header `{name}` is neither a string nor a list of strings")
    return texts
