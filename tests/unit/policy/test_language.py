"""Patterns compared as languages: how they stand to each other, and by which string a person can see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from cors_authz.policy import language
from cors_authz.policy.grammar.host import parse_host_pattern
from cors_authz.policy.grammar.origin import parse_origin_pattern
from cors_authz.policy.grammar.path import parse_path_template
from cors_authz.policy.language import Relation, SearchBoundError, common, language_of, relate, union_of, within
from cors_authz.policy.pattern import Problem

if TYPE_CHECKING:
    from cors_authz.policy.language import Pattern


def pattern(text: str) -> Pattern:
    """Read a pattern of any kind that is right: paths begin with a slash, origins have a scheme."""
    parse = parse_path_template if text[0] == "/" else parse_origin_pattern if "://" in text else parse_host_pattern
    found = parse(text)
    assert not isinstance(found, Problem)
    return found


class Case(NamedTuple):
    """Two patterns, the relation of the first to the second, and a shortest string of both."""

    one: str
    other: str
    relation: Relation
    witness: str | None = None


CASES: dict[str, Case] = {
    "an origin and itself": Case("https://x.com", "https://x.com", Relation.EQUAL, "https://x.com"),
    "a name and the name with a final dot": Case("https://x.com", "https://x.com.", Relation.DISJOINT),
    "another scheme": Case("https://*.x.com", "http://*.x.com", Relation.DISJOINT),
    "another port": Case("https://*.x.com:1", "https://*.x.com", Relation.DISJOINT),
    "another domain": Case("https://*.x.com", "https://*.y.com", Relation.DISJOINT),
    "a wildcard takes no bare domain": Case("https://x.com", "https://*.x.com", Relation.DISJOINT),
    "a wildcard takes one label": Case("https://a.x.com", "https://*.x.com", Relation.NARROWER, "https://a.x.com"),
    "a wildcard takes several labels": Case(
        "https://*.x.com", "https://{label}.{label}.x.com", Relation.WIDER, "https://a.a.x.com"
    ),
    "a wildcard under a wildcard": Case("https://*.a.x.com", "https://*.x.com", Relation.NARROWER, "https://a.a.x.com"),
    "one label is too few for two": Case("https://{label}.x.com", "https://*.a.x.com", Relation.DISJOINT),
    "no port is one of any": Case("https://x.com", "https://x.com:*", Relation.NARROWER, "https://x.com"),
    "a port is one of any": Case("https://x.com:*", "https://x.com:8443", Relation.WIDER, "https://x.com:8443"),
    "any port crosses any name": Case("https://x.com:*", "https://{alnum}.com", Relation.CROSSING, "https://x.com"),
    "digits are hex": Case("https://{digits}.x.com", "https://{hex}.x.com", Relation.NARROWER, "https://7.x.com"),
    "hex is alnum": Case("https://{hex}.x.com", "https://{alnum}.x.com", Relation.NARROWER, "https://a.x.com"),
    "alnum is slug": Case("https://{alnum}.x.com", "https://{slug}.x.com", Relation.NARROWER, "https://a.x.com"),
    "slug is label": Case("https://{label}.x.com", "https://{slug}.x.com", Relation.WIDER, "https://a.x.com"),
    "the preview that two patterns share": Case(
        "https://pr-{digits}.{label}.shop.example",
        "https://{slug}.x.shop.example",
        Relation.CROSSING,
        "https://pr-7.x.shop.example",
    ),
    "text at both ends": Case("https://a{hex}.x.com", "https://{hex}b.x.com", Relation.CROSSING, "https://ab.x.com"),
    "text at both ends needs a letter between": Case(
        "https://ab-{hex}.x.com", "https://{hex}-b.x.com", Relation.CROSSING, "https://ab-b.x.com"
    ),
    "texts that exclude each other": Case("https://a-{hex}.x.com", "https://b-{hex}.x.com", Relation.DISJOINT),
    "two slots in one": Case(
        "https://{slug}-{digits}.x.com", "https://{slug}.x.com", Relation.NARROWER, "https://a-7.x.com"
    ),
    "an IPv6 address": Case("http://[::1]:*", "http://[::1]", Relation.WIDER, "http://[::1]"),
    "the names of slots do not count": Case("{tenant}.x.com", "{label}.x.com", Relation.EQUAL, "a.x.com"),
    "a host without a port is any port": Case("x.com", "x.com:8443", Relation.WIDER, "x.com:8443"),
    "two hosts with one port": Case("x.com:1", "x.com:1", Relation.EQUAL, "x.com:1"),
    "two hosts with two ports": Case("x.com:1", "x.com:2", Relation.DISJOINT),
    "a host within a wildcard": Case("{tenant}.x.com", "*.x.com", Relation.NARROWER, "a.x.com"),
    "host by port, name by wildcard": Case("x.y.com", "*.y.com:80", Relation.CROSSING, "x.y.com:80"),
    "every path and the root": Case("/**", "/", Relation.WIDER, "/"),
    "the rest may be none": Case("/orders", "/orders/**", Relation.NARROWER, "/orders"),
    "the rest begins with a slash": Case("/orders/**", "/orders2", Relation.DISJOINT),
    "one segment and the rest": Case("/*", "/**", Relation.NARROWER, "/a"),
    "the root is no segment": Case("/", "/*", Relation.DISJOINT),
    "the names of segments do not count": Case("/{id}/x", "/{version}/x", Relation.EQUAL, "/a/x"),
    "segments that cross": Case("/{a}/orders/**", "/v1/**", Relation.CROSSING, "/v1/orders"),
    "a segment in parts": Case("/{name}.json", "/*", Relation.NARROWER, "/a.json"),
    "too short for its segments": Case("/a/b/c", "/a/*", Relation.DISJOINT),
    "too short for the rest": Case("/a", "/a/*/**", Relation.DISJOINT),
    "case counts": Case("/Orders", "/orders", Relation.DISJOINT),
    "another resource": Case("/{version}/a/**", "/{version}/b/**", Relation.DISJOINT),
}
MIRRORED = {
    Relation.EQUAL: Relation.EQUAL,
    Relation.NARROWER: Relation.WIDER,
    Relation.WIDER: Relation.NARROWER,
    Relation.CROSSING: Relation.CROSSING,
    Relation.DISJOINT: Relation.DISJOINT,
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_relation(case: Case) -> None:
    assert relate(pattern(case.one), pattern(case.other)) == (case.relation, case.witness)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_relation_seen_from_the_other_side(case: Case) -> None:
    assert relate(pattern(case.other), pattern(case.one)) == (MIRRORED[case.relation], case.witness)


class Inclusion(NamedTuple):
    """Two unions of patterns and a shortest string that is in the first only."""

    inner: tuple[str, ...]
    outer: tuple[str, ...]
    counterexample: str | None = None


INCLUSIONS: dict[str, Inclusion] = {
    "nothing is within nothing": Inclusion((), ()),
    "something is not within nothing": Inclusion(("https://x.com",), (), "https://x.com"),
    "a group within a larger one": Inclusion(("https://a.x.com",), ("https://a.x.com", "https://b.x.com")),
    "a group within a wildcard": Inclusion(("https://a.x.com", "https://b.c.x.com"), ("https://*.x.com",)),
    "one member is outside": Inclusion(("https://a.x.com", "https://y.com"), ("https://*.x.com",), "https://y.com"),
    "patterns that cover only together": Inclusion(
        ("https://x.com:*",), ("https://x.com", "https://{alnum}.com:*"), None
    ),
    "patterns that leave a gap": Inclusion(
        ("https://*.x.com",), ("https://{label}.x.com", "https://*.{label}.{label}.x.com"), "https://a.a.x.com"
    ),
    "patterns that close the gap": Inclusion(
        ("https://*.x.com",), ("https://{label}.x.com", "https://*.{label}.x.com"), None
    ),
    "the letter that only one of them has": Inclusion(
        ("https://{hex}.x.com",), ("https://{digits}.x.com",), "https://a.x.com"
    ),
    "hyphens come after letters": Inclusion(("https://{slug}.x.com",), ("https://{alnum}.x.com",), "https://a-a.x.com"),
    "ports": Inclusion(("x.com",), ("x.com:8443",), "x.com"),
    "paths": Inclusion(("/**",), ("/", "/*", "/*/*"), "/a/a/a"),
}


@pytest.mark.parametrize("case", INCLUSIONS.values(), ids=INCLUSIONS)
def test_inclusion(case: Inclusion) -> None:
    inner, outer = (union_of(language_of(pattern(text)) for text in texts) for texts in case[:2])
    assert within(inner, outer) == case.counterexample


def test_common_string_of_unions_is_the_shortest() -> None:
    one = union_of(language_of(pattern(text)) for text in ("https://*.long.x.com", "https://a{hex}.x.com"))
    other = language_of(pattern("https://*.x.com"))
    assert (common(one, other), common(one, union_of(()))) == ("https://aa.x.com", None)


HELD = {
    "": False,
    "/": False,
    "/a": True,
    "/a/": False,
    "/a//b": False,
    "/a/b": True,
    "/a/b/c": True,
    "/ab": False,
}


@pytest.mark.parametrize(("path", "is_held"), HELD.items(), ids=HELD)
def test_the_rest_is_whole_segments(path: str, is_held: bool) -> None:  # noqa: FBT001 - a table's column
    assert language_of(pattern("/a/**")).holds(path) is is_held


def test_a_search_beyond_its_bound_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "MOST_STEPS", 10)
    with pytest.raises(SearchBoundError, match="more than 10 steps"):
        within(language_of(pattern("https://*.x.com")), language_of(pattern("https://*.x.com")))


def test_what_is_not_proven_narrower_crosses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "MOST_STEPS", 10)
    assert relate(pattern("https://a{hex}.x.com"), pattern("https://{alnum}.x.com")) == (
        Relation.CROSSING,
        "https://aa.x.com",
    )
