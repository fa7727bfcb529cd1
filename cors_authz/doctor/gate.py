"""Under which condition Envoy makes a check: RBAC rules, what header_to_metadata writes, matchers around the filter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from cors_authz.doctor.condition import (
    AUTHORITY,
    PATH,
    Answer,
    Compared,
    Condition,
    Every,
    First,
    Not,
    Present,
    Some,
    Unknown,
    fits,
)
from cors_authz.doctor.setup import Manager, Message, inner, maps, texts, type_of

ALWAYS: Final = Every()
NEVER: Final = Some()

_OLD_FORMS: Final = {
    "exact_match": "exact",
    "prefix_match": "prefix",
    "suffix_match": "suffix",
    "contains_match": "contains",
    "safe_regex_match": "safe_regex",
}
_HEADER_INPUT: Final = "HttpRequestHeaderMatchInput"
_SKIP: Final = "SkipFilter"
_MAX_DEPTH: Final = 300
"""Envoy takes messages at most 100 deep, and a message of these has two or three levels of JSON."""

_DEFAULT_NAMESPACE: Final = "envoy.lb"
_REQUEST_HEADER: Final = re.compile(r"request\.headers\[(.+)\]")


# --- RBAC -------------------------------------------------------------------------------------------------------------


def of_policies(policies: Iterable[Message]) -> Condition:
    """Give the condition under which one of the policies of an RBAC takes a request."""
    return Some(tuple(Unknown() if _is_deep(policy) else _of_policy(policy) for policy in policies))


def _of_policy(policy: Message) -> Condition:
    expression = (Unknown(),) if {"condition", "checked_condition"} & policy.keys() else ()
    lists = (maps(policy.get("permissions")), maps(policy.get("principals")))
    return Every((*(Some(tuple(map(_of_rule, each))) for each in lists), *expression))


def _of_rule(rule: Message) -> Condition:
    """Read a Permission or a Principal."""
    for key, value in rule.items():
        match key:
            case "any":
                return ALWAYS
            case "header":
                return of_header(inner(value))
            case "url_path":
                return Compared(PATH, inner(value, "path"), without_query=True)
            case "not_rule" | "not_id":
                return Not(_of_rule(inner(value)))
            case "and_rules" | "and_ids" | "or_rules" | "or_ids":
                return (Every if key.startswith("and") else Some)(_of_rules(value))
            case _:
                continue
    return Unknown()


def _of_rules(value: object) -> tuple[Condition, ...]:
    return tuple(map(_of_rule, maps(inner(value).get("rules")) or maps(inner(value).get("ids"))))


def of_header(matcher: Message) -> Condition:
    """Give the condition that a HeaderMatcher is."""
    header = named(str(matcher.get("name", "")))
    is_inverted = matcher.get("invert_match") is True
    if "present_match" in matcher:
        return Present(header) if matcher["present_match"] is not is_inverted else Not(Present(header))
    old = {new: matcher[each] for each, new in _OLD_FORMS.items() if each in matcher}
    text = inner(matcher, "string_match") or old
    value: Condition = Compared(header, text) if text else Unknown()
    # A header that is not there fits neither way.
    return Every((Present(header), Not(value) if is_inverted else value))


def named(header: str) -> str:
    """Name a header as Envoy keeps it: `host` is another name of `:authority`."""
    name = header.lower()
    return AUTHORITY if name == "host" else name


# --- Istio ------------------------------------------------------------------------------------------------------------


def of_rules(rules: Iterable[Message]) -> Condition:
    """Give the condition under which one of the rules of an AuthorizationPolicy takes a request.

    Spec: https://istio.io/latest/docs/reference/config/security/authorization-policy/#Operation
    """
    return Some(tuple(map(_of_istios, rules)))


def _of_istios(rule: Message) -> Condition:
    operations = tuple(_of_operation(inner(each, "operation")) for each in maps(rule.get("to")))
    conditions = tuple(map(_of_when, maps(rule.get("when"))))
    sources = (Unknown(),) if "from" in rule else ()
    return Every((*((Some(operations),) if operations else ()), *conditions, *sources))


def _of_operation(operation: Message) -> Condition:
    hosts, not_hosts = (_of_texts(AUTHORITY, operation.get(key), ignores_case=True) for key in ("hosts", "notHosts"))
    others = (Unknown(),) if operation.keys() - {"hosts", "notHosts"} else ()
    return Every((*_narrowed(hosts, not_hosts), *others))


def _of_when(when: Message) -> Condition:
    found = _REQUEST_HEADER.fullmatch(str(when.get("key", "")))
    if not found:
        return Unknown()
    values, not_values = (_of_texts(named(found[1]), when.get(key)) for key in ("values", "notValues"))
    return Every(_narrowed(values, not_values))


def _narrowed(wanted: tuple[Condition, ...], refused: tuple[Condition, ...]) -> tuple[Condition, ...]:
    return (*((Some(wanted),) if wanted else ()), *((Not(Some(refused)),) if refused else ()))


def _of_texts(header: str, values: object, *, ignores_case: bool = False) -> tuple[Condition, ...]:
    return tuple(_of_text(header, value, ignores_case=ignores_case) for value in texts(values))


def _of_text(header: str, value: str, *, ignores_case: bool) -> Condition:
    if value == "*":
        return Present(header)
    if value.startswith("*"):
        text = {"suffix": value[1:]}
    else:
        text = {"prefix": value[:-1]} if value.endswith("*") else {"exact": value}
    return Compared(header, {**text, "ignore_case": ignores_case})


# --- metadata ---------------------------------------------------------------------------------------------------------


def of_metadata(manager: Manager, gate: Message) -> Condition:
    """Give the condition under which header_to_metadata writes what a MetadataMatcher waits for."""
    key = next((str(step.get("key", "")) for step in maps(gate.get("path"))), "")
    rules = [
        rule
        for each in manager.filters
        if each.kind == "header_to_metadata"
        for rule in maps(each.config.get("request_rules"))
    ]
    slot = (str(gate.get("filter", "")), key)
    found = tuple(part for rule in rules for part in _of_metadata_rule(rule, slot, inner(gate, "value")))
    if not found:
        return Unknown()
    return Not(Some(found)) if gate.get("invert") is True else Some(found)


def _of_metadata_rule(rule: Message, slot: tuple[str, str], value: Message) -> Iterator[Condition]:
    header = named(str(rule.get("header") or "cookie"))
    there, missing = inner(rule, "on_header_present"), inner(rule, "on_header_missing")
    if _writes(there, slot):
        # Part of a header, or a header made into another text.
        is_part = "header" not in rule or "regex_value_rewrite" in there
        yield Every((Present(header), Unknown() if is_part else _of_value(header, there, value)))
    if _writes(missing, slot) and fits(inner(value, "string_match"), str(missing.get("value", ""))) is not False:
        yield Not(Present(header))


def _writes(writing: Message, slot: tuple[str, str]) -> bool:
    return bool(writing) and slot == (
        str(writing.get("metadata_namespace") or _DEFAULT_NAMESPACE),
        str(writing.get("key", "")),
    )


def _of_value(header: str, writing: Message, value: Message) -> Condition:
    text = inner(value, "string_match")
    if not text:
        return ALWAYS if value.get("present_match") is True else Unknown()
    if not writing.get("value"):
        return Compared(header, text)
    answers: Mapping[Answer, Condition] = {True: ALWAYS, False: NEVER, None: Unknown()}
    return answers[fits(text, str(writing["value"]))]


# --- matchers ---------------------------------------------------------------------------------------------------------


def of_matcher(matcher: Message) -> Condition:
    """Give the condition under which a matcher around a filter lets it act."""
    return Unknown() if _is_deep(matcher) else _of_matcher(matcher)


def _of_matcher(matcher: Message) -> Condition:
    tree = inner(matcher, "matcher_tree")
    cases = [
        *(
            (_of_predicate(inner(each, "predicate")), each)
            for each in maps(inner(matcher, "matcher_list").get("matchers"))
        ),
        *_cases_of_tree(tree),
    ]
    if "custom_match" in tree:
        return Unknown()
    otherwise = _of_on_match(inner(matcher, "on_no_match"))
    return First(tuple((case, _of_on_match(inner(each, "on_match"))) for case, each in cases), otherwise)


def _of_on_match(then: Message) -> Condition:
    if "matcher" in then:
        return _of_matcher(inner(then, "matcher"))
    return NEVER if type_of(inner(then, "action").get("typed_config"))[0].endswith(_SKIP) else ALWAYS


def _cases_of_tree(tree: Message) -> Iterator[tuple[Condition, Message]]:
    exact, prefix = (inner(tree, f"{how}_match_map", "map") for how in ("exact", "prefix"))
    for key, then in exact.items():
        yield _of_input(inner(tree, "input"), {"exact": key}), {"on_match": then}
    for key in sorted(prefix, key=len, reverse=True):
        yield _of_input(inner(tree, "input"), {"prefix": key}), {"on_match": prefix[key]}


def _of_predicate(predicate: Message) -> Condition:
    for key, value in predicate.items():
        match key:
            case "single_predicate":
                return _of_input(inner(value, "input"), inner(value, "value_match"))
            case "not_matcher":
                return Not(_of_predicate(inner(value)))
            case "and_matcher" | "or_matcher":
                parts = tuple(map(_of_predicate, maps(inner(value).get("predicate"))))
                return Every(parts) if key == "and_matcher" else Some(parts)
            case _:
                continue
    return Unknown()


def _of_input(source: Message, text: Mapping[str, object]) -> Condition:
    name, config = type_of(source.get("typed_config"))
    if not name.endswith(_HEADER_INPUT):
        return Unknown()
    header = named(str(config.get("header_name", "")))
    return Compared(header, text) if text else Every((Present(header), Unknown()))


def _is_deep(message: Message) -> bool:
    level: list[object] = [message]
    for _ in range(_MAX_DEPTH):
        level = [part for each in level for part in _parts(each)]
    return bool(level)


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()
