"""Paths as a policy's match entries write them: templates in normal form, compared with paths in normal form."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from cors_authz.fetch.target import path_in_normal_form
from cors_authz.policy.finding import shown
from cors_authz.policy.grammar.slots import CAPTURED, is_slot, object_to_repeated_names, slot_at, tokens_of
from cors_authz.policy.pattern import SEGMENT_CHARACTERS, PathTemplate, Piece, Problem, Slot

_ENCODED: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_PATH_CHARACTERS: Final = frozenset(SEGMENT_CHARACTERS + "/{}")
_SLOT_NAME: Final = re.compile(r"\{[a-z][A-Za-z0-9]{0,31}\}")


# Hosts share paths.
@lru_cache(maxsize=1024)
def parse_path_template(text: str) -> PathTemplate | Problem:
    """Read an entry of `paths` into the normal form of a request's path; an encoded `*` is text, and stays encoded.

    Returns: the template; else the problem, CX047, with the right form wherever one can be derived. Never raises.
    Spec: https://www.rfc-editor.org/rfc/rfc3986.html#section-6.2.2
    """
    said = next(filter(None, (objection(text) for objection in _PATH_OBJECTIONS)), None)
    if said:
        return Problem("CX047", f"`{shown(text)}`{said}")
    normal = _normal(text)
    elements = normal[1:].split("/") if normal != "/" else []
    rest = elements[-1:] == ["**"]
    if rest:
        elements.pop()
    tenant, version = (slot_at(elements, name) for name in CAPTURED)
    return PathTemplate(normal, tuple(map(_segment, elements)), rest, tenant, version)


def _segment(text: str) -> Piece:
    if text == "*":
        return (Slot.SEGMENT,)
    return tuple(Slot.SEGMENT if is_slot(token) else token for token in tokens_of(text))


def _normal(text: str) -> str:
    # Only what is encoded: a plain `*` or brace is syntax here.
    return _ENCODED.sub(lambda encoded: path_in_normal_form(encoded[0]), text)


def _object_to_path_start(text: str) -> str | None:
    if text.startswith("/"):
        return None
    if "://" in text:
        return ": a path begins with `/`; hosts stand in `hosts`"
    return f": a path begins with `/`; write `/{shown(text.strip())}`"


def _object_to_query(text: str) -> str | None:
    found = re.search(r"[?#]", text)
    if not found:
        return None
    kind = "the query" if found[0] == "?" else "a fragment"
    return f": {kind} is no part of the path; write `{shown(text[: found.start()])}`"


def _object_to_path_letters(text: str) -> str | None:
    odd = next((letter for letter in text if letter not in _PATH_CHARACTERS), None)
    if odd is None:
        return None
    if odd == "\\":
        return ": paths with `\\` are refused, as the upstream might read it as `/`"
    if odd in "^[]|":
        return f": `{odd}` stands in no path, and there are no regular expressions: `*` is one segment, `**` the rest"
    # A lone surrogate has no encoding; the form that is shown then merely replaces it.
    encoded = "".join(letter if letter in _PATH_CHARACTERS else quote(letter, errors="replace") for letter in text)
    return f": `{shown(odd)}` is encoded in a path; write `{shown(encoded)}`"


def _object_to_parameters(text: str) -> str | None:
    if ";" not in text:
        return None
    return f": parameters of a segment are set aside before paths are compared; write `{re.sub(';[^/]*', '', text)}`"


def _object_to_encoding(text: str) -> str | None:
    broken = re.search(r"%(?![0-9A-Fa-f]{2}).{0,2}", text)
    if broken:
        return f": `{broken[0]}` is no encoding; a `%` itself is `%25`"
    refused = re.search("%(?:2f|3b|5c|00)", text, re.IGNORECASE)
    if refused is None:
        return None
    is_delimiter = refused[0].upper() in {"%2F", "%3B"}
    as_data = "; where it is data in what `*` matches, say encodedSlashes: opaque" if is_delimiter else ""
    return f": paths with `{refused[0]}` are refused{as_data}"


def _object_to_empty_segments(text: str) -> str | None:
    if "//" in text:
        return f": paths with `//` are refused; write `{shown(re.sub('/+', '/', text))}`"
    if len(text) > 1 and text.endswith("/"):
        return f": one final `/` is set aside before paths are compared; write `{shown(text[:-1])}`"
    return None


def _object_to_dots(text: str) -> str | None:
    dots = next((segment for segment in _normal(text).split("/") if segment in {".", ".."}), None)
    return f": paths with a segment `{dots}` are refused; write the path that is meant" if dots else None


def _object_to_path_slots(text: str) -> str | None:
    return next(filter(None, map(_object_to_segment, text.split("/"))), None)


def _object_to_segment(segment: str) -> str | None:
    tokens = tokens_of(segment)
    slots = [token for token in tokens if is_slot(token)]
    odd = next((slot for slot in slots if not _SLOT_NAME.fullmatch(slot)), None)
    if odd is not None:
        return f": `{shown(odd)}` is no slot; a name is letters and digits, lower case first, such as `{{orderId}}`"
    if any("{" in token or "}" in token for token in tokens if not is_slot(token)):
        return ": a slot is written as `{name}`, within one segment"
    if len(slots) > 1:
        return f": one slot a segment, or nobody could tell where `{slots[0]}` ends; write `{{name}}` for the whole"
    return None


def _object_to_path_stars(text: str) -> str | None:
    segments = text.split("/")
    mixed = next((segment for segment in segments if "*" in segment and segment.strip("*")), None)
    if mixed is not None:
        right = "/".join(
            "{name}" if "{" in segment else re.sub(r"\*+", "{name}", segment, count=1) if segment == mixed else segment
            for segment in segments
        )
        return f": `*` is a whole segment; for a part of one write `{{name}}`, such as `{shown(right)}`"
    if "***" in text:
        return ": `*` is one segment, `**` the rest"
    if "**" in segments[:-1]:
        right = "/".join("*" if segment == "**" else segment for segment in segments)
        return f": `**` stands last; write one entry per depth, such as `{shown(right)}`"
    return None


_PATH_OBJECTIONS: tuple[Callable[[str], str | None], ...] = (
    _object_to_path_start,
    _object_to_query,
    _object_to_path_letters,
    _object_to_parameters,
    _object_to_encoding,
    _object_to_empty_segments,
    _object_to_dots,
    _object_to_path_slots,
    _object_to_path_stars,
    object_to_repeated_names,
)
