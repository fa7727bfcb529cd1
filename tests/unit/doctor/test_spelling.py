"""Ways around a condition are named; conditions that no client can go around have none."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cors_authz.doctor import gate
from cors_authz.doctor.condition import Compared, Condition, Every, First, Not, Present, Some, Unknown, holds
from cors_authz.doctor.spelling import Routing, around

Config = dict[str, Any]
ROUTES: Final[list[Config]] = [{"match": {}, "route": {}}]


def table(*domains: str, ignores_port: bool = True, routes: object = ROUTES) -> Config:
    host = {"domains": list(domains), "routes": routes}
    return {"virtual_hosts": [host], "ignore_port_in_host_matching": ignores_port}


def header(name: str = ":authority", **fields: object) -> Config:
    return {"header": {"name": name, **fields}}


def text(name: str = ":authority", *, ignore_case: bool = True, **how: object) -> Config:
    return header(name, string_match={**how, "ignore_case": ignore_case})


def rules(*permissions: Config, **policy: object) -> Condition:
    return gate.of_policies([{"permissions": permissions, "principals": [{"any": True}], **policy}])


EXACT: Final = text(exact="a.example")
WITH_PORTS: Final = (EXACT, text(prefix="a.example:"))
PORTS: Final = "`Host: a.example:1`, `Host: a.example:`"


class Case(NamedTuple):
    """Rules of an RBAC, the routes, the connection manager, and the ways around."""

    condition: Condition
    table: Config
    ways: str
    manager: Config | None = None


HOSTS: Final = {
    "a host, compared whole": Case(rules(EXACT), table("a.example"), PORTS),
    "a host by its other name": Case(rules(text("Host", exact="a.example")), table("a.example"), PORTS),
    "a host in the old form": Case(
        rules(header(exact_match="a.example")), table("a.example"), f"{PORTS}, `Host: A.EXAMPLE`"
    ),
    "a host with any port": Case(rules(*WITH_PORTS), table("a.example"), ""),
    "a host in its own case": Case(
        rules(text(exact="a.example", ignore_case=False), text(prefix="a.example:", ignore_case=False)),
        table("a.example"),
        "`Host: A.EXAMPLE`",
    ),
    "a host by an expression": Case(
        rules(text(safe_regex={"regex": "a[.]example"})), table("a.example"), f"{PORTS}, `Host: A.EXAMPLE`"
    ),
    "a host by an expression that takes ports and any case": Case(
        rules(text(safe_regex={"regex": "(?i)a[.]example(:.*)?"})), table("a.example"), ""
    ),
    "an expression that nobody can read": Case(rules(text(safe_regex={"regex": "("})), table("a.example"), ""),
    "routes that heed ports": Case(rules(EXACT), table("a.example", ignores_port=False), ""),
    "routes that take a host with any port": Case(
        rules(EXACT), table("a.example", "a.example:*", ignores_port=False), "`Host: a.example:1`"
    ),
    "routes that take any host": Case(rules(*WITH_PORTS), table("*", ignores_port=False), "`Host: a.example.`"),
    "routes that take any host, and a dot is cut": Case(
        rules(*WITH_PORTS), table("*", ignores_port=False), "", {"strip_trailing_host_dot": True}
    ),
    "routes that take hosts by their end": Case(rules(EXACT), table("*.example"), PORTS),
    "routes that take hosts by their beginning": Case(rules(*WITH_PORTS), table("a.*"), "`Host: a.example.`"),
    "routes that only redirect": Case(rules(EXACT), table("a.example", routes=[{"redirect": {}}]), ""),
    "ports are cut, and an empty one stays": Case(
        rules(EXACT), table("a.example"), "`Host: a.example:`", {"strip_any_host_port": True}
    ),
    "ports are cut, and routes heed what stays": Case(
        rules(EXACT), table("a.example", ignores_port=False), "", {"strip_any_host_port": True}
    ),
    "the listener's own port is cut": Case(rules(EXACT), table("a.example"), PORTS, {"strip_matching_host_port": True}),
    "a host with a port, and ports are cut": Case(
        rules(text(exact="a.example:443")),
        table("a.example", ignores_port=False),
        "`Host: a.example`, `Host: a.example:1`, `Host: A.EXAMPLE`",
        {"strip_any_host_port": True},
    ),
    "a host, and with a port by an expression": Case(
        gate.of_policies(
            [
                {"permissions": [EXACT], "principals": [{"any": True}]},
                {"permissions": [WITH_PORTS[1]], "principals": [{"any": True}], "condition": {}},
            ]
        ),
        table("a.example"),
        PORTS,
    ),
    "a host that routes do not take": Case(rules(EXACT), table("b.example"), ""),
    "all but hosts of some end": Case(
        rules({"not_rule": text(suffix=".internal")}), table("a.example"), "`Host: a.example:.internal`"
    ),
    "an address": Case(rules(text(exact="[::1]")), table("[::1]"), "`Host: [::1]:1`, `Host: [::1]:`"),
    "a host or anything": Case(rules(EXACT, {"any": True}), table("a.example"), ""),
}


@pytest.mark.parametrize("case", HOSTS.values(), ids=HOSTS)
def test_hosts(case: Case) -> None:
    assert around(case.condition, Routing([case.table], case.manager)) == case.ways


def test_of_several_virtual_hosts_another_one_is_no_way_around() -> None:
    two = table("a.example", ignores_port=False)
    two["virtual_hosts"].append({"domains": ["*"], "routes": ROUTES})
    assert around(rules(EXACT), Routing([two])) == ""


OTHERS: Final[dict[str, tuple[Condition, str]]] = {
    "a path with its query": (rules(text(":path", exact="/a")), "`/a?x`"),
    "a path with a query of its own": (rules(text(":path", suffix="?a")), "`/x?a&x`"),
    "the end of a path with its query": (rules(text(":path", suffix=".json")), "`/x.json?x`"),
    "the beginning of a path": (rules(text(":path", prefix="/api/")), ""),
    "all but paths of some end": (rules({"not_rule": text(":path", suffix=".css")}), "`/x?.css`"),
    "all but one path": (rules({"not_rule": text(":path", exact="/health")}), ""),
    "a path without its query": (rules({"url_path": {"path": {"exact": "/a"}}}), ""),
    "a header that is there": (rules(header("x-check", present_match=True)), "requests with any `x-check` or none"),
    "a header that is not there": (rules(header("X-Skip", present_match=False)), "requests with any `x-skip` or none"),
    "a value of a header": (rules(text("x-check", contains="yes")), "requests with any `x-check` or none"),
    "another value of a header": (
        rules(header("x-check", exact_match="no", invert_match=True)),
        "requests with any `x-check` or none",
    ),
    "a header in a range": (rules(header("x-check", range_match={})), "requests with any `x-check` or none"),
    "a header or anything": (rules(header("x-check", present_match=True), {"any": True}), ""),
    "a method": (rules(text(":method", exact="POST")), ""),
    "what the proxy knows of the client": (rules(text("x-forwarded-proto", exact="https")), ""),
    "an address": (rules({"direct_remote_ip": {}}), ""),
    "one of several": (rules({"or_rules": {"rules": [{"metadata": {}}, text(":path", exact="/a")]}}), "`/a?x`"),
    "an expression beside a path": (rules(text(":path", exact="/a"), condition={}), "`/a?x`"),
    "an expression beside anything": (rules({"any": True}, checked_condition={}), ""),
    "callers with a header": (
        gate.of_policies(
            [{"permissions": [{"any": True}], "principals": [{"and_ids": {"ids": [{"not_id": header("x-a")}]}}]}]
        ),
        "requests with any `x-a` or none",
    ),
    "nothing at all": (gate.of_policies([]), ""),
}


@pytest.mark.parametrize("sentence", OTHERS)
def test_paths_and_headers(sentence: str) -> None:
    condition, ways = OTHERS[sentence]
    assert around(condition, Routing([table("*")])) == ways


# --- matchers around the filter ---------------------------------------------------------------------------------------

_SKIP: Final = {"action": {"typed_config": {"@type": "t/envoy.extensions.filters.common.matcher.action.v3.SkipFilter"}}}
_RUN: Final = {"action": {"typed_config": {"@type": "t/Other"}}}


def _input(name: str) -> Config:
    message = "t/envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
    return {"name": "header", "typed_config": {"@type": message, "header_name": name}}


def _single(name: str, **value: str) -> Config:
    return {"single_predicate": {"input": _input(name), "value_match": value}}


def _list(predicate: Config, then: Config = _SKIP, otherwise: Config = {}) -> Config:  # noqa: B006 - not changed
    return {"matcher_list": {"matchers": [{"predicate": predicate, "on_match": then}]}, "on_no_match": otherwise}


def _tree(name: str, how: str, entries: Config, otherwise: Config = {}) -> Config:  # noqa: B006 - not changed
    return {"matcher_tree": {"input": _input(name), f"{how}_match_map": {"map": entries}}, "on_no_match": otherwise}


MATCHERS: Final = {
    "skips by a header": (_list(_single("x-skip", exact="1")), "requests with any `x-skip` or none"),
    "skips one path": (_list(_single(":path", exact="/health")), ""),
    "skips the ends of paths": (_list(_single(":path", suffix=".css")), "`/x?.css`"),
    "skips all but one host": (
        _tree(":authority", "exact", {"a.example": _RUN}, _SKIP),
        f"{PORTS}, `Host: A.EXAMPLE`",
    ),
    "skips all but hosts of a beginning": (
        _tree("host", "prefix", {"a.example": _RUN}, _SKIP),
        "`Host: A.EXAMPLE`",
    ),
    "the longer beginning decides": (
        _tree(":authority", "prefix", {"a.": _SKIP, "a.example": _RUN}, _SKIP),
        "`Host: A.EXAMPLE`",
    ),
    "skips a method by a matcher within": (
        _tree(":authority", "exact", {"b.example": {"matcher": _list(_single(":method", exact="GET"))}}),
        "",
    ),
    "skips both of two": (
        _list({"and_matcher": {"predicate": [_single(":method", exact="GET"), _single("x-a", exact="1")]}}),
        "requests with any `x-a` or none",
    ),
    "skips one of two": (
        _list({"or_matcher": {"predicate": [_single(":method", exact="GET"), _single("x-a", exact="1")]}}),
        "requests with any `x-a` or none",
    ),
    "skips where a header is another": (
        _list({"not_matcher": _single("x-a", exact="1")}),
        "requests with any `x-a` or none",
    ),
    "reads a header in a way of its own": (
        _list({"single_predicate": {"input": _input("x-a"), "custom_match": {}}}),
        "requests with any `x-a` or none",
    ),
    "reads an address": (_list({"single_predicate": {"input": {"typed_config": {"@type": "t/SourceIPInput"}}}}), ""),
    "a tree of its own": ({"matcher_tree": {"input": _input("x-a"), "custom_match": {}}}, ""),
    "a predicate that is nothing": (_list({}), ""),
    "nothing": ({}, ""),
}


@pytest.mark.parametrize("sentence", MATCHERS)
def test_matchers_around_the_filter(sentence: str) -> None:
    matcher, ways = MATCHERS[sentence]
    assert around(gate.of_matcher(matcher), Routing([table("a.example")])) == ways


DEEP: Final[dict[str, Config]] = {"not_rule": EXACT, "not_matcher": _single(":path", exact="/a")}


@pytest.mark.parametrize("key", DEEP)
def test_what_is_nested_deeper_than_envoy_takes_is_not_known(key: str) -> None:
    nested = DEEP[key]
    for _ in range(2000):
        nested = {key: nested}
    conditions = rules(nested), gate.of_matcher(_list(nested))
    assert [around(each, Routing([table("a.example")])) for each in conditions] == ["", ""]


@pytest.mark.parametrize(("key", "ways"), [("not_rule", PORTS), ("not_matcher", "`/a?x`")])
def test_what_is_nested_as_deep_as_envoy_takes_is_known(key: str, ways: str) -> None:
    nested = DEEP[key]
    for _ in range(100):
        nested = {key: nested}
    condition = rules(nested) if key == "not_rule" else gate.of_matcher(_list(nested, _RUN, _SKIP))
    assert around(condition, Routing([table("a.example")])) == ways


# --- what holds -------------------------------------------------------------------------------------------------------

YES: Final = Every()
NO: Final = Some()
MAYBE: Final = Unknown()
ANSWERS: Final[dict[str, tuple[Condition, bool | None]]] = {
    "a case that holds decides": (First(((YES, NO),), YES), False),
    "a case that does not hold is passed over": (First(((NO, NO),), YES), True),
    "a case that may hold leaves it open": (First(((MAYBE, NO),), YES), None),
    "a case that may hold and says the same does not matter": (First(((MAYBE, YES), (YES, YES)), NO), True),
    "not of what is not known": (Not(MAYBE), None),
    "all, one of them not known": (Every((YES, MAYBE)), None),
    "all, one of them false": (Every((MAYBE, NO)), False),
    "some, one of them not known": (Some((NO, MAYBE)), None),
    "some, one of them true": (Some((MAYBE, YES)), True),
    "a header that is told to be missing": (Present("x-a"), False),
    "a header of which nothing is told": (Compared("x-b", {"exact": "1"}), None),
}


@pytest.mark.parametrize("sentence", ANSWERS)
def test_what_holds(sentence: str) -> None:
    condition, expected = ANSWERS[sentence]
    assert holds(condition, {"x-a": None}) is expected


_NAME: Final = st.from_regex(r"[ab]{1,2}([.][ab])?", fullmatch=True)


@given(st.lists(_NAME, min_size=1, max_size=3), st.lists(_NAME, min_size=1, max_size=3))
def test_hosts_with_any_port_in_any_case_cannot_be_gone_around(hosts: list[str], domains: list[str]) -> None:
    permissions = [each for name in hosts for each in (text(exact=name), text(prefix=f"{name}:"))]
    assert around(rules(*permissions), Routing([table(*domains)])) == ""


@given(_NAME, st.lists(_NAME, max_size=3))
def test_a_host_alone_can_always_be_gone_around(host: str, others: list[str]) -> None:
    assert "`Host: " in around(rules(text(exact=host)), Routing([table(host, *others)]))
