"""The static facts of the reference policies, against files that a reviewer reads; and each objection to a push down.

A golden file is written anew by removing it and running the test twice: the first run fails and writes.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from cors_authz.edge.policy_files import read_sources
from cors_authz.policy.document import Source
from cors_authz.policy.inspect import GroupFacts, facts_of
from cors_authz.policy.load import load_policy
from tests.deciding import environments_of

REFERENCE = Path(__file__).parents[2] / "policies" / "reference"
GOLDEN = Path(__file__).parent / "golden"
PLAIN = """\
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {name: p}
originGroups:
  anyone: {any: true}
resourceGroups:
  assets:
    match:
    - {hosts: [cdn.example]}
    sensitivity: public
    unlisted: {embeds: forward, navigations: forward}
    allow:
    - {origins: [anyone], methods: [GET]}
"""


def facts(text: str) -> GroupFacts:
    loaded = load_policy([Source("p.yaml", text.encode())], "prod")
    (group,) = facts_of(loaded.policy, loaded.subject)
    return group


@pytest.mark.parametrize("path", sorted(REFERENCE.iterdir()), ids=lambda path: path.stem)
def test_the_facts_of_a_reference_policy(path: Path) -> None:
    sources = read_sources(path)
    loaded = load_policy(sources, environments_of(sources)[0])
    said = [json.dumps(asdict(group), indent=1) for group in facts_of(loaded.policy, loaded.subject)]
    shown = "\n".join(said) + "\n"
    golden = GOLDEN / f"{path.stem}.txt"
    if not golden.exists():
        golden.write_text(shown)
        pytest.fail(f"{golden.name} was not there; read it, and run again")
    assert shown == golden.read_text()


def test_a_public_group_may_be_pushed_down_and_varies_by_nothing() -> None:
    group = facts(PLAIN)
    assert (group.push_down, group.vary, group.identity, group.rules[0].origins) == ("", (), (), ("any",))


OBJECTIONS = {
    "a guard": ("unlisted:", "guards: [office]\n    unlisted:", "guards decide by caller"),
    "a version": (
        "unlisted:",
        "versionFrom: {query: v, default: v1}\n    versions: {v1: {}}\n    unlisted:",
        "versions are known and retire",
    ),
    "other sites' writes": ("embeds: forward", "embeds: deny", "other sites' loads and writes are judged one by one"),
}


@pytest.mark.parametrize(("old", "new", "objection"), OBJECTIONS.values(), ids=OBJECTIONS)
def test_what_objects_to_a_push_down(old: str, new: str, objection: str) -> None:
    assert facts(PLAIN.replace(old, new) + "guards: {office: {sourceIn: [10.0.0.0/8]}}\n").push_down == objection
