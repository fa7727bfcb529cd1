"""From text to a policy that decides: what refuses, what is kept, and what several environments say alike."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cors_authz.edge.policy_files import read_sources
from cors_authz.policy import load
from cors_authz.policy.document import Source
from cors_authz.policy.finding import PolicyError, Severity, UnknownEnvironmentError
from cors_authz.policy.load import check_policy, load_policy
from cors_authz.policy.overlap import Order, order_of
from cors_authz.policy.subject import Subject
from tests.deciding import environments_of

REFERENCE = Path(__file__).parents[2] / "policies" / "reference"
HEAD = "apiVersion: cors-authz/v1\nkind: PolicyBundle\nmetadata: {name: p}\n"
LOOPBACK = """\
originGroups:
  local: {origins: ["http://localhost:3000"], trust: high}
resourceGroups:
  api:
    match:
    - {hosts: [api.example]}
    allow:
    - {origins: [local], methods: [GET]}
"""
SUPPRESSED = """\
originGroups:
  web: {origins: ["https://shop.example"], trust: high, reviewBy: 2026-01-01}
resourceGroups:
  api:
    match:
    - {hosts: [api.example]}
    allow:
    - {origins: [web], methods: [GET], headers: ["*"]}
suppressions:
- {finding: CX011, at: resourceGroups/api, reason: any header will do, by: ada, until: 2027-01-31}
"""


def sources(text: str) -> tuple[Source, ...]:
    return (Source("policy.yaml", (HEAD + text).encode()),)


def told(text: str, environment: str | None = None, now: datetime | None = None) -> list[str]:
    found = check_policy(sources(text), environment, now)
    return [f"{f.severity.value} {f.place.line} {f.code}{' suppressed' * f.suppressed}" for f in found]


@pytest.mark.parametrize("path", sorted(REFERENCE.iterdir()), ids=lambda path: path.stem)
def test_a_policy_that_check_passes_loads_in_each_environment(path: Path) -> None:
    read = read_sources(path)
    assert not [str(f) for f in check_policy(read) if f.severity is Severity.ERROR]
    for environment in environments_of(read):
        assert load_policy(read, environment).policy.environment == environment


@pytest.mark.parametrize(("tag", "orders"), [("", 1), (", environments: [prod]", 2)])
def test_environments_in_which_the_same_matches_are_put_in_order_once(
    tag: str, orders: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered: list[Subject] = []

    def counted(subject: Subject) -> Order:
        ordered.append(subject)
        return order_of(subject)

    monkeypatch.setattr(load, "order_of", counted)
    check_policy(sources(LOOPBACK.replace("trust: high", f"trust: high{tag}")))
    assert len(ordered) == orders


def test_what_each_environment_says_is_said_once() -> None:
    assert told(LOOPBACK).count("E 5 CX006") == 1
    assert told(LOOPBACK, "staging").count("E 5 CX006") == 1


def test_an_environment_is_refused_for_its_own_errors_alone() -> None:
    assert load_policy(sources(LOOPBACK), "dev").policy.environment == "dev"
    with pytest.raises(PolicyError, match="CX006"):
        load_policy(sources(LOOPBACK), "prod")


def test_an_undeclared_environment_is_refused_with_the_declared_ones() -> None:
    declared = "environments: {prod-eu: {like: prod}, uat: {like: staging}}\n"
    assert environments_of(sources(LOOPBACK + declared)) == ("prod-eu", "uat")
    for ask in (check_policy, load_policy):
        with pytest.raises(UnknownEnvironmentError) as raised:
            ask(sources(LOOPBACK + declared), "prod")
        assert str(raised.value) == "the policy declares no environment `prod`; it declares prod-eu, uat"


def test_a_policy_error_holds_every_error_and_nothing_else() -> None:
    text = LOOPBACK.replace("api.example", "API.example").replace("http://localhost:3000", "null")
    with pytest.raises(PolicyError) as raised:
        load_policy(sources(text), "prod")
    assert [(f.place.line, f.code, f.severity) for f in raised.value.findings] == [
        (5, "CX002", Severity.ERROR),
        (9, "CX003", Severity.ERROR),
    ]
    assert str(raised.value).splitlines() == [str(f) for f in raised.value.findings]


@pytest.mark.parametrize(
    "text", [b"", b"# nothing\n", b"\xff", b"a: [", b"- x\n", b"&a [*a]", HEAD.encode() * 2, b"[" * 5000, b"{" * 5000]
)
def test_whatever_the_text_check_says_something_and_load_raises(text: bytes) -> None:
    source = (Source("policy.yaml", text),)
    assert check_policy(source)
    assert check_policy(source, "moon")
    with pytest.raises(PolicyError):
        load_policy(source, "prod")


def test_no_file_at_all_is_a_policy_that_is_empty() -> None:
    assert [(f.place.file, f.code) for f in check_policy(())] == [("policy", "CX046")]


def test_findings_are_in_the_order_of_the_files_as_given() -> None:
    files = [Source(name, b"kind: x\n") for name in ("b.yaml", "a.yaml")]
    assert [f.place.file for f in check_policy(files) if f.code == "CX046"][::2] == ["b.yaml", "a.yaml"]


FILES = (
    Source("b.yaml", f"{HEAD}originGroups: {{b: {{origins: [https://B.example], trust: high}}}}\n".encode()),
    Source(
        "a.yaml",
        b"apiVersion: cors-authz/v1\nkind: PolicyPart\nmetadata: {name: q, owner: web}\n"
        b"originGroups: {a: {origins: [https://A.example, https://C.example], trust: high}}\n",
    ),
)


@pytest.mark.parametrize("files", [FILES, FILES[::-1]], ids=["b before a", "a before b"])
def test_findings_of_lint_are_in_the_order_of_the_files_as_given_then_by_place(files: tuple[Source, ...]) -> None:
    found = [tuple(f.place) for f in check_policy(files) if f.code == "CX003"]
    b, a = [("b.yaml", 4, 30)], [("a.yaml", 4, 30), ("a.yaml", 4, 49)]
    assert found == (b + a if files is FILES else a + b)


SUPPRESSIONS = {
    "no clock: each holds": (None, "CX011 suppressed"),
    "before its end it holds": (datetime(2027, 1, 30, 23, 59, tzinfo=UTC), "CX011 suppressed"),
    "at its end it holds no longer": (datetime(2027, 1, 31, tzinfo=UTC), "CX011"),
}


@pytest.mark.parametrize(("now", "said"), SUPPRESSIONS.values(), ids=SUPPRESSIONS)
def test_a_suppression_marks_what_it_covers(now: datetime | None, said: str) -> None:
    assert {line[5:] for line in told(SUPPRESSED, "prod", now) if "CX011" in line} == {said}


@pytest.mark.parametrize(("now", "said"), SUPPRESSIONS.values(), ids=SUPPRESSIONS)
def test_a_policy_loads_with_its_warnings_and_what_is_suppressed_of_them(now: datetime | None, said: str) -> None:
    loaded = load_policy(sources(SUPPRESSED), "prod", now)
    assert loaded.findings == check_policy(sources(SUPPRESSED), "prod", now)
    assert {f"{f.code}{' suppressed' * f.suppressed}" for f in loaded.findings if f.code == "CX011"} == {said}


def test_a_revision_that_the_policy_names_is_its_revision() -> None:
    text = (HEAD + LOOPBACK).replace("{name: p}", "{name: p, revision: 2026-11.4}")
    assert load_policy((Source("policy.yaml", text.encode()),), "dev").policy.revision == "2026-11.4"


PART = """\
apiVersion: cors-authz/v1
kind: PolicyPart
metadata: {name: web, owner: web}
originGroups:
  web: {origins: ["https://shop.example"], trust: high}
"""
USES_PART = """\
resourceGroups:
  api:
    match:
    - {hosts: [api.example]}
    allow:
    - {origins: [web]}
"""


def test_what_a_broken_document_may_define_is_not_called_unknown() -> None:
    (bundle,) = sources(USES_PART)
    broken = Source("part.yaml", (PART + "originGroup: {}\n").encode())
    assert [str(f.place) for f in check_policy((bundle, broken)) if f.severity is Severity.ERROR] == ["part.yaml:6:1"]


def test_what_no_document_defines_is_unknown() -> None:
    assert [str(f.place) for f in check_policy(sources(USES_PART)) if f.code == "CX046"] == ["policy.yaml:9:18"]
