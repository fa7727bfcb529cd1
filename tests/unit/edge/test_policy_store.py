"""The policy in force in one process: prepared beside the checks, swapped at once, and the former one freed."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cors_authz.edge.compiler import compile_into
from cors_authz.edge.generation import Generation, read_generation
from cors_authz.edge.jwks import KeySources
from cors_authz.edge.metrics.catalogue import (
    EXCEPTION_EXPIRES,
    POLICY,
    POLICY_LOADED,
    POLICY_NEWEST,
    RELOADS,
    TOKENS,
)
from cors_authz.edge.metrics.sample import Metric, Sample
from cors_authz.edge.parts import Held, PartsError
from cors_authz.edge.policy_store import ActivePolicy, PolicyStore, Prepared
from cors_authz.edge.tokens import TokenReader
from cors_authz.envoy.encode import Encoder
from cors_authz.policy.document import Source
from cors_authz.policy.load import load_policy

ISSUER = "https://id.example"


def text(revision: str, audience: str = "a", origins: int = 1) -> str:
    listed = ", ".join(f'"https://{revision}-{number}.example"' for number in range(origins))
    return f"""\
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {{name: p, revision: {revision}}}
identity:
  jwt:
    main: {{issuer: "{ISSUER}", audiences: [{audience}], keys: {{jwksUri: "{ISSUER}/keys"}}, algorithms: [ES256]}}
guards:
  known: {{authenticated: true}}
originGroups:
  web: {{origins: [{listed}, "https://*.{revision}.example"], trust: high}}
resourceGroups:
  api:
    match: [{{hosts: [api.example], paths: ["/{{version}}/x-{{id}}", "/{{version}}/y/**"]}}]
    versions: {{v1: {{}}}}
    guards: [known]
    allow:
    - {{origins: [web], methods: [POST]}}
