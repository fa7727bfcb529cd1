"""Equal values that are kept once."""

from __future__ import annotations

from cors_authz.policy.sharing import shared


def test_an_equal_value_is_the_one_that_was_given_before() -> None:
    first = shared(frozenset({"GET", "PUT"}))
    assert shared(frozenset({"PUT", "GET"})) is first


def test_a_set_and_a_list_of_the_same_names_stay_what_they_are() -> None:
    assert (shared(("etag",)), shared(frozenset({"etag"}))) == (("etag",), frozenset({"etag"}))
