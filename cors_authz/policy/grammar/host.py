"""Hosts as a policy's match entries write them: names with wildcard and slots, addresses, a port or any."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from cors_authz.policy.grammar.authority import Grammar, Parts, labels_of, take_apart
from cors_authz.policy.grammar.mends import (
    mended,
    object_to_form,
    with_a_labels,
    with_lower_case,
    with_plain_address,
    without_any_port,
    without_empty_port,
    without_final_dot,
    without_port_zeros,
    without_scheme,
    without_tail,
    without_user,
)
from cors_authz.policy.grammar.objections import named, object_to_expression, object_to_parts, object_to_several
from cors_authz.policy.grammar.slots import CAPTURED, LABEL_SLOTS, object_to_repeated_names, slot_at
from cors_authz.policy.pattern import HostPattern, Problem, Slot

_GRAMMAR: Final = Grammar(
    noun="a host",
    slots={**dict.fromkeys(CAPTURED, Slot.LABEL), **LABEL_SLOTS},
    any_port=False,
    mends=(
        without_scheme,
        with_lower_case,
        without_user,
        with_a_labels,
        with_plain_address,
        without_final_dot,
        without_empty_port,
        without_any_port,
        without_port_zeros,
        without_tail,
    ),
)


# Groups share hosts.
@lru_cache(maxsize=1024)
def parse_host_pattern(text: str) -> HostPattern | Problem:
    """Read an entry of `hosts`.

    Returns: the pattern; else the problem, CX003, or CX048 for more than four slots, with the right form wherever one
    can be derived. Never raises.
    Spec: https://www.rfc-editor.org/rfc/rfc9110.html#section-7.2
    """
    parts, reasons = _mended(text)
    problem = (
        _object_to_no_host(text)
        or object_to_parts(parts, _GRAMMAR)
        or _object_to_repeated_slot(parts.host)
        or object_to_form(parts, reasons, _GRAMMAR)
    )
    if problem:
        return named(text, problem)
    wildcard, labels = labels_of(parts.host, _GRAMMAR.slots)
    tenant, version = (slot_at(parts.host.split(".")[::-1], name) for name in CAPTURED)
    return HostPattern(text, parts.host, wildcard, labels, parts.port or "", tenant, version)


def _mended(text: str) -> tuple[Parts, tuple[str, ...]]:
    stripped = text.strip()
    return mended(take_apart(stripped), _GRAMMAR, ("no white space",) * (stripped != text))


def _right_form(text: str) -> str | None:
    parts, _ = _mended(text)
    return None if object_to_parts(parts, _GRAMMAR) else str(parts)


def _object_to_no_host(text: str) -> Problem | None:
    bare = text.strip()
    if bare == "*":
        said = (
            " is every host; a list of hosts is the defence against DNS rebinding: name them, or `*.` under your domain"
        )
        return Problem("CX003", said)
    return object_to_several(bare, "host") or object_to_expression(bare, _right_form)


def _object_to_repeated_slot(host: str) -> Problem | None:
    said = object_to_repeated_names(host)
    return Problem("CX003", said) if said else None
