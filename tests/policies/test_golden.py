"""One policy per mistake: what is said of it, and where, to the letter.

A case is a YAML file, read under the name `policy.yaml`, or a directory, whose files keep their names. Leading comments
`# expect: <file>:<line>:<column>: <code> <text>` say what must be found; no other error may be.
"""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from cors_authz.policy.document import Source
from cors_authz.policy.finding import Severity
from cors_authz.policy.load import check_policy

MISTAKES: Final = Path(__file__).parent / "mistakes"
EXPECT: Final = "# expect: "


class Case(NamedTuple):
    """The files of a policy, and every finding that they announce."""

    sources: tuple[Source, ...]
    expected: frozenset[str]


def _sources(path: Path) -> tuple[Source, ...]:
    if path.is_file():
        return (Source("policy.yaml", path.read_bytes()),)
    files = sorted(file for file in path.rglob("*.yaml"))
    return tuple(Source(file.relative_to(path).as_posix(), file.read_bytes()) for file in files)


def _announced(source: Source) -> list[str]:
    comments = takewhile(lambda line: line.startswith("#"), source.data.decode().splitlines())
    return [line.removeprefix(EXPECT) for line in comments if line.startswith(EXPECT)]


def _case(path: Path) -> Case:
    sources = _sources(path)
    return Case(sources, frozenset(line for source in sources for line in _announced(source)))


CASES: Final = {path.stem: _case(path) for path in sorted(MISTAKES.iterdir())}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_mistake_is_told_to_the_letter(case: Case) -> None:
    assert case.expected
    findings = check_policy(case.sources, None)
    said = {str(finding) for finding in findings}
    errors = {str(finding) for finding in findings if finding.severity is Severity.ERROR}
    assert sorted(case.expected - said) == []
    assert sorted(errors - case.expected) == []


SAMPLES: Final = (
    "CX046 `accounts` is defined in two documents (also teams/retail.yaml:9:3); names are global: rename one",
    "CX046 `*m`: aliases are not read; give the list a name in headerSets",
    "CX006 `http://localhost:3000` is a loopback origin and would be open in prod; tag the group `environments: [dev]`",
    "CX003 `https://MyApp.com/` is not an origin; write `https://myapp.com`: lower case, no path",
    "CX003 `https://myapp.com:443` can never match: browsers leave out the default port; write `https://myapp.com`",
    (
        "CX003 `https://*-shop.example`: `*.` replaces whole labels; for a part of a label use a slot, such as"
        " `https://{slug}-shop.example`"
    ),
    (
        "CX002 `null` is the origin of every sandbox, redirect and local file, so it names nobody; serve the page from"
        " an origin of its own"
    ),
    (
        "CX004 `https://pr-{digits}.vercel.app`: strangers can register names under `vercel.app`; use your own domain,"
        " or say dangerouslySharedSuffix: true"
    ),
    "CX014 `app` has trust high, but a web view's origin is shared by other apps; medium is the most",
    (
        "CX017 `health` and `api` both match `api.shop.example/healthz` and neither is narrower (the one by path, the"
        " other by host); add `{hosts: [api.shop.example], paths: [/healthz]}` to the group that shall win"
    ),
    "CX047 `/**/orders`: `**` stands last; write one entry per depth, such as `/*/orders`",
    'CX047 `versions`, but no `{version}` slot in match and no `versionFrom`; write paths: ["/{version}/orders/**"]',
    "CX001 `anyone` with credentials [cookie]: any site could act as the user; list the origins",
    "CX008 `authorization` is a credential; say `credentials: [bearer]`",
    "CX010 `*` in exposeHeaders is taken literally once cookies travel; name the headers",
    (
        "CX017 `orders/1` and `orders/2` both match `https://pr-7.x.shop.example` and neither pattern is narrower; give"
        " the shared ones a rule of their own"
    ),
    (
        "CX046 class confidential names guard `colleague`, which teams/wealth.yaml defines; a class's guards stand in"
        " the PolicyBundle"
    ),
    "CX014 class restricted: maxAge 2h is looser than the built-in 5m; a class may only be tightened",
    (
        "CX014 `previews` has trust low; class restricted demands high: raise the group's trust with its owner, or move"
        " the route"
    ),
    "CX015 `clerk` reads roles and a preflight carries no identity; drop `phase: both`",
    "CX047 `fresh-login` reads a token and there are two providers; add provider: customers | staff",
    "CX030 `dashboard` is not per tenant; an overlay may fill: partners",
    "CX024 EX-2026-014 has no `until`; an exception ends: write until: 2026-12-11T00:00:00Z",
    (
        "CX029 EX-2026-014 opens `payments`, and class restricted admits no exception; change the policy, signed by its"
        " owner and by security"
    ),
    "CX025 EX-2026-014: `ada` approves their own request; another person with role security must sign",
    "CX031 `pay.meridian.example/{version}/orders/**` is not governed by team `wealth`; its owner is `payments`",
    "CX023 CX001 is an error and cannot be suppressed",
    "CX047 rollout.steps end at 50%; the last step is 100%",
)
"""Every message that the reference of the language shows."""


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample[:60] for sample in SAMPLES])
def test_every_sample_of_the_reference_has_its_case(sample: str) -> None:
    announced = {line.split(": ", 1)[1] for case in CASES.values() for line in case.expected}
    assert sample in announced
