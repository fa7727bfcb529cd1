"""What the short form of a policy means: classes that lean on others, rules with what protocols and sets bring."""

from __future__ import annotations

from datetime import timedelta
from textwrap import dedent
from typing import NamedTuple

import pytest

from cors_authz.policy.compiled import Credential, Reach, Trust, Unlisted
from cors_authz.policy.document import Source, read_documents
from cors_authz.policy.effective import BUILT_IN_CLASSES, EffectiveRule, SensitivityClass, classes_of, rules_of
from cors_authz.policy.estate import Estate, unite
from tests.deciding import BUNDLE


def estate_of(text: str) -> Estate:
    documents, findings = read_documents([Source("policy.yaml", (BUNDLE + dedent(text)).encode())])
    assert findings == ()
    estate, _ = unite(documents)
    assert estate is not None
    return estate


EVERY = frozenset(Credential)
FORWARD_ALL = Unlisted(Reach.FORWARD, Reach.FORWARD, Reach.FORWARD)
OF_INTERNAL = Unlisted(Reach.FORWARD, Reach.SAME_SITE, Reach.FORWARD)

CLASSES = {
    "a class says everything itself": (
        """own: {
          like: public, minTrust: medium, credentials: [bearer], maxAge: 1m, plainHttp: refused, exceptions: refused,
          unlisted: {reads: deny, embeds: deny, navigations: deny}, guards: [a]
        }""",
        SensitivityClass(
            "own",
            Trust.MEDIUM,
            frozenset({Credential.BEARER}),
            timedelta(minutes=1),
            plain_http=False,
            unlisted=Unlisted(Reach.DENY, Reach.DENY, Reach.DENY),
            exceptions=False,
            guards=("a",),
        ),
    ),
    "what it does not say is that of the class that it is like": (
        "own: {like: public, guards: [a]}",
        SensitivityClass(
            "own",
            Trust.NONE,
            frozenset(),
            timedelta(hours=24),
            plain_http=True,
            unlisted=FORWARD_ALL,
            exceptions=True,
            guards=("a",),
        ),
    ),
    "a class like none leans on internal as the policy has it": (
        "own: {maxAge: 1m, guards: [a]}, internal: {minTrust: high, guards: [b, a]}",
        SensitivityClass(
            "own",
            Trust.HIGH,
            EVERY,
            timedelta(minutes=1),
            plain_http=False,
            unlisted=OF_INTERNAL,
            exceptions=True,
            guards=("b", "a"),
        ),
    ),
    "a class like none that exists leans on internal": (
        "own: {like: missing, unlisted: {embeds: deny}}",
        SensitivityClass(
            "own",
            Trust.LOW,
            EVERY,
            timedelta(hours=2),
            plain_http=False,
            unlisted=Unlisted(Reach.FORWARD, Reach.DENY, Reach.FORWARD),
            exceptions=True,
        ),
    ),
    "a circle of classes ends where it began, whichever class of it comes first": (
        "first: {like: own, maxAge: 1m}, own: {like: first, minTrust: high}",
        SensitivityClass(
            "own",
            Trust.HIGH,
            EVERY,
            timedelta(minutes=1),
            plain_http=False,
            unlisted=OF_INTERNAL,
            exceptions=True,
        ),
    ),
}


@pytest.mark.parametrize(("text", "then"), CLASSES.values(), ids=CLASSES)
def test_a_sensitivity_class(text: str, then: SensitivityClass) -> None:
    classes = classes_of(estate_of(f"sensitivityClasses: {{{text}}}\nresourceGroups: {{}}\n"))
    assert classes["own"] == then
    assert classes["public"] == BUILT_IN_CLASSES["public"]


class Case(NamedTuple):
    """The keys of a group, those of its rule, and what the rule then means."""

    group: str
    rule: str
    methods: set[str]
    any_method: bool = False
    headers: frozenset[str] = frozenset()
    any_header: bool = False
    exposed: tuple[str, ...] = ()
    any_exposed: bool = False
    credentials: frozenset[Credential] = frozenset()
    max_age: timedelta = timedelta(minutes=10)


RULES = {
    "a rule that says nothing": Case("", "", {"GET", "HEAD"}),
    "stars are set apart from names": Case(
        "",
        ', methods: ["*", PUT], headers: ["*", X-A], exposeHeaders: ["*", ETag]',
        {"PUT"},
        any_method=True,
        headers=frozenset({"x-a"}),
        any_header=True,
        exposed=("etag",),
        any_exposed=True,
    ),
    "a protocol that is not http brings its methods alone": Case(
        ", protocols: [grpc-web]",
        "",
        {"POST"},
        headers=frozenset({"content-type", "grpc-timeout", "x-grpc-web", "x-user-agent"}),
        exposed=("grpc-status", "grpc-message", "grpc-status-details-bin"),
    ),
    "a bearer token travels in Authorization": Case(
        "",
        ", headers: [X-A], credentials: [bearer]",
        {"GET", "HEAD"},
        headers=frozenset({"x-a", "authorization"}),
        credentials=frozenset({Credential.BEARER}),
    ),
    "a header set brings both kinds of names": Case(
        "",
        ", headers: [X-A], exposeHeaders: [X-B], headerSets: [traces]",
        {"GET", "HEAD"},
        headers=frozenset({"x-a", "traceparent"}),
        exposed=("x-b", "server-timing"),
    ),
    "a class caps the age that nobody said": Case(
        ", sensitivity: restricted", "", {"GET", "HEAD"}, max_age=timedelta(minutes=5)
    ),
    "an age that is said is kept as it is": Case("", ", maxAge: 7h", {"GET", "HEAD"}, max_age=timedelta(hours=7)),
}


@pytest.mark.parametrize("case", RULES.values(), ids=RULES)
def test_a_rule(case: Case) -> None:
    estate = estate_of(
        "headerSets: {traces: {request: [Traceparent], expose: [Server-Timing]}}\n"
        "resourceGroups:\n"
        f"  api: {{match: [{{hosts: [a.example]}}], allow: [{{origins: [web]{case.rule}}}]{case.group}}}\n"
    )
    group = estate.resource_groups["api"]
    assert rules_of(estate, group, classes_of(estate)) == (
        EffectiveRule("api/1", 0, group.model.allow[0], frozenset(case.methods), *case[3:]),
    )
