"""How the lint tests read a policy: from text to its subject in one environment, and to what rules say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from textwrap import dedent
from typing import TypeAlias

import pytest

from cors_authz.policy.document import Source, read_documents
from cors_authz.policy.estate import unite
from cors_authz.policy.finding import Finding
from cors_authz.policy.subject import Subject, read_patterns, subject_of

Text: TypeAlias = str | dict[str, str]
Rules: TypeAlias = Iterable[Callable[[Subject], Iterator[Finding]]]

HEADER = "apiVersion: cors-authz/v1\nkind: PolicyBundle\nmetadata: {name: p}\n"
"""Stands in front of a text without one, so the first line that a test writes is line 4."""


def _source(name: str, text: str) -> Source:
    plain = dedent(text).removeprefix("\n")
    whole = plain if "apiVersion:" in plain else HEADER + plain
    return Source(name, whole.encode())


def _subject_from(text: Text, environment: str = "prod") -> Subject:
    texts = {"policy.yaml": text} if isinstance(text, str) else text
    documents, unread = read_documents([_source(name, text) for name, text in texts.items()])
    assert unread == ()
    estate, doubles = unite(documents)
    assert estate is not None
    assert doubles == ()
    return subject_of(estate, read_patterns(estate), estate.environments[environment])


def _lint(rules: Rules, text: Text, environment: str = "prod") -> list[str]:
    subject = _subject_from(text, environment)
    return [f"{finding.severity.value} {finding}" for rule in rules for finding in rule(subject)]


@pytest.fixture
def subject_from() -> Callable[..., Subject]:
    """Give the function that reads a policy, one text or several by file name, as it stands in an environment."""
    return _subject_from


@pytest.fixture
def lint() -> Callable[..., list[str]]:
    """Give the function that writes what rules say of a policy: `E policy.yaml:4:3: CX001 …`, in the rules' order."""
    return _lint
