"""Routes and patterns that match alike: the bound of the search; the findings themselves are golden."""

from __future__ import annotations

from collections.abc import Callable

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
