"""What Envoy does to answers by itself, refusals and answers to preflights among them: headers and status."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from cors_authz.doctor import catalogue
from cors_authz.doctor.finding import Rule
from cors_authz.doctor.setup import HttpFilter, Manager, Message, configs_of, inner, maps, messages_in, number, texts
from cors_authz.envoy.bootstrap import CORS_RESPONSE_HEADERS

LOCAL_REPLIES: Final = "local_reply_config"
"""The field of a connection manager that changes Envoy's own answers."""

_PREFIX: Final = "access-control-"
_FLAG: Final = "UAEX"
_OK, _REDIRECTS = 200, 300
_REFUSED: Final = frozenset({"400", "401", "403", "410", "415", "421", "429", "503"})
"""What the service refuses with. A 404 that becomes a page is what applications of a single page do."""


def of_filter(each: HttpFilter, manager: Manager) -> Iterator[tuple[Rule, str]]:
    """Judge a filter of a connection manager that asks the service; it sees refusals before it and behind."""
    configs = configs_of(each, manager)
    if each.kind == "header_mutation":
        yield from of_mutations(configs)
    if each.kind == "custom_response":
        yield from _of_custom_responses(configs)


def of_mutations(configs: Iterable[Message]) -> Iterator[tuple[Rule, str]]:
    """Judge messages of header_mutation, those of the filter and of routes."""
    if any(True for config in configs for _ in removed_by(config)):
        yield catalogue.HEADER_MUTATION, "it removes `access-control-*`"
    changes = [each for config in configs for each in maps(inner(config, "mutations").get("response_mutations"))]
    for name in granted(inner(each, "append") for each in changes):
        yield catalogue.STATIC_GRANT, f"`response_mutations` has `{name}`"


def _of_custom_responses(configs: Iterable[Message]) -> Iterator[tuple[Rule, str]]:
    for config in configs:
        statuses = {str(each["exact"]) for _, each in messages_in(config) if "exact" in each}
        takes_refusals = not statuses or any(each in _REFUSED or not each.isdigit() for each in statuses)
        for _, each in messages_in(config):
            for name in granted(maps(each.get("response_headers_to_add"))):
                yield catalogue.STATIC_GRANT, f"`response_headers_to_add` of `custom_response` has `{name}`"
            if takes_refusals and _is_ok(each):
                yield catalogue.REFUSED_AS_OK, f"`custom_response` makes refusals {number(each['status_code'], 0):g}"


def of_local_replies(config: Message) -> Iterator[tuple[Rule, str]]:
    """Judge a connection manager's mappers of Envoy's own answers, to which refusals and preflights' answers belong."""
    for each in maps(inner(config, LOCAL_REPLIES).get("mappers")):
        if not _may_take_refusals(inner(each, "filter")):
            continue
        for name in granted(maps(each.get("headers_to_add"))):
            yield catalogue.STATIC_GRANT, f"`{LOCAL_REPLIES}` adds `{name}`"
        if _is_ok(each):
            yield catalogue.REFUSED_AS_OK, f"`{LOCAL_REPLIES}` makes refusals {number(each['status_code'], 0):g}"


def _is_ok(message: Message) -> bool:
    return _OK <= number(message.get("status_code"), 0) < _REDIRECTS


def _may_take_refusals(condition: Message) -> bool:
    """Tell whether an AccessLogFilter may take what ext_authz answers, which has the flag UAEX."""
    flags = inner(condition, "response_flag_filter").get("flags")
    if flags and _FLAG not in texts(flags):
        return False
    for key, of in (("and_filter", all), ("or_filter", any)):
        if key in condition:
            return of(_may_take_refusals(each) for each in maps(inner(condition, key).get("filters")))
    return True


def granted(options: Iterable[Message]) -> Iterator[str]:
    """Name the CORS headers that HeaderValueOptions set."""
    names = (str(inner(each, "header").get("key", "")).lower() for each in options)
    yield from dict.fromkeys(name for name in names if name.startswith(_PREFIX))


def removed_by(config: Message) -> Iterator[str]:
    """Give the CORS headers that a header_mutation takes off answers."""
    for change in maps(inner(config, "mutations").get("response_mutations")):
        prefix = inner(change, "remove_on_match", "key_matcher").get("prefix")
        for name in CORS_RESPONSE_HEADERS:
            if _is_removed(change, prefix, name):
                yield name


def _is_removed(mutation: Mapping[str, Any], prefix: object, name: str) -> bool:
    if isinstance(prefix, str):
        return name.startswith(prefix.lower())
    return str(mutation.get("remove", "")).lower() == name
