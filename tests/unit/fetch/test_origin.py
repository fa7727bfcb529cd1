"""Origins: what a browser serializes is read, and everything one edit away from it is not."""

from __future__ import annotations

import pytest

from cors_authz.fetch.origin import Origin, parse_origin, split_port

READ = {
    "a name": ("https://shop.example", Origin("https", "shop.example", "")),
    "plain http": ("http://shop.example", Origin("http", "shop.example", "")),
    "a port": ("https://shop.example:8443", Origin("https", "shop.example", "8443")),
    "the highest port": ("https://shop.example:65535", Origin("https", "shop.example", "65535")),
    "the lowest port": ("https://shop.example:1", Origin("https", "shop.example", "1")),
    "http on the port of https": ("http://shop.example:443", Origin("http", "shop.example", "443")),
    "https on the port of http": ("https://shop.example:80", Origin("https", "shop.example", "80")),
    "one label": ("http://localhost", Origin("http", "localhost", "")),
    "a final dot is part of the name": ("https://shop.example.", Origin("https", "shop.example.", "")),
    "an underscore, as it occurs": ("https://a_b.example", Origin("https", "a_b.example", "")),
    "two hyphens within": ("https://xn--foo-bar.example", Origin("https", "xn--foo-bar.example", "")),
    "a label of 63": (f"https://{'a' * 63}.example", Origin("https", f"{'a' * 63}.example", "")),
    "an IPv4 address": ("http://127.0.0.1:3000", Origin("http", "127.0.0.1", "3000")),
    "a number that is not the last label": ("https://1.example", Origin("https", "1.example", "")),
    "a last label that begins like a hexadecimal number": ("https://a.0xg", Origin("https", "a.0xg", "")),
    "an IPv6 address": ("http://[::1]", Origin("http", "[::1]", "")),
    "an IPv6 address with a port": ("http://[2001:db8::1]:8080", Origin("http", "[2001:db8::1]", "8080")),
    "an IPv4 address within IPv6, in hexadecimal": (
        "https://[::ffff:102:304]",
        Origin("https", "[::ffff:102:304]", ""),
    ),
    "a web view": ("capacitor://localhost", Origin("capacitor", "localhost", "")),
    "a scheme with every kind of character": ("a1+-.://x", Origin("a1+-.", "x", "")),
    "the longest value": (f"a{'+' * (512 - 5)}://x", Origin(f"a{'+' * (512 - 5)}", "x", "")),
}


@pytest.mark.parametrize(("raw", "then"), READ.values(), ids=READ)
def test_a_serialized_origin_is_read(raw: str, then: Origin) -> None:
    assert parse_origin(raw) == then


MALFORMED = {
    "nothing": "",
    "null": "null",
    "null in upper case": "NULL",
    "no scheme": "shop.example",
    "an empty scheme": "://shop.example",
    "a scheme that begins with a digit": "1https://shop.example",
    "a scheme that begins with a plus": "+https://shop.example",
    "a scheme in upper case": "HTTPS://shop.example",
    "a scheme with an underscore": "my_app://shop.example",
    "one slash": "https:/shop.example",
    "three slashes": "https:///shop.example",
    "no host": "https://",
    "a port without a host": "https://:443",
    "a host in upper case": "https://Shop.example",
    "a final slash": "https://shop.example/",
    "a path": "https://shop.example/a",
    "a query": "https://shop.example?a",
    "a fragment": "https://shop.example#",
    "userinfo": "https://user@shop.example",
    "a password": "https://user:word@shop.example",
    "two origins by a comma": "https://a.example,https://b.example",
    "two origins by a space": "https://a.example https://b.example",
    "a space before": " https://shop.example",
    "a space after": "https://shop.example ",
    "a percent": "https://shop%2eexample",
    "a backtick": "https://shop.example`.evil.example",
    "an exclamation mark, as Envoy writes bad bytes": "https://!.example",
    "a letter beyond ASCII": "https://sh\u00f6p.example",
    "a Kelvin sign": "https://\u212aite.example",
    "a NUL": "https://shop.example\0",
    "a line break": "https://shop.example\r\n",
    "an empty label": "https://shop..example",
    "a first dot": "https://.shop.example",
    "two final dots": "https://shop.example..",
    "only a dot": "https://.",
    "a label of 64": f"https://{'a' * 64}.example",
    "a label that begins with a hyphen": "https://-shop.example",
    "a label that ends with a hyphen": "https://shop-.example",
    "the default port of https": "https://shop.example:443",
    "the default port of http": "http://shop.example:80",
    "an empty port": "https://shop.example:",
    "port 0": "https://shop.example:0",
    "a port with a zero before it": "https://shop.example:0443",
    "a port above the highest": "https://shop.example:65536",
    "a port of six digits": "https://shop.example:100000",
    "a port of letters": "https://shop.example:https",
    "a port with a sign": "https://shop.example:+80",
    "a port of digits beyond ASCII": "https://shop.example:\u0663\u0663",
    "a port of a superscript": "https://shop.example:8\u00b2",
    "two ports": "https://shop.example:1:2",
    "a star for the port": "https://shop.example:*",
    "an IPv4 address of three numbers": "https://127.0.1",
    "an IPv4 address with a zero before": "https://127.0.0.01",
    "an IPv4 number above 255": "https://127.0.0.256",
    "an IPv4 address in hexadecimal": "https://0x7f000001",
    "an empty hexadecimal number": "https://a.0x",
    "an IPv4 address with a final dot": "https://127.0.0.1.",
    "an IPv6 address without brackets": "https://::1",
    "an IPv6 address that is not closed": "https://[::1",
    "an IPv6 address in long form": "https://[0:0:0:0:0:0:0:1]",
    "an IPv6 address in upper case": "https://[2001:DB8::1]",
    "an IPv6 address with a zone": "https://[fe80::1%eth0]",
    "an IPv4 address within IPv6, in dots": "https://[::ffff:1.2.3.4]",
    "empty brackets": "https://[]",
    "text after the brackets": "https://[::1]x",
    "a network": "https://[::1/128]",
    "a value of 513": f"a{'+' * (513 - 5)}://x",
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_what_no_browser_writes_is_no_origin(raw: str) -> None:
    assert parse_origin(raw) is None


LABELS = {
    "a name": ("https://a.b.example", ("a", "b", "example")),
    "a final dot is an empty label": ("https://example.", ("example", "")),
    "an IPv6 address is one": ("https://[::1]:8", ("[::1]",)),
}


@pytest.mark.parametrize(("raw", "then"), LABELS.values(), ids=LABELS)
def test_labels(raw: str, then: tuple[str, ...]) -> None:
    origin = parse_origin(raw)
    assert origin is not None
    assert origin.labels == then


PORTS = {
    "no port": ("a.example", ("a.example", "")),
    "a port": ("a.example:1", ("a.example", ":1")),
    "an empty port": ("a.example:", ("a.example", ":")),
    "an address in brackets": ("[::1]", ("[::1]", "")),
    "an address in brackets with a port": ("[::1]:1", ("[::1]", ":1")),
}


@pytest.mark.parametrize(("authority", "then"), PORTS.values(), ids=PORTS)
def test_split_port(authority: str, then: tuple[str, str]) -> None:
    assert split_port(authority) == then
