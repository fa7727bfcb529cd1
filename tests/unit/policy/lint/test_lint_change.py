"""Change: what each finding about suppressions, exceptions, overlays, owners and rollouts says, and what mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import pytest

from cors_authz.policy.finding import Finding
from cors_authz.policy.lint import change, exceptions, overlays, owners, suppressions
from cors_authz.policy.subject import Subject

KEY: Final = "ed25519:Qm9vb2tlZXBpbmdJbmVzS2V5MDAwMDAwMDAwMDAwMDA"
POLICY: Final = f"""\
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {{name: p}}
people:
  ada:  {{roles: [security], key: "{KEY}"}}
  noor: {{roles: [senior, security], key: "{KEY}"}}
  kim:  {{roles: [developer], key: "{KEY}"}}
teams:
  shop: {{contact: shop@x, members: [kim, noor], governs: ["api.x/{{version}}/orders/**", "*.shop.x"]}}
  pay:  {{contact: pay@x, governs: [pay.x]}}
sensitivityClasses:
  secret: {{like: confidential, exceptions: refused, credentials: [bearer]}}
  closed: {{like: confidential, minTrust: high}}
originGroups:
  web: {{origins: ["https://x.example"], trust: high, owner: shop, environments: [prod]}}
  partners: {{perTenant: {{maxOrigins: 2}}}}
guards:
  clerk: {{sourceIn: [10.0.0.0/8]}}
resourceGroups:
  orders:
    match:
    - {{hosts: [api.x], paths: ["/{{version}}/orders/**", "/v0/orders/{{tenant}}"]}}
    - {{hosts: ["{{tenant}}.shop.x"], environments: [dev]}}
    versions: {{v1: {{}}, v2: {{}}}}
    owner: shop
    allow: []
  vault: {{match: [{{hosts: [vault.x]}}], sensitivity: secret, allow: []}}
  safe: {{match: [{{hosts: [safe.x]}}], sensitivity: closed, allow: []}}
  notes: {{match: [{{hosts: [notes.x]}}], sensitivity: confidential, allow: []}}
  site: {{match: [{{hosts: [site.x]}}], sensitivity: public, allow: []}}
