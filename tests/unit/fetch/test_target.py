"""Targets and hosts: one normal form, or nothing where an upstream might read another."""

from __future__ import annotations

import pytest

from cors_authz.fetch.target import Authority, Target, query_values, read_authority, read_target

TARGETS = {
    "the root": ("/", Target((), "")),
    "one segment": ("/a", Target(("a",), "")),
    "segments": ("/a/b/c", Target(("a", "b", "c"), "")),
    "one final slash is set aside": ("/a/", Target(("a",), "")),
    "a query": ("/a?b=/../c", Target(("a",), "b=/../c")),
    "an empty query": ("/a?", Target(("a",), "")),
    "a second question mark is data": ("/a?b?c", Target(("a",), "b?c")),
    "case matters": ("/A", Target(("A",), "")),
    "unreserved characters are decoded": ("/%61%7E%2d", Target(("a~-",), "")),
    "every literal of a template is decoded": (
        "/%21%24%26%27%28%29%2b%2C%3d%3A%40",
        Target(("!$&'()+,=:@",), ""),
    ),
    "a verb behind an encoded colon": ("/v1/items%3Apurge", Target(("v1", "items:purge"), "")),
    "hexadecimal digits in upper case": ("/%c3%a9", Target(("%C3%A9",), "")),
    "an encoded percent stays": ("/%252e", Target(("%252e",), "")),
    "what would end a path stays encoded": ("/%3f%23%5b%5D", Target(("%3F%23%5B%5D",), "")),
    "a star is encoded": ("/a*/%2a", Target(("a%2A", "%2A"), "")),
    "a star in front is encoded": ("/*/b", Target(("%2A", "b"), "")),
    "a star within is encoded": ("/a*b/c", Target(("a%2Ab", "c"), "")),
    "a star at the end is encoded": ("/a/b*", Target(("a", "b%2A"), "")),
    "what a template only holds encoded is encoded": (
        '/{a}|<"^`>[b]',
        Target(("%7Ba%7D%7C%3C%22%5E%60%3E%5Bb%5D",), ""),
    ),
    "parameters of a segment are set aside": ("/a;x=1/b;y", Target(("a", "b"), "", kept=("a;x=1", "b;y"))),
    "a dot in a name": ("/.well-known/a..b", Target((".well-known", "a..b"), "")),
    "three dots are a name": ("/...", Target(("...",), "")),
    "every plain character": ("/_~!$&'()+,=:@-.", Target(("_~!$&'()+,=:@-.",), "")),
    "an encoded slash is told": ("/a%2fb", Target(("a%2Fb",), "", encoded_delimiter=True)),
    "an encoded slash in parameters is told": (
        "/a;x%2fb/c",
        Target(("a", "c"), "", encoded_delimiter=True, kept=("a;x%2Fb", "c")),
    ),
    "an encoded semicolon is told": ("/v1/admin%3bx", Target(("v1", "admin%3Bx"), "", encoded_delimiter=True)),
    "an encoded semicolon in parameters is told": (
        "/a;x%3Bb",
        Target(("a",), "", encoded_delimiter=True, kept=("a;x%3Bb",)),
    ),
    "an encoded slash at the end is told": ("/a%2F/", Target(("a%2F",), "", encoded_delimiter=True)),
    "a code that decodes to an encoded slash is data": (
        "/a;%252f/b%252F",
        Target(("a", "b%252F"), "", kept=("a;%252f", "b%252F")),
    ),
    "dots in parameters are none of the path": ("/a;../b;x=%2e%2e", Target(("a", "b"), "", kept=("a;..", "b;x=.."))),
    "dots beside an encoded slash": ("/a..%2F..b", Target(("a..%2F..b",), "", encoded_delimiter=True)),
    "a slash in the query is none of the path": ("/a?b=%2f", Target(("a",), "b=%2f")),
    "the longest": ("/" + "a" * 65_535, Target(("a" * 65_535,), "")),
}


@pytest.mark.parametrize(("raw", "then"), TARGETS.values(), ids=TARGETS)
def test_a_target_is_brought_to_normal_form(raw: str, then: Target) -> None:
    assert read_target(raw) == then


