"""What is wrong with an origin or a host: each objection names what it found and, if there is one, the right form."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from cors_authz.policy.finding import shown
from cors_authz.policy.grammar.address import ipv4_form, ipv6_form
from cors_authz.policy.grammar.authority import LONGEST_NAME, LONGEST_SCHEME, Grammar, Parts
from cors_authz.policy.grammar.slots import CAPTURED, is_slot, tokens_of
from cors_authz.policy.pattern import LONGEST_LABEL, Problem, Slot

MOST_SLOTS: Final = 4

_LABEL_CHARACTERS: Final = frozenset(string.ascii_lowercase + string.digits + "-_")

_HIGHEST_PORT: Final = 65535


# --- The whole text ---------------------------------------------------------------------------------------------------


def object_to_several(text: str, noun: str) -> Problem | None:
    """Object to no text at all and to a list; `noun` is `origin` or `host`."""
    if not text:
        return Problem("CX003", f" is empty; name {'an origin' if noun == 'origin' else 'a host'}")
    if re.search(r"[\s,]", text):
        return Problem("CX003", f" is more than one {noun}; give each an entry of its own")
    return None


_EXPRESSION: Final = re.compile(r"[\^$()|]|\\[.dw/]|(?<![a-z0-9_*])\.\*|\.\+|\[[^\]:]*(?:-[^\]:]*\]|\][*+])")

_EXPRESSION_TO_SLOT: Final = (
    (r"\A\W*\^|\$\W*\Z", ""),
    (r"\\([./-])", r"\1"),
    (r"(://|\A)\(?\.[*+]\)?\.", r"\1*."),
    (r"\(?(?:\\d|\[0-9\])[+*]\)?", "{digits}"),
    (r"\(?(?:\[[a-z0-9-]*\]|\[\^\.\]|\\w|\.)[+*]\)?", "{slug}"),
)


def object_to_expression(text: str, right_form: Callable[[str], str | None]) -> Problem | None:
    """Object to a regular expression; `right_form` gives the right form of a text, None where it has none."""
    if not _EXPRESSION.search(text):
        return None
    for expression, slot in _EXPRESSION_TO_SLOT:
        text = re.sub(expression, slot, text)
    right = None if _EXPRESSION.search(text) else right_form(text)
    said = (
        " reads like a regular expression, and patterns are none: `*.` stands for whole labels, slots for parts of one"
    )
    return Problem("CX003", f"{said}; write `{right}`" if right else said)


def named(text: str, problem: Problem) -> Problem:
    """Put the text, as it was written, in front of what is wrong with it."""
    return Problem(problem.code, f"`{shown(text)}`{problem.text}")


# --- Its parts --------------------------------------------------------------------------------------------------------


def object_to_parts(parts: Parts, grammar: Grammar) -> Problem | None:
    """Object to what is wrong within an origin or a host that is mended already."""
    problem = _object_to_scheme(parts) if grammar.any_port else None
    if problem:
        return problem
    if parts.host.startswith("["):
        return _object_to_ipv6(parts) or _object_to_port(parts, grammar)
    return (
        _object_to_stars(parts)
        or _object_to_labels(parts, grammar)
        or _object_to_number(parts)
        or _object_to_size(parts)
        or _object_to_port(parts, grammar)
    )


def _object_to_scheme(parts: Parts) -> Problem | None:
    if parts.scheme == "*":
        return Problem("CX003", f": `*` is no scheme; list each, such as `{parts._replace(scheme='https')}`")
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*", parts.scheme) or len(parts.scheme) > LONGEST_SCHEME:
        said = "a scheme is a lower-case letter, then at most 63 of a-z, 0-9, `+`, `-` and `.`"
        return Problem("CX003", f": `{shown(parts.scheme)}` is no scheme; {said}")
    return None


def _object_to_ipv6(parts: Parts) -> Problem | None:
    if parts.host == ipv6_form(parts.host):
        return None
    return Problem("CX003", f": `{shown(parts.host)}` is no IPv6 address; write it as `[2001:db8::1]`")


def _object_to_stars(parts: Parts) -> Problem | None:
    host = parts.host
    if host in {"*", "*."}:
        return Problem("CX003", ": `*.` stands in front of a name; write `*.` and your own domain")
    labels = host.removeprefix("*.").split(".")
    if "*" not in host.removeprefix("*."):
        return None
    front = "*." * host.startswith("*.")
    # Under a star as the last label stand all domains of the world: there is no form to show for it.
    right = None if "*" in labels[-1] else front + ".".join(map(_without_star, labels))
    such_as = f", such as `{parts._replace(host=right)}`" if right else ""
    if any(label.strip("*") for label in labels if "*" in label):
        return Problem("CX003", f": `*.` replaces whole labels; for a part of a label use a slot{such_as}")
    return Problem("CX003", f": `*.` stands only in front; for one label elsewhere use `{{label}}`{such_as}")


def _without_star(label: str) -> str:
    return re.sub(r"\*+", "{slug}", label) if label.strip("*") else re.sub(r"\A\*+\Z", "{label}", label)


def _object_to_labels(parts: Parts, grammar: Grammar) -> Problem | None:
    host = parts.host.removeprefix("*.")
    labels = host.removesuffix(".").split(".") if grammar.any_port else host.split(".")
    if labels == [""]:
        return Problem("CX003", " has no host; write scheme://host" if grammar.any_port else " has no host")
    if "" in labels:
        return Problem("CX003", ": between two dots stands a label")
    objections = (_object_to_label(label, grammar.slots) for label in labels)
    said = next(filter(None, objections), None)
    return Problem("CX003", f": {said}") if said else None


def _object_to_label(label: str, slots: Mapping[str, Slot]) -> str | None:
    tokens = tokens_of(label)
    return (
        _object_to_slot_names(tokens, slots)
        or _object_to_letters(tokens)
        or _object_to_neighbours(tokens)
        or _object_to_label_ends(label, tokens)
    )


def _object_to_slot_names(tokens: Sequence[str], slots: Mapping[str, Slot]) -> str | None:
    unknown = next((token for token in tokens if is_slot(token) and token not in slots), None)
    if unknown is None:
        return None
    if unknown in CAPTURED:
        return f"`{unknown}` has no meaning in an origin; origins of a tenant stand in a group with perTenant"
    return f"`{shown(unknown)}` is no slot here; there are {', '.join(f'`{name}`' for name in slots)}"


def _object_to_letters(tokens: Sequence[str]) -> str | None:
    text = "".join(token for token in tokens if not is_slot(token))
    odd = next((letter for letter in text if letter not in _LABEL_CHARACTERS), None)
    if odd is None:
        return None
    if odd in "{}":
        return f"`{odd}` without its pair; a slot is written as `{{digits}}`"
    return f"`{shown(odd)}` stands in no name; a label has a-z, 0-9, `-` and `_`"


def _object_to_neighbours(tokens: Sequence[str]) -> str | None:
    for left, right in pairwise(tokens):
        if is_slot(left) and is_slot(right):
            return f"between two slots stands text, such as `{left}-{right}`"
    if Slot.LABEL.value in tokens and len(tokens) > 1:
        right_form = "".join(tokens).replace(Slot.LABEL.value, Slot.SLUG.value)
        return f"`{{label}}` is a whole label; for a part of one write `{right_form}`"
    if sum(map(is_slot, tokens)) > 1 and any(name in tokens for name in CAPTURED):
        return "a label that names tenant or version has no other slot, or nobody could tell where the name ends"
    return None


def _object_to_label_ends(label: str, tokens: Sequence[str]) -> str | None:
    if "-" in (label[0], label[-1]):
        return f"no label begins or ends with `-`, as `{shown(label)}` does"
    if sum(1 if is_slot(token) else len(token) for token in tokens) > LONGEST_LABEL:
        return f"a label has at most {LONGEST_LABEL} characters"
    return None


# What browsers take for an address: https://url.spec.whatwg.org/#ends-in-a-number-checker. A slot counts if all that it
# stands for is a number.
_NUMBER: Final = re.compile(r"(?:[0-9]|\{digits\})+|0x(?:[0-9a-f]|\{digits\}|\{hex\})*")


def _object_to_number(parts: Parts) -> Problem | None:
    if not _NUMBER.fullmatch(parts.host.removesuffix(".").rpartition(".")[2]):
        return None
    if "*" in parts.host or "{" in parts.host:
        return Problem("CX003", ": a name that ends in a number is an address; list each address")
    if parts.host != ipv4_form(parts.host):
        return Problem("CX003", ": a name that ends in a number is an address, and this is none")
    return None


def _object_to_size(parts: Parts) -> Problem | None:
    tokens = tokens_of(parts.host)
    slots = sum(map(is_slot, tokens))
    if slots > MOST_SLOTS:
        return Problem("CX048", f" has {slots} slots; {MOST_SLOTS} are the most")
    if sum(1 if is_slot(token) else len(token) for token in tokens) > LONGEST_NAME:
        return Problem("CX003", f": a name has at most {LONGEST_NAME} characters")
    return None


def _object_to_port(parts: Parts, grammar: Grammar) -> Problem | None:
    port = parts.port
    if port is None or (port == "*" and grammar.any_port):
        return None
    # The length first: Python refuses to read a number of thousands of digits.
    if re.fullmatch(r"[1-9][0-9]{0,4}", port) and int(port) <= _HIGHEST_PORT:
        return None
    any_port = ", or `*` for any" if grammar.any_port else ""
    return Problem("CX003", f": `{shown(port)}` is no port; a port is a number from 1 to {_HIGHEST_PORT}{any_port}")