exceptions:
  EX-1:
    grant: {{resourceGroups: [orders], origins: [https://a.x], methods: [GET], versions: [v1]}}
    from: 2026-11-01T00:00:00Z
    until: 2026-11-11T00:00:00Z
    reason: none
    ticket: T-1
    requestedBy: kim
    approvals:
    - {{by: ada, role: security, at: 2026-10-01T00:00:00Z}}
    - {{by: noor, role: senior, at: 2026-10-01T00:00:00Z}}
    environments: [prod]
  EX-2:
    grant: {{resourceGroups: [notes, site], origins: [https://b.x], methods: [GET]}}
    from: 2026-11-11T00:00:00Z
    until: 2026-11-26T00:00:00Z
    reason: none
    ticket: T-2
    requestedBy: kim
    approvals:
    - {{by: ada, role: security, at: 2026-10-01T00:00:00Z}}
    - {{by: noor, role: senior, at: 2026-10-01T00:00:00Z}}
    renews: EX-1
rateLimits:
  per-origin: {{by: [tenant, originGroup], requests: 600, per: 1m, resourceGroups: [orders]}}
  refusals: {{by: [sourceAddress], only: refused, requests: 60, per: 1m}}
suppressions:
- {{finding: CX026, at: exceptions/EX-2, reason: they need the time, by: ada, until: 2027-01-01}}
rollout:
  steps:
  - {{enforce: 5%, for: 1m}}
  - {{enforce: 25%, for: 1h}}
  - {{enforce: 100%}}
lockdown: {{firstParty: [web], maxDuration: 8h}}
"""
ACME: Final = """\
apiVersion: cors-authz/v1
kind: TenantOverlay
metadata: {tenant: acme, contact: it@acme, ticket: T-3}
originGroups: {partners: [https://a.example, https://b.example]}
rateLimits: {per-origin: {requests: 600}}
"""
GLOBEX: Final = ACME.replace("acme", "globex")


EARLIER: Final = """\
  EX-0:
    grant: {resourceGroups: [orders], origins: [https://a.x], methods: [GET]}
    from: 2026-10-01T00:00:00Z
    until: 2026-10-11T00:00:00Z
    reason: none
    ticket: T-0
    requestedBy: kim
    approvals: [{by: ada, role: security, at: 2026-10-01T00:00:00Z}]"""


class Case(NamedTuple):
    """A rule, the one edit of the policy or an overlay that makes the mistake, and what the rule then says."""

    rule: Callable[[Subject], Iterator[Finding]]
    edit: tuple[str, str]
    said: str


CASES: Final = {
    # --- suppressions
    "an error is not suppressed": Case(
        suppressions.suppressed_errors,
        ("finding: CX026", "finding: CX005"),
        "E policy.yaml:58:3: CX023 CX005 is an error and cannot be suppressed",
    ),
    "a finding that nobody knows": Case(
        suppressions.suppressions_of_unknown_findings,
        ("finding: CX026", "finding: CX055"),
        "E policy.yaml:58:13: CX046 `CX055` is no finding; they are CX001 to CX054",
    ),
    "a finding with the number nought": Case(
        suppressions.suppressions_of_unknown_findings,
        ("finding: CX026", "finding: CX000"),
        "E policy.yaml:58:13: CX046 `CX000` is no finding; they are CX001 to CX054",
    ),
    "a suppression of something that has gone": Case(
        suppressions.suppressions_of_nothing,
        ("at: exceptions/EX-2", "at: exceptions/EX-3"),
        "W policy.yaml:58:24: CX023 `exceptions/EX-3` is not in the policy; drop the suppression, or mend its `at`",
    ),
    "a suppression of a section that is not there": Case(
        suppressions.suppressions_of_nothing,
        ("at: exceptions/EX-2", "at: identity"),
        "W policy.yaml:58:24: CX023 `identity` is not in the policy; drop the suppression, or mend its `at`",
    ),
    "a suppression by nobody": Case(
        suppressions.suppressions_by_nobody,
        ("by: ada, until", "by: adda, until"),
        "E policy.yaml:58:73: CX046 `adda` is no person; did you mean `ada`?",
    ),
    # --- environments
    "an origin group in no environment": Case(
        change.unknown_environments,
        ("shop, environments: [prod]", "shop, environments: [prd]"),
        "E policy.yaml:15:82: CX046 `prd` is no environment; did you mean `prod`?",
    ),
    "a match entry in no environment": Case(
        change.unknown_environments,
        ("environments: [dev]", "environments: [deve]"),
        "E policy.yaml:23:51: CX046 `deve` is no environment; did you mean `dev`?",
    ),
    "an exception in no environment": Case(
        change.unknown_environments,
        ("    environments: [prod]", "    environments: [prod, pord]"),
        "E policy.yaml:42:26: CX046 `pord` is no environment; did you mean `prod`?",
    ),
    # --- exceptions: how long
    "an exception ends when it begins": Case(
        exceptions.ends_before_the_beginning,
        ("until: 2026-11-11", "until: 2026-11-01"),
        "E policy.yaml:35:12: CX024 EX-1 ends before it begins (2026-11-01T00:00:00Z); mend `until`",
    ),
    "an exception is longer than the most": Case(
        exceptions.long_exceptions,
        ("until: 2026-11-11", "until: 2026-12-02"),
        "E policy.yaml:35:12: CX026 EX-1 lasts 31d; 30d is the most: end it by 2026-12-01T00:00:00Z, and renew it if"
        " need be",
    ),
    "an exception is longer than the policy's most": Case(
        exceptions.long_exceptions,
        ("people:", "defaults: {exceptionMaxDuration: 12h}\npeople:"),
        "E policy.yaml:36:12: CX026 EX-1 lasts 10d; 12h is the most: end it by 2026-11-01T12:00:00Z, and renew it if"
        " need be\n"
        "E policy.yaml:47:12: CX026 EX-2 lasts 15d; 12h is the most: end it by 2026-11-11T12:00:00Z, and renew it if"
        " need be",
    ),
    "an exception where none may be": Case(
        exceptions.long_exceptions,
        ("people:", "defaults: {exceptionMaxDuration: 0s}\npeople:"),
        "E policy.yaml:36:12: CX026 EX-1 lasts 10d; 0s is the most: end it by 2026-11-01T00:00:00Z, and renew it if"
        " need be\n"
        "E policy.yaml:47:12: CX026 EX-2 lasts 15d; 0s is the most: end it by 2026-11-11T00:00:00Z, and renew it if"
        " need be",
    ),
    "an exception is as long as the most": Case(
        exceptions.long_exceptions,
        ("until: 2026-11-11", "until: 2026-12-01"),
        "W policy.yaml:35:12: CX026 EX-1 lasts 30d, more than half of the 30d that it may; end it sooner if that will"
        " do",
    ),
    "an exception is longer than half of the most": Case(
        exceptions.long_exceptions,
        ("until: 2026-11-26T00:00:00Z", "until: 2026-11-26T00:00:01Z"),
        "W policy.yaml:46:12: CX026 EX-2 lasts 1296001s, more than half of the 30d that it may; end it sooner if that"
        " will do",
    ),
    "an exception is renewed twice": Case(
        exceptions.renewed_exceptions,
        ("    environments: [prod]", f"    renews: EX-0\n{EARLIER}"),
        "W policy.yaml:61:13: CX028 EX-2 is renewal 2 of EX-0; write what is needed into the policy",
    ),
    "exceptions renew each other": Case(
        exceptions.exceptions_in_a_circle,
        ("    environments: [prod]", "    renews: EX-2"),
        "E policy.yaml:42:13: CX047 EX-1 renews itself, by way of what it renews; name the exception before it\n"
        "E policy.yaml:53:13: CX047 EX-2 renews itself, by way of what it renews; name the exception before it",
    ),
    # --- exceptions: names
    "an exception for a group that is not there": Case(
        exceptions.unknown_names,
        ("resourceGroups: [notes", "resourceGroups: [note"),
        "E policy.yaml:44:30: CX046 `note` is no resource group; did you mean `notes`?",
    ),
    "an exception that renews nothing": Case(
        exceptions.unknown_names,
        ("renews: EX-1", "renews: EX-11"),
        "E policy.yaml:53:13: CX046 `EX-11` is no exception; did you mean `EX-1`?",
    ),
    "an exception for a version that is not there": Case(
        exceptions.unknown_versions,
        ("versions: [v1]}", "versions: [v1, v11]}"),
        "E policy.yaml:33:94: CX046 `v11` is no version of `orders`; did you mean `v1`?",
    ),
    "an exception that nobody asked for": Case(
        exceptions.unknown_requesters,
        ("requestedBy: kim\n    approvals:\n", "requestedBy: kimm\n    approvals:\n"),
        "E policy.yaml:38:18: CX046 `kimm` is no person; did you mean `kim`?",
    ),
    # --- exceptions: signatures
    "an approval of one's own request": Case(
        exceptions.own_approvals,
        ("requestedBy: kim\n    approvals:\n", "requestedBy: noor\n    approvals:\n"),
        "E policy.yaml:40:5: CX025 EX-1: `noor` approves their own request; another person with role senior must sign",
    ),
    "two approvals of one person": Case(
        exceptions.double_approvals,
        ("- {by: ada,", "- {by: noor,"),
        "E policy.yaml:41:12: CX025 EX-1: `noor` signs twice; roles security and senior are two persons here",
    ),
    "an approval without the role": Case(
        exceptions.approvals_without_the_role,
        ("- {by: noor,", "- {by: ada,"),
        "E policy.yaml:41:23: CX025 EX-1: `ada` does not hold role senior; someone who does must sign",
    ),
    "an approval by nobody": Case(
        exceptions.approvals_without_the_role,
        ("- {by: noor,", "- {by: nora,"),
        "E policy.yaml:41:12: CX025 EX-1: `nora` is not among `people`, so no role is known; a person of `people` must"
        " sign",
    ),
    "an approval that is missing": Case(
        exceptions.missing_approvals,
        ("- {by: noor, role: senior", "- {by: noor, role: security"),
        "E policy.yaml:39:5: CX025 EX-1 has no approval of role senior; security and senior must sign",
    ),
    # --- exceptions: ceilings
    "an exception in a class that admits none": Case(
        exceptions.closed_classes,
        ("resourceGroups: [notes", "resourceGroups: [vault"),
        "E policy.yaml:44:5: CX029 EX-2 opens `vault`, and class secret admits no exception; change the policy, signed"
        " by its owner and by security",
    ),
    "a credential that the class does not allow": Case(
        exceptions.credentials_above_the_class,
        ("[https://b.x], methods: [GET]}", "[https://b.x], methods: [GET], credentials: [bearer]}"),
        "E policy.yaml:44:98: CX029 EX-2 grants bearer; class public allows []: drop it",
    ),
    "a class that demands more than an exception's trust": Case(
        exceptions.trust_above_the_class,
        ("resourceGroups: [notes", "resourceGroups: [safe"),
        "E policy.yaml:44:30: CX029 EX-2 opens `safe`, and class closed demands trust high; origins of an exception"
        " count as medium: change the policy",
    ),
    # --- exceptions: origins
    "an exception for a pattern": Case(
        exceptions.bad_origins,
        ("[https://b.x]", '["https://*.b.x"]'),
        "E policy.yaml:44:54: CX003 `https://*.b.x` is a pattern, and only exact origins stand here; list each",
    ),
    "an exception for what is no origin": Case(
        exceptions.bad_origins,
        ("[https://b.x]", "[https://b.x/]"),
        "E policy.yaml:44:54: CX003 `https://b.x/` is not an origin; write `https://b.x`: no path",
    ),
    "an exception over plain http": Case(
        exceptions.plain_http_origins,
        ("[https://b.x]", "[http://b.x]"),
        "E policy.yaml:44:54: CX005 `http://b.x` is plain http, and class confidential refuses that; use https",
    ),
    "an exception for a machine of one's own": Case(
        exceptions.origins_of_one_network,
        ("[https://b.x]", '["https://localhost:3000"]'),
        "E policy.yaml:44:54: CX006 `https://localhost:3000` is another server on every machine or network, and would"
        " be open in prod; tag the exception `environments: [dev]`",
    ),
    # --- exceptions: methods and headers
    "an exception for a method that browsers forbid": Case(
        exceptions.names_that_browsers_refuse,
        ("[https://b.x], methods: [GET]", "[https://b.x], methods: [GET, trace, a b]"),
        "E policy.yaml:44:83: CX007 `trace` is no method that scripts may use; leave it out\n"
        "E policy.yaml:44:90: CX007 `a b` is no method that scripts may use; leave it out",
    ),
    "an exception for a header that scripts cannot set": Case(
        exceptions.names_that_browsers_refuse,
        (
            "[https://b.x], methods: [GET]",
            "[https://b.x], methods: [GET], headers: [x-a, a b, Authorization, ETag, Cookie]",
        ),
        "E policy.yaml:44:99: CX008 `a b` is no header that scripts may set; a credential is one of `credentials`\n"
        "E policy.yaml:44:104: CX008 `Authorization` is no header that scripts may set; a credential is one of"
        " `credentials`\n"
        "E policy.yaml:44:119: CX008 `ETag` is no header that scripts may set; a credential is one of `credentials`\n"
        "E policy.yaml:44:125: CX008 `Cookie` is no header that scripts may set; a credential is one of `credentials`",
    ),
    "an exception for a header that scripts cannot read": Case(
        exceptions.names_that_browsers_refuse,
        ("[https://b.x], methods: [GET]", "[https://b.x], methods: [GET], exposeHeaders: [etag, Set-Cookie, a b]"),
        "E policy.yaml:44:106: CX009 `Set-Cookie` is no header that scripts may read; leave it out\n"
        "E policy.yaml:44:118: CX009 `a b` is no header that scripts may read; leave it out",
    ),
    "an exception that exposes a star with cookies": Case(
        exceptions.stars_exposed_with_credentials,
        ("[https://b.x], methods: [GET]", '[https://b.x], methods: [GET], exposeHeaders: ["*"], credentials: [cookie]'),
        "E policy.yaml:44:100: CX010 `*` in exposeHeaders is taken literally once cookies or certificates travel; name"
        " the headers",
    ),
    # --- overlays
    "two overlays of a tenant": Case(
        overlays.two_overlays_of_a_tenant,
        ("tenant: globex", "tenant: acme"),
        "E globex.yaml:3:20: CX031 tenant `acme` has another overlay (also acme.yaml:3:20); keep one of the two",
    ),
    "an overlay that fills the group of all": Case(
        overlays.groups_of_others,
        ("{partners: [https://a.example, https://b.example]}", "{web: [https://a.example]}"),
        "E acme.yaml:4:16: CX030 `web` is not per tenant; an overlay may fill: partners\n"
        "E globex.yaml:4:16: CX030 `web` is not per tenant; an overlay may fill: partners",
    ),
    "an overlay where nothing is per tenant": Case(
        overlays.groups_of_others,
        ("partners: {perTenant: {maxOrigins: 2}}", "partners: {any: true}"),
        "E acme.yaml:4:16: CX030 `partners` is not per tenant; no origin group is: drop it\n"
        "E globex.yaml:4:16: CX030 `partners` is not per tenant; no origin group is: drop it",
    ),
    "an overlay with more than its share": Case(
        overlays.too_many_origins,
        ("maxOrigins: 2", "maxOrigins: 1"),
        "E acme.yaml:4:26: CX030 `partners` lists 2 origins; maxOrigins is 1: drop some, or ask the group's owner\n"
        "E globex.yaml:4:26: CX030 `partners` lists 2 origins; maxOrigins is 1: drop some, or ask the group's owner",
    ),
    "an overlay with a pattern": Case(
        overlays.bad_origins,
        ("https://b.example]}\nrateLimits: {per-origin: {requests: 600}}\n", '"https://*.b.example"]}\n'),
        "E acme.yaml:4:46: CX003 `https://*.b.example` is a pattern, and only exact origins stand here; list each\n"
        "E globex.yaml:4:46: CX003 `https://*.b.example` is a pattern, and only exact origins stand here; list each",
    ),
    "an overlay over plain http": Case(
        overlays.bad_origins,
        ("[https://a.example", "[http://a.example"),
        "E acme.yaml:4:27: CX030 `http://a.example` is not https, and an overlay takes nothing else; list the"
        " https origin\n"
        "E globex.yaml:4:27: CX030 `http://a.example` is not https, and an overlay takes nothing else; list the"
        " https origin",
    ),
    "an overlay for a private address": Case(
        overlays.bad_origins,
        ("[https://a.example", "[https://10.0.0.1"),
        "E acme.yaml:4:27: CX030 `https://10.0.0.1` is another server on every machine or network; list a public one\n"
        "E globex.yaml:4:27: CX030 `https://10.0.0.1` is another server on every machine or network; list a public one",
    ),
    "an overlay that raises a limit": Case(
        overlays.raised_limits,
        ("requests: 600, per", "requests: 599, per"),
        "E acme.yaml:5:37: CX030 `per-origin` allows 599 requests, not 600; an overlay only lowers\n"
        "E globex.yaml:5:37: CX030 `per-origin` allows 599 requests, not 600; an overlay only lowers",
    ),
    "an overlay that lowers the limit of all": Case(
        overlays.limits_of_others,
        ("by: [tenant, originGroup]", "by: [originGroup]"),
        "E acme.yaml:5:14: CX030 `per-origin` does not count by tenant; an overlay lowers limits that do\n"
        "E globex.yaml:5:14: CX030 `per-origin` does not count by tenant; an overlay lowers limits that do",
    ),
    "an overlay that limits nothing": Case(
        overlays.unknown_limits,
        ("{per-origin: {requests", "{per-orign: {requests"),
        "E acme.yaml:5:14: CX046 `per-orign` is no rate limit; did you mean `per-origin`?\n"
        "E globex.yaml:5:14: CX046 `per-orign` is no rate limit; did you mean `per-origin`?",
    ),
    # --- owners
    "a document of nobody": Case(
        owners.unknown_owners,
        ("metadata: {name: p}", "metadata: {name: p, owner: shp}"),
        "E policy.yaml:3:28: CX046 `shp` is no team; did you mean `shop`?",
    ),
    "an origin group of nobody": Case(
        owners.unknown_owners,
        ("owner: shop,", "owner: shp,"),
        "E policy.yaml:15:61: CX046 `shp` is no team; did you mean `shop`?",
    ),
    "a resource group of nobody": Case(
        owners.unknown_owners,
        ("owner: shop\n", "owner: shp\n"),
        "E policy.yaml:25:12: CX046 `shp` is no team; did you mean `shop`?",
    ),
    "a guard of nobody": Case(
        owners.unknown_owners,
        ("clerk: {sourceIn: [10.0.0.0/8]}", "clerk: {sourceIn: [10.0.0.0/8], owner: pey}"),
        "E policy.yaml:18:42: CX046 `pey` is no team; did you mean `pay`?",
    ),
    "a rule of nobody": Case(
        owners.unknown_owners,
        ("    owner: shop\n    allow: []", "    owner: shop\n    allow: [{origins: [web], owner: pey}]"),
        "E policy.yaml:26:37: CX046 `pey` is no team; did you mean `pay`?",
    ),
    "a member who is nobody": Case(
        owners.unknown_members,
        ("[kim, noor]", "[kim, nooor]"),
        "E policy.yaml:9:42: CX046 `nooor` is no person; did you mean `noor`?",
    ),
    "a territory without a path that can be read": Case(
        owners.bad_territories,
        ("governs: [pay.x]", "governs: [pay.x/**/a]"),
        "E policy.yaml:10:36: CX047 `/**/a`: `**` stands last; write one entry per depth, such as `/*/a`",
    ),
    "a territory without a host that can be read": Case(
        owners.bad_territories,
        ("governs: [pay.x]", "governs: [Pay.x]"),
        "E policy.yaml:10:36: CX003 `Pay.x` is not a host; write `pay.x`: lower case",
    ),
    "routes of another team, and of none": Case(
        owners.foreign_routes,
        ("{hosts: [api.x], paths", "{hosts: [pay.x, api.y], paths"),
        "E policy.yaml:21:5: CX031 `pay.x/{version}/orders/**` is not governed by team `shop`; its owner is `pay`;"
        " `pay.x/v0/orders/{tenant}` is not governed by team `shop`; its owner is `pay`;"
        " `api.y/{version}/orders/**` is not governed by team `shop`; no team governs it: widen `governs`, or move the"
        " route; and 1 more",
    ),
    "three routes of another team": Case(
        owners.foreign_routes,
        ('{hosts: [api.x], paths: ["/{version}/orders/**"', '{hosts: [pay.x], paths: ["/a", "/b"'),
        "E policy.yaml:21:5: CX031 `pay.x/a` is not governed by team `shop`; its owner is `pay`;"
        " `pay.x/b` is not governed by team `shop`; its owner is `pay`;"
        " `pay.x/v0/orders/{tenant}` is not governed by team `shop`; its owner is `pay`",
    ),
    # --- rate limits
    "a limit on a group that is not there": Case(
        change.limits_of_unknown_groups,
        ("resourceGroups: [orders]}", "resourceGroups: [order]}"),
        "E policy.yaml:55:84: CX046 `order` is no resource group; did you mean `orders`?",
    ),
    "a limit by tenant where nothing names one": Case(
        change.limits_by_no_tenant,
        ("/v0/orders/{tenant}", "/v0/orders"),
        "E policy.yaml:55:21: CX047 `per-origin` counts by tenant, and no route and no `tenants` names one; drop it"
        " from `by`",
    ),
    # --- rollout
    "a rollout that does not arrive": Case(
        change.rollouts_that_do_not_arrive,
        ("enforce: 100%", "enforce: 99.5%"),
        "E policy.yaml:63:5: CX047 rollout.steps end at 99.5%; the last step is 100%",
    ),
    "a step that is none": Case(
        change.steps_that_do_not_grow,
        ("enforce: 25%", "enforce: 5%"),
        "E policy.yaml:62:15: CX047 a step at 5% after one at 5%; each step of a rollout enforces more",
    ),
    "a step that lasts for no time": Case(
        change.steps_without_time,
        (", for: 1h", ""),
        "E policy.yaml:62:5: CX047 the step at 25% does not say for how long; add for: 30m",
    ),
    # --- lockdown
    "a first party that is not there": Case(
        change.unknown_first_parties,
        ("firstParty: [web]", "firstParty: [webb]"),
        "E policy.yaml:64:25: CX046 `webb` is no origin group; did you mean `web`?",
    ),
    "a first party of medium trust": Case(
        change.weak_first_parties,
        ("trust: high", "trust: medium"),
        "E policy.yaml:64:25: CX014 `web` has trust medium; lockdown.firstParty takes groups of trust high",
    ),
    "a lockdown that does not last": Case(
        change.lockdowns_of_no_duration,
        ("maxDuration: 8h", "maxDuration: 0s"),
        "E policy.yaml:64:44: CX047 lockdown.maxDuration `0s` lets no lockdown last; say how long one may, such as 8h",
    ),
}


def _files(edit: tuple[str, str]) -> dict[str, str]:
    texts = {"policy.yaml": POLICY, "acme.yaml": ACME, "globex.yaml": GLOBEX}
    return {name: text.replace(*edit, 1) for name, text in texts.items()}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_finding_is_one_edit_away(case: Case, lint: Callable[..., list[str]]) -> None:
    files = _files(case.edit)
    assert files != _files(("", ""))
    assert lint([case.rule], _files(("", ""))) == []
    assert lint([case.rule], files) == case.said.splitlines()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_one_mistake_hides_no_other_rule(case: Case, lint: Callable[..., list[str]]) -> None:
    assert set(case.said.splitlines()) <= set(lint(change.RULES, _files(case.edit)))


QUIET: Final = {
    "exceptions in a circle, as renewed": (
        exceptions.renewed_exceptions,
        POLICY.replace("    environments: [prod]", "    renews: EX-2"),
    ),
    "trust in a class that admits no exceptions": (
        exceptions.trust_above_the_class,
        POLICY.replace("[notes, site]", "[vault]").replace("sensitivity: secret", "sensitivity: restricted"),
    ),
    "a star without cookies": (
        exceptions.stars_exposed_with_credentials,
        POLICY.replace("methods: [GET]", 'methods: [GET], exposeHeaders: ["*"]'),
    ),
    "cookies without a star": (
        exceptions.stars_exposed_with_credentials,
        POLICY.replace("methods: [GET]", "methods: [GET], exposeHeaders: [etag], credentials: [cookie]"),
    ),
    "the first finding": (suppressions.suppressions_of_unknown_findings, POLICY.replace("CX026", "CX001")),
    "the last finding": (suppressions.suppressions_of_unknown_findings, POLICY.replace("CX026", "CX054")),
    "limits by tenant where the tenant is no part of the route": (
        change.limits_by_no_tenant,
        POLICY.replace("/v0/orders/{tenant}", "/v0/orders") + "tenants: {routeMetadata: org}\n",
    ),
    "limits by tenant where hosts name them": (
        change.limits_by_no_tenant,
        POLICY.replace("/v0/orders/{tenant}", "/v0/orders").replace("site.x", '"{tenant}.site.x"'),
    ),
    "limits by tenant where nothing is routed": (
        change.limits_by_no_tenant,
        "rateLimits: {all: {by: [tenant], requests: 1, per: 1s}}\n",
    ),
}


@pytest.mark.parametrize(("rule", "text"), QUIET.values(), ids=QUIET)
def test_nothing_is_said_of(
    rule: Callable[[Subject], Iterator[Finding]], text: str, lint: Callable[..., list[str]]
) -> None:
    assert lint([rule], text) == []


def test_what_is_not_yet_applied_is_said_once_a_section(lint: Callable[..., list[str]]) -> None:
    said = lint(change.RULES, _files(("", "")))
    assert said == [
        f"W {line}"
        for line in (
            (
                "policy.yaml:31:1: CX054 `exceptions` are read and checked, and not yet applied by this version:"
                " nothing is granted by them"
            ),
            (
                "policy.yaml:54:1: CX054 `rateLimits` are read and checked, and not yet applied by this version:"
                " nothing is limited by them: limit in Envoy"
            ),
            (
                "policy.yaml:59:1: CX054 `rollout` is read and checked, and not yet applied by this version:"
                " a new revision decides everything at once"
            ),
            (
                "policy.yaml:64:1: CX054 `lockdown` is read and checked, and not yet applied by this version:"
                " nothing is closed by it: withdraw rules instead"
            ),
            (
                "acme.yaml:2:7: CX054 `TenantOverlay` is read and checked, and not yet applied by this version:"
                " per-tenant groups stay empty"
            ),
            (
                "policy.yaml:4:1: CX054 keys of `people` are read, and no signature is checked by this version:"
                " that an owner or approver signed rests on the review of the policy alone"
            ),
        )
    ]


def test_a_tenants_own_limits_are_no_section_of_the_policy(lint: Callable[..., list[str]]) -> None:
    without = POLICY[: POLICY.index("rateLimits:")]
    said = lint([change.sections_not_yet_applied], {"acme.yaml": ACME, "policy.yaml": without})
    assert [line[:25] for line in said] == ["W policy.yaml:31:1: CX054"]


PLACES: Final = {
    "the metadata": "metadata",
    "a section": "guards",
    "an origin group": "originGroups/web",
    "a resource group": "resourceGroups/vault",
    "something in a resource group": "resourceGroups/vault/allow",
    "a guard": "guards/clerk",
    "a rate limit": "rateLimits/refusals",
}


@pytest.mark.parametrize("at", PLACES.values(), ids=PLACES)
def test_a_suppression_may_name(at: str, lint: Callable[..., list[str]]) -> None:
    files = _files(("at: exceptions/EX-2", f"at: {at}"))
    assert lint([suppressions.suppressions_of_nothing], files) == []


IDENTITY: Final = "identity: {mtls: {trustDomains: [mesh.x]}}\n"
IN_IDENTITY: Final = {"identity": 0, "identity/mtls": 0, "identity/jwt": 0, "identity/tokens": 1}


@pytest.mark.parametrize(("at", "count"), IN_IDENTITY.items(), ids=IN_IDENTITY)
def test_a_suppression_in_identity_names_a_part_of_it(at: str, count: int, lint: Callable[..., list[str]]) -> None:
    text = POLICY.replace("at: exceptions/EX-2", f"at: {at}") + IDENTITY
    assert len(lint([suppressions.suppressions_of_nothing], text)) == count


def test_in_dev_a_page_of_ones_own_machine_is_an_exception_like_others(lint: Callable[..., list[str]]) -> None:
    rules = [exceptions.plain_http_origins, exceptions.origins_of_one_network]
    text = POLICY.replace("https://b.x", "http://localhost:3000")
    assert lint(rules, text, "dev") == []
    assert [line.split()[2] for line in lint(rules, text, "prod")] == ["CX005", "CX006"]
    tagged = text.replace("    renews: EX-1", "    renews: EX-1\n    environments: [dev]")
    assert lint(rules, tagged, "prod") == []


def test_plain_http_from_elsewhere_is_refused_in_dev_too(lint: Callable[..., list[str]]) -> None:
    text = POLICY.replace("https://b.x", "http://b.x")
    assert [line.split()[2] for line in lint([exceptions.plain_http_origins], text, "dev")] == ["CX005"]


def test_without_teams_and_people_owners_are_plain_names(lint: Callable[..., list[str]]) -> None:
    text = """
    originGroups:
      web: {origins: ["https://x.example"], owner: whoever}
    suppressions:
    - {finding: CX026, at: originGroups/web, reason: somebody said so, by: whoever, until: 2027-01-01}
    """
    assert lint(change.RULES, text) == []


WITHIN: Final = {
    "deeper": ("/{version}/orders/**", "/{version}/orders/a/{id}", True),
    "the same, with another name": ("/{version}/orders/**", "/{id}/orders/**", True),
    "the territory's front": ("/{version}/orders/**", "/v1/orders", True),
    "one segment short": ("/{version}/orders/**", "/v1", False),
    "all that follows, of one": ("/{version}/orders", "/v1/orders/**", False),
    "one of those that follow": ("/{version}/orders", "/v1/orders/a", False),
    "an exact path": ("/{version}/orders", "/v1/orders", True),
    "a slot, of a text": ("/v1/orders", "/{version}/orders", False),
    "a text, of a part of a segment": ("/v{version}/orders", "/v1/orders", True),
    "a slot, of a part of a segment": ("/v{version}/orders", "/{version}/orders", False),
}


@pytest.mark.parametrize(("territory", "path", "is_within"), WITHIN.values(), ids=WITHIN)
def test_what_lies_within_a_territory(
    territory: str, path: str, lint: Callable[..., list[str]], *, is_within: bool
) -> None:
    text = f"""
    teams: {{a: {{contact: c, governs: ["api.x{territory}"]}}}}
    resourceGroups:
      orders: {{match: [{{hosts: [api.x], paths: ["{path}"]}}], owner: a, allow: []}}
    """
    assert (lint([owners.foreign_routes], text) == []) is is_within


def test_the_routes_of_a_team_may_lie_anywhere_within_what_it_governs(lint: Callable[..., list[str]]) -> None:
    narrower = POLICY.replace('hosts: [api.x], paths: ["/{version}/orders/**", ', 'hosts: [a.b.shop.x], paths: ["/x", ')
    wider = POLICY.replace('"/{version}/orders/**", "/v0', '"/{version}/**", "/v0')
    assert lint([owners.foreign_routes], narrower) == []
    assert [line[:26] for line in lint([owners.foreign_routes], wider)] == ["E policy.yaml:21:5: CX031 "]


def test_a_policy_of_unknown_names_is_linted_to_the_end(lint: Callable[..., list[str]]) -> None:
    text = """
    exceptions:
      EX-1:
        grant: {resourceGroups: [nothing], origins: ["null", "*"], methods: [GET], versions: [v1]}
        from: 2026-11-01T00:00:00Z
        until: 2026-11-02T00:00:00Z
        reason: none
        ticket: none
        requestedBy: nobody
        approvals: [{by: nobody, role: senior, at: 2026-11-01T00:00:00Z}]
        renews: EX-0
        environments: [nowhere]
    lockdown: {firstParty: [nobody]}
    """
    overlay = ACME.replace("partners", "nothing").replace("per-origin", "nothing")
    codes = [line.split()[2] for line in lint(change.RULES, {"policy.yaml": text, "overlay.yaml": overlay})]
    assert set(codes) == {"CX002", "CX003", "CX025", "CX030", "CX046", "CX054"}