AMBIGUOUS = {
    "nothing": "",
    "a star": "*",
    "no slash in front": "a",
    "a whole URL": "http://a.example/",
    "a query alone": "?a",
    "two slashes": "//",
    "two slashes in front": "//a",
    "two slashes within": "/a//b",
    "two slashes at the end": "/a//",
    "a segment that is only parameters": "/;x",
    "a segment that is only parameters, at the end": "/a/;x",
    "a dot": "/.",
    "a dot within": "/a/./b",
    "a dot at the end": "/a/.",
    "two dots": "/..",
    "two dots within": "/a/../b",
    "two dots at the end": "/a/..",
    "two dots and a final slash": "/a/../",
    "encoded dots": "/a/%2e%2E/b",
    "one dot of two encoded": "/a/.%2e/b",
    "two dots before parameters": "/a/..;x/b",
    "two dots behind parameters": "/a;x/../b",
    "two dots between encoded slashes": "/a%2f..%2Fb",
    "two encoded dots between encoded slashes": "/a%2F%2e%2e%2fb",
    "two dots before an encoded slash, in parameters": "/a;..%2fb",
    "two dots between encoded slashes, in parameters": "/pub;%2f..%2fv1%2fadmin",
    "two dots before an encoded semicolon": "/a/..%3bx/b",
    "a dot behind an encoded slash": "/a%2f.",
    "a segment that is only parameters, before others": "/a/;/b",
    "an encoded backslash in parameters": "/a;%5c..",
    "an encoded NUL in parameters": "/a;x%00",
    "a backslash": "/a\\b",
    "an encoded backslash": "/a%5cb",
    "an encoded NUL": "/a%00",
    "a NUL": "/a\0",
    "a line break": "/a\r\nb",
    "a tab": "/a\tb",
    "a space": "/a b",
    "a fragment": "/a#b",
    "a letter beyond ASCII": "/\u00e9",
    "a lone percent": "/%",
    "half a code": "/%2",
    "a code that is none": "/%2g",
    "a code with a sign": "/%+1",
    "a code of digits beyond ASCII": "/%\u0662\u0660",
    "too long": "/" + "a" * 65_536,
}


@pytest.mark.parametrize("raw", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_can_be_read_in_two_ways_is_not_read(raw: str) -> None:
    assert read_target(raw) is None


PATHS = {"the root": ("/", "/"), "a path": ("/a/", "/a"), "a decoded one": ("/%61;b?c", "/a")}


@pytest.mark.parametrize(("raw", "then"), PATHS.values(), ids=PATHS)
def test_path(raw: str, then: str) -> None:
    target = read_target(raw)
    assert target is not None
    assert target.path == then


AUTHORITIES = {
    "a name": ("api.example", Authority("api.example", "")),
    "upper case is lowered": ("API.Example", Authority("api.example", "")),
    "a port": ("api.example:8443", Authority("api.example", "8443")),
    "the default port is left out": ("api.example:443", Authority("api.example", "")),
    "the port of another scheme stays": ("api.example:80", Authority("api.example", "80")),
    "an IPv6 address": ("[::1]:8080", Authority("[::1]", "8080")),
    "an IPv4 address": ("10.0.0.1", Authority("10.0.0.1", "")),
}


@pytest.mark.parametrize(("raw", "then"), AUTHORITIES.values(), ids=AUTHORITIES)
def test_a_host_is_read(raw: str, then: Authority) -> None:
    assert read_authority(raw, "https") == then


NO_HOSTS = {
    "nothing": "",
    "a final dot": "api.example.",
    "a final dot before a port": "api.example.:443",
    "an empty port": "api.example:",
    "a port that is no number": "api.example:https",
    "a port of six digits": "api.example:100000",
    "a port of digits beyond ASCII": "api.example:\u0663",
    "userinfo": "user@api.example",
    "two hosts": "a.example,b.example",
    "a path": "api.example/a",
    "a letter whose lower case is ASCII": "\u212aite.example",
    "an IPv6 address without brackets": "::1",
    "an IPv6 address in long form": "[0:0:0:0:0:0:0:1]",
    "a number": "2130706433",
}


@pytest.mark.parametrize("raw", NO_HOSTS.values(), ids=NO_HOSTS)
def test_what_is_no_host_is_not_read(raw: str) -> None:
    assert read_authority(raw, "https") is None


def test_an_authority_is_written_as_an_origin_writes_it() -> None:
    assert [Authority("a.example", "").text, Authority("a.example", "1").text] == ["a.example", "a.example:1"]
    assert [Authority("a.example", "").labels, Authority("[::1]", "1").labels] == [("a", "example"), ("[::1]",)]


VALUES = {
    "none": ("a=1", ()),
    "one": ("v=1", ("1",)),
    "several, in order": ("v=2&a=0&v=1", ("2", "1")),
    "without a value": ("v", ("",)),
    "with an equals sign in it": ("v=a=b", ("a=b",)),
    "an encoded name": ("%76=1", ("1",)),
    "an encoded value": ("v=%31+%32", ("1 2",)),
    "behind a semicolon": ("a=0;v=1", ("1",)),
    "another name that contains it": ("av=1&va=2", ()),
    "another case": ("V=1", ()),
    "bytes that are no UTF-8": ("v=%ff", ("\ufffd",)),
    "a broken code": ("v=%zz", ("%zz",)),
}


@pytest.mark.parametrize(("query", "then"), VALUES.values(), ids=VALUES)
def test_values_of_a_query(query: str, then: tuple[str, ...]) -> None:
    assert query_values(query, "v") == then


def test_a_query_full_of_escapes_is_read_without_decoding_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []

    def unquoted(text: str) -> str:
        decoded.append(text)
        return text

    monkeypatch.setattr("cors_authz.fetch.target.unquote_plus", unquoted)
    assert query_values("%25&" * 13_500 + "%76=1&v=2", "v") == ("1", "2")
    assert decoded == ["1", "2"]
