"""What lint says of sensitivity classes: each policy that is wrong, and the same policy one edit away that is not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import pytest

from cors_authz.policy.lint.classes import RULES
from cors_authz.policy.subject import Subject

Lint = Callable[..., list[str]]


class Case(NamedTuple):
    """A policy; severity, line and column, and text of all that one code says of it; and the edit that mends it."""

    policy: str
    at: str
    text: str
    old: str
    new: str
    environment: str = "prod"


def api(rule: str, more: str = "", trust: str = "trust: high") -> str:
    """Write a policy with one rule, which stands in line 9 unless `more` comes before it."""
    return (
        f'originGroups:\n  web: {{origins: ["https://shop.example"], {trust}}}\n  anyone: {{any: true}}\n'
        f"resourceGroups:\n  api:\n    match: [{{hosts: [api.shop.example]}}]\n{more}    allow:\n    - {{{rule}}}\n"
    )


def classes(text: str, more: str = "") -> str:
    """Write a policy whose first class stands in line 5."""
    return f"sensitivityClasses:\n{text}\n" + more + api("origins: [web]")


RESTRICTED = "    sensitivity: restricted\n"
WHOLE = (
    "  open: {minTrust: none, credentials: [bearer], maxAge: 1h, plainHttp: refused, exceptions: refused,"
    " unlisted: {reads: deny, embeds: deny, navigations: deny}}"
)

CASES: dict[str, Case] = {
    "CX014: a group of too little trust": Case(
        api("origins: [web]", RESTRICTED, "trust: medium"), "", "", "trust: medium", "trust: high"
    ),
    "CX014: a group that says nothing of trust": Case(
        api("origins: [web]", RESTRICTED, "contact: a"), "", "", "restricted", "internal"
    ),
    "CX014: any site has no trust": Case(api("origins: [web, anyone]"), "", "", "web, anyone", "web"),
    "CX014: any site, in the one class that has it": Case(
        api("origins: [anyone]", "    sensitivity: internal\n"), "", "", "internal", "public"
    ),
    "CX014: a group that does not exist here is not judged here": Case(
        api("origins: [web]", RESTRICTED, "trust: low, environments: [prod]"), "", "", "[prod]", "[dev]"
    ),
    "CX014: a credential beyond the class": Case(
        api("origins: [web], credentials: [bearer]", "    sensitivity: public\n"), "", "", "public", "internal"
    ),
    "CX014: a credential beyond a class that grants others": Case(
        api("origins: [web], credentials: [bearer, cookie]", RESTRICTED)
        + "sensitivityClasses: {restricted: {credentials: [mtls, bearer]}}\n",
        "",
        "",
        "[bearer, cookie]",
        "[bearer]",
    ),
    "CX014: a maxAge beyond the class": Case(
        api("origins: [web], maxAge: 6m", RESTRICTED), "", "", "6m", "300s"
    ),
    "CX014: a group that forwards what its class refuses": Case(
        api("origins: [web]", RESTRICTED + "    unlisted: {reads: deny, navigations: same-site}\n"),
        "",
        "",
        "same-site",
        "deny",
    ),
    "CX014: same-site is tighter than forward, and looser than deny": Case(
        api("origins: [web]", "    unlisted: {embeds: forward}\n"), "", "", "forward", "deny"
    ),
    "CX014: a class of less trust than the built-in": Case(
        classes("  restricted: {minTrust: medium}"), "", "", "medium", "high"
    ),
    "CX014: a class of more credentials than the built-in": Case(
        classes("  public: {credentials: [cookie, bearer]}"), "", "", "[cookie, bearer]", "[]"
    ),
    "CX014: a class of more time than the built-in": Case(classes("  internal: {maxAge: 3h}"), "", "", "3h", "120m"),
    "CX014: a class that allows plain http": Case(classes("  internal: {plainHttp: allowed}"), "", "", "allowed", "refused"),
    "CX014: a class that allows exceptions": Case(classes("  restricted: {exceptions: allowed}"), "", "", "allowed", "refused"),
    "CX014: a class that forwards what the built-in refuses": Case(
        classes("  confidential: {unlisted: {embeds: same-site, navigations: deny}}"), "", "", "same-site", "deny"
    ),
    "CX014: looser than the class that it is like": Case(
        classes("  pii: {like: restricted, maxAge: 2m}\n  restricted: {maxAge: 1m}"), "", "", "2m", "30s"
    ),
    "CX014: a built-in class that would lean on a looser one": Case(
        classes("  restricted: {like: mine, minTrust: high}\n  mine: {like: restricted, maxAge: 1m}").replace(
            "mine: {like: restricted, maxAge: 1m}",
            "mine: {minTrust: high, credentials: [], maxAge: 1m, plainHttp: refused, exceptions: allowed,"
            " unlisted: {reads: deny, embeds: deny, navigations: deny}}",
        ),
        "",
        "",
        "exceptions: allowed",
        "exceptions: refused",
    ),
    "CX046: a group of a class that is nearly one": Case(
        api("origins: [web]", "    sensitivity: restrictd\n"), "", "", "restrictd", "restricted"
    ),
    "CX046: a class like one that there is not": Case(
        classes("  pii: {like: secret}"), "", "", "secret", "internal"
    ),
    "CX046: a class without like that leaves something unsaid": Case(
        classes(WHOLE.replace("maxAge: 1h, ", "").replace(", navigations: deny", "")), "", "", "open: {", "open: {like: restricted, "
    ),
    "CX046: a class without like that says everything but one": Case(
        classes(WHOLE.replace("exceptions: refused,", "")), "", "", "plainHttp", "exceptions: refused, plainHttp"
    ),
    "CX046: a guard that there is not": Case(
        classes("  internal: {guards: [user, custmer]}", "guards: {user: {sourceIn: [10.0.0.0/8]}}\n"), "", "", ", custmer", ""
    ),
    "CX047: classes that lean on each other": Case(
        classes("  one: {like: two}\n  two: {like: three}\n  three: {like: two}").replace("  two: {like: three}\n", "")
        .replace("{like: two}\n  three", "{like: three}\n  three").replace("three: {like: two}", "three: {like: three}"),
        "",
        "",
        "three: {like: three}",
        "three: {like: internal}",
    ),
}


@pytest.mark.parametrize(("sentence", "case"), CASES.items(), ids=CASES)
def test_a_policy_and_the_one_that_is_mended(sentence: str, case: Case, lint: Lint) -> None:
    code = sentence.partition(":")[0]
    severity, at = case.at.split()
    said = f"{severity} policy.yaml:{at}: {code} {case.text}"
    assert case.old in case.policy
    assert [line for line in lint(RULES, case.policy, case.environment) if f": {code} " in line] == [said]
    mended = case.policy.replace(case.old, case.new)
    assert [line for line in lint(RULES, mended, case.environment) if f": {code} " in line] == []
