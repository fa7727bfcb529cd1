"""The shape of the language: what the reference policies say, and what is wrong with each of many slips."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from jsonschema import Draft202012Validator

from cors_authz.policy.document import Source, read_documents
from cors_authz.policy.forms import DATE, INSTANT, moment_of
from cors_authz.policy.json_schema import json_schema
from cors_authz.policy.schema import KINDS, AllowRule, HeaderSet, PolicyBundle, ResourceGroup, TenantOverlay

REFERENCE = Path(__file__).parents[2] / "policies" / "reference"
FILES = sorted(REFERENCE.rglob("*.yaml"))
HEAD = "apiVersion: cors-authz/v1\nkind: PolicyBundle\nmetadata: {name: shop}\n"
PART = "apiVersion: cors-authz/v1\nkind: PolicyPart\n"
OVERLAY = (
    "apiVersion: cors-authz/v1\nkind: TenantOverlay\nmetadata: {tenant: acme, contact: a@acme.example, ticket: T-1}\n"
)

EDITOR = Draft202012Validator(json_schema())


class _AsEditorsRead(yaml.SafeLoader):
    """Reads dates as text, as YAML 1.2 does."""


_AsEditorsRead.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if not tag.endswith((":timestamp", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def flagged(text: str) -> bool:
    """Tell whether an editor with our JSON Schema flags the document."""
    return not EDITOR.is_valid(yaml.load(text, Loader=_AsEditorsRead))  # noqa: S506 -- a SafeLoader


def said(text: str) -> list[str]:
    return [str(finding) for finding in read_documents([Source("p.yaml", text.encode())])[1]]


def read(text: str) -> Any:  # noqa: ANN401 -- one of the three models
    (document,), findings = read_documents([Source("p.yaml", text.encode())])
    assert findings == ()
    return document.model


class Slip(NamedTuple):
    """A document, what is said of it, and whether JSON Schema can see it, too."""

    text: str
    findings: list[str]
    flagged: bool = True


def group(body: str) -> str:
    return HEAD + f"originGroups: {{web: {{{body}}}}}\n"


def routes(body: str) -> str:
    return HEAD + f"resourceGroups: {{api: {{match: [{{hosts: [a.example]}}], allow: [], {body}}}}}\n"


def rule(body: str) -> str:
    return HEAD + f"resourceGroups: {{api: {{match: [{{hosts: [a.example]}}], allow: [{{origins: [web], {body}}}]}}}}\n"


def allow(body: str) -> str:
    return HEAD + f"resourceGroups: {{api: {{match: [{{hosts: [a.example]}}], allow: [{{{body}}}]}}}}\n"


def provider(algorithms: str) -> str:
    keys = "issuer: 'https://a.x', audiences: [a], keys: {jwksUri: 'https://a.x/j'}"
    return HEAD + f"identity: {{jwt: {{main: {{{keys}, algorithms: [{algorithms}]}}}}}}\n"


def guard(body: str) -> str:
    return HEAD + f"guards: {{clerk: {{{body}}}}}\n"


def exception(*leave_out: str, **other: str) -> str:
    keys = {
        "grant": "{resourceGroups: [api], origins: [https://a.example], methods: [GET]}",
        "from": "2026-11-20T00:00:00Z",
        "until": "2026-12-11T00:00:00Z",
        "reason": "the client is late",
        "ticket": "SEC-902",
        "requestedBy": "kim",
        "approvals": "[{by: ada, role: security, at: 2026-11-19T10:00:00Z}]",
        **other,
    }
    lines = [f"    {key}: {value}\n" for key, value in keys.items() if key not in leave_out]
    return HEAD + "exceptions:\n  EX-2026-014:\n" + "".join(lines)


NO_SCRIPT = "or allow: [] to let in no script of another origin"
NAME_A_GROUP = "put it in originGroups and name the group here"
NO_GROUP = "`*` names no origin group; say `anyone: {any: true}` in originGroups and name it"
NO_ISSUER = "signs with a shared secret, which verifies no issuer; use one of RS256, ES256, EdDSA"
NOT_A_DATE = "write 2027-06-30 (from 00:00:00Z on) or 2026-11-20T00:00:00Z, in UTC"

SLIPS: dict[str, Slip] = {
    # --- keys
    "an unknown key near a known one": Slip(
        routes("protocol: [http]"),
        ["p.yaml:4:66: CX046 `protocol` is not a key of a resource group; did you mean `protocols`?"],
    ),
    "a key in the case of Python": Slip(
        rule("max_age: 1m"), ["p.yaml:4:80: CX046 `max_age` is not a key of an allow rule; did you mean `maxAge`?"]
    ),
    "an unknown key near none": Slip(
        HEAD + "headerSets: {api: {foo: [x]}}\n",
        ["p.yaml:4:20: CX046 `foo` is not a key of a header set; its keys are `request`, `expose`"],
    ),
    "a key that stands only in the bundle": Slip(
        PART + "metadata: {name: a, owner: b}\nteams: {}\n",
        ["p.yaml:4:1: CX046 `teams` is not a key of a PolicyPart; it stands in the PolicyBundle: move it there"],
    ),
    "a part without an owner": Slip(
        PART + "metadata: {name: a}\n",
        ["p.yaml:3:1: CX046 `metadata` has no `owner`; the metadata of a PolicyPart needs one: add owner"],
    ),
    "a key in brackets": Slip(
        HEAD + "headerSets: {api: {'[key]': [x]}}\n",
        ["p.yaml:4:20: CX046 `[key]` is not a key of a header set; its keys are `request`, `expose`"],
    ),
    "a document without metadata": Slip(
        PART, ["p.yaml:1:1: CX046 the document has no `metadata`; a PolicyPart needs one: add metadata"]
    ),
    "a group without its rules": Slip(
        HEAD + "resourceGroups:\n  api:\n    match: [{hosts: [a.example]}]\n",
        [f"p.yaml:5:3: CX046 `api` has no `allow`; a resource group needs one: write its rules, {NO_SCRIPT}"],
    ),
    "an entry of a list without a required key": Slip(
        HEAD + "resourceGroups: {api: {allow: [], match: [{hosts: [a.example]}, {paths: [/]}]}}\n",
        ["p.yaml:4:65: CX046 entry 2 of `match` has no `hosts`; a match entry needs one: add hosts"],
    ),
    "an object without its value": Slip(
        HEAD + "guards:\n  clerk:\n", ["p.yaml:5:9: CX046 `clerk` has no value; write one or leave it out"]
    ),
    "a required key without its value": Slip(
        HEAD + "resourceGroups: {api: {allow: , match: [{hosts: [a.example]}]}}\n",
        [f"p.yaml:4:31: CX046 `allow` has no value; write one, {NO_SCRIPT}"],
    ),
    # --- names
    "a name in upper case": Slip(
        HEAD + "teams: {Web_Team: {contact: a}}\n", ["p.yaml:4:9: CX046 `Web_Team` is not a name; write `web-team`"]
    ),
    "a name that nothing is left of": Slip(
        group("origins: ['app://x'], owner: ÄÖ"),
        [
            "p.yaml:4:51: CX046 `ÄÖ` is not a name; write lower-case letters, digits and `-`, at most 63 characters",
        ],
    ),
    "a name of 64 characters": Slip(
        group("origins: ['app://x'], owner: " + "a" * 64),
        [
            (
                f"p.yaml:4:51: CX046 `{'a' * 64}` is not a name; write lower-case letters, digits and `-`, at most 63 "
                "characters"
            )
        ],
    ),
    "an origin for an origin group": Slip(
        allow("origins: ['https://shop.example', web]"),
        [f"p.yaml:4:74: CX046 `https://shop.example` is an origin; a rule names origin groups: {NAME_A_GROUP}"],
    ),
    "an origin for the list of origin groups": Slip(
        allow("origins: app://shop"),
        [
            (
                "p.yaml:4:73: CX046 `origins` wants a list of text, not the text `app://shop`; `app://shop` is an"
                f" origin; a rule names origin groups: {NAME_A_GROUP}"
            )
        ],
    ),
    "every origin for an origin group": Slip(allow("origins: ['*']"), [f"p.yaml:4:74: CX046 {NO_GROUP}"]),
    "origins for the origin groups that may see timing": Slip(
        routes("responseHeaders: {timingAllowOrigin: ['https://shop.example', '*']}"),
        [
            (
                "p.yaml:4:104: CX046 `https://shop.example` is an origin; `timingAllowOrigin` names origin groups:"
                f" {NAME_A_GROUP}"
            ),
            f"p.yaml:4:128: CX046 {NO_GROUP}",
        ],
    ),
    "a URL for a name of another kind": Slip(
        rule("guards: ['https://x']"), ["p.yaml:4:89: CX046 `https://x` is not a name; write `https-x`"]
    ),
    "a URL for the name of an object": Slip(
        HEAD + "teams: {'https://x': {contact: a}}\n", ["p.yaml:4:9: CX046 `https://x` is not a name; write `https-x`"]
    ),
    "an exception with a name of its own kind": Slip(
        exception().replace("EX-2026-014", "late-client"),
        [
            (
                "p.yaml:5:3: CX046 `late-client` is not the name of an exception; write `EX-`, then "
                "upper-case letters, "
                "digits and `-`"
            )
        ],
    ),
    # --- algorithms
    "a shared secret for the key of an issuer": Slip(
        provider("ES256, HS256, hs512"),
        [f"p.yaml:4:118: CX046 `HS256` {NO_ISSUER}", f"p.yaml:4:125: CX046 `hs512` {NO_ISSUER}"],
    ),
    "an algorithm that is not read": Slip(
        provider("ES384"),
        ["p.yaml:4:111: CX046 entry 1 of `algorithms` takes `RS256`, `ES256` or `EdDSA`, not the text `ES384`"],
    ),
    # --- types
    "a text for a list": Slip(
        rule("methods: GET"),
        ["p.yaml:4:89: CX046 `methods` wants a list of text, not the text `GET`; write methods: [GET]"],
    ),
    "a number for a list": Slip(
        rule("headers: 3"), ["p.yaml:4:89: CX046 `headers` wants a list of text, not the number `3`"]
    ),
    "a map for a list of objects": Slip(
        HEAD + "resourceGroups: {api: {allow: [], match: {hosts: [a.example]}}}\n",
        ["p.yaml:4:42: CX046 `match` wants a list of match entries, not a map"],
    ),
    "a text for an object": Slip(
        HEAD + "guards: {clerk: admin}\n", ["p.yaml:4:17: CX046 `clerk` wants a map, not the text `admin`"]
    ),
    "a list for a map of names": Slip(
        HEAD + "guards: [clerk]\n", ["p.yaml:4:9: CX046 `guards` wants a map, not a list"]
    ),
    "a number for a text, and no word on the length of its list": Slip(
        rule("versions: [1]"),
        ["p.yaml:4:91: CX046 entry 1 of `versions` wants text, not the number `1`; put it in quotes"],
    ),
    "a text for a number": Slip(
        group("perTenant: {maxOrigins: '20'}"),
        ["p.yaml:4:46: CX046 `maxOrigins` wants a whole number, not the text `20`"],
    ),
    "a truth value for a number": Slip(
        group("perTenant: {maxOrigins: true}"),
        ["p.yaml:4:46: CX046 `maxOrigins` wants a whole number, not `true`"],
    ),
    "a flag that says false": Slip(
        group("origins: ['app://x'], webView: false"),
        ["p.yaml:4:53: CX046 `webView` is true or is left out, not `false`"],
    ),
    "a flag that says 1": Slip(
        group("origins: ['app://x'], webView: 1"),
        ["p.yaml:4:53: CX046 `webView` is true or is left out, not the number `1`"],
    ),
    "a fraction for the value of a claim": Slip(
        guard("claim: {name: a, equals: 1.5}"),
        ["p.yaml:4:43: CX046 `equals` wants text, not the number `1.5`; put it in quotes"],
    ),
    # --- choices
    "a choice with a slip": Slip(
        group("origins: ['app://x'], trust: hihg"),
        ["p.yaml:4:51: CX046 `trust` takes `low`, `medium` or `high`, not the text `hihg`; did you mean `high`?"],
    ),
    "a choice in a list, far from all": Slip(
        rule("credentials: [token]"),
        ["p.yaml:4:94: CX046 entry 1 of `credentials` takes `cookie`, `bearer` or `mtls`, not the text `token`"],
    ),
    "a status that no guard answers": Slip(
        guard("authenticated: true, onFail: {status: 402}"),
        ["p.yaml:4:56: CX046 `status` takes 400, 401, 403, 404, 409, 410, 412, 428 or 451, not the number `402`"],
    ),
    "a period that no limit has": Slip(
        HEAD + "rateLimits: {a: {by: [tenant], requests: 1, per: 2m}}\n",
        ["p.yaml:4:50: CX046 `per` takes `1s`, `1m`, `1h`, `1d`, not the text `2m`"],
    ),
    "a choice without its value": Slip(
        group("origins: ['app://x'], trust: "), ["p.yaml:4:51: CX046 `trust` has no value; write one or leave it out"]
    ),
    # --- bounds
    "an empty list that is required": Slip(
        group("origins: []"), ["p.yaml:4:31: CX046 `origins` is an empty list; name at least 1 or leave it out"]
    ),
    "one guard where two are joined": Slip(
        guard("anyOf: [a]"), ["p.yaml:4:25: CX046 `anyOf` has too few entries; name at least 2"]
    ),
    "a credential twice": Slip(
        rule("credentials: [cookie, cookie]"),
        ["p.yaml:4:93: CX046 `credentials` names one of its entries twice; name each once"],
    ),
    "too many origins for a tenant": Slip(
        group("perTenant: {maxOrigins: 1001}"), ["p.yaml:4:46: CX046 `maxOrigins` is `1001`; 1000 is the most"]
    ),
    "no origin for a tenant": Slip(
        group("perTenant: {maxOrigins: 0}"), ["p.yaml:4:46: CX046 `maxOrigins` is `0`; 1 is the least"]
    ),
    "no request at all": Slip(
        OVERLAY + "rateLimits: {a: {requests: 0}}\n", ["p.yaml:4:28: CX046 `requests` is `0`; 1 is the least"]
    ),
    "an empty text": Slip(
        group("origins: ['app://x'], contact: ''"),
        ["p.yaml:4:53: CX046 `contact` is empty; write something or leave it out"],
    ),
    "a text of 501 characters": Slip(
        group("origins: ['app://x'], contact: " + "a" * 501),
        ["p.yaml:4:53: CX046 `contact` has 501 characters; 500 is the most: shorten it"],
    ),
    "a reason that gives none": Slip(
        HEAD + "suppressions: [{finding: CX012, at: guards/a, reason: because, by: ada, until: 2027-01-31}]\n",
        ["p.yaml:4:55: CX046 `because` is too short for `reason`; 10 characters are the least"],
    ),
    # --- texts of a form
    "a duration with a word": Slip(
        rule("maxAge: 10 minutes"),
        [
            (
                "p.yaml:4:88: CX046 `10 minutes` is not a duration; write a number and one unit (ms, s, m, "
                "h, d), or 0s for "
                "none"
            )
        ],
    ),
    "a duration without a unit": Slip(
        rule("maxAge: 600"),
        ["p.yaml:4:88: CX046 `maxAge` wants a duration, not the number `600`; write its unit too: 600s"],
    ),
    "a truth value for a duration": Slip(
        rule("maxAge: true"), ["p.yaml:4:88: CX046 `maxAge` wants a duration, not `true`"]
    ),
    "a duration with a leading zero": Slip(
        rule("maxAge: 00s"),
        ["p.yaml:4:88: CX046 `00s` is not a duration; write a number and one unit (ms, s, m, h, d), or 0s for none"],
    ),
    "a day that no calendar has": Slip(
        group("origins: ['app://x'], reviewBy: 2026-02-30"),
        [f"p.yaml:4:54: CX046 `2026-02-30` is not a date; {NOT_A_DATE}"],
        flagged=False,
    ),
    "a date in words": Slip(
        group("origins: ['app://x'], reviewBy: 1 May 2027"),
        [f"p.yaml:4:54: CX046 `1 May 2027` is not a date; {NOT_A_DATE}"],
    ),
    "a date of another zone": Slip(
        group("origins: ['app://x'], reviewBy: 2026-11-20T01:00:00+01:00"),
        ["p.yaml:4:54: CX046 `2026-11-20T01:00:00+01:00` is not a date; write 2026-11-20T00:00:00Z"],
    ),
    "a date where an instant is due": Slip(
        exception(until="2026-12-11"),
        ["p.yaml:8:12: CX046 `2026-12-11` is not an instant; write 2026-12-11T00:00:00Z"],
    ),
    "a share above all": Slip(
        HEAD + "rollout: {steps: [{enforce: 100.1%}]}\n",
        ["p.yaml:4:29: CX046 `100.1%` is not a percentage; write 0.1%, at most 100%, three decimals"],
    ),
    "a share without its sign": Slip(
        HEAD + "rollout: {steps: [{enforce: 5}]}\n",
        ["p.yaml:4:29: CX046 `enforce` wants a percentage, not the number `5`"],
    ),
    "keys over plain http": Slip(
        HEAD + "identity: {jwt: {a: {issuer: 'https://i', audiences: [a], keys: {jwksUri: 'http://i'}, "
        "algorithms: [ES256]}}}\n",
        ["p.yaml:4:75: CX046 `http://i` is not an https URL; write https://, then host and path"],
    ),
    "a media type without a slot": Slip(
        routes("versions: {v1: {}}, versionFrom: {mediaType: application/json}"),
        [
            (
                "p.yaml:4:111: CX046 `application/json` is not a media type with a version; write "
                "application/vnd.shop.{version}+json"
            )
        ],
    ),
    # --- rules between keys
    "an origin group of nothing": Slip(
        group(""),
        ["p.yaml:4:16: CX046 `web` has none of `origins`, `any`, `perTenant`; an origin group has exactly one of them"],
    ),
    "an origin group of two kinds": Slip(
        group("any: true, origins: ['app://x']"),
        ["p.yaml:4:33: CX046 `web` has `origins` beside `any`; an origin group has one of them: leave one out"],
    ),
    "trust in anyone": Slip(
        group("any: true, trust: low"),
        ["p.yaml:4:33: CX046 `web` has `trust` beside `any`; an origin group with `any` has none"],
    ),
    "a web view per tenant": Slip(
        group("webView: true, perTenant: {maxOrigins: 1}"),
        ["p.yaml:4:22: CX046 `web` has `webView` beside `perTenant`; an origin group with `perTenant` has none"],
    ),
    "a guard without a condition": Slip(
        guard("provider: main"),
        [
            (
                "p.yaml:4:10: CX046 `clerk` has none of `authenticated`, `anyRole`, `allRoles`, `claim`, "
                "`tokenAgeAtMost`, "
                "`originInClaim`, `principalIn`, `sourceIn`, `header`, `versionIn`, `anyOf`; a guard has "
                "exactly one of them"
            )
        ],
    ),
    "a guard with two conditions": Slip(
        guard("anyRole: [a], allRoles: [b]"),
        ["p.yaml:4:32: CX046 `clerk` has `allRoles` beside `anyRole`; a guard has one of them: leave one out"],
    ),
    "a claim that nothing is asked of": Slip(
        guard("claim: {name: a}"),
        ["p.yaml:4:18: CX046 `claim` has none of `equals`, `anyOf`; a claim condition has exactly one of them"],
    ),
    "keys from two places": Slip(
        HEAD + "identity: {jwt: {a: {issuer: 'https://i', audiences: [a], keys: {jwksFile: /k, envoyMetadata: k}}}}\n",
        ["p.yaml:4:80: CX046 `keys` has `envoyMetadata` beside `jwksFile`; keys has one of them: leave one out"],
    ),
    "signatures that anyone may choose": Slip(
        HEAD + "identity: {jwt: {main: {issuer: 'https://i', audiences: [a], keys: {jwksFile: /k}}}}\n",
        [
            (
                "p.yaml:4:18: CX046 `main` has no `algorithms`; a token provider pins them: write "
                "algorithms: [ES256], or "
                "what it uses"
            )
        ],
    ),
    "a sunset with nothing after it": Slip(
        routes("versions: {v1: {sunset: 2027-01-01}}"),
        ["p.yaml:4:82: CX046 `v1` has `sunset` and no `successor`; a version that has the one has the other"],
    ),
    "a place for versions that are not named": Slip(
        routes("versionFrom: {query: v}"),
        [
            (
                "p.yaml:4:66: CX046 `api` has `versionFrom` and no `versions`; a resource group that has "
                "the one has the other"
            )
        ],
    ),
    "an object that says nothing": Slip(
        routes("unlisted: {}"),
        ["p.yaml:4:66: CX046 `unlisted` is empty, and unlisted without a key says nothing; write one or leave it out"],
    ),
    "an object that says nothing, within one without rules": Slip(
        HEAD + "rollout: {steps: [{enforce: 100%}], abortAbove: {}}\n",
        [
            (
                "p.yaml:4:37: CX046 `abortAbove` is empty, and abortAbove without a key says nothing; "
                "write one or leave it out"
            )
        ],
    ),
    # --- exceptions
    "an exception without end": Slip(
        exception("until"),
        ["p.yaml:5:3: CX024 EX-2026-014 has no `until`; an exception ends: write until: 2026-12-11T00:00:00Z"],
    ),
    "an exception without beginning and end": Slip(
        exception("from", "until"),
        [
            "p.yaml:5:3: CX046 `EX-2026-014` has no `from`; an exception needs one: add from",
            "p.yaml:5:3: CX024 EX-2026-014 has no `until`; an exception ends: write until: 2026-12-31T00:00:00Z",
        ],
    ),
    "an exception that begins at the end of time": Slip(
        exception("until", **{"from": "9999-12-31T00:00:00Z"}),
        ["p.yaml:5:3: CX024 EX-2026-014 has no `until`; an exception ends: write until: 2026-12-31T00:00:00Z"],
    ),
    "an exception without reason and ticket": Slip(
        exception("reason", "ticket"),
        [
            "p.yaml:5:3: CX024 EX-2026-014 has no `reason`; an exception says why: write reason: and one sentence",
            (
                "p.yaml:5:3: CX024 EX-2026-014 has no `ticket`; an exception can be looked up: write "
                "ticket: and its number"
            ),
        ],
    ),
    # --- overlays
    "an overlay that names its group's trust": Slip(
        OVERLAY + "originGroups: {partners: {origins: [https://a.example]}}\n",
        ["p.yaml:4:26: CX046 `partners` wants a list of text, not a map"],
    ),
    "several slips of one object, and all that is within it": Slip(
        HEAD + "guards:\n  a:\n    foo: 1\n    claim: {equals: x, anyOf: [true]}\n    phase: never\n",
        [
            (
                "p.yaml:6:5: CX046 `foo` is not a key of a guard; its keys are `authenticated`, `anyRole`, `allRoles`, "
                "`claim`, `tokenAgeAtMost`, `originInClaim`, `principalIn`, `sourceIn`, `header`, "
                "`versionIn`, `anyOf`, "
                "`provider`, `phase`, `onFail`, `owner`, `description`"
            ),
            "p.yaml:7:5: CX046 `claim` has no `name`; a claim condition needs one: add name",
            "p.yaml:7:24: CX046 `claim` has `anyOf` beside `equals`; a claim condition has one of them: leave one out",
            "p.yaml:7:32: CX046 entry 1 of `anyOf` wants text, not `true`; put it in quotes",
            "p.yaml:8:12: CX046 `phase` takes `actual` or `both`, not the text `never`",
        ],
    ),
}


@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
def test_says_what_is_wrong(slip: Slip) -> None:
    assert said(slip.text) == slip.findings


@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
def test_editors_flag_the_same(slip: Slip) -> None:
    assert flagged(slip.text) is slip.flagged


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(REFERENCE)))
def test_the_reference_policies_load_and_editors_flag_none(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert said(text) == []
    assert not flagged(text)


LEFT_TO_OTHERS: dict[str, str] = {
    "an origin in upper case": group("origins: [HTTPS://A.example]"),
    "null": group("origins: ['null']"),
    "an origin with a path": group("origins: ['https://a.example/']"),
    "a wildcard in an overlay": OVERLAY + "originGroups: {partners: ['https://*.a.example']}\n",
    "a host with a scheme": HEAD + "resourceGroups: {a: {match: [{hosts: ['https://a.example']}], allow: []}}\n",
    "a path with rest in front": HEAD + "resourceGroups: {a: {match: [{hosts: [a], paths: ['/**/b']}], allow: []}}\n",
    "a forbidden method": rule("methods: [Trace]"),
    "a forbidden header": rule("headers: [Cookie]"),
    "a credential as a header": rule("headers: [Authorization]"),
    "a header by its prefix": rule("headers: [Sec-Fetch-Site]"),
    "a response header among those of requests": rule("headers: [Vary]"),
    "a forbidden response header": rule("exposeHeaders: [Set-Cookie]"),
    "a request header among those of responses": rule("exposeHeaders: [Referer]"),
    "a network without its length": guard("sourceIn: [10.0.0.0]"),
    "a SPIFFE ID without a path": guard("principalIn: ['spiffe://mesh.example']"),
}


@pytest.mark.parametrize("text", LEFT_TO_OTHERS.values(), ids=LEFT_TO_OTHERS)
def test_editors_flag_what_loading_leaves_to_the_compiler(text: str) -> None:
    assert flagged(text)
    assert said(text) == []


WELL_FORMED: dict[str, str] = {
    "an origin group": group("origins: ['app://x']"),
    "a resource group": routes("docs: 'https://docs.example'"),
    "an allow rule": rule("name: read"),
    "a guard": guard("authenticated: true"),
    "an exception": exception(),
    "a part": PART + "metadata: {name: a, owner: b}\n",
    "an overlay": OVERLAY,
    "any method and any header": rule("methods: ['*'], headers: ['*'], exposeHeaders: ['*']"),
    "a header that only begins like a forbidden one": rule("headers: [te-x, datex]"),
    "slots and any port": group(
        "origins: ['https://pr-{digits}-{hex}.a.example:*', 'https://*.a.example', 'app://{label}']"
    ),
    "addresses": group("origins: ['http://[::1]:3000', 'http://127.0.0.1']"),
    "a template": HEAD
    + "resourceGroups: {a: {match: [{hosts: ['{tenant}.a'], paths: ['/a{id}b/*/**', /]}], allow: []}}\n",
}


@pytest.mark.parametrize("text", WELL_FORMED.values(), ids=WELL_FORMED)
def test_editors_accept(text: str) -> None:
    assert not flagged(text)
    assert said(text) == []


def test_a_document_of_an_unknown_kind_is_flagged() -> None:
    assert flagged("apiVersion: cors-authz/v1\nkind: Policy\n")
    assert flagged("kind: PolicyPart\nmetadata: {name: a, owner: b}\n")
    assert not flagged(PART + "metadata: {name: a, owner: b}\n")


def test_the_schema_is_one_of_2020_12_and_allows_no_null() -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    assert (schema["$schema"], schema["$id"], schema["title"]) == (
        "https://json-schema.org/draft/2020-12/schema",
        "urn:cors-authz:policy:v1",
        "cors-authz policy, v1",
    )
    assert "'null'" not in str(schema)
    assert schema["$defs"]["ResourceGroup"]["properties"]["sensitivity"]["default"] == "internal"
    assert set(KINDS) < set(schema["$defs"])


def test_what_a_rule_says_and_what_it_leaves_open() -> None:
    model = read(rule("maxAge: 90s, credentials: [bearer]"))
    assert model.resource_groups["api"] == ResourceGroup.model_validate(
        {
            "match": ({"hosts": ("a.example",)},),
            "allow": ({"origins": ("web",), "maxAge": "90s", "credentials": ("bearer",)},),
        }
    )
    given = model.resource_groups["api"].allow[0]
    assert given.max_age == timedelta(seconds=90)
    assert AllowRule.model_validate({"origins": ("web",)}).model_dump() == {
        "name": None,
        "origins": ("web",),
        "methods": (),
        "headers": (),
        "expose_headers": (),
        "header_sets": (),
        "credentials": (),
        "max_age": None,
        "versions": (),
        "guards": (),
        "content_types": (),
        "allow_private_network": False,
        "owner": None,
        "description": None,
    }


def test_what_a_bundle_says() -> None:
    bundle = read((REFERENCE / "09-bank" / "bundle.yaml").read_text(encoding="utf-8"))
    assert isinstance(bundle, PolicyBundle)
    assert bundle.rollout is not None
    assert bundle.rollout.model_dump() == {
        "shadow": timedelta(hours=1),
        "steps": (
            {"enforce": 5.0, "for_": timedelta(minutes=30)},
            {"enforce": 25.0, "for_": timedelta(hours=1)},
            {"enforce": 100.0, "for_": None},
        ),
        "sticky_by": "origin",
        "abort_above": {"new_refusals": 0.1, "errors": 0.1, "latency_p99": timedelta(milliseconds=20)},
    }
    assert bundle.header_sets["tracing"] == HeaderSet.model_validate(
        {"request": ("traceparent", "tracestate", "x-request-id"), "expose": ("x-request-id",)}
    )
    assert bundle.rate_limits["refusals"].per == timedelta(minutes=1)


def test_what_an_overlay_says() -> None:
    overlay = read((REFERENCE / "03-multi-tenant" / "tenants" / "globex.yaml").read_text(encoding="utf-8"))
    assert isinstance(overlay, TenantOverlay)
    assert overlay.origin_groups == {"partners": ("https://shop.globex.example",)}
    assert overlay.rate_limits["per-origin"].requests == 300


def test_what_an_exception_says() -> None:
    given = read(exception(token="required")).exceptions["EX-2026-014"]
    assert (given.from_, given.until) == (datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 12, 11, tzinfo=UTC))
    assert (given.token, given.grant.methods, given.approvals[0].role) == ("required", ("GET",), "security")


def test_claims_keep_the_type_of_their_value() -> None:
    asked = read(
        HEAD + "guards: {a: {claim: {name: x, equals: false}}, b: {claim: {name: x, anyOf: [1, '1']}}}\n"
    ).guards
    assert asked["a"].claim.equals is False
    assert asked["b"].claim.any_of == (1, "1")


DURATIONS = {
    "20ms": timedelta(milliseconds=20),
    "90s": timedelta(seconds=90),
    "10m": timedelta(minutes=10),
    "24h": timedelta(hours=24),
    "90d": timedelta(days=90),
    "0s": timedelta(0),
    "999999d": timedelta(days=999_999),
}


@pytest.mark.parametrize("text", DURATIONS)
def test_durations(text: str) -> None:
    assert read(rule(f"maxAge: {text}")).resource_groups["api"].allow[0].max_age == DURATIONS[text]


MOMENTS = {
    "2027-06-30": datetime(2027, 6, 30, tzinfo=UTC),
    "2026-11-20T01:02:03Z": datetime(2026, 11, 20, 1, 2, 3, tzinfo=UTC),
    "2026-11-20T24:00:00Z": None,
    "2026-13-01": None,
    "0000-01-01": None,
    "2026-11-20T01:02:03": None,
    "2026-11-20T01:02:03z": None,
    "2026-11-20\n": None,
    "\uff12026-11-20": None,
}


@pytest.mark.parametrize("text", MOMENTS, ids=repr)
def test_dates(text: str) -> None:
    assert moment_of(DATE, text) == MOMENTS[text]


def test_an_instant_is_no_mere_date() -> None:
    assert moment_of(INSTANT, "2027-06-30") is None
