"""The collector around loading: at rest within, as before after it, and nothing piles up over many reloads."""

from __future__ import annotations

import gc

import pytest

from cors_authz.edge.collector import collector_at_rest
from cors_authz.policy.document import Source
from cors_authz.policy.load import load_policy

POLICY = b"""apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {name: p}
originGroups:
  web: {origins: ["https://x.example", "https://*.y.example"]}
resourceGroups:
  api:
    match: [{hosts: [api.x.example]}]
    allow:
    - {origins: [web]}
"""


def test_the_collector_rests_within_and_runs_again_afterwards_whatever_happens() -> None:
    def fails() -> None:
        with collector_at_rest():
            assert not gc.isenabled()
            raise ValueError

    assert gc.isenabled()
    with pytest.raises(ValueError, match=r"^$"):
        fails()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collector_at_rest():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_policies_that_were_replaced_are_freed_though_the_collector_no_longer_sees_them() -> None:
    _reload()
    before = gc.get_freeze_count()
    for _ in range(20):
        _reload()
    assert gc.get_freeze_count() - before < before / 100


def _reload() -> None:
    with collector_at_rest():
        load_policy([Source("p.yaml", POLICY)], "prod")