"""


def generation(folder: Path, policy: str) -> Generation:
    """Compile a policy as the child does, through a file in place of the pipe."""
    file, pipe = folder / "policy.yaml", folder / "pipe"
    file.write_text(policy)
    with pipe.open("wb") as written:
        compile_into(written.write, file, "prod")
    with pipe.open("rb") as stream:
        return read_generation(stream, lambda: None)


@pytest.fixture
def keys() -> Iterator[KeySources]:
    sources = KeySources(lambda _: b'{"keys": []}', lambda: 0.0)
    yield sources
    sources.stop()


@pytest.fixture
def sleeps() -> list[float]:
    return []


@pytest.fixture
def store(keys: KeySources, sleeps: list[float]) -> PolicyStore:
    return PolicyStore(keys, sleeps.append)


def test_the_policy_in_force_is_the_one_that_was_compiled(tmp_path: Path, store: PolicyStore) -> None:
    store.put_in_force(generation(tmp_path, text("r1", origins=900)))
    there = load_policy([Source("policy.yaml", text("r1", origins=900).encode())], "prod").policy
    here = store.active.policy
    assert (here.groups, here.origins.exact, here.providers) == (there.groups, there.origins.exact, there.providers)
    assert here.origins.find("https://a.r1.example") == there.origins.find("https://a.r1.example") != ()


def test_before_the_first_policy_there_is_none_to_decide_by(store: PolicyStore) -> None:
    with pytest.raises(AttributeError):
        store.active  # noqa: B018 - reading it is the point


def test_what_is_prepared_is_in_force_only_when_it_is_swapped_in(tmp_path: Path, store: PolicyStore) -> None:
    store.put_in_force(generation(tmp_path, text("r1")))
    prepared = store.prepare(generation(tmp_path, text("r2")).parts)
    assert store.active.policy.revision == "r1"
    store.swap(prepared)
    assert store.active is prepared.active
    assert store.active.policy.revision == "r2"


def test_a_damaged_version_leaves_the_last_good_one_in_force(tmp_path: Path, store: PolicyStore) -> None:
    store.put_in_force(generation(tmp_path, text("r1")))
    damaged = generation(tmp_path, text("r2", origins=2_000)).parts[:-1]
    with pytest.raises(PartsError):
        store.put_in_force(Generation(generation(tmp_path, text("r2")).report, (*damaged, b"?")))
    assert (store.active.policy.revision, gc.isenabled()) == ("r1", True)


def test_nobody_is_waited_for_at_the_start_and_checks_get_their_turn_afterwards(
    tmp_path: Path, store: PolicyStore, sleeps: list[float]
) -> None:
    first = generation(tmp_path, text("r1", origins=2_000))
    store.put_in_force(first)
    assert sleeps == []
    second = generation(tmp_path, text("r2", origins=2_000))
    store.prepare(second.parts)
    assert sleeps == [0.001] * len(second.parts)


def test_the_former_policy_is_freed_once_no_check_uses_it(tmp_path: Path, store: PolicyStore) -> None:
    store.put_in_force(generation(tmp_path, text("r1", origins=2_000)))
    former = weakref.ref(store.active)
    frozen = gc.get_freeze_count()
    in_flight = store.active
    store.put_in_force(generation(tmp_path, text("r2")))
    assert in_flight.policy.origins.find("https://r1-7.example")
    del in_flight
    # The next one waits until there is room.
    store.prepare(generation(tmp_path, text("r3")).parts)
    assert former() is None
    assert gc.get_freeze_count() < frozen - 2_000


def test_the_sources_of_keys_that_no_provider_uses_any_longer_are_stopped(tmp_path: Path, store: PolicyStore) -> None:
    store.put_in_force(generation(tmp_path, text("r1")))
    assert f"keys {ISSUER}/keys" in {thread.name for thread in threading.enumerate()}
    store.put_in_force(generation(tmp_path, text("r2").replace("/keys", "/others")))
    assert f"keys {ISSUER}/keys" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(("audience", "remembered"), [("a", True), ("b", False)])
def test_verified_tokens_are_remembered_for_as_long_as_the_providers_stay_the_same(
    audience: str,
    remembered: object,
    tmp_path: Path,
    store: PolicyStore,
) -> None:
    store.put_in_force(generation(tmp_path, text("r1")))
    before = store.active.tokens
    store.put_in_force(generation(tmp_path, text("r2", audience)))
    assert (store.active.tokens is before) is remembered


def sampled(store: PolicyStore, metric: Metric) -> dict[tuple[str, ...], object]:
    return {sample.labels: sample.value for sample in store.samples() if sample.metric is metric}


def test_before_the_first_policy_nothing_is_said_of_one(store: PolicyStore) -> None:
    assert list(store.samples()) == [Sample(RELOADS, ("in_force",), 0), Sample(RELOADS, ("refused",), 0)]


def test_it_is_told_which_policy_is_in_force_and_since_when(tmp_path: Path, keys: KeySources) -> None:
    store = PolicyStore(keys, lambda _: None, lambda: 50.0)
    store.put_in_force(generation(tmp_path, text("r1")))
    store.say_newest(in_force=True)
    assert sampled(store, POLICY) == {("p", "r1", "prod"): 1}
    assert sampled(store, POLICY_LOADED) == {(): 50.0}
    assert sampled(store, POLICY_NEWEST) == {(): 1}
    assert sampled(store, TOKENS) == {("remembered",): 0, ("verified",): 0}
    store.put_in_force(generation(tmp_path, text("r2")))
    assert sampled(store, POLICY) == {("p", "r2", "prod"): 1}
    assert sampled(store, RELOADS) == {("in_force",): 2, ("refused",): 0}


def test_each_refusal_is_counted_and_what_is_only_on_its_way_is_none(tmp_path: Path, store: PolicyStore) -> None:
    store.put_in_force(generation(tmp_path, text("r1")))
    # Right after a swap, this says that a newer version is being compiled.
    store.say_newest(in_force=False)
    assert (sampled(store, POLICY_NEWEST), sampled(store, RELOADS)[("refused",)]) == ({(): 0}, 0)
    store.say_newest(in_force=False)
    store.say_newest(in_force=False)
    assert (sampled(store, POLICY_NEWEST), sampled(store, RELOADS)[("refused",)]) == ({(): 0}, 2)
    store.put_in_force(generation(tmp_path, text("r2")))
    store.say_newest(in_force=True)
    assert (sampled(store, POLICY_NEWEST), sampled(store, RELOADS)[("refused",)]) == ({(): 1}, 2)


def test_the_ends_of_exceptions_are_told_until_a_day_after(keys: KeySources) -> None:
    now = 1_800_000_000.0
    store = PolicyStore(keys, lambda _: None, lambda: now)
    ends = {"later": now + 5, "sooner": now + 1, "ended": now - 86_400, "long ago": now - 86_401}
    many = {f"EX-{number}": now + 10 + number for number in range(300)}
    policy = replace(
        load_policy([Source("policy.yaml", text("r1").encode())], "prod").policy, exceptions_until=many | ends
    )
    store.swap(Prepared(ActivePolicy(policy, Encoder(policy), TokenReader({}, {})), Held()))
    told = sampled(store, EXCEPTION_EXPIRES)
    assert list(told.items())[:4] == [
        (("ended",), now - 86_400),
        (("sooner",), now + 1),
        (("later",), now + 5),
        (("EX-0",), now + 10),
    ]
    assert len(told) == 200
