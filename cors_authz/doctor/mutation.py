"""Headers of requests that something in front of ext_authz changes, so that the service is told another story."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from cors_authz.doctor import catalogue
from cors_authz.doctor.condition import fits
from cors_authz.doctor.finding import Finding
from cors_authz.doctor.lined import line_of
from cors_authz.doctor.reads import Reads
from cors_authz.doctor.setup import HttpFilter, Manager, Message, Setup, configs_of, inner, maps, type_of

_EARLY: Final = "early_header_mutation_extensions"
_BETTER_GONE: Final = frozenset(
    {"x-http-method-override", "x-http-method", "x-method-override", "x-cors-authz-decision-id"}
)
"""Nothing is lost where these are taken off: the upstream gets them no more than the service."""


def findings(setup: Setup, manager: Manager, before: Iterable[HttpFilter], reads: Reads) -> Iterator[Finding]:
    """Say which of the headers that the policy reads are changed before the check.

    Args:
        setup: the Envoy.
        manager: one of its connection managers.
        before: the filters that stand in front of its first check.
        reads: what the policy reads.
    """
    if names := changed(_early(manager), reads):
        where = setup.at(manager, line=line_of(manager.config, _EARLY))
        yield Finding(catalogue.CHANGED_FIRST, where, f"`{_EARLY}` changes {names}")
    for each in before:
        if names := changed(_of_filter(each, manager), reads):
            where = setup.at(manager, f"filter {each.name}", line=each.line)
            yield Finding(catalogue.CHANGED_FIRST, where, f"`{each.kind}` in front of ext_authz changes {names}")


def changed(mutations: Iterable[Message], reads: Reads) -> str:
    """Name the headers that a policy reads and HeaderMutations change; "" for none."""
    found = list(mutations)
    names = sorted(name for name in reads.headers if any(_changes(each, name) for each in found))
    return ", ".join(f"`{name}`" for name in names)


def _changes(mutation: Message, name: str) -> bool:
    if str(inner(mutation, "append", "header").get("key", "")).lower() == name:
        return True
    if name in _BETTER_GONE:
        return False
    matcher = inner(mutation, "remove_on_match", "key_matcher")
    return str(mutation.get("remove", "")).lower() == name or (bool(matcher) and fits(matcher, name) is not False)


def _early(manager: Manager) -> Iterator[Message]:
    for each in maps(manager.config.get(_EARLY)):
        yield from maps(type_of(each.get("typed_config"))[1].get("mutations"))


def _of_filter(each: HttpFilter, manager: Manager) -> Iterator[Message]:
    if each.kind == "header_mutation":
        for config in configs_of(each, manager):
            yield from maps(inner(config, "mutations").get("request_mutations"))
    if each.kind == "header_to_metadata":
        for rule in maps(each.config.get("request_rules")):
            if rule.get("remove") in (True, "true"):
                yield {"remove": rule.get("header", "cookie")}
