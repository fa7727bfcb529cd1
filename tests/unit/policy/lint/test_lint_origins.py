"""What lint says of origins: each policy that is wrong, and the same policy one edit away that is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cors_authz.policy.lint.origins import RULES, every_sibling
from cors_authz.policy.public_suffix import suffix_list_version
from cors_authz.policy.subject import Subject

Lint = Callable[..., list[str]]


class Case(NamedTuple):
    """A policy; severity, line and column, and text of all that one code says of it; and the edit that mends it."""

    policy: str
    at: str
    text: str
    old: str
    new: str
    environment: str = "prod"


def api(groups: str, rule: str, more: str = "") -> str:
    """Write a policy of some origin groups, the first from line 5 on, and one resource group with one rule."""
    return (
        f"originGroups:\n{groups}\nresourceGroups:\n  api:\n    match: [{{hosts: [api.shop.example]}}]\n{more}"
        f"    allow:\n    - {{{rule}}}\n"
    )


VERSION = suffix_list_version()

CASES: dict[str, Case] = {
    "CX001: any site with cookies": Case(
        api("  anyone: {any: true}", "origins: [anyone], credentials: [cookie]"),
        "E 10:40",
        "`anyone` with credentials [cookie]: any site could act as the user; list the origins",
        "[cookie]",
        "[bearer]",
    ),
    "CX001: any site with certificates; the bearer beside them is none of it": Case(
        api("  anyone: {any: true}", "origins: [anyone], credentials: [bearer, mtls]"),
        "E 10:40",
        "`anyone` with credentials [mtls]: any site could act as the user; list the origins",
        ", mtls",
        "",
    ),
    "CX001: a shared suffix with cookies": Case(
        api(
            '  pre: {origins: ["https://pr-{digits}.vercel.app"], dangerouslySharedSuffix: true}',
            "origins: [pre], credentials: [cookie]",
        ),
        "E 10:37",
        "`pre` with credentials [cookie]: strangers can register names under `vercel.app` and act as the"
        " user; use your own domain",
        'pr-{digits}.vercel.app"], dangerouslySharedSuffix: true',
        'pr-1.vercel.app"]',
    ),
    "CX001: a suffix that the group itself says is shared": Case(
        api(
            '  pre: {origins: ["https://a.shop.example"], dangerouslySharedSuffix: true}',
            "origins: [pre], credentials: [mtls]",
        ),
        "E 10:37",
        "`pre` with credentials [mtls]: strangers can register names under a shared suffix and act as"
        " the user; use your own domain",
        ", dangerouslySharedSuffix: true",
        "",
    ),
    "CX001: several registrable domains with cookies": Case(
        api('  web: {origins: ["https://shop-{alnum}.example"]}', "origins: [web], credentials: [cookie]"),
        "E 10:37",
        "`web` with credentials [cookie]: `https://shop-{alnum}.example` spans several registrable"
        " domains; list the origins",
        "shop-{alnum}.example",
        "{alnum}.shop.example",
    ),
    "CX001: a group that does not exist here lets nobody in": Case(
        api("  anyone: {any: true, environments: [prod, dev]}", "origins: [anyone], credentials: [cookie]"),
        "E 10:40",
        "`anyone` with credentials [cookie]: any site could act as the user; list the origins",
        "[prod, dev]",
        "[dev]",
    ),
    "CX004: a slot under a public suffix": Case(
        api('  pre: {origins: ["https://pr-{digits}.github.io"]}', "origins: [pre]"),
        "E 5:19",
        "`https://pr-{digits}.github.io`: strangers can register names under `github.io`; use your own"
        " domain, or say dangerouslySharedSuffix: true",
        "github.io",
        "shop.github.io",
    ),
    "CX004: a shared suffix that is taken on stays in every report": Case(
        api('  pre: {origins: ["https://*.github.io"], dangerouslySharedSuffix: true}', "origins: [pre]"),
        "W 5:19",
        "`https://*.github.io`: strangers can register names under `github.io`, and dangerouslySharedSuffix"
        f" lets them in (public suffix list {VERSION})",
        "*.github.io",
        "shop.github.io",
    ),
    "CX005: plain http in a class that refuses it": Case(
        api('  web: {origins: ["http://shop.example"]}', "origins: [web]"),
        "E 5:19",
        "`http://shop.example` is open to whoever sits on the line, and class internal of `api/1`"
        " refuses plain http; use https",
        "http:",
        "https:",
    ),
    "CX005: class public allows plain http": Case(
        api('  web: {origins: ["http://shop.example"]}', "origins: [web]", "    sensitivity: internal\n"),
        "E 5:19",
        "`http://shop.example` is open to whoever sits on the line, and class internal of `api/1`"
        " refuses plain http; use https",
        "sensitivity: internal",
        "sensitivity: public",
    ),
    "CX005: plain http with cookies, whatever the class": Case(
        api(
            '  web: {origins: ["http://shop.example"]}',
            "origins: [web], credentials: [cookie]",
            "    sensitivity: public\n",
        ),
        "E 5:19",
        "`http://shop.example` is open to whoever sits on the line, and `api/1` grants it credentials"
        " [cookie]; use https",
        ", credentials: [cookie]",
        "",
    ),
    "CX005: only loopback is plain in dev": Case(
        api('  web: {origins: ["http://192.168.0.7"]}', "origins: [web], credentials: [cookie]"),
        "E 5:19",
        "`http://192.168.0.7` is open to whoever sits on the line, and `api/1` grants it credentials"
        " [cookie]; use https",
        "192.168.0.7",
        "localhost:3000",
        "dev",
    ),
    "CX005: loopback is not plain in staging, where a web view may have it": Case(
        api('  web: {origins: ["http://localhost"], webView: true}', "origins: [web]"),
        "E 5:19",
        "`http://localhost` is open to whoever sits on the line, and class internal of `api/1`"
        " refuses plain http; use https",
        "http:",
        "https:",
        "staging",
    ),
    "CX006: a private address over plain http": Case(
        api('  web: {origins: ["http://10.1.2.3"]}', "origins: [web], credentials: [cookie]"),
        "E 5:19",
        "`http://10.1.2.3` is a private address, another machine in every network, and would be open in"
        " prod; tag the group `environments: [dev]`",
        'http://10.1.2.3"]',
        'http://10.1.2.3"], environments: [dev]',
    ),
    "CX006: loopback in prod": Case(
        api('  web: {origins: ["https://localhost:3000"]}', "origins: [web]"),
        "E 5:19",
        "`https://localhost:3000` is a loopback origin and would be open in prod; tag the group `environments: [dev]`",
        ':3000"]',
        ':3000"], environments: [dev]',
    ),
    "CX006: a label that may be loopback": Case(
        api('  web: {origins: ["https://{label}"]}', "origins: [web]"),
        "E 5:19",
        "`https://{label}` takes `https://localhost`, a loopback origin, and would be open in prod; end it in your own"
        " domain",
        "{label}",
        "{label}.shop.example",
    ),
    "CX006: loopback in an app's web view is right": Case(
        api('  app: {origins: ["https://localhost"], trust: medium}', "origins: [app]"),
        "E 5:19",
        "`https://localhost` is a loopback origin and would be open in prod; tag the group `environments: [dev]`",
        "trust",
        "webView: true, trust",
    ),
    "CX006: a name of multicast DNS": Case(
        api('  web: {origins: ["https://shop.local"]}', "origins: [web]"),
        "E 5:19",
        "`https://shop.local` is a `.local` origin, which any neighbour may answer for, and would be"
        " open in staging; tag the group `environments: [dev]`",
        "shop.local",
        "shop.local.example",
        "staging",
    ),
    "CX006: a private address": Case(
        api('  web: {origins: ["https://10.1.2.3"]}', "origins: [web]"),
        "E 5:19",
        "`https://10.1.2.3` is a private address, another machine in every network, and would be open in"
        " prod; tag the group `environments: [dev]`",
        "10.1.2.3",
        "11.1.2.3",
    ),
    "CX006: the mend names the environments that are like dev": Case(
        api('  web: {origins: ["https://[::1]"]}', "origins: [web]")
        + "environments: {eu: {like: prod}, box: {like: dev}, lab: {like: dev}}\n",
        "E 5:19",
        "`https://[::1]` is a loopback origin and would be open in eu; tag the group `environments: [box, lab]`",
        "eu: {like: prod}",
        "eu: {like: dev}",
        "eu",
    ),
    "CX006: without an environment like dev, there is no place for it": Case(
        api('  web: {origins: ["https://[::1]"]}', "origins: [web]") + "environments: {eu: {like: prod}}\n",
        "E 5:19",
        "`https://[::1]` is a loopback origin and would be open in eu; no environment is like dev: remove it",
        "like: prod",
        "like: dev",
        "eu",
    ),
    "CX014: a web view of high trust": Case(
        api("  app: {origins: [capacitor://localhost], webView: true, trust: high}", "origins: [app]"),
        "E 5:3",
        "`app` has trust high, but a web view's origin is shared by other apps; medium is the most",
        "trust: high",
        "trust: medium",
    ),
    "CX014: a shared suffix of medium trust": Case(
        api(
            '  pre: {origins: ["https://*.github.io"], dangerouslySharedSuffix: true, trust: medium}', "origins: [pre]"
        ),
        "E 5:3",
        "`pre` has trust medium, but strangers can register names under a shared suffix; low is the most",
        "trust: medium",
        "trust: low",
    ),
    "CX019: an origin twice in a group": Case(
        api('  web: {origins: ["https://a.example", "https://b.example", "https://a.example"]}', "origins: [web]"),
        "W 5:61",
        "`https://a.example` is written twice in `web`; leave one out",
        ', "https://a.example"]',
        "]",
    ),
    "CX020: one origin in groups of different trust": Case(
        api(
            '  web: {origins: ["https://a.example"], trust: high}\n  old: {origins: ["https://a.example"], trust: low}',
            "origins: [web]",
        ),
        "W 6:19",
        "`https://a.example` has trust low in `old` and high in `web`; say it in one group",
        "trust: low",
        "trust: high",
    ),
    "CX020: groups of different environments never meet": Case(
        api(
            '  web: {origins: ["https://a.example"], trust: high}\n  dev: {origins: ["https://a.example"],'
            " environments: [prod]}",
            "origins: [web]",
        ),
        "W 6:19",
        "`https://a.example` has trust low in `dev` and high in `web`; say it in one group",
        "environments: [prod]",
        "environments: [dev]",
    ),
    "CX033: writes for low trust": Case(
        api('  web: {origins: ["https://a.example"]}', "origins: [web], methods: [GET, POST]"),
        "W 10:18",
        "`web` has trust low, and `api/1` grants it writes; give it a rule that grants less, or raise"
        " its trust with its owner",
        ", POST",
        ", HEAD",
    ),
    "CX033: every method, cookies and certificates for low trust": Case(
        api('  web: {origins: ["https://a.example"]}', 'origins: [web], methods: ["*"], credentials: [cookie, mtls]'),
        "W 10:18",
        "`web` has trust low, and `api/1` grants it writes and cookies and certificates; give it a rule"
        " that grants less, or raise its trust with its owner",
        '"]}',
        '"], trust: medium}',
    ),
    "CX033: sockets are writes": Case(
        api('  web: {origins: ["https://a.example"]}', "origins: [web]", "    protocols: [websocket]\n"),
        "W 11:18",
        "`web` has trust low, and `api/1` grants it writes; give it a rule that grants less, or raise"
        " its trust with its owner",
        "[websocket]",
        "[sse]",
    ),
    "CX037: a WebSocket for any site alone": Case(
        api("  anyone: {any: true}", "origins: [anyone]", "    protocols: [websocket]\n"),
        "W 9:16",
        "`api` serves `websocket` to any site alone, and a handshake has no other check; list origins",
        "websocket",
        "sse",
    ),
    "CX037: a listed origin beside it makes the list a choice": Case(
        api(
            '  anyone: {any: true}\n  web: {origins: ["https://a.example"]}',
            "origins: [anyone]",
            "    protocols: [websocket]\n",
        ),
        "W 10:16",
        "`api` serves `websocket` to any site alone, and a handshake has no other check; list origins",
        "origins: [anyone]",
        "origins: [anyone, web]",
    ),
    "CX040: two slots in one label": Case(
        api('  web: {origins: ["https://{slug}-{digits}.shop.example"]}', "origins: [web]"),
        "W 5:19",
        "`https://{slug}-{digits}.shop.example` has two slots in `{slug}-{digits}`; one slot a label"
        " says what is meant",
        "{slug}-{digits}",
        "{slug}.{digits}",
    ),
    "CX041: every name of the registrable domain": Case(
        api('  web: {origins: ["https://*.shop.co.uk"]}', "origins: [web]"),
        "W 5:19",
        "`https://*.shop.co.uk` trusts every name under `shop.co.uk`, forgotten ones too; list the origins",
        "*.shop.co.uk",
        "*.pages.shop.co.uk",
    ),
    "CX043: any site on a private name": Case(
        api("  anyone: {any: true}", "origins: [anyone]").replace("api.shop.example", "grafana.corp.internal"),
        "W 10:18",
        "`anyone` on `grafana.corp.internal`: a private server is protected by its position, and any"
        " site reaches it through a browser inside; list the origins",
        "corp.internal",
        "corp.example",
    ),
    "CX043: any site on a private address": Case(
        api("  anyone: {any: true}", "origins: [anyone]").replace("api.shop.example", '"[fd00::1]:8080"'),
        "W 10:18",
        "`anyone` on `[fd00::1]:8080`: a private server is protected by its position, and any site"
        " reaches it through a browser inside; list the origins",
        "fd00::1",
        "2600::1",
    ),
    "CX043: any site on a name of multicast DNS": Case(
        api("  anyone: {any: true}", "origins: [anyone]").replace("api.shop.example", "wiki.local"),
        "W 10:18",
        "`anyone` on `wiki.local`: a private server is protected by its position, and any site reaches it through"
        " a browser inside; list the origins",
        "wiki.local",
        "wiki.example",
    ),
    "CX043: any site on loopback": Case(
        api("  anyone: {any: true}", "origins: [anyone]").replace("api.shop.example", '"*.app.localhost"'),
        "W 10:18",
        "`anyone` on `*.app.localhost`: a private server is protected by its position, and any site reaches it"
        " through a browser inside; list the origins",
        "app.localhost",
        "app.localhost.example",
        "dev",
    ),
    "CX043: any site on a single label": Case(
        api("  anyone: {any: true}", "origins: [anyone]").replace("api.shop.example", "wiki"),
        "W 10:18",
        "`anyone` on `wiki`: a private server is protected by its position, and any site reaches it"
        " through a browser inside; list the origins",
        "hosts: [wiki]",
        "hosts: [wiki.example]",
    ),
    "CX045: trusted, and nobody answers for it": Case(
        api('  web: {origins: ["https://a.example"], trust: medium}', "origins: [web]"),
        "I 5:3",
        "`web` has trust medium and no `contact`; say who answers for it",
        "trust: medium",
        "trust: medium, contact: web@a.example",
    ),
    "CX045: the team that owns a group answers for it": Case(
        api('  web: {origins: ["https://a.example"], trust: high, owner: shop}', "origins: [web]")
        + "teams: {market: {contact: shop@a.example}}\n",
        "I 5:3",
        "`web` has trust high and no `contact`; say who answers for it",
        "market",
        "shop",
    ),
}


@pytest.mark.parametrize(("sentence", "case"), CASES.items(), ids=CASES)
def test_a_policy_and_the_one_that_is_mended(sentence: str, case: Case, lint: Lint) -> None:
    code = sentence.partition(":")[0]
    severity, at = case.at.split()
    said = f"{severity} policy.yaml:{at}: {code} {case.text}"
    assert case.old in case.policy
    assert [line for line in lint(RULES, case.policy, case.environment) if f": {code} " in line] == [said]
    mended = case.policy.replace(case.old, case.new)
    assert [line for line in lint(RULES, mended, case.environment) if f": {code} " in line] == []


def test_every_finding_names_its_object(subject_from: Callable[..., Subject]) -> None:
    subject = subject_from(
        api(
            '  web: {origins: ["http://a.example", "https://localhost"], trust: high}',
            "origins: [web], credentials: [cookie]",
        )
    )
    found = {finding.code: finding.about for rule in RULES for finding in rule(subject)}
    assert found == {"CX005": "originGroups/web", "CX006": "originGroups/web", "CX045": "originGroups/web"}


ONE_CAUSE = {
    "loopback outside development": ("http://localhost:3000", "staging", ["CX006"]),
    "a name of multicast DNS outside development": ("http://shop.local", "prod", ["CX006"]),
    "a private address outside development": ("http://192.168.0.7", "prod", ["CX006"]),
    "a private address in development": ("http://192.168.0.7", "dev", ["CX005"]),
    "a public name": ("http://a.example", "prod", ["CX005"]),
}


@pytest.mark.parametrize(("origin", "environment", "codes"), ONE_CAUSE.values(), ids=ONE_CAUSE)
def test_plain_http_has_one_finding(origin: str, environment: str, codes: list[str], lint: Lint) -> None:
    said = lint(RULES, api(f'  web: {{origins: ["{origin}"]}}', "origins: [web]"), environment)
    assert [code for line in said if (code := line.split()[2]) in {"CX005", "CX006"}] == codes


LOCAL: dict[str, str] = {
    "{label}:*": "`https://localhost`, a loopback origin",
    "{label}:8443": "`https://localhost:8443`, a loopback origin",
    "10.0.0.{hex}:8443": "`https://10.0.0.0:8443`, a private address, another machine in every network",
    "10.0.0.{hex}:*": "`https://10.0.0.0`, a private address, another machine in every network",
    "{slug}host": "`https://localhost`, a loopback origin",
    "{label}.": "`https://localhost.`, a loopback origin",
    "app.{label}": "`https://app.localhost`, a loopback origin",
    "*.{alnum}": "`https://a.localhost`, a loopback origin",
    "app.{alnum}cal": "`https://app.local`, a `.local` origin, which any neighbour may answer for",
    "app-{digits}.lo{alnum}l": "`https://app-7.local`, a `.local` origin, which any neighbour may answer for",
    "10.0.0.{hex}": "`https://10.0.0.0`, a private address, another machine in every network",
    "172.2{digits}.0.1{hex}": "`https://172.20.0.10`, a private address, another machine in every network",
    "127.{digits}.0.{hex}": "`https://127.0.0.0`, a loopback origin",
    "*.168.0.{hex}": "`https://0.168.0.0`, a private address, another machine in every network",
}


@pytest.mark.parametrize(("host", "what"), LOCAL.items(), ids=LOCAL)
def test_a_pattern_that_takes_a_local_origin_is_refused(host: str, what: str, lint: Lint) -> None:
    policy = api(f'  web: {{origins: ["https://{host}"]}}', "origins: [web]")
    said = [line for line in lint(RULES, policy) if "CX006" in line]
    text = f"takes {what}, and would be open in prod; end it in your own domain"
    assert said == [f"E policy.yaml:5:19: CX006 `https://{host}` {text}"]
    assert [line for line in lint(RULES, policy, "dev") if "CX006" in line] == []


NOT_LOCAL = [
    "{label}.shop.example",
    "app.x{slug}",
    "{digits}.x{hex}",
    "localhost.{digits}a",
    "8.8.8.{hex}",
    "172.4{digits}.0.{hex}",
    "10.0.0.9{hex}9",
    "10.0.0.{hex}.",
    "*.0.0.0.{hex}",
    "10.0.{hex}",
    "{hex}",
]


@pytest.mark.parametrize("host", NOT_LOCAL)
def test_a_pattern_that_takes_none_is_not(host: str, lint: Lint) -> None:
    said = lint(RULES, api(f'  web: {{origins: ["https://{host}"]}}', "origins: [web]"))
    assert [line for line in said if "CX006" in line] == []


@pytest.mark.parametrize("origin", ["moz-extension://{slug}", "chrome-extension://{alnum}", "app://{label}"])
def test_the_id_of_an_extension_or_app_is_no_host(origin: str, lint: Lint) -> None:
    said = lint(RULES, api(f'  addon: {{origins: ["{origin}"]}}', "origins: [addon]"))
    assert [line for line in said if "CX006" in line] == []


def test_names_that_nothing_has_are_passed_over(lint: Lint) -> None:
    assert lint(RULES, api("  anyone: {any: true}", "origins: [nobody, nothing], credentials: [cookie]")) == []


@given(labels=st.lists(st.sampled_from(["a", "shop", "b-1", "co"]), max_size=4))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_star_over_a_domain_trusts_its_siblings_and_further_down_it_does_not(lint: Lint, labels: list[str]) -> None:
    # Under a top-level domain that no list knows, names of two labels are registrable.
    origin = "https://" + ".".join(["*", *labels, "example"])
    said = lint([every_sibling], api(f'  web: {{origins: ["{origin}"]}}', "origins: [web]"))
    assert len(said) == (1 if len(labels) == 1 else 0)
