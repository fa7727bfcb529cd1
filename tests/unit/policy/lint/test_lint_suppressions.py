"""What time and the other findings say of suppressions and reviews, and what a suppression covers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

import pytest

from cors_authz.policy.document import Source
from cors_authz.policy.load import check_policy, load_policy

NOW: Final = datetime(2026, 11, 20, tzinfo=UTC)
POLICY: Final = """\
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {name: p, review: {last: 2026-08-23, every: 90d}}
originGroups:
  web: {origins: ["https://shop.example"], trust: high, contact: web@x, reviewBy: 2026-11-21}
  local: {origins: ["http://localhost:3000"], trust: high, contact: web@x, environments: [dev]}
resourceGroups:
  api: {match: [{hosts: [api.example]}], allow: [{origins: [web], headers: ["*"], credentials: [bearer]}]}
  dev: {match: [{hosts: [dev.example]}], allow: [{origins: [local], methods: ["*"]}]}
suppressions:
- {finding: CX011, at: resourceGroups/api, reason: any header will do, by: ada, until: 2026-11-21}
"""
COVERED: Final = "W policy.yaml:8:77: CX011 suppressed"
OTHERS: Final = ("W policy.yaml:9:79: CX007",)
"""What the policy says beside its suppression."""


class Case(NamedTuple):
    """One edit of the policy, and what is then said of it, without notes; the whole text of CX023 alone."""

    edit: tuple[str, str]
    said: tuple[str, ...]
    environment: str | None = None
    now: datetime | None = NOW


CASES: Final = {
    "a suppression that holds": Case(("", ""), (COVERED, *OTHERS)),
    "a suppression at its end": Case(
        ("ada, until: 2026-11-21", "ada, until: 2026-11-20"),
        (
            "W policy.yaml:8:77: CX011",
            *OTHERS,
            (
                "W policy.yaml:11:88: CX023 the suppression ended at 2026-11-20T00:00:00Z, and CX011 counts again;"
                " drop it"
            ),
        ),
    ),
    "without a clock each holds": Case(
        ("ada, until: 2026-11-21", "ada, until: 2026-11-20"), (COVERED, *OTHERS), now=None
    ),
    "a suppression of what has been mended": Case(
        ('"*"], credentials', "x-a], credentials"),
        (
            *OTHERS,
            (
                "W policy.yaml:11:3: CX023 CX011 is not found at `resourceGroups/api`, so nothing is suppressed;"
                " drop the suppression, or mend it"
            ),
        ),
    ),
    "a suppression of what is not found there, without a clock": Case(
        ("finding: CX011", "finding: CX033"),
        (
            "W policy.yaml:8:77: CX011",
            *OTHERS,
            (
                "W policy.yaml:11:3: CX023 CX033 is not found at `resourceGroups/api`, so nothing is suppressed;"
                " drop the suppression, or mend it"
            ),
        ),
        now=None,
    ),
    "an environment of several is not all there is": Case(
        ('"*"], credentials', "x-a], credentials"), OTHERS, environment="dev"
    ),
    "what is found in one environment is found": Case(
        ("finding: CX011, at: resourceGroups/api", "finding: CX007, at: resourceGroups/dev"),
        ("W policy.yaml:8:77: CX011", "W policy.yaml:9:79: CX007 suppressed"),
    ),
    "of a policy with errors it is not known what is idle": Case(
        ('"*"], credentials', "etag], credentials"), ("E policy.yaml:8:77: CX008", *OTHERS)
    ),
    "what is no longer in the policy is not called idle as well": Case(
        ("at: resourceGroups/api", "at: resourceGroups/apis"),
        (
            "W policy.yaml:8:77: CX011",
            *OTHERS,
            (
                "W policy.yaml:11:24: CX023 `resourceGroups/apis` is not in the policy; drop the suppression, or mend"
                " its `at`"
            ),
        ),
    ),
    "a section covers all that is in it": Case(("at: resourceGroups/api", "at: resourceGroups"), (COVERED, *OTHERS)),
    "another section covers nothing": Case(
        ("at: resourceGroups/api", "at: originGroups"),
        (
            "W policy.yaml:8:77: CX011",
            *OTHERS,
            (
                "W policy.yaml:11:3: CX023 CX011 is not found at `originGroups`, so nothing is suppressed;"
                " drop the suppression, or mend it"
            ),
        ),
    ),
    "a name that another begins with is not that other": Case(
        ("  api: {match: ", "  api: {match: [{hosts: [a.example]}], allow: []}\n  api-2: {match: "),
        (
            "W policy.yaml:9:79: CX011",
            "W policy.yaml:10:79: CX007",
            (
                "W policy.yaml:12:3: CX023 CX011 is not found at `resourceGroups/api`, so nothing is suppressed;"
                " drop the suppression, or mend it"
            ),
        ),
    ),
    "an origin group whose review is due": Case(
        ("reviewBy: 2026-11-21", "reviewBy: 2026-11-20"),
        (
            (
                "W policy.yaml:5:83: CX023 the review of `web` was due at 2026-11-20T00:00:00Z; review it, and write"
                " the next date"
            ),
            COVERED,
            *OTHERS,
        ),
    ),
    "a document whose review is due": Case(
        ("last: 2026-08-23", "last: 2026-08-22"),
        (
            (
                "W policy.yaml:3:29: CX023 the review of this document was due at 2026-11-20T00:00:00Z; review it,"
                " and say when in `last`"
            ),
            COVERED,
            *OTHERS,
        ),
    ),
    "without a clock no review is due": Case(("last: 2026-08-23", "last: 2020-08-22"), (COVERED, *OTHERS), now=None),
    "a review that is due beyond the calendar": Case(
        ("last: 2026-08-23, every: 90d", "last: 9000-01-01, every: 999999d"), (COVERED, *OTHERS)
    ),
    "a review that is not due is no finding yet": Case(
        (
            "suppressions:",
            "suppressions:\n- {finding: CX023, at: metadata, reason: reviewed next week, by: ada, until: 2027-01-01}",
        ),
        (
            COVERED,
            *OTHERS,
            (
                "W policy.yaml:11:3: CX023 CX023 is not found at `metadata`, so nothing is suppressed; drop the"
                " suppression, or mend it"
            ),
        ),
    ),
}


def _told(text: str, environment: str | None, now: datetime | None) -> tuple[str, ...]:
    found = check_policy([Source("policy.yaml", text.encode())], environment, now)
    return tuple(
        f"{each.severity.value} {each.place}: {each.code}"
        + (f" {each.text}" if each.code == "CX023" else "")
        + " suppressed" * each.suppressed
        for each in found
        if each.severity.value != "I"
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_said_of(case: Case) -> None:
    assert POLICY.count(case.edit[0]) == 1 or not case.edit[0]
    assert _told(POLICY.replace(*case.edit, 1), case.environment, case.now) == case.said


def test_an_error_of_a_finding_that_may_also_warn_is_not_suppressed() -> None:
    text = POLICY.replace("finding: CX011, at: resourceGroups/api", "finding: CX007, at: resourceGroups/dev")
    assert _told(text, None, NOW)[1:] == ("W policy.yaml:9:79: CX007 suppressed",)
    assert _told(text.replace('methods: ["*"]', "methods: [TRACE]"), None, NOW)[1:] == ("E policy.yaml:9:79: CX007",)


def test_a_review_that_is_due_is_suppressed_like_other_warnings() -> None:
    covers = "suppressions:\n- {finding: CX023, at: metadata, reason: reviewed next week, by: ada, until: 2027-01-01}"
    text = POLICY.replace("last: 2026-08-23", "last: 2026-08-22").replace("suppressions:", covers)
    assert [line for line in _told(text, None, NOW) if "CX023" in line] == [
        (
            "W policy.yaml:3:29: CX023 the review of this document was due at 2026-11-20T00:00:00Z; review it, and say"
            " when in `last` suppressed"
        )
    ]


def test_a_part_is_reviewed_like_the_bundle() -> None:
    metadata = "{name: q, owner: web, review: {last: 2026-11-01, every: 1d}}"
    part = f"apiVersion: cors-authz/v1\nkind: PolicyPart\nmetadata: {metadata}\n"
    sources = [Source("policy.yaml", POLICY.encode()), Source("part.yaml", part.encode())]
    assert [str(each.place) for each in check_policy(sources, None, NOW) if each.code == "CX023"] == ["part.yaml:3:41"]


WIDE: Final = "- {finding: CX007, at: resourceGroups, reason: all methods are meant, by: ada, until: 2027-01-01}\n"


def test_a_part_suppresses_what_stands_in_it_alone() -> None:
    part = "apiVersion: cors-authz/v1\nkind: PolicyPart\nmetadata: {name: q, owner: web}\n"
    groups = 'resourceGroups:\n  q: {match: [{hosts: [q.example]}], allow: [{origins: [local], methods: ["*"]}]}\n'
    ours, theirs = "W policy.yaml:9:79: CX007", "W part.yaml:5:75: CX007 suppressed"
    assert _of_methods(POLICY, part + groups + "suppressions:\n" + WIDE) == [ours, theirs]
    assert _of_methods(POLICY + WIDE, part + groups) == [f"{ours} suppressed", theirs]


def _of_methods(bundle: str, part: str) -> list[str]:
    sources = [Source("policy.yaml", bundle.encode()), Source("part.yaml", part.encode())]
    return [
        f"{each.severity.name[0]} {each.place}: {each.code}{' suppressed' * each.suppressed}"
        for each in check_policy(sources, None, NOW)
        if each.code == "CX007"
    ]


@pytest.mark.parametrize("declared", ["", "environments: {prod: {like: prod}}\n"])
def test_loading_says_what_checking_says(declared: str) -> None:
    text = POLICY.replace('"*"], credentials', "x-a], credentials").replace(", environments: [dev]", "") + declared
    text = text.replace("http://localhost:3000", "https://local.example")
    sources = [Source("policy.yaml", text.encode())]
    said = load_policy(sources, "prod", NOW).findings
    assert said == check_policy(sources, "prod", NOW)
    assert [each.code for each in said if each.code == "CX023"] == ["CX023"] * bool(declared)
