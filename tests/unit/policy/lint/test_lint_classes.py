"""What lint says of sensitivity classes: each policy that is wrong, and the same policy one edit away that is not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import pytest

from cors_authz.policy.effective import BUILT_IN_CLASSES
from cors_authz.policy.lint.classes import RULES, loosened_classes
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

MINE = (
    "  mine: {minTrust: high, credentials: [], maxAge: 1m, plainHttp: refused, exceptions: allowed,"
    " unlisted: {reads: deny, embeds: deny, navigations: deny}}"
)

CASES: dict[str, Case] = {
    "CX014: a group of too little trust": Case(
        api("origins: [web]", RESTRICTED, "trust: medium"),
        "E 12:18",
        "`web` has trust medium; class restricted demands high: raise the group's trust with its owner,"
        " or move the route",
        "trust: medium",
        "trust: high",
    ),
    "CX014: a group that says nothing of trust": Case(
        api("origins: [web]", RESTRICTED, "contact: a"),
        "E 12:18",
        "`web` has trust low; class restricted demands high: raise the group's trust with its owner, or move the route",
        "restricted",
        "internal",
    ),
    "CX014: any site has no trust": Case(
        api("origins: [web, anyone]"),
        "E 11:23",
        "`anyone` is every origin and has no trust; class internal demands low: list the origins, or move the route",
        "web, anyone",
        "web",
    ),
    "CX014: any site, in the one class that has it": Case(
        api("origins: [anyone]", "    sensitivity: internal\n"),
        "E 12:18",
        "`anyone` is every origin and has no trust; class internal demands low: list the origins, or move the route",
        "internal",
        "public",
    ),
    "CX014: a group that does not exist here is not judged here": Case(
        api("origins: [web]", RESTRICTED, "trust: low, environments: [prod]"),
        "E 12:18",
        "`web` has trust low; class restricted demands high: raise the group's trust with its owner, or move the route",
        "[prod]",
        "[dev]",
    ),
    "CX014: a credential beyond the class": Case(
        api("origins: [web], credentials: [bearer]", "    sensitivity: public\n"),
        "E 12:38",
        "credential `bearer` is beyond class public, which grants none: drop it, or move the route",
        "public",
        "internal",
    ),
    "CX014: a credential beyond a class that grants others": Case(
        api("origins: [web], credentials: [bearer, cookie]", RESTRICTED)
        + "sensitivityClasses: {restricted: {credentials: [mtls, bearer]}}\n",
        "E 12:46",
        "credential `cookie` is beyond class restricted, which grants [bearer, mtls]: drop it, or move the route",
        "[bearer, cookie]",
        "[bearer]",
    ),
    "CX014: a maxAge beyond the class": Case(
        api("origins: [web], maxAge: 6m", RESTRICTED),
        "E 12:32",
        "maxAge 6m is beyond class restricted; write 5m or less",
        "6m",
        "300s",
    ),
    "CX014: a group that forwards what its class refuses": Case(
        api("origins: [web]", RESTRICTED + "    unlisted: {reads: deny, navigations: same-site}\n"),
        "E 11:42",
        "unlisted.navigations same-site is looser than deny of class restricted; a group may only tighten it",
        "same-site",
        "deny",
    ),
    "CX014: same-site is tighter than forward, and looser than deny": Case(
        api("origins: [web]", "    unlisted: {embeds: forward}\n"),
        "E 10:24",
        "unlisted.embeds forward is looser than same-site of class internal; a group may only tighten it",
        "forward",
        "deny",
    ),
    "CX014: a class of less trust than the built-in": Case(
        classes("  restricted: {minTrust: medium}"),
        "E 5:26",
        "class restricted: minTrust medium is looser than the built-in high; a class may only be tightened",
        "medium",
        "high",
    ),
    "CX014: a class of more credentials than the built-in": Case(
        classes("  public: {credentials: [cookie, bearer]}"),
        "E 5:25",
        "class public: credentials [cookie, bearer] is looser than the built-in []; a class may only be tightened",
        "[cookie, bearer]",
        "[]",
    ),
    "CX014: a class of more time than the built-in": Case(
        classes("  internal: {maxAge: 3h}"),
        "E 5:22",
        "class internal: maxAge 3h is looser than the built-in 2h; a class may only be tightened",
        "3h",
        "120m",
    ),
    "CX014: a class that allows plain http": Case(
        classes("  internal: {plainHttp: allowed}"),
        "E 5:25",
        "class internal: plainHttp allowed is looser than the built-in refused; a class may only be tightened",
        "allowed",
        "refused",
    ),
    "CX014: a class that allows exceptions": Case(
        classes("  restricted: {exceptions: allowed}"),
        "E 5:28",
        "class restricted: exceptions allowed is looser than the built-in refused; a class may only be tightened",
        "allowed",
        "refused",
    ),
    "CX014: a class that forwards what the built-in refuses": Case(
        classes("  confidential: {unlisted: {embeds: same-site, navigations: deny}}"),
        "E 5:37",
        "class confidential: unlisted.embeds same-site is looser than the built-in deny; a class may only be tightened",
        "same-site",
        "deny",
    ),
    "CX014: looser than the class that it is like": Case(
        classes("  pii: {like: restricted, maxAge: 2m}\n  restricted: {maxAge: 1m}"),
        "E 5:35",
        "class pii: maxAge 2m is looser than restricted's 1m; a class may only be tightened",
        "2m",
        "30s",
    ),
    "CX014: a built-in class that would lean on a looser one": Case(
        classes("  restricted: {like: mine}\n" + MINE),
        "E 5:22",
        "class restricted: exceptions allowed is looser than the built-in refused; a class may only be tightened",
        "exceptions: allowed",
        "exceptions: refused",
    ),
    "CX046: a group of a class that is nearly one": Case(
        api("origins: [web]", "    sensitivity: restrictd\n"),
        "E 10:18",
        "`restrictd` is no sensitivity class; did you mean `restricted`?",
        "restrictd",
        "restricted",
    ),
    "CX046: a class like one that there is not": Case(
        classes("  pii: {like: secret}"),
        "E 5:15",
        "`secret` is no sensitivity class; there are `public`, `internal`, `confidential`, `restricted`, `pii`",
        "secret",
        "internal",
    ),
    "CX046: a class without like that leaves something unsaid": Case(
        classes(WHOLE.replace("maxAge: 1h, ", "").replace(", navigations: deny", "")),
        "E 5:3",
        "class open without `like` states every key; add maxAge, unlisted.navigations, or say like: internal",
        "open: {",
        "open: {like: restricted, ",
    ),
    "CX046: a class without like that says everything but one": Case(
        classes(WHOLE.replace("exceptions: refused,", "")),
        "E 5:3",
        "class open without `like` states every key; add exceptions, or say like: internal",
        "plainHttp",
        "exceptions: refused, plainHttp",
    ),
    "CX046: a guard that there is not": Case(
        classes("  internal: {guards: [user, custmer]}", "guards: {user: {sourceIn: [10.0.0.0/8]}}\n"),
        "E 5:29",
        "`custmer` is no guard; did you mean `user`?",
        ", custmer",
        "",
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


def test_classes_that_lean_on_each_other_are_all_named(lint: Lint) -> None:
    circle = "  one: {like: two}\n  two: {like: three}\n  three: {like: two}"
    assert [line for line in lint(RULES, classes(circle)) if "CX047" in line] == [
        (
            "E policy.yaml:6:15: CX047 class two is like three, which is like two; let one of them be like a built-in"
            " class"
        ),
        (
            "E policy.yaml:7:17: CX047 class three is like two, which is like three; let one of them be like a built-in"
            " class"
        ),
    ]
    assert lint(RULES, classes(circle.replace("three: {like: two}", "three: {like: internal}"))) == []


@pytest.mark.parametrize(("own", "above"), list(product(BUILT_IN_CLASSES, repeat=2)))
def test_a_built_in_class_may_be_like_a_tighter_one(lint: Lint, own: str, above: str) -> None:
    order = list(BUILT_IN_CLASSES)
    said = lint([loosened_classes], classes(f"  {own}: {{like: {above}}}"))
    # Class public is the widest, but for credentials: it grants none.
    assert bool(said) == (order.index(above) < order.index(own) or own == "public" != above)


BUNDLE = """
    apiVersion: cors-authz/v1
    kind: PolicyBundle
    metadata: {name: p}
    guards:
      known: {anyOf: [office, staff]}
      office: {sourceIn: [10.0.0.0/8]}
    sensitivityClasses:
      confidential: {guards: [office, GUARD]}
    """
PART = """
    apiVersion: cors-authz/v1
    kind: PolicyPart
    metadata: {name: wealth, owner: wealth}
    guards:
      staff: {sourceIn: [10.1.0.0/16]}
    """


@pytest.mark.parametrize(
    ("guard", "through"),
    {
        "a class's guard stands in a part": ("staff", ""),
        "a part reaches in by anyOf": ("known", " through `known`"),
    }.values(),
    ids=["a class's guard stands in a part", "a part reaches in by anyOf"],
)
def test_a_part_cannot_widen_a_class(lint: Lint, guard: str, through: str) -> None:
    policy = {"bundle.yaml": BUNDLE.replace("GUARD", guard), "teams/wealth.yaml": PART}
    assert lint(RULES, policy) == [
        (
            f"E bundle.yaml:8:35: CX046 class confidential names guard `staff`{through}, which teams/wealth.yaml"
            " defines; a class's guards stand in the PolicyBundle"
        )
    ]


def test_guards_of_the_bundle_are_the_class_s_own(lint: Lint) -> None:
    assert (
        lint(RULES, {"bundle.yaml": BUNDLE.replace(", GUARD", "").replace(", staff", ", office"), "part.yaml": PART})
        == []
    )


def test_guards_in_a_circle_end(lint: Lint) -> None:
    circle = BUNDLE.replace("GUARD", "known").replace("staff]", "known]")
    assert lint(RULES, {"bundle.yaml": circle, "teams/wealth.yaml": PART}) == []


def test_every_finding_names_its_object(subject_from: Callable[..., Subject]) -> None:
    subject = subject_from(classes("  restricted: {maxAge: 1h}").replace("origins: [web]", "origins: [anyone]"))
    found = [(finding.code, finding.about) for rule in RULES for finding in rule(subject)]
    assert found == [("CX014", "resourceGroups/api"), ("CX014", "sensitivityClasses/restricted")]
