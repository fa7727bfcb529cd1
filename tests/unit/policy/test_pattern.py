"""Patterns as operators write them: what is read, what is refused and with which sentence, and what matches."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from cors_authz.policy.grammar.host import parse_host_pattern
from cors_authz.policy.grammar.origin import parse_origin_pattern
from cors_authz.policy.grammar.path import parse_path_template
from cors_authz.policy.locality import is_local, is_loopback, is_private_address
from cors_authz.policy.pattern import (
    HostPattern,
    OriginPattern,
    PathTemplate,
    Piece,
    Problem,
    Slot,
    SlotAt,
    piece_matcher,
)
from cors_authz.policy.public_suffix import public_suffix_of_fixed_part, spans_registrable_domains, suffix_list_version

OWN = "serve the page from an origin of its own"
EXPRESSION = (
    "reads like a regular expression, and patterns are none: `*.` stands for whole labels, slots for parts of one"
)
LONG = ".".join(["a" * 60] * 5)


def literal(name: str) -> tuple[Piece, ...]:
    """Read a name without slots as its labels."""
    return tuple((label,) for label in name.split("."))


ORIGINS: dict[str, OriginPattern] = {
    "a host and no port": OriginPattern(
        "https://myapp.com", "https", "myapp.com", wildcard=False, labels=literal("myapp.com"), port=""
    ),
    "a port": OriginPattern(
        "https://x.com:8443", "https", "x.com", wildcard=False, labels=literal("x.com"), port="8443"
    ),
    "any port": OriginPattern("http://x.com:*", "http", "x.com", wildcard=False, labels=literal("x.com"), port="*"),
    "the default port of the other scheme": OriginPattern(
        "http://x.com:443", "http", "x.com", wildcard=False, labels=literal("x.com"), port="443"
    ),
    "a scheme of an app": OriginPattern(
        "capacitor://localhost", "capacitor", "localhost", wildcard=False, labels=(("localhost",),), port=""
    ),
    "a wildcard in front": OriginPattern(
        "https://*.shop.example", "https", "*.shop.example", wildcard=True, labels=literal("shop.example"), port=""
    ),
    "a final dot is a last label": OriginPattern(
        "https://x.", "https", "x.", wildcard=False, labels=(("x",), ("",)), port=""
    ),
    "an IPv4 address is four labels": OriginPattern(
        "http://127.0.0.1:3000", "http", "127.0.0.1", wildcard=False, labels=literal("127.0.0.1"), port="3000"
    ),
    "an IPv6 address is one label": OriginPattern(
        "http://[2001:db8::1]:3000", "http", "[2001:db8::1]", wildcard=False, labels=(("[2001:db8::1]",),), port="3000"
    ),
    "slots among text": OriginPattern(
        "https://pr-{digits}-{hex}.x.example",
        "https",
        "pr-{digits}-{hex}.x.example",
        wildcard=False,
        labels=(("pr-", Slot.DIGITS, "-", Slot.HEX), ("x",), ("example",)),
        port="",
    ),
    "a whole label": OriginPattern(
        "https://{label}.x.example",
        "https",
        "{label}.x.example",
        wildcard=False,
        labels=((Slot.LABEL,), ("x",), ("example",)),
        port="",
    ),
}


@pytest.mark.parametrize("pattern", ORIGINS.values(), ids=ORIGINS)
def test_origin_is_read(pattern: OriginPattern) -> None:
    assert parse_origin_pattern(pattern.text) == pattern


REFUSED_ORIGINS: dict[str, str] = {
    "https://MyApp.com/": "CX003 `https://MyApp.com/` is not an origin; write `https://myapp.com`: lower case, no path",
    "https://myapp.com:443": (
        "CX003 `https://myapp.com:443` can never match: browsers leave out the default port; write `https://myapp.com`"
    ),
    "http://x.com:80": (
        "CX003 `http://x.com:80` can never match: browsers leave out the default port; write `http://x.com`"
    ),
    "https://*-shop.example": (
        "CX003 `https://*-shop.example`: `*.` replaces whole labels; for a part of a label use a slot, such as "
        "`https://{slug}-shop.example`"
    ),
    "null": f"CX002 `null` is the origin of every sandbox, redirect and local file, so it names nobody; {OWN}",
    " NULL ": f"CX002 ` NULL ` is the origin of every sandbox, redirect and local file, so it names nobody; {OWN}",
    "file://": f"CX002 `file://` is every file that someone opens, so it names nobody; {OWN}",
    "FILE:///x": f"CX002 `FILE:///x` is every file that someone opens, so it names nobody; {OWN}",
    "data:text/html,x": f"CX003 `data:text/html,x`: such pages have the origin `null`, which names nobody; {OWN}",
    "about:blank": f"CX003 `about:blank`: such pages have the origin `null`, which names nobody; {OWN}",
    "javascript:1": f"CX003 `javascript:1`: such pages have the origin `null`, which names nobody; {OWN}",
    "blob:https://x.com/1": (
        "CX003 `blob:https://x.com/1`: a blob has the origin of the page that made it; list that, such "
        "as `https://x.com`"
    ),
    "blob:null": "CX003 `blob:null`: a blob has the origin of the page that made it; list that",
    "blob:file:///x": "CX003 `blob:file:///x`: a blob has the origin of the page that made it; list that",
    "wss://Live.x.com/feed": (
        "CX003 `wss://Live.x.com/feed`: a WebSocket handshake carries the http origin of its page; list that, such as "
        "`https://live.x.com`"
    ),
    "ws://x.com": (
        "CX003 `ws://x.com`: a WebSocket handshake carries the http origin of its page; list that, such "
        "as `http://x.com`"
    ),
    "*": "CX003 `*` is every origin; say that with a group of its own: {any: true}",
    "https://*": "CX003 `https://*`: `*.` stands in front of a name; write `*.` and your own domain",
    "*://x.com": "CX003 `*://x.com`: `*` is no scheme; list each, such as `https://x.com`",
    "": "CX003 `` is empty; name an origin",
    "https://": "CX003 `https://` has no host; write scheme://host",
    "https:": "CX003 `https:` has no host; write scheme://host",
    "x.com": "CX003 `x.com` is not an origin; write `https://x.com`: scheme and `://` in front",
    "//x.com": "CX003 `//x.com` is not an origin; write `https://x.com`: scheme and `://` in front",
    "https:/x.com": "CX003 `https:/x.com` is not an origin; write `https://x.com`: scheme and `://` in front",
    "localhost:3000": (
        "CX003 `localhost:3000` is not an origin; write `http://localhost:3000`: scheme and `://` in front"
    ),
    "1x://x.com": (
        "CX003 `1x://x.com`: `1x` is no scheme; a scheme is a lower-case letter, then at most 63 of a-z, 0-9, `+`, `-` "
        "and `.`"
    ),
    " https://x.com\n": "CX003 ` https://x.com\\n` is not an origin; write `https://x.com`: no white space",
    "https://a.com, https://b.com": (
        "CX003 `https://a.com, https://b.com` is more than one origin; give each an entry of its own"
    ),
    "https://me:pw@x.com": "CX003 `https://me:pw@x.com` is not an origin; write `https://x.com`: no user name",
    "https://@x.com": "CX003 `https://@x.com` is not an origin; write `https://x.com`: no user name",
    "https://x.com?a": "CX003 `https://x.com?a` is not an origin; write `https://x.com`: no query",
    "https://x.com#a": "CX003 `https://x.com#a` is not an origin; write `https://x.com`: no fragment",
    "https://x.com\\a": "CX003 `https://x.com\\a` is not an origin; write `https://x.com`: no path",
    "https://x.com:": "CX003 `https://x.com:` is not an origin; write `https://x.com`: no colon without a port",
    "https://x.com:0443": (
        "CX003 `https://x.com:0443` is not an origin; write `https://x.com`: no leading zero in the "
        "port, no default port"
    ),
    "https://x.com:0": "CX003 `https://x.com:0`: `0` is no port; a port is a number from 1 to 65535, or `*` for any",
    "https://x.com:65536": (
        "CX003 `https://x.com:65536`: `65536` is no port; a port is a number from 1 to 65535, or `*` for any"
    ),
    "https://x.com:{digits}": (
        "CX003 `https://x.com:{digits}`: `{digits}` is no port; a port is a number from 1 to 65535, or `*` for any"
    ),
    "https://127.1": (
        "CX003 `https://127.1` is not an origin; write `https://127.0.0.1`: the address as browsers write it"
    ),
    "https://0x7f.0.0.010": (
        "CX003 `https://0x7f.0.0.010` is not an origin; write `https://127.0.0.8`: the address as browsers write it"
    ),
    "https://2130706433": (
        "CX003 `https://2130706433` is not an origin; write `https://127.0.0.1`: the address as browsers write it"
    ),
    "https://127.0.0.1.": (
        "CX003 `https://127.0.0.1.` is not an origin; write `https://127.0.0.1`: the address as browsers write it"
    ),
    "https://1.2.3.256": "CX003 `https://1.2.3.256`: a name that ends in a number is an address, and this is none",
    "https://1.256.1": "CX003 `https://1.256.1`: a name that ends in a number is an address, and this is none",
    "https://1.2.3.4.5": "CX003 `https://1.2.3.4.5`: a name that ends in a number is an address, and this is none",
    "https://x.0x": "CX003 `https://x.0x`: a name that ends in a number is an address, and this is none",
    "https://*.1": "CX003 `https://*.1`: a name that ends in a number is an address; list each address",
    "https://10.0.0.{digits}": (
        "CX003 `https://10.0.0.{digits}`: a name that ends in a number is an address; list each address"
    ),
    "https://[0:0:0:0:0:0:0:1]": (
        "CX003 `https://[0:0:0:0:0:0:0:1]` is not an origin; write `https://[::1]`: the address as browsers write it"
    ),
    "https://[FE80::1%eth0]": (
        "CX003 `https://[FE80::1%eth0]` is not an origin; write `https://[fe80::1]`: lower case, the "
        "address as browsers "
        "write it"
    ),
    "https://[::ffff:1.2.3.4]": (
        "CX003 `https://[::ffff:1.2.3.4]` is not an origin; write `https://[::ffff:102:304]`: the address as browsers "
        "write it"
    ),
    "https://::1": "CX003 `https://::1` is not an origin; write `https://[::1]`: the address as browsers write it",
    "https://[zz]": "CX003 `https://[zz]`: `[zz]` is no IPv6 address; write it as `[2001:db8::1]`",
    "https://a..b": "CX003 `https://a..b`: between two dots stands a label",
    f"https://{'a' * 64}.com": f"CX003 `https://{'a' * 64}.com`: a label has at most 63 characters",
    f"https://{LONG}": f"CX003 `https://{LONG[:111]}…`: a name has at most 253 characters",
    "https://-a.com": "CX003 `https://-a.com`: no label begins or ends with `-`, as `-a` does",
    "https://{digits}-.com": "CX003 `https://{digits}-.com`: no label begins or ends with `-`, as `{digits}-` does",
    "https://{int}.com": (
        "CX003 `https://{int}.com`: `{int}` is no slot here; there are `{digits}`, `{hex}`, `{alnum}`, "
        "`{slug}`, `{label}`"
    ),
    "https://{tenant}.com": (
        "CX003 `https://{tenant}.com`: `{tenant}` has no meaning in an origin; origins of a tenant "
        "stand in a group with "
        "perTenant"
    ),
    "https://{digits}{hex}.com": (
        "CX003 `https://{digits}{hex}.com`: between two slots stands text, such as `{digits}-{hex}`"
    ),
    "https://x{label}.com": (
        "CX003 `https://x{label}.com`: `{label}` is a whole label; for a part of one write `x{slug}`"
    ),
    "https://{digits}-{hex}.{hex}.{hex}.{hex}.com": (
        "CX048 `https://{digits}-{hex}.{hex}.{hex}.{hex}.com` has 5 slots; 4 are the most"
    ),
    "https://{digits.com": "CX003 `https://{digits.com`: `{` without its pair; a slot is written as `{digits}`",
    "https://x%41.com": "CX003 `https://x%41.com`: `%` stands in no name; a label has a-z, 0-9, `-` and `_`",
    "https://a.*.com": (
        "CX003 `https://a.*.com`: `*.` stands only in front; for one label elsewhere use `{label}`, such as "
        "`https://a.{label}.com`"
    ),
    "https://shop.*": "CX003 `https://shop.*`: `*.` stands only in front; for one label elsewhere use `{label}`",
    "^https://.*\\.x\\.com$": f"CX003 `^https://.*\\.x\\.com$` {EXPRESSION}; write `https://*.x.com`",
    "https://pr-\\d+\\.x\\.com": f"CX003 `https://pr-\\d+\\.x\\.com` {EXPRESSION}; write `https://pr-{{digits}}.x.com`",
    "https://(a|b).x.com": f"CX003 `https://(a|b).x.com` {EXPRESSION}",
    "https://b\u00fccher.example": (
        "CX003 `https://b\u00fccher.example` is not an origin; write `https://xn--bcher-kva.example`: names as A-labels"
    ),
    "https://\u00fc{digits}.example": (
        "CX003 `https://\u00fc{digits}.example`: `\u00fc` stands in no name; a label has a-z, 0-9, `-` and `_`"
    ),
}


@pytest.mark.parametrize(("text", "finding"), REFUSED_ORIGINS.items(), ids=map(ascii, REFUSED_ORIGINS))
def test_origin_is_refused_with_its_right_form(text: str, finding: str) -> None:
    assert said_of(parse_origin_pattern(text)) == finding


def said_of(answer: object) -> str:
    """Write a problem as findings do."""
    assert isinstance(answer, Problem)
    return f"{answer.code} {answer.text}"


def test_exact_origins_have_no_wildcard_no_slot_and_no_open_port() -> None:
    patterns = [
        origin(text) for text in ("https://x.com:1", "https://*.x.com", "https://{hex}.x.com", "https://x.com:*")
    ]
    assert [pattern.is_exact for pattern in patterns] == [True, False, False, False]


def origin(text: str) -> OriginPattern:
    """Read an origin pattern that is right."""
    pattern = parse_origin_pattern(text)
    assert isinstance(pattern, OriginPattern)
    return pattern


HOSTS: dict[str, HostPattern] = {
    "a name": HostPattern("api.x.com", "api.x.com", wildcard=False, labels=literal("api.x.com"), port=""),
    "a name and a port": HostPattern("x.com:8443", "x.com", wildcard=False, labels=literal("x.com"), port="8443"),
    "a wildcard": HostPattern("*.x.com", "*.x.com", wildcard=True, labels=literal("x.com"), port=""),
    "an IPv6 address": HostPattern("[::1]:80", "[::1]", wildcard=False, labels=(("[::1]",),), port="80"),
    "tenant and version, counted from the right": HostPattern(
        "t-{tenant}-x.{version}.api.example",
        "t-{tenant}-x.{version}.api.example",
        wildcard=False,
        labels=(("t-", Slot.LABEL, "-x"), (Slot.LABEL,), ("api",), ("example",)),
        port="",
        tenant=SlotAt(3, 2, 2),
        version=SlotAt(2, 0, 0),
    ),
}


@pytest.mark.parametrize("pattern", HOSTS.values(), ids=HOSTS)
def test_host_is_read(pattern: HostPattern) -> None:
    assert parse_host_pattern(pattern.text) == pattern


REFUSED_HOSTS: dict[str, str] = {
    "API.x.com": "CX003 `API.x.com` is not a host; write `api.x.com`: lower case",
    "https://api.x.com/a": "CX003 `https://api.x.com/a` is not a host; write `api.x.com`: no scheme, no path",
    "api.x.com.": "CX003 `api.x.com.` is not a host; write `api.x.com`: no final dot",
    "x.com:*": "CX003 `x.com:*` is not a host; write `x.com`: no port is any port",
    "127.1": "CX003 `127.1` is not a host; write `127.0.0.1`: the address as browsers write it",
    " x.com": "CX003 ` x.com` is not a host; write `x.com`: no white space",
    "@x.com": "CX003 `@x.com` is not a host; write `x.com`: no user name",
    "x.com:0": "CX003 `x.com:0`: `0` is no port; a port is a number from 1 to 65535",
    "*": (
        "CX003 `*` is every host; a list of hosts is the defence against DNS rebinding: name them, or `*.` under your "
        "domain"
    ),
    "": "CX003 `` is empty; name a host",
    "/orders": "CX003 `/orders` has no host",
    "a.x, b.x": "CX003 `a.x, b.x` is more than one host; give each an entry of its own",
    ".*\\.x\\.com": f"CX003 `.*\\.x\\.com` {EXPRESSION}; write `*.x.com`",
    "{id}.x": (
        "CX003 `{id}.x`: `{id}` is no slot here; there are `{tenant}`, `{version}`, `{digits}`, `{hex}`, `{alnum}`, "
        "`{slug}`, `{label}`"
    ),
    "{tenant}-{digits}.x": (
        "CX003 `{tenant}-{digits}.x`: a label that names tenant or version has no other slot, or nobody "
        "could tell where "
        "the name ends"
    ),
    "{tenant}.{tenant}.x": "CX003 `{tenant}.{tenant}.x`: `{tenant}` stands twice; which of the two would be meant?",
}


@pytest.mark.parametrize(("text", "finding"), REFUSED_HOSTS.items(), ids=map(ascii, REFUSED_HOSTS))
def test_host_is_refused_with_its_right_form(text: str, finding: str) -> None:
    assert said_of(parse_host_pattern(text)) == finding


PATHS: dict[str, PathTemplate] = {
    "/": PathTemplate("/", (), rest=False),
    "/**": PathTemplate("/**", (), rest=True),
    "/a/*/b": PathTemplate("/a/*/b", (("a",), (Slot.SEGMENT,), ("b",)), rest=False),
    "/a%40b/%3apurge%2b%21": PathTemplate("/a@b/:purge+!", (("a@b",), (":purge+!",)), rest=False),
    "/%2a/x-%2A": PathTemplate("/%2A/x-%2A", (("%2A",), ("x-%2A",)), rest=False),
    "/%7Bid%7d": PathTemplate("/%7Bid%7D", (("%7Bid%7D",),), rest=False),
    "/x%40{tenant}%3a": PathTemplate("/x@{tenant}:", (("x@", Slot.SEGMENT, ":"),), rest=False, tenant=SlotAt(0, 2, 1)),
    "/%7euser/%c3%a9": PathTemplate("/~user/%C3%A9", (("~user",), ("%C3%A9",)), rest=False),
    "/{version}/x-{id}.json/**": PathTemplate(
        "/{version}/x-{id}.json/**",
        ((Slot.SEGMENT,), ("x-", Slot.SEGMENT, ".json")),
        rest=True,
        version=SlotAt(0, 0, 0),
    ),
    "/t/%7E{tenant}!": PathTemplate(
        "/t/~{tenant}!", (("t",), ("~", Slot.SEGMENT, "!")), rest=False, tenant=SlotAt(1, 1, 1)
    ),
    "/shelves/x:list": PathTemplate("/shelves/x:list", (("shelves",), ("x:list",)), rest=False),
}


@pytest.mark.parametrize(("text", "template"), PATHS.items(), ids=PATHS)
def test_path_is_read(text: str, template: PathTemplate) -> None:
    assert parse_path_template(text) == template


REFUSED_PATHS: dict[str, str] = {
    "/**/orders": "`/**/orders`: `**` stands last; write one entry per depth, such as `/*/orders`",
    "/***": "`/***`: `*` is one segment, `**` the rest",
    "/files/*.json": (
        "`/files/*.json`: `*` is a whole segment; for a part of one write `{name}`, such as `/files/{name}.json`"
    ),
    "orders": "`orders`: a path begins with `/`; write `/orders`",
    "": "``: a path begins with `/`; write `/`",
    "https://x.com/a": "`https://x.com/a`: a path begins with `/`; hosts stand in `hosts`",
    "/orders/": "`/orders/`: one final `/` is set aside before paths are compared; write `/orders`",
    "/a//b": "`/a//b`: paths with `//` are refused; write `/a/b`",
    "/a/./b": "`/a/./b`: paths with a segment `.` are refused; write the path that is meant",
    "/a/%2e%2E/b": "`/a/%2e%2E/b`: paths with a segment `..` are refused; write the path that is meant",
    "/a;v=1/b": "`/a;v=1/b`: parameters of a segment are set aside before paths are compared; write `/a/b`",
    "/a?b": "`/a?b`: the query is no part of the path; write `/a`",
    "/a#b": "`/a#b`: a fragment is no part of the path; write `/a`",
    "/a%2fb": (
        "`/a%2fb`: paths with `%2f` are refused; where it is data in what `*` matches, say encodedSlashes: opaque"
    ),
    "/a%3Bb": (
        "`/a%3Bb`: paths with `%3B` are refused; where it is data in what `*` matches, say encodedSlashes: opaque"
    ),
    "/a%5Cb": "`/a%5Cb`: paths with `%5C` are refused",
    "/a%00": "`/a%00`: paths with `%00` are refused",
    "/a%zz": "`/a%zz`: `%zz` is no encoding; a `%` itself is `%25`",
    "/a\\b": "`/a\\b`: paths with `\\` are refused, as the upstream might read it as `/`",
    "/a b": "`/a b`: ` ` is encoded in a path; write `/a%20b`",
    "/\u00e9": "`/\u00e9`: `\u00e9` is encoded in a path; write `/%C3%A9`",
    "/v[0-9]+": (
        "`/v[0-9]+`: `[` stands in no path, and there are no regular expressions: `*` is one segment, `**` the rest"
    ),
    "/{a}-{b}": ("`/{a}-{b}`: one slot a segment, or nobody could tell where `{a}` ends; write `{name}` for the whole"),
    "/{path:.*}": (
        "`/{path:.*}`: `{path:.*}` is no slot; a name is letters and digits, lower case first, such as `{orderId}`"
    ),
    "/{a": "`/{a`: a slot is written as `{name}`, within one segment",
    "/{tenant}/{tenant}": "`/{tenant}/{tenant}`: `{tenant}` stands twice; which of the two would be meant?",
}


@pytest.mark.parametrize(("text", "said"), REFUSED_PATHS.items(), ids=map(ascii, REFUSED_PATHS))
def test_path_is_refused_with_its_right_form(text: str, said: str) -> None:
    assert parse_path_template(text) == Problem("CX047", said)


class Matching(NamedTuple):
    """A piece, what it takes, and what is one edit away."""

    piece: Piece
    takes: tuple[str, ...]
    refuses: tuple[str, ...]


LONGEST = "a" * 63
MATCHING: dict[str, Matching] = {
    "text takes itself": Matching(("api",), ("api",), ("", "ap", "apis", "API")),
    "a final dot takes the empty label": Matching(("",), ("",), ("a",)),
    "digits": Matching((Slot.DIGITS,), ("0", "42"), ("", "a", "4a", "a4", "4a2", "-1", "\u0661", "1\n")),
    "hex": Matching((Slot.HEX,), ("0f",), ("", "g", "F", "0-f")),
    "letters and digits": Matching((Slot.ALNUM,), ("z9",), ("", "z-9", "z_9", "Z")),
    "slugs have inner hyphens": Matching((Slot.SLUG,), ("a", "a-b", "a--b"), ("", "-", "-a", "a-", "a_b")),
    "labels have underlines too": Matching(
        (Slot.LABEL,), ("a", "_a", "a-b", LONGEST), ("", "-a", "a-", "a.b", LONGEST + "a")
    ),
    "text around a slot": Matching(
        ("pr-", Slot.DIGITS, "-x"), ("pr-1-x", "pr-12-x"), ("pr--x", "pr-x", "pr-1-", "r-1-x", "pr-1-y", "pr-a-x")
    ),
    "text before and after does not overlap": Matching(("aa", Slot.ALNUM, "aa"), ("aaaaa",), ("aaa", "aaaa")),
    "a part of a label has no hyphen at its own ends": Matching(("t-", Slot.LABEL), ("t-a",), ("t-", "t--a", "t-a-")),
    "a slotted label has at most 63 characters": Matching(
        ("pr-", Slot.ALNUM), ("pr-" + "a" * 60,), ("pr-" + "a" * 61,)
    ),
    "two slots": Matching(
        (Slot.SLUG, "-", Slot.DIGITS), ("a-1", "a-1-2", "1-1"), ("", "a--1", "a-", "-1", "a1", "a-b", "a-1-", "-a-1")
    ),
    "a slug at the end of several slots": Matching(
        (Slot.DIGITS, "-", Slot.SLUG), ("1-a", "1-a-b"), ("1-", "1--", "1-a-", "a-a", "1--a")
    ),
    "two slots have at most 63 characters": Matching(
        (Slot.HEX, "x", Slot.HEX), ("a" * 31 + "x" + "b" * 31,), ("a" * 32 + "x" + "b" * 31,)
    ),
    "a segment takes anything but a slash": Matching(
        (Slot.SEGMENT,), ("a", "%C3", "\u00e9", "a" * 999), ("", "/", "a/b")
    ),
    "text around a segment": Matching(
        ("x-", Slot.SEGMENT, ".json"), ("x-a.json",), ("x-.json", "x-a.jso", "x-a/b.json")
    ),
}


@pytest.mark.parametrize("case", MATCHING.values(), ids=MATCHING)
def test_piece_matches(case: Matching) -> None:
    matches = piece_matcher(case.piece)
    assert ([text for text in case.takes if not matches(text)], [text for text in case.refuses if matches(text)]) == (
        [],
        [],
    )


class Reach(NamedTuple):
    """A pattern, the public suffix under which it is open, and whether it spans registrable domains."""

    text: str
    suffix: str | None
    spans: bool


REACH: dict[str, Reach] = {
    "an exact origin": Reach("https://shop.com", None, spans=False),
    "only the port is open": Reach("https://shop.com:*", None, spans=False),
    "an address": Reach("https://192.0.2.1", None, spans=False),
    "below one's own domain": Reach("https://*.shop.com", None, spans=False),
    "below one's own name under a shared suffix": Reach("https://*.shop.vercel.app", None, spans=False),
    "a wildcard under a top-level domain": Reach("https://*.com", "com", spans=True),
    "a slot under a suffix of two labels": Reach("https://{slug}-shop.co.uk", "co.uk", spans=True),
    "a slot further left than the suffix": Reach("https://a.{slug}.co.uk", "co.uk", spans=True),
    "a final dot changes nothing": Reach("https://*.co.uk.", "co.uk", spans=True),
    "the private section of the list": Reach("https://pr-{digits}.vercel.app", "vercel.app", spans=True),
    "a suffix further left, reached by a wildcard": Reach(
        "https://*.amazonaws.com", "compute.amazonaws.com", spans=True
    ),
    "a suffix further left, out of reach of one label": Reach("https://{label}.amazonaws.com", None, spans=False),
    "a rule with a star": Reach("https://*.foo.kobe.jp", "kobe.jp", spans=True),
    "an exception to a rule with a star": Reach("https://*.city.kobe.jp", None, spans=False),
    "a suffix outside ASCII": Reach("https://*.xn--p1ai", "xn--p1ai", spans=True),
    "a top-level domain that the list does not know": Reach("https://*.internal", None, spans=True),
    "below a name under such a one": Reach("https://*.corp.internal", None, spans=False),
    "the top-level domain is open": Reach("https://shop.{alnum}", ".", spans=True),
    "wildcard and top-level domain": Reach("https://*.{label}", ".", spans=True),
    "names of one label": Reach("http://build-{digits}", None, spans=True),
    "loopback names are of one machine": Reach("http://*.localhost:3000", None, spans=False),
}


@pytest.mark.parametrize("case", REACH.values(), ids=REACH)
def test_reach_over_names_of_strangers(case: Reach) -> None:
    pattern = origin(case.text)
    assert Reach(case.text, public_suffix_of_fixed_part(pattern), spans_registrable_domains(pattern)) == case


def test_suffix_list_says_its_version() -> None:
    assert suffix_list_version()[:2] == "20"


class Nearness(NamedTuple):
    """How near a host is: the machine itself, the link, a private network."""

    loopback: bool = False
    local: bool = False
    private: bool = False


NEARNESS: dict[str, Nearness] = {
    "localhost": Nearness(loopback=True),
    "localhost.": Nearness(loopback=True),
    "a.localhost": Nearness(loopback=True),
    "{slug}.localhost": Nearness(loopback=True),
    "127.9.9.9": Nearness(loopback=True),
    "[::1]": Nearness(loopback=True),
    "notlocalhost": Nearness(),
    "localhost.example": Nearness(),
    "128.0.0.1": Nearness(),
    "printer.local": Nearness(local=True),
    "printer.local.": Nearness(local=True),
    "local": Nearness(),
    "10.0.0.1": Nearness(private=True),
    "172.31.0.1": Nearness(private=True),
    "172.32.0.1": Nearness(),
    "192.168.1.1": Nearness(private=True),
    "169.254.169.254": Nearness(private=True),
    "100.64.0.1": Nearness(private=True),
    "0.0.0.0": Nearness(private=True),  # noqa: S104 - an address to judge, nothing is bound
    "[::]": Nearness(private=True),
    "[fd00::1]": Nearness(private=True),
    "[fe80::1]": Nearness(private=True),
    "[2001:db8::1]": Nearness(),
    "[::ffff:a00:1]": Nearness(private=True),
    "[::ffff:7f00:1]": Nearness(private=True),
    "[::ffff:808:808]": Nearness(),
    "8.8.8.8": Nearness(),
    "10.example": Nearness(),
    "": Nearness(),
}


@pytest.mark.parametrize(("host", "nearness"), NEARNESS.items(), ids=NEARNESS)
def test_nearness_of_a_host(host: str, nearness: Nearness) -> None:
    assert Nearness(is_loopback(host), is_local(host), is_private_address(host)) == nearness
