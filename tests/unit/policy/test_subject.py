"""The patterns of a policy: what is read of origins, hosts and paths, and where what is wrong stands."""

from __future__ import annotations

from textwrap import dedent

import pytest

from cors_authz.policy.document import Source, read_documents
from cors_authz.policy.estate import unite
from cors_authz.policy.finding import Place
from cors_authz.policy.subject import Reading, read_patterns
from tests.deciding import BUNDLE


def read(text: str) -> Reading:
    documents, findings = read_documents([Source("policy.yaml", (BUNDLE + dedent(text)).encode())])
    assert findings == ()
    estate, _ = unite(documents)
    assert estate is not None
    return read_patterns(estate)


def test_a_pattern_that_is_wrong_is_left_out_and_told_with_its_place_and_its_object() -> None:
    reading = read("""
    originGroups:
      web:
        origins: ["https://web.example", "https://WEB.example"]
        trust: high
    resourceGroups:
      api:
        match:
        - {hosts: [api.example]}
        - {hosts: [b.example, B.example], paths: [/a, b]}
        allow: []
    """)
    assert [(f.place, f.code, f.about) for f in reading.findings] == [
        (Place("policy.yaml", 7, 38), "CX003", "originGroups/web"),
        (Place("policy.yaml", 13, 27), "CX003", "resourceGroups/api"),
        (Place("policy.yaml", 13, 51), "CX047", "resourceGroups/api"),
    ]
    assert [at.pattern.text for at in reading.origins["web"]] == ["https://web.example"]
    assert [(at.entry, at.host.text, at.path.text) for at in reading.routes] == [
        (0, "api.example", "/**"),
        (1, "b.example", "/a"),
    ]


METHODS = {
    "no methods are all": ("", None),
    "a star is all": (', methods: ["*"]', None),
    "GET brings HEAD, and OPTIONS that is no preflight": (", methods: [GET]", frozenset({"GET", "HEAD", "OPTIONS"})),
    "others bring nothing": (", methods: [POST, PUT]", frozenset({"POST", "PUT"})),
}


@pytest.mark.parametrize(("key", "then"), METHODS.values(), ids=METHODS)
def test_the_methods_that_a_match_entry_takes(key: str, then: frozenset[str] | None) -> None:
    (route,) = read(f"resourceGroups: {{api: {{match: [{{hosts: [api.example]{key}}}], allow: []}}}}\n").routes
    assert route.methods == then
