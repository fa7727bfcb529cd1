"""Which filter, and which field of it, the path of a JSON patch means."""

from __future__ import annotations

from typing import Final

import pytest

from cors_authz.doctor.json_patch import Target, target_of

_NAME: Final = "envoy.filters.http.ext_authz/securitypolicy/shop/cors"
_CHOSEN: Final = f"?(@.name=='{_NAME}')"
_FILTERS, _PER_FILTER = "http_filters", "typed_per_filter_config"

TARGETS: Final[dict[str, tuple[object, object, Target, bool]]] = {
    "a number": (None, "/filters/0/typed_config/http_filters/0", Target(_FILTERS, "0", ()), True),
    "all of them": (None, "/http_filters", Target(_FILTERS, "", ()), True),
    "a field": (None, "/http_filters/0/typed_config/timeout", Target(_FILTERS, "0", ("typed_config", "timeout")), True),
    "a name with slashes": (
        None,
        f"/routes/0/typed_per_filter_config/{_NAME.replace('/', '~1')}/disabled",
        Target(_PER_FILTER, _NAME, ("disabled",)),
        True,
    ),
    "a name with a tilde": (None, "/typed_per_filter_config/a~0b", Target(_PER_FILTER, "a~b", ()), False),
    "a tilde before a one": (None, "/typed_per_filter_config/a~01", Target(_PER_FILTER, "a~1", ()), False),
    "camel case": (None, "/httpFilters/0/typedConfig", Target(_FILTERS, "0", ("typed_config",)), True),
    "a filter by its name": (f"..http_filters[{_CHOSEN}]", "", Target(_FILTERS, _CHOSEN, ()), True),
    "a field below a filter by its name": (
        f"$..http_filters[{_CHOSEN}].typed_config",
        "/grpc_service",
        Target(_FILTERS, _CHOSEN, ("typed_config", "grpc_service")),
        True,
    ),
    "keys in quotes": (
        "$['http_filters'][0][\"typed_config\"]",
        "/a",
        Target(_FILTERS, "0", ("typed_config", "a")),
        True,
    ),
    "another filter by its name": ("..http_filters[?(@.name=='a')]", "", Target(_FILTERS, "?(@.name=='a')", ()), False),
    "another filter by its name, in double quotes": (
        '..http_filters[?(@["name"] == "a")]',
        "",
        Target(_FILTERS, '?(@["name"] == "a")', ()),
        False,
    ),
    "another filter by its type": (
        "..http_filters[?(@.typed_config['@type']=='a.b/c.Lua')].typed_config",
        "/x",
        Target(_FILTERS, "?(@.typed_config['@type']=='a.b/c.Lua')", ("typed_config", "x")),
        False,
    ),
    "all but another": ("..http_filters[?(@.name!='a')]", "", Target(_FILTERS, "?(@.name!='a')", ()), True),
    "any by a star": ("..http_filters.*", "", Target(_FILTERS, "*", ()), True),
    "what a name finds anywhere": (f"..[{_CHOSEN}]", "/disabled", Target(_FILTERS, _CHOSEN, ("disabled",)), True),
    "another that a name finds anywhere": (
        "..[?(@.name=='a')].typed_config",
        "/b",
        Target("", "", ("?(@.name=='a')", "typed_config", "b")),
        False,
    ),
    "a key that has the name": ("$.ext_authz", "/x", Target("", "", ("ext_authz", "x")), False),
    "any message": ("..typed_config", "/x", Target(_FILTERS, "*", ("typed_config", "x")), True),
    "the last of several messages": (
        "$.typed_config.a.typed_config",
        "/x",
        Target(_FILTERS, "*", ("typed_config", "x")),
        True,
    ),
    "every entry of a route": (None, "/typed_per_filter_config/*", Target(_PER_FILTER, "*", ()), True),
    "what is neither": ("$.clusters", "/0/name", Target("", "", ("clusters", "0", "name")), False),
    "the whole": ("$", "", Target("", "", ()), False),
    "nothing": (None, None, Target("", "", ()), False),
    "what is no text": (["http_filters"], {"http_filters": 0}, Target("", "", ()), False),
}


@pytest.mark.parametrize("sentence", TARGETS)
def test_a_path_names_a_filter(sentence: str) -> None:
    path, pointer, expected, may_be_check = TARGETS[sentence]
    found = target_of(path, pointer)
    assert (found, found.may_be_check) == (expected, may_be_check)


AROUND: Final[dict[str, tuple[str, object]]] = {
    "a field": ("/http_filters/0/a/b", {"a": {"b": 7}}),
    "a place of a list": ("/http_filters/0/a/1/b", {"a": [{"b": 7}]}),
    "the end of a list": ("/http_filters/0/a/-", {"a": [7]}),
    "a filter": ("/http_filters/0", 7),
}


@pytest.mark.parametrize("sentence", AROUND)
def test_a_value_is_put_where_it_goes(sentence: str) -> None:
    pointer, expected = AROUND[sentence]
    assert target_of(None, pointer).around(7) == expected
