"""Findings about origins: who is let in, how far they are trusted, and who else could be them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import Final

from cors_authz.fetch.fields import SAFE_METHODS
from cors_authz.fetch.origin import split_port
from cors_authz.policy import schema
from cors_authz.policy.compiled import Credential, Protocol, Trust
from cors_authz.policy.estate import Named
from cors_authz.policy.finding import Finding, Severity
from cors_authz.policy.lint.local_hosts import local_origin_in
from cors_authz.policy.lint.rule_at import RuleAt, rules_at
from cors_authz.policy.lint.wording import list_text
from cors_authz.policy.locality import is_local as is_multicast_name
from cors_authz.policy.locality import is_loopback, is_private_address
from cors_authz.policy.pattern import OriginPattern, Slot
from cors_authz.policy.public_suffix import public_suffix_of_fixed_part, spans_registrable_domains, suffix_list_version
from cors_authz.policy.subject import PatternAt, Subject

_MOST_SLOTS_IN_A_LABEL: Final = 1


def credentials_for_strangers(subject: Subject) -> Iterator[Finding]:
    """CX001: browsers attach cookies and certificates by themselves, so whoever gets such an origin acts as the user.

    Spec: https://fetch.spec.whatwg.org/#cors-protocol-and-credentials.
    """
    # Suffixes are looked for once a group: thousands of rules share a few groups.
    strangers = cache(lambda name: _strangers(subject.estate.origin_groups[name], subject.patterns[name]))
    for at in rules_at(subject):
        attached = [name for name in at.model.credentials if Credential(name) is not Credential.BEARER]
        for _, group in at.admitted(subject) if attached else ():
            reason = strangers(group.name)
            if reason:
                text = f"`{group.name}` with credentials {list_text(attached)}: {reason}"
                yield at.finding("CX001", text, "credentials")


def _strangers(group: Named[schema.OriginGroup], patterns: Iterable[PatternAt]) -> str | None:
    if group.model.any:
        return "any site could act as the user; list the origins"
    for pattern in (at.pattern for at in patterns if not at.pattern.is_exact):
        suffix = public_suffix_of_fixed_part(pattern)
        if suffix:
            return f"strangers can register names under `{suffix}` and act as the user; use your own domain"
        if spans_registrable_domains(pattern):
            return f"`{pattern.text}` spans several registrable domains; list the origins"
    if group.model.dangerously_shared_suffix:
        return "strangers can register names under a shared suffix and act as the user; use your own domain"
    return None


def patterns_under_public_suffixes(subject: Subject) -> Iterator[Finding]:
    """CX004: a name under a public suffix belongs to whoever registers it first.

    Spec: https://publicsuffix.org/.
    """
    for at in _open_patterns(subject):
        suffix = public_suffix_of_fixed_part(at.pattern)
        if not suffix:
            continue
        text = f"`{at.pattern.text}`: strangers can register names under `{suffix}`"
        if at.group.model.dangerously_shared_suffix:
            said = f"{text}, and dangerouslySharedSuffix lets them in (public suffix list {suffix_list_version()})"
            yield Finding(at.place, "CX004", said, Severity.WARNING, at.group.about)
        else:
            said = f"{text}; use your own domain, or say dangerouslySharedSuffix: true"
            yield Finding(at.place, "CX004", said, about=at.group.about)


def plain_http(subject: Subject) -> Iterator[Finding]:
    """CX005: over plain http, whoever sits on the line writes the page, and so holds its origin.

    Spec: https://w3c.github.io/webappsec-secure-contexts/#threat-models-risks.
    """
    for at in rules_at(subject):
        objection = _objection_to_plain_http(subject, at)
        for _, group in at.admitted(subject) if objection else ():
            for found in subject.patterns[group.name]:
                # An origin that CX006 refuses is wrong by its host: https would not mend it.
                if (
                    found.pattern.scheme == "http"
                    and not _is_for_development(subject, found.pattern)
                    and not _local_name(subject, found)
                ):
                    text = f"`{found.pattern.text}` is open to whoever sits on the line, and {objection}; use https"
                    yield Finding(found.place, "CX005", text, about=group.about)


def _objection_to_plain_http(subject: Subject, at: RuleAt) -> str | None:
    if at.rule.sends_browser_credentials:
        return f"`{at.rule.name}` grants it credentials {list_text(at.model.credentials)}"
    sensitivity = subject.class_of(at.group)
    if not sensitivity.plain_http:
        return f"class {sensitivity.name} of `{at.rule.name}` refuses plain http"
    return None


def _is_for_development(subject: Subject, pattern: OriginPattern) -> bool:
    return subject.environment.is_dev and is_loopback(pattern.host)


def origins_of_one_machine(subject: Subject) -> Iterator[Finding]:
    """CX006: on every other machine such a name is another server, or whatever program listens there.

    Spec: https://wicg.github.io/local-network-access/#ip-address-space-section.
    """
    for at in _patterns(subject):
        found = _local_name(subject, at)
        if found:
            origin, kind = found
            is_shown = origin == at.pattern.text
            said = f"is {kind}" if is_shown else f"takes `{origin}`, {kind.removesuffix(',')},"
            mend = _mend_for_local_name(subject) if is_shown else "end it in your own domain"
            text = f"`{at.pattern.text}` {said} and would be open in {subject.environment.name}; {mend}"
            yield Finding(at.place, "CX006", text, about=at.group.about)


def _local_name(subject: Subject, at: PatternAt) -> tuple[str, str] | None:
    """Give an origin, or the pattern itself, whose name is right only in development, where it is not, and its kind."""
    if subject.environment.is_dev or at.group.model.web_view:
        return None
    kind = _kind_of_local_name(at.pattern.host)
    if kind:
        return at.pattern.text, kind
    origin = local_origin_in(at.pattern)
    kind = _kind_of_local_name(split_port(origin.partition("://")[2])[0]) if origin else None
    return (origin, kind) if origin and kind else None


def _kind_of_local_name(host: str) -> str | None:
    if is_loopback(host):
        return "a loopback origin"
    if is_multicast_name(host):
        return "a `.local` origin, which any neighbour may answer for,"
    return "a private address, another machine in every network," if is_private_address(host) else None


def _mend_for_local_name(subject: Subject) -> str:
    like_dev = [environment.name for environment in subject.estate.environments.values() if environment.is_dev]
    if not like_dev:
        return "no environment is like dev: remove it"
    return f"tag the group `environments: {list_text(like_dev)}`"


def trust_in_shared_origins(subject: Subject) -> Iterator[Finding]:
    """CX014: an origin that others can have narrows who calls, and identifies nobody."""
    for group in _groups(subject):
        trust = Trust[group.model.trust.upper()]
        if group.model.web_view and trust > Trust.MEDIUM:
            said = "a web view's origin is shared by other apps; medium is the most"
        elif group.model.dangerously_shared_suffix and trust > Trust.LOW:
            said = "strangers can register names under a shared suffix; low is the most"
        else:
            continue
        text = f"`{group.name}` has trust {group.model.trust}, but {said}"
        yield Finding(group.key_place, "CX014", text, about=group.about)


def origins_written_twice(subject: Subject) -> Iterator[Finding]:
    """CX019: of two entries that say the same, one is removed some day and the other forgotten."""
    for patterns in subject.patterns.values():
        seen: set[str] = set()
        for at in patterns:
            if at.pattern.text in seen:
                text = f"`{at.pattern.text}` is written twice in `{at.group.name}`; leave one out"
                yield Finding(at.place, "CX019", text, Severity.WARNING, at.group.about)
            seen.add(at.pattern.text)


def origins_of_two_trusts(subject: Subject) -> Iterator[Finding]:
    """CX020: one page cannot be trusted more here and less there; the higher trust is what it gets."""
    first: dict[str, PatternAt] = {}
    for at in _patterns(subject):
        other = first.setdefault(at.pattern.text, at).group
        if other.model.trust != at.group.model.trust:
            text = (
                f"`{at.pattern.text}` has trust {at.group.model.trust} in `{at.group.name}` and {other.model.trust} in"
                f" `{other.name}`; say it in one group"
            )
            yield Finding(at.place, "CX020", text, Severity.WARNING, at.group.about)


def much_for_low_trust(subject: Subject) -> Iterator[Finding]:
    """CX033: what is trusted little changes data, or acts with what the browser attaches."""
    for at in rules_at(subject):
        granted = list(_weighty_grants(at))
        for index, group in at.admitted(subject) if granted else ():
            if group.model.trust == "low" and not group.model.any:
                text = (
                    f"`{group.name}` has trust low, and `{at.rule.name}` grants it {' and '.join(granted)}; give it"
                    " a rule that grants less, or raise its trust with its owner"
                )
                yield at.finding("CX033", text, "origins", index, severity=Severity.WARNING)


def _weighty_grants(at: RuleAt) -> Iterator[str]:
    # A handshake is a GET, and what follows is a conversation in both directions.
    if at.rule.any_method or at.rule.methods - SAFE_METHODS or Protocol.WEBSOCKET.value in at.group.model.protocols:
        yield "writes"
    if Credential.COOKIE in at.rule.credentials:
        yield "cookies"
    if Credential.MTLS in at.rule.credentials:
        yield "certificates"


def sockets_for_anyone(subject: Subject) -> Iterator[Finding]:
    """CX037: a handshake has no preflight, so its origin is the only check, and here there is none.

    Spec: https://www.rfc-editor.org/rfc/rfc6455#section-10.2.
    """
    for group in subject.estate.resource_groups.values():
        named = [origins for rule in subject.rules[group.name] for origins in subject.origin_groups_of(rule)]
        if "websocket" in group.model.protocols and named and all(origins.model.any for origins in named):
            text = (
                f"`{group.name}` serves `websocket` to any site alone, and a handshake has no other check; list origins"
            )
            yield Finding(group.place("protocols"), "CX037", text, Severity.WARNING, group.about)


def labels_of_two_slots(subject: Subject) -> Iterator[Finding]:
    """CX040: where one slot ends and the next begins is a guess, and so is who may register the names between."""
    for at in _open_patterns(subject):
        for label in at.pattern.labels:
            if sum(isinstance(part, Slot) for part in label) > _MOST_SLOTS_IN_A_LABEL:
                written = "".join(part.value if isinstance(part, Slot) else part for part in label)
                text = f"`{at.pattern.text}` has two slots in `{written}`; one slot a label says what is meant"
                yield Finding(at.place, "CX040", text, Severity.WARNING, at.group.about)


def every_sibling(subject: Subject) -> Iterator[Finding]:
    """CX041: one forgotten name of the domain, taken over, is an origin of this group.

    Spec: https://url.spec.whatwg.org/#host-registrable-domain.
    """
    for at in _open_patterns(subject):
        if at.pattern.wildcard and _is_registrable(at.pattern):
            domain = at.pattern.host.removeprefix("*.")
            text = f"`{at.pattern.text}` trusts every name under `{domain}`, forgotten ones too; list the origins"
            yield Finding(at.place, "CX041", text, Severity.WARNING, at.group.about)


def _is_registrable(pattern: OriginPattern) -> bool:
    """Tell whether what follows `*.` is a registrable domain: with one label less, it would be many of them."""
    wider = replace(pattern, labels=pattern.labels[1:])
    return bool(wider.labels) and not spans_registrable_domains(pattern) and spans_registrable_domains(wider)


def anyone_on_private_hosts(subject: Subject) -> Iterator[Finding]:
    """CX043: servers of a private network rely on who can reach them, and every browser inside reaches them.

    Spec: https://wicg.github.io/local-network-access/#goals.
    """
    private = {route.group.name: route.host.text for route in subject.routes if _is_private_host(route.host.host)}
    for at in rules_at(subject):
        for index, group in at.admitted(subject) if at.group.name in private else ():
            if group.model.any:
                host = private[at.group.name]
                text = (
                    f"`{group.name}` on `{host}`: a private server is protected by its position, and any site reaches"
                    " it through a browser inside; list the origins"
                )
                yield at.finding("CX043", text, "origins", index, severity=Severity.WARNING)


def _is_private_host(host: str) -> bool:
    # `.internal` is set aside for private use: https://www.icann.org/en/board-activities-and-meetings/materials/
    # approved-resolutions-special-meeting-of-the-icann-board-29-07-2024-en. A single label is a name of one's network.
    name = host.removeprefix("*.")
    private_name = name.endswith(".internal") or not {".", ":"} & set(name)
    return private_name or is_loopback(name) or is_multicast_name(name) or is_private_address(name)


def trusted_without_contact(subject: Subject) -> Iterator[Finding]:
    """CX045: when a trusted origin misbehaves, somebody must be found at night."""
    teams = subject.estate.bundle.model.teams
    for group in _groups(subject):
        if group.model.trust != "low" and not group.model.contact and group.owner not in teams:
            text = f"`{group.name}` has trust {group.model.trust} and no `contact`; say who answers for it"
            yield Finding(group.key_place, "CX045", text, Severity.INFO, group.about)


def _groups(subject: Subject) -> Iterator[Named[schema.OriginGroup]]:
    return (subject.estate.origin_groups[name] for name in subject.patterns)


def _open_patterns(subject: Subject) -> Iterator[PatternAt]:
    """Give the patterns that take more than one origin."""
    return (at for at in _patterns(subject) if not at.pattern.is_exact)


def _patterns(subject: Subject) -> Iterator[PatternAt]:
    for patterns in subject.patterns.values():
        yield from patterns


RULES: Final[tuple[Callable[[Subject], Iterator[Finding]], ...]] = (
    credentials_for_strangers,
    patterns_under_public_suffixes,
    plain_http,
    origins_of_one_machine,
    trust_in_shared_origins,
    origins_written_twice,
    origins_of_two_trusts,
    much_for_low_trust,
    sockets_for_anyone,
    labels_of_two_slots,
    every_sibling,
    anyone_on_private_hosts,
    trusted_without_contact,
)
