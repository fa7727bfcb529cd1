"""Routes and patterns that match alike: the bound of the search; the findings themselves are golden."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cors_authz.policy import overlap
from cors_authz.policy.effort import Effort
from cors_authz.policy.lint import routes
from cors_authz.policy.lint.routes import findings
from cors_authz.policy.overlap import MOST_ORIGIN_CROSSINGS, order_of
from cors_authz.policy.subject import Subject


def _crossing(count: int) -> str:
    """Write origin patterns of which each of the one half crosses each of the other."""
    half = [f'"https://{"b" * (number + 1)}-{{slug}}.x.example"' for number in range(count)]
    other = [f'"https://{{slug}}-{"b" * (number + 1)}.x.example"' for number in range(count)]
    return f"originGroups:\n  web: {{origins: [{', '.join(half + other)}], trust: high}}\n"


def test_a_search_without_an_end_is_refused(subject_from: Callable[..., Subject]) -> None:
    subject = subject_from(_crossing(15))
    (finding,) = findings(subject, order_of(subject))
    assert str(finding) == (
        f"policy.yaml:3:11: CX048 {MOST_ORIGIN_CROSSINGS} pairs of origin patterns match alike, "
        "neither being narrower; write narrower ones, or fewer"
    )


def test_a_search_that_ends_is_not(subject_from: Callable[..., Subject]) -> None:
    subject = subject_from(_crossing(3))
    assert list(findings(subject, order_of(subject))) == []


MANY_ORIGINS = ", ".join(f'"https://pr-{{digits}}-{number}.x.example"' for number in range(2_000))
MANY_GROUPS = "".join(
    f'  g{number}: {{match: [{{hosts: [h.x], paths: ["/a{number}-{{word}}/*/b"]}}], allow: []}}\n'
    for number in range(2_000)
)
MANY = f"originGroups:\n  web: {{origins: [{MANY_ORIGINS}], trust: high}}\nresourceGroups:\n{MANY_GROUPS}"


def test_patterns_that_end_or_begin_apart_are_hardly_compared(
    subject_from: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    # To search two million pairs would take ten thousand times as many steps.
    monkeypatch.setattr(overlap, "Effort", lambda: Effort(200_000))
    order = order_of(subject_from(MANY))
    assert (order.unfinished, order.origin_crossings, order.route_crossings) == (frozenset(), (), ())


APART = """\
originGroups:
  web: {origins: ["https://{digits}-a-{digits}.x.example", "https://{digits}-b-{digits}.x.example"], trust: high}
resourceGroups:
  a: {match: [{hosts: [h.x], paths: ["/a-{word}/{more}", "/{word}-b/*"]}], allow: []}
"""


TOO_LONG = "take too long to compare; write fewer, or such as begin or end in different text"


@pytest.mark.parametrize("steps", [10, 100])
def test_patterns_that_take_too_long_to_compare_are_refused(
    steps: int, subject_from: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "Effort", lambda: Effort(steps))
    subject = subject_from(APART)
    assert [str(finding) for finding in findings(subject, order_of(subject))] == [
        f"policy.yaml:3:11: CX048 the {kind} {TOO_LONG}" for kind in ("routes", "origin patterns")
    ]


def test_with_time_enough_they_are_not(subject_from: Callable[..., Subject]) -> None:
    subject = subject_from(APART)
    order = order_of(subject)
    assert (order.unfinished, list(findings(subject, order))) == (frozenset(), [])


def test_shadows_that_take_too_long_to_tell_are_refused(
    subject_from: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = subject_from(
        """\
        resourceGroups:
          wide: {match: [{hosts: [h.x], paths: ["/{word}/**"]}], allow: []}
          one: {match: [{hosts: [h.x], paths: ["/{word}"]}], allow: []}
          other: {match: [{hosts: [h.x], paths: ["/{word}/{more}/**"]}], allow: []}
        """
    )
    order = order_of(subject)
    assert [finding.code for finding in findings(subject, order)] == ["CX018"]
    monkeypatch.setattr(routes, "Effort", lambda: Effort(100))
    assert [str(finding) for finding in findings(subject, order)] == [f"policy.yaml:3:11: CX048 the routes {TOO_LONG}"]
