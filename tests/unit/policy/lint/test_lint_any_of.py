"""Guards that stand on guards: the last that is not too much, the first that is, and chains that once had no end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import orjson
import pytest

from cors_authz.policy.document import Source
from cors_authz.policy.lint import any_of
from cors_authz.policy.lint.any_of import MOST_LEVELS, MOST_MEMBERS, guards_outside_circles, reached_guards
from cors_authz.policy.load import check_policy
from cors_authz.policy.subject import Subject

LEAF: Final = "leaf: {sourceIn: [10.0.0.0/8]}, other: {sourceIn: [10.0.0.0/8]}"


def _guards(members: Mapping[str, Sequence[str]]) -> str:
    written = "".join(f", {name}: {{anyOf: [{', '.join(of)}]}}" for name, of in members.items())
    return f"guards: {{{LEAF}{written}}}\n"


def _chain(levels: int) -> dict[str, list[str]]:
    return {f"g{n}": [f"g{n + 1}" if n < levels - 1 else "leaf", "other"] for n in range(levels)}


@pytest.mark.parametrize("levels", [1, MOST_LEVELS])
def test_so_many_levels_are_fine(levels: int, lint: Callable[..., list[str]]) -> None:
    assert lint(any_of.RULES, _guards(_chain(levels))) == []


def test_more_levels_are_said_of_the_innermost_guard(lint: Callable[..., list[str]]) -> None:
    (said,) = lint(any_of.RULES, _guards(_chain(MOST_LEVELS + 3)))
    assert said.partition(": ")[2] == (
        f"CX048 `g2` has anyOf within anyOf {MOST_LEVELS + 1} deep; {MOST_LEVELS} is the most: name the last ones here"
    )


def _counted(count: int) -> dict[str, list[str]]:
    """Write a guard with so many members, half of which it has by way of another."""
    half = ["leaf"] * (count // 2 - 1)
    return {"inner": half, "outer": ["inner", "other", *half][: count - len(half)]}


def test_so_many_members_are_fine_and_one_more_is_said(lint: Callable[..., list[str]]) -> None:
    assert lint(any_of.RULES, _guards(_counted(MOST_MEMBERS))) == []
    more = _counted(MOST_MEMBERS)
    more["outer"].append("leaf")
    (said,) = lint(any_of.RULES, _guards({**more, "above": ["outer", "leaf"]}))
    assert said.partition(": ")[2] == (
        f"CX048 `outer` asks more than {MOST_MEMBERS} guards by anyOf, the most there may be: merge some of them"
    )


def test_guards_are_reached_before_their_members_each_once(subject_from: Callable[..., Subject]) -> None:
    guards = subject_from(_guards({"a": ["b", "nobody", "leaf"], "b": ["a", "other"]})).estate.guards
    assert [guard.name for guard in reached_guards(guards, "a")] == ["a", "b", "other", "leaf"]
    assert list(reached_guards(guards, "nobody")) == []


def test_circles_and_what_leads_to_one_are_left_out(subject_from: Callable[..., Subject]) -> None:
    members = {"to": ["one", "leaf"], "one": ["two", "leaf"], "two": ["one", "leaf"], "fine": ["leaf", "other"]}
    guards = subject_from(_guards(members)).estate.guards
    assert [guard.name for guard in guards_outside_circles(guards)] == ["leaf", "other", "fine"]


def _policy(**keys: object) -> Source:
    policy = {
        "apiVersion": "cors-authz/v1",
        "kind": "PolicyBundle",
        "metadata": {"name": "p"},
        "resourceGroups": {"g": {"match": [{"hosts": ["a.example"]}], "allow": [], **keys.pop("group", {})}},  # type: ignore[dict-item]
        **keys,
    }
    return Source("policy.yaml", orjson.dumps(policy))


def test_a_chain_of_1600_guards_has_findings_with_their_places() -> None:
    guards: dict[str, object] = {f"g{n}": {"anyOf": [f"g{n + 1}", f"g{n + 2}"]} for n in range(1600)}
    guards |= {"g1600": {"sourceIn": ["10.0.0.0/8"]}, "g1601": {"sourceIn": ["10.0.0.0/8"]}}
    said = check_policy([_policy(guards=guards, group={"guards": ["g0"]})])
    bounds = [finding for finding in said if finding.code == "CX048"]
    assert [finding.about for finding in bounds] == [f"guards/g{1600 - MOST_LEVELS - 1}"]
    assert bounds[0].place.column > 1


def test_a_chain_of_1600_classes_is_resolved() -> None:
    classes: dict[str, object] = {f"c{n}": {"like": f"c{n + 1}"} for n in range(1600)}
    classes["c1600"] = {"like": "restricted"}
    said = check_policy([_policy(sensitivityClasses=classes, group={"sensitivity": "c0"})])
    assert [str(finding) for finding in said if finding.severity.value == "E"] == []
