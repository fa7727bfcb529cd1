"""Origins as a policy writes them: exact ones, and patterns with wildcard, slots and open port."""

from __future__ import annotations

import re
from collections.abc import Mapping
from sys import intern
from typing import Final

from cors_authz.fetch.origin import parse_origin
from cors_authz.policy.grammar.authority import (
    LONGEST_NAME,
    LONGEST_SCHEME,
    Grammar,
    Parts,
    labels_of,
    take_apart,
    text_piece,
)
from cors_authz.policy.grammar.mends import (
    mended,
    object_to_form,
    with_a_labels,
    with_lower_case,
    with_plain_address,
    without_default_port,
    without_empty_port,
    without_port_zeros,
    without_tail,
    without_user,
)
from cors_authz.policy.grammar.objections import named, object_to_expression, object_to_parts, object_to_several
from cors_authz.policy.grammar.slots import LABEL_SLOTS
from cors_authz.policy.locality import is_loopback
from cors_authz.policy.pattern import OriginPattern, Problem

_GRAMMAR: Final = Grammar(
    noun="an origin",
    slots=LABEL_SLOTS,
    any_port=True,
    mends=(
        with_lower_case,
        without_user,
        with_a_labels,
        with_plain_address,
        without_empty_port,
        without_port_zeros,
        without_default_port,
        without_tail,
    ),
)


def parse_origin_pattern(text: str) -> OriginPattern | Problem:
    """Read an entry of `origins`.

    Returns: the pattern; else the problem, CX002 or CX003, or CX048 for more than four slots, with the right form
    wherever one can be derived. Never raises.
    Spec: https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin
    """
    return _exact(text) or _read(text)


def _exact(text: str) -> OriginPattern | None:
    """Read an exact origin without a mistake: a policy may have 100,000 of them, and hardly anything else."""
    origin = parse_origin(text)
    if origin is None or origin.scheme in _PSEUDO_SCHEMES:
        return None
    if len(origin.scheme) > LONGEST_SCHEME or len(origin.host) > LONGEST_NAME:
        return None
    labels = tuple(map(text_piece, origin.labels))
    return OriginPattern(text, intern(origin.scheme), origin.host, wildcard=False, labels=labels, port=origin.port)


def _read(text: str) -> OriginPattern | Problem:
    problem = _object_to_no_origin(text)
    if problem:
        return problem
    parts, reasons = _mended(text)
    problem = object_to_parts(parts, _GRAMMAR) or object_to_form(parts, reasons, _GRAMMAR)
    if problem:
        return named(text, problem)
    wildcard, labels = labels_of(parts.host, LABEL_SLOTS)
    return OriginPattern(text, parts.scheme, parts.host, wildcard, labels, parts.port or "")


def _mended(text: str) -> tuple[Parts, tuple[str, ...]]:
    stripped = text.strip()
    spelled = _with_scheme(stripped)
    reasons = ("no white space",) * (stripped != text) + ("scheme and `://` in front",) * (spelled != stripped)
    return mended(take_apart(spelled), _GRAMMAR, reasons)


def _with_scheme(text: str) -> str:
    spelled = re.sub(r"\A(https?):/*", r"\1://", text, flags=re.IGNORECASE)
    if "://" in spelled:
        return spelled
    bare = text.lstrip("/")
    return f"{'http' if is_loopback(take_apart(bare).host.lower()) else 'https'}://{bare}"


def _right_form(text: str) -> str | None:
    parts, _ = _mended(text)
    return None if object_to_parts(parts, _GRAMMAR) else str(parts)


_OWN_ORIGIN: Final = "serve the page from an origin of its own"
_PSEUDO_SCHEMES: Mapping[str, Problem] = {
    "file": Problem("CX002", f" is every file that someone opens, so it names nobody; {_OWN_ORIGIN}"),
    **dict.fromkeys(
        ("data", "about", "javascript"),
        Problem("CX003", f": such pages have the origin `null`, which names nobody; {_OWN_ORIGIN}"),
    ),
    "blob": Problem("CX003", ": a blob has the origin of the page that made it; list that"),
    **dict.fromkeys(
        ("ws", "wss"), Problem("CX003", ": a WebSocket handshake carries the http origin of its page; list that")
    ),
}
_PSEUDO_SCHEME: Final = re.compile(rf"\s*({'|'.join(_PSEUDO_SCHEMES)}):", re.IGNORECASE)


def _object_to_no_origin(text: str) -> Problem | None:
    bare = text.strip()
    if bare.lower() == "null":
        said = f" is the origin of every sandbox, redirect and local file, so it names nobody; {_OWN_ORIGIN}"
        return named(text, Problem("CX002", said))
    if bare in {"*", "*://*"}:
        return named(text, Problem("CX003", " is every origin; say that with a group of its own: {any: true}"))
    pseudo = _PSEUDO_SCHEME.match(text)
    if pseudo:
        return named(text, _object_to_pseudo_scheme(bare, _PSEUDO_SCHEMES[pseudo[1].lower()]))
    problem = object_to_several(bare, "origin") or object_to_expression(bare, _right_form)
    return named(text, problem) if problem else None


def _object_to_pseudo_scheme(text: str, problem: Problem) -> Problem:
    page = re.sub(r"\Ablob:", "", re.sub(r"\Aws", "http", text, flags=re.IGNORECASE), flags=re.IGNORECASE)
    right = None if "://" not in page or _PSEUDO_SCHEME.match(page) else _right_form(page)
    return problem._replace(text=f"{problem.text}, such as `{right}`") if right else problem
