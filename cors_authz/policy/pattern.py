"""Patterns for origins, hosts and paths: text of the policy, parsed into frozen pieces or refused with the right form.

The grammars are those of the policy language: no regular expressions, so everything that lint and diff ask of a pattern
is decidable. A mistake is never repaired in silence: the mended form goes into the finding.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from enum import Enum, unique
from functools import lru_cache
from importlib import resources
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

import idna

from cors_authz.fetch.origin import DEFAULT_PORTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

LONGEST_LABEL: Final = 63
LONGEST_NAME: Final = 253
MOST_SLOTS: Final = 4
_LONGEST_SHOWN: Final = 120
_LOWER_AND_DIGITS: Final = string.ascii_lowercase + string.digits
_LABEL_CHARACTERS: Final = frozenset(_LOWER_AND_DIGITS + "-_")
_UNRESERVED: Final = frozenset(string.ascii_letters + string.digits + "-._~")
_SEGMENT_CHARACTERS: Final = "".join(sorted(_UNRESERVED)) + "!$&'()*+,;=:@%"
_HIGHEST_PORT: Final = 65535


class Problem(NamedTuple):
    """Why a text is no pattern: the code of the lint rule, and the sentence that follows it in a finding."""

    code: str
    text: str


class SlotAt(NamedTuple):
    """Where a captured slot stands: an element, and how much text of the element stands before and after the slot.

    Elements count from 0: labels of a host from the right, segments of a path from the left.
    """

    element: int
    prefix: int
    suffix: int


@unique
class Slot(Enum):
    """A part of a label or a segment that stands for one or more characters."""

    DIGITS = "{digits}"
    HEX = "{hex}"
    ALNUM = "{alnum}"
    SLUG = "{slug}"
    LABEL = "{label}"
    """Also `{tenant}` and `{version}` in hosts: names differ, the characters do not."""
    SEGMENT = "*"
    """Also every `{name}` in paths: anything but `/`."""

    @property
    def letters(self) -> str:
        """The characters that may stand anywhere in the slot; of segments those that a path may have at all."""
        return _SLOT_LETTERS[self]

    @property
    def has_inner_hyphens(self) -> bool:
        """Whether `-` may stand in the slot, though neither first nor last."""
        return self is Slot.SLUG or self is Slot.LABEL


_SLOT_LETTERS: Mapping[Slot, str] = {
    Slot.DIGITS: string.digits,
    Slot.HEX: string.digits + "abcdef",
    Slot.ALNUM: _LOWER_AND_DIGITS,
    Slot.SLUG: _LOWER_AND_DIGITS,
    Slot.LABEL: _LOWER_AND_DIGITS + "_",
    Slot.SEGMENT: _SEGMENT_CHARACTERS,
}

Piece = tuple[str | Slot, ...]
"""One label or one segment: texts and slots in their order. A literal one is `(text,)`."""


def is_literal(piece: Piece) -> bool:
    """Tell whether a label or segment is text without a slot."""
    return not any(isinstance(part, Slot) for part in piece)


@dataclass(frozen=True, slots=True)
class OriginPattern:
    """The origins of one scheme whose host and port fit.

    `labels` stand left to right without the `*.` of `wildcard`; an IPv6 address is one label with its brackets, an IPv4
    address four; a final dot is a last label `("",)`. `port` is "" for none and "*" for any, none included.
    """

    text: str
    scheme: str
    host: str
    wildcard: bool
    labels: tuple[Piece, ...]
    port: str

    @property
    def is_exact(self) -> bool:
        """Whether the pattern is one serialized origin."""
        return not self.wildcard and self.port != "*" and all(map(is_literal, self.labels))


@dataclass(frozen=True, slots=True)
class HostPattern:
    """The hosts, as `Host` names them, that a match entry takes. `labels` as in origins; `port` is "" for any."""

    text: str
    host: str
    wildcard: bool
    labels: tuple[Piece, ...]
    port: str
    tenant: SlotAt | None = None
    version: SlotAt | None = None


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """The paths that a match entry takes. `text` is in normal form; `rest` is a final `**`, zero or more segments."""

    text: str
    segments: tuple[Piece, ...]
    rest: bool
    tenant: SlotAt | None = None
    version: SlotAt | None = None


# --- Matching ---------------------------------------------------------------------------------------------------------


def piece_matcher(piece: Piece) -> Callable[[str], bool]:
    """Build the test whether a label or segment of a request fits a piece.

    Returns: a function that takes any text, never raises, and takes time linear in the text's length. A label with a
    slot has at most 63 characters; a segment has no bound of its own.
    """
    slots = [part for part in piece if isinstance(part, Slot)]
    if not slots:
        return "".join(part for part in piece if isinstance(part, str)).__eq__
    if len(slots) > 1:
        return _several_slots_matcher(piece)
    at = piece.index(slots[0])
    prefix, suffix = _joined(piece[:at]), _joined(piece[at + 1 :])
    if slots[0] is Slot.SEGMENT:
        return _segment_matcher(prefix, suffix)
    return _label_matcher(prefix, slots[0], suffix)


def _joined(parts: Iterable[str | Slot]) -> str:
    return "".join(part.value if isinstance(part, Slot) else part for part in parts)


def _segment_matcher(prefix: str, suffix: str) -> Callable[[str], bool]:
    shortest = len(prefix) + len(suffix) + 1

    def matches(text: str) -> bool:
        return len(text) >= shortest and text.startswith(prefix) and text.endswith(suffix) and "/" not in text

    return matches


def _label_matcher(prefix: str, slot: Slot, suffix: str) -> Callable[[str], bool]:
    shortest, start, end = len(prefix) + len(suffix) + 1, len(prefix), len(suffix)
    inner = slot.has_inner_hyphens
    letters = slot.letters + "-" * inner

    def matches(text: str) -> bool:
        if not (shortest <= len(text) <= LONGEST_LABEL and text.startswith(prefix) and text.endswith(suffix)):
            return False
        middle = text[start : len(text) - end]
        # What is left after stripping begins with a foreign character: one pass in C instead of a loop here.
        return not middle.strip(letters) and not (inner and "-" in (middle[0], middle[-1]))

    return matches


@unique
class _Role(Enum):
    """What may follow a position of a piece: the next one, itself too, or a hyphen of the same slot."""

    STEP = 0
    LOOP = 1
    BODY = 2
    HYPHEN = 3


def _positions(piece: Piece) -> Iterator[tuple[str, _Role]]:
    for part in piece:
        if isinstance(part, str):
            yield from ((letter, _Role.STEP) for letter in part)
        elif part.has_inner_hyphens:
            yield from ((part.letters, _Role.BODY), ("-", _Role.HYPHEN))
        else:
            yield part.letters, _Role.LOOP


def _several_slots_matcher(piece: Piece) -> Callable[[str], bool]:
    # All ways to share the text among the slots are followed at once, as bits of a number: no way back, so no blow-up.
    bits = dict.fromkeys(_Role, 0)
    fitting: dict[str, int] = {}
    bit = 1
    for letters, role in _positions(piece):
        bit <<= 1
        bits[role] |= bit
        fitting.update((letter, fitting.get(letter, 0) | bit) for letter in letters)
    bodies, hyphens = bits[_Role.BODY], bits[_Role.HYPHEN]
    loops = bits[_Role.LOOP] | bodies | hyphens
    accepted = bit >> 1 if bit & hyphens else bit

    def matches(text: str) -> bool:
        alive = 1 if len(text) <= LONGEST_LABEL else 0
        for letter in text:
            after = (alive & ~hyphens) << 1 | alive & loops | (alive & bodies) << 2 | (alive & hyphens) >> 1
            alive = after & fitting.get(letter, 0)
        return bool(alive & accepted)

    return matches


# --- Parsing origins and hosts ----------------------------------------------------------------------------------------


class _Parts(NamedTuple):
    """An origin or a host, taken apart without judging it. `port` is None where no colon stands."""

    scheme: str
    user: str
    host: str
    port: str | None
    tail: str

    def __str__(self) -> str:
        front = f"{self.scheme}://" if self.scheme else ""
        return front + self.host + (f":{self.port}" if self.port is not None else "")


@dataclass(frozen=True, slots=True)
class _Grammar:
    """In what origins and hosts differ: how they are called, their slots, whether `:*` is written, and the mends."""

    noun: str
    slots: Mapping[str, Slot]
    any_port: bool
    mends: tuple[Callable[[_Parts], tuple[_Parts, str]], ...]


def _with_lower_case(parts: _Parts) -> tuple[_Parts, str]:
    lowered = parts._replace(scheme=parts.scheme.lower(), host=parts.host.lower())
    return lowered, "lower case" if lowered != parts else ""


def _without_scheme(parts: _Parts) -> tuple[_Parts, str]:
    return parts._replace(scheme=""), "no scheme" if parts.scheme else ""


def _without_user(parts: _Parts) -> tuple[_Parts, str]:
    return parts._replace(user=""), "no user name" if parts.user else ""


def _with_a_labels(parts: _Parts) -> tuple[_Parts, str]:
    if parts.host.isascii() or len(parts.host) > LONGEST_NAME:
        return parts, ""
    labels = re.split("[.\u3002\uff0e\uff61]", parts.host)
    return parts._replace(host=".".join(map(_a_label, labels))), "names as A-labels"


def _a_label(label: str) -> str:
    if label.isascii():
        return label
    try:
        return idna.encode(label, uts46=True).decode("ascii")
    except UnicodeError:
        return label


def _with_plain_address(parts: _Parts) -> tuple[_Parts, str]:
    plain = _ipv6_form(parts.host) if ":" in parts.host else _ipv4_form(parts.host)
    if not plain or plain == parts.host:
        return parts, ""
    return parts._replace(host=plain), "the address as browsers write it"


def _without_final_dot(parts: _Parts) -> tuple[_Parts, str]:
    host = parts.host.removesuffix(".")
    return parts._replace(host=host), "no final dot" if host != parts.host else ""


def _without_port_zeros(parts: _Parts) -> tuple[_Parts, str]:
    port = parts.port and (parts.port.lstrip("0") or "0")
    return parts._replace(port=port), "no leading zero in the port" if port != parts.port else ""


def _without_empty_port(parts: _Parts) -> tuple[_Parts, str]:
    return (parts._replace(port=None), "no colon without a port") if parts.port == "" else (parts, "")


def _without_any_port(parts: _Parts) -> tuple[_Parts, str]:
    return (parts._replace(port=None), "no port is any port") if parts.port == "*" else (parts, "")


_NO_DEFAULT_PORT: Final = "no default port"


def _without_default_port(parts: _Parts) -> tuple[_Parts, str]:
    if not parts.port or parts.port != DEFAULT_PORTS.get(parts.scheme):
        return parts, ""
    return parts._replace(port=None), _NO_DEFAULT_PORT


_TAILS: Final = {"/": "no path", "\\": "no path", "?": "no query", "#": "no fragment"}


def _without_tail(parts: _Parts) -> tuple[_Parts, str]:
    return parts._replace(tail=""), _TAILS[parts.tail[0]] if parts.tail else ""


_ORIGIN_SLOTS: Final = {slot.value: slot for slot in (Slot.DIGITS, Slot.HEX, Slot.ALNUM, Slot.SLUG, Slot.LABEL)}
_CAPTURED: Final = ("{tenant}", "{version}")
_ORIGIN_GRAMMAR: Final = _Grammar(
    noun="an origin",
    slots=_ORIGIN_SLOTS,
    any_port=True,
    mends=(
        _with_lower_case,
        _without_user,
        _with_a_labels,
        _with_plain_address,
        _without_empty_port,
        _without_port_zeros,
        _without_default_port,
        _without_tail,
    ),
)
_HOST_GRAMMAR: Final = _Grammar(
    noun="a host",
    slots={**dict.fromkeys(_CAPTURED, Slot.LABEL), **_ORIGIN_SLOTS},
    any_port=False,
    mends=(
        _without_scheme,
        _with_lower_case,
        _without_user,
        _with_a_labels,
        _with_plain_address,
        _without_final_dot,
        _without_empty_port,
        _without_any_port,
        _without_port_zeros,
        _without_tail,
    ),
)


def parse_origin_pattern(text: str) -> OriginPattern | Problem:
    """Read an entry of `origins`.

    Returns: the pattern; else the problem, CX002 or CX003, or CX048 for more than four slots, with the right form
    wherever one can be derived. Never raises.
    Spec: https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin
    """
    problem = _object_to_no_origin(text)
    if problem:
        return problem
    parts, reasons = _mended_origin(text)
    problem = _object_to_parts(parts, _ORIGIN_GRAMMAR) or _object_to_form(parts, reasons, _ORIGIN_GRAMMAR)
    if problem:
        return _named(text, problem)
    wildcard, labels = _labels(parts.host, _ORIGIN_SLOTS)
    return OriginPattern(text, parts.scheme, parts.host, wildcard, labels, parts.port or "")


def parse_host_pattern(text: str) -> HostPattern | Problem:
    """Read an entry of `hosts`.

    Returns: the pattern; else the problem, CX003, or CX048 for more than four slots, with the right form wherever one
    can be derived. Never raises.
    Spec: https://www.rfc-editor.org/rfc/rfc9110.html#section-7.2
    """
    parts, reasons = _mended_host(text)
    problem = (
        _object_to_no_host(text)
        or _object_to_parts(parts, _HOST_GRAMMAR)
        or _object_to_repeated_slot(parts.host)
        or _object_to_form(parts, reasons, _HOST_GRAMMAR)
    )
    if problem:
        return _named(text, problem)
    wildcard, labels = _labels(parts.host, _HOST_GRAMMAR.slots)
    tenant, version = (_slot_at(parts.host.split(".")[::-1], name) for name in _CAPTURED)
    return HostPattern(text, parts.host, wildcard, labels, parts.port or "", tenant, version)


def _mended_origin(text: str) -> tuple[_Parts, tuple[str, ...]]:
    stripped = text.strip()
    spelled = _with_scheme(stripped)
    reasons = ("no white space",) * (stripped != text) + ("scheme and `://` in front",) * (spelled != stripped)
    return _mended(_split(spelled), _ORIGIN_GRAMMAR, reasons)


def _mended_host(text: str) -> tuple[_Parts, tuple[str, ...]]:
    stripped = text.strip()
    return _mended(_split(stripped), _HOST_GRAMMAR, ("no white space",) * (stripped != text))


def _mended(parts: _Parts, grammar: _Grammar, reasons: tuple[str, ...]) -> tuple[_Parts, tuple[str, ...]]:
    for mend in grammar.mends:
        parts, reason = mend(parts)
        reasons += (reason,) * bool(reason)
    return parts, reasons


def _with_scheme(text: str) -> str:
    spelled = re.sub(r"\A(https?):/*", r"\1://", text, flags=re.IGNORECASE)
    if "://" in spelled:
        return spelled
    bare = text.lstrip("/")
    return f"{'http' if is_loopback(_split(bare).host.lower()) else 'https'}://{bare}"


def _split(text: str) -> _Parts:
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    end = next((at for at, letter in enumerate(rest) if letter in _TAILS), len(rest))
    user, _, address = rest[:end].rpartition("@")
    host, port = _split_port(address)
    return _Parts(scheme, user, host, port, rest[end:])


def _split_port(address: str) -> tuple[str, str | None]:
    bracket = address.rfind("]")
    # Two colons without brackets are an IPv6 address that lacks them, not a port.
    if ":" not in address[bracket + 1 :] or (bracket < 0 and address.count(":") > 1):
        return address, None
    host, _, port = address.rpartition(":")
    return host, port


def _named(text: str, problem: Problem) -> Problem:
    return Problem(problem.code, f"`{_shown(text)}`{problem.text}")


def _shown(text: str) -> str:
    printable = text if text.isprintable() else ascii(text)[1:-1]
    return printable if len(printable) <= _LONGEST_SHOWN else printable[: _LONGEST_SHOWN - 1] + "…"


def _object_to_form(parts: _Parts, reasons: Sequence[str], grammar: _Grammar) -> Problem | None:
    if not reasons:
        return None
    if tuple(reasons) == (_NO_DEFAULT_PORT,):
        return Problem("CX003", f" can never match: browsers leave out the default port; write `{parts}`")
    return Problem("CX003", f" is not {grammar.noun}; write `{parts}`: {', '.join(reasons)}")


# --- What is no origin at all -----------------------------------------------------------------------------------------

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
_EXPRESSION: Final = re.compile(r"[\^$()|]|\\[.dw/]|(?<![a-z0-9_*])\.\*|\.\+|\[[^\]:]*(?:-[^\]:]*\]|\][*+])")


def _object_to_no_origin(text: str) -> Problem | None:
    bare = text.strip()
    if bare.lower() == "null":
        said = f" is the origin of every sandbox, redirect and local file, so it names nobody; {_OWN_ORIGIN}"
        return _named(text, Problem("CX002", said))
    if bare in {"*", "*://*"}:
        return _named(text, Problem("CX003", " is every origin; say that with a group of its own: {any: true}"))
    pseudo = _PSEUDO_SCHEME.match(text)
    if pseudo:
        return _named(text, _object_to_pseudo_scheme(bare, _PSEUDO_SCHEMES[pseudo[1].lower()]))
    problem = _object_to_several(bare, "origin") or _object_to_expression(bare, _right_origin)
    return _named(text, problem) if problem else None


def _object_to_no_host(text: str) -> Problem | None:
    bare = text.strip()
    if bare == "*":
        said = (
            " is every host; a list of hosts is the defence against DNS rebinding: name them, or `*.` under your domain"
        )
        return Problem("CX003", said)
    return _object_to_several(bare, "host") or _object_to_expression(bare, _right_host)


def _object_to_pseudo_scheme(text: str, problem: Problem) -> Problem:
    page = re.sub(r"\Ablob:", "", re.sub(r"\Aws", "http", text, flags=re.IGNORECASE), flags=re.IGNORECASE)
    right = None if "://" not in page or _PSEUDO_SCHEME.match(page) else _right_origin(page)
    return problem._replace(text=f"{problem.text}, such as `{right}`") if right else problem


def _object_to_several(text: str, noun: str) -> Problem | None:
    if not text:
        return Problem("CX003", f" is empty; name {'an origin' if noun == 'origin' else 'a host'}")
    if re.search(r"[\s,]", text):
        return Problem("CX003", f" is more than one {noun}; give each an entry of its own")
    return None


_EXPRESSION_TO_SLOT: Final = (
    (r"\A\W*\^|\$\W*\Z", ""),
    (r"\\([./-])", r"\1"),
    (r"(://|\A)\(?\.[*+]\)?\.", r"\1*."),
    (r"\(?(?:\\d|\[0-9\])[+*]\)?", "{digits}"),
    (r"\(?(?:\[[a-z0-9-]*\]|\[\^\.\]|\\w|\.)[+*]\)?", "{slug}"),
)


def _object_to_expression(text: str, right_form: Callable[[str], str | None]) -> Problem | None:
    if not _EXPRESSION.search(text):
        return None
    for expression, slot in _EXPRESSION_TO_SLOT:
        text = re.sub(expression, slot, text)
    right = None if _EXPRESSION.search(text) else right_form(text)
    said = (
        " reads like a regular expression, and patterns are none: `*.` stands for whole labels, slots for parts of one"
    )
    return Problem("CX003", f"{said}; write `{right}`" if right else said)


def _right_origin(text: str) -> str | None:
    parts, _ = _mended_origin(text)
    return None if _object_to_parts(parts, _ORIGIN_GRAMMAR) else str(parts)


def _right_host(text: str) -> str | None:
    parts, _ = _mended_host(text)
    return None if _object_to_parts(parts, _HOST_GRAMMAR) else str(parts)


# --- What is wrong within an origin or a host -------------------------------------------------------------------------


def _object_to_parts(parts: _Parts, grammar: _Grammar) -> Problem | None:
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


def _object_to_scheme(parts: _Parts) -> Problem | None:
    if parts.scheme == "*":
        return Problem("CX003", f": `*` is no scheme; list each, such as `{parts._replace(scheme='https')}`")
    if not re.fullmatch(r"[a-z][a-z0-9+.-]{0,63}", parts.scheme):
        said = "a scheme is a lower-case letter, then at most 63 of a-z, 0-9, `+`, `-` and `.`"
        return Problem("CX003", f": `{_shown(parts.scheme)}` is no scheme; {said}")
    return None


def _object_to_ipv6(parts: _Parts) -> Problem | None:
    if parts.host == _ipv6_form(parts.host):
        return None
    return Problem("CX003", f": `{_shown(parts.host)}` is no IPv6 address; write it as `[2001:db8::1]`")


def _object_to_stars(parts: _Parts) -> Problem | None:
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


def _object_to_labels(parts: _Parts, grammar: _Grammar) -> Problem | None:
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
    tokens = _tokens(label)
    return (
        _object_to_slot_names(tokens, slots)
        or _object_to_letters(tokens)
        or _object_to_neighbours(tokens)
        or _object_to_label_ends(label, tokens)
    )


def _tokens(text: str) -> list[str]:
    return [token for token in re.split(r"(\{[^{}]*\})", text) if token]


def _is_slot(token: str) -> bool:
    return token.startswith("{") and token.endswith("}")


def _object_to_slot_names(tokens: Sequence[str], slots: Mapping[str, Slot]) -> str | None:
    unknown = next((token for token in tokens if _is_slot(token) and token not in slots), None)
    if unknown is None:
        return None
    if unknown in _CAPTURED:
        return f"`{unknown}` has no meaning in an origin; origins of a tenant stand in a group with perTenant"
    return f"`{_shown(unknown)}` is no slot here; there are {', '.join(f'`{name}`' for name in slots)}"


def _object_to_letters(tokens: Sequence[str]) -> str | None:
    text = "".join(token for token in tokens if not _is_slot(token))
    odd = next((letter for letter in text if letter not in _LABEL_CHARACTERS), None)
    if odd is None:
        return None
    if odd in "{}":
        return f"`{odd}` without its pair; a slot is written as `{{digits}}`"
    return f"`{_shown(odd)}` stands in no name; a label has a-z, 0-9, `-` and `_`"


def _object_to_neighbours(tokens: Sequence[str]) -> str | None:
    for left, right in pairwise(tokens):
        if _is_slot(left) and _is_slot(right):
            return f"between two slots stands text, such as `{left}-{right}`"
    if Slot.LABEL.value in tokens and len(tokens) > 1:
        right_form = "".join(tokens).replace(Slot.LABEL.value, Slot.SLUG.value)
        return f"`{{label}}` is a whole label; for a part of one write `{right_form}`"
    if sum(map(_is_slot, tokens)) > 1 and any(name in tokens for name in _CAPTURED):
        return "a label that names tenant or version has no other slot, or nobody could tell where the name ends"
    return None


def _object_to_label_ends(label: str, tokens: Sequence[str]) -> str | None:
    if "-" in (label[0], label[-1]):
        return f"no label begins or ends with `-`, as `{_shown(label)}` does"
    if sum(1 if _is_slot(token) else len(token) for token in tokens) > LONGEST_LABEL:
        return f"a label has at most {LONGEST_LABEL} characters"
    return None


# What browsers take for an address: https://url.spec.whatwg.org/#ends-in-a-number-checker. A slot counts if all that it
# stands for is a number.
_NUMBER: Final = re.compile(r"(?:[0-9]|\{digits\})+|0x(?:[0-9a-f]|\{digits\}|\{hex\})*")


def _object_to_number(parts: _Parts) -> Problem | None:
    if not _NUMBER.fullmatch(parts.host.removesuffix(".").rpartition(".")[2]):
        return None
    if "*" in parts.host or "{" in parts.host:
        return Problem("CX003", ": a name that ends in a number is an address; list each address")
    if parts.host != _ipv4_form(parts.host):
        return Problem("CX003", ": a name that ends in a number is an address, and this is none")
    return None


def _object_to_size(parts: _Parts) -> Problem | None:
    tokens = _tokens(parts.host)
    slots = sum(map(_is_slot, tokens))
    if slots > MOST_SLOTS:
        return Problem("CX048", f" has {slots} slots; {MOST_SLOTS} are the most")
    if sum(1 if _is_slot(token) else len(token) for token in tokens) > LONGEST_NAME:
        return Problem("CX003", f": a name has at most {LONGEST_NAME} characters")
    return None


def _object_to_port(parts: _Parts, grammar: _Grammar) -> Problem | None:
    port = parts.port
    if port is None or (port == "*" and grammar.any_port):
        return None
    # The length first: Python refuses to read a number of thousands of digits.
    if re.fullmatch(r"[1-9][0-9]{0,4}", port) and int(port) <= _HIGHEST_PORT:
        return None
    any_port = ", or `*` for any" if grammar.any_port else ""
    return Problem("CX003", f": `{_shown(port)}` is no port; a port is a number from 1 to {_HIGHEST_PORT}{any_port}")


def _object_to_repeated_slot(host: str) -> Problem | None:
    repeated = next((name for name in _CAPTURED if host.count(name) > 1), None)
    return Problem("CX003", f": `{repeated}` stands twice; which of the two would be meant?") if repeated else None


def _labels(host: str, slots: Mapping[str, Slot]) -> tuple[bool, tuple[Piece, ...]]:
    labels = [host] if host.startswith("[") else host.removeprefix("*.").split(".")
    return host.startswith("*."), tuple(_piece(label, slots) for label in labels)


def _piece(label: str, slots: Mapping[str, Slot]) -> Piece:
    return tuple(slots.get(token, token) for token in _tokens(label)) or ("",)


def _slot_at(elements: Sequence[str], name: str) -> SlotAt | None:
    for index, element in enumerate(elements):
        before, slot, after = element.partition(name)
        if slot:
            return SlotAt(index, len(before), len(after))
    return None


# --- Addresses --------------------------------------------------------------------------------------------------------

_LONGEST_NUMBER: Final = 20
_IPV4_BYTES: Final = 4
_BYTE: Final = 256


def _ipv4_form(host: str) -> str | None:
    """Write an IPv4 address as browsers do (https://url.spec.whatwg.org/#concept-ipv4-parser); None for no address."""
    parts = host.removesuffix(".").split(".")
    if len(parts) > _IPV4_BYTES:
        return None
    numbers = [number for number in map(_ipv4_number, parts) if number is not None]
    *front, last = numbers or [0]
    places = _IPV4_BYTES - len(front)
    if len(numbers) < len(parts) or last >= _BYTE**places or max(front, default=0) >= _BYTE:
        return None
    return str(IPv4Address((int.from_bytes(bytes(front)) << 8 * places) + last))


def _ipv4_number(part: str) -> int | None:
    if len(part) > _LONGEST_NUMBER:
        return None
    if re.fullmatch("0x[0-9a-f]*", part):
        return int(part[2:] or "0", 16)
    if re.fullmatch("0[0-7]*", part):
        return int(part, 8)
    return int(part) if re.fullmatch("[1-9][0-9]*", part) else None


def _ipv6_form(host: str) -> str | None:
    """Write an IPv6 address as browsers do (https://url.spec.whatwg.org/#concept-ipv6-serializer), with brackets."""
    try:
        address = IPv6Address(host.removeprefix("[").removesuffix("]").partition("%")[0])
    except AddressValueError:
        return None
    mapped = address.ipv4_mapped
    if mapped is None:
        return f"[{address}]"
    # Python may write the embedded address with dots, which browsers never do.
    return f"[::ffff:{int(mapped) >> 16:x}:{int(mapped) & 0xFFFF:x}]"


# --- Parsing paths ----------------------------------------------------------------------------------------------------

_ENCODED: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_PATH_CHARACTERS: Final = frozenset(_SEGMENT_CHARACTERS + "/{}")
_SLOT_NAME: Final = re.compile(r"\{[a-z][A-Za-z0-9]{0,31}\}")


def parse_path_template(text: str) -> PathTemplate | Problem:
    """Read an entry of `paths` into its normal form: unreserved characters decoded, hex digits in upper case.

    Returns: the template; else the problem, CX047, with the right form wherever one can be derived. Never raises.
    Spec: https://www.rfc-editor.org/rfc/rfc3986.html#section-6.2.2
    """
    said = next(filter(None, (objection(text) for objection in _PATH_OBJECTIONS)), None)
    if said:
        return Problem("CX047", f"`{_shown(text)}`{said}")
    normal = _normal(text)
    elements = normal[1:].split("/") if normal != "/" else []
    rest = elements[-1:] == ["**"]
    if rest:
        elements.pop()
    tenant, version = (_slot_at(elements, name) for name in _CAPTURED)
    return PathTemplate(normal, tuple(map(_segment, elements)), rest, tenant, version)


def _segment(text: str) -> Piece:
    if text == "*":
        return (Slot.SEGMENT,)
    return tuple(Slot.SEGMENT if _is_slot(token) else token for token in _tokens(text))


def _normal(text: str) -> str:
    return _ENCODED.sub(lambda encoded: _decoded(encoded[0]), text)


def _decoded(encoded: str) -> str:
    letter = chr(int(encoded[1:], 16))
    return letter if letter in _UNRESERVED else encoded.upper()


def _object_to_path_start(text: str) -> str | None:
    if text.startswith("/"):
        return None
    if "://" in text:
        return ": a path begins with `/`; hosts stand in `hosts`"
    return f": a path begins with `/`; write `/{_shown(text.strip())}`"


def _object_to_query(text: str) -> str | None:
    found = re.search(r"[?#]", text)
    if not found:
        return None
    kind = "the query" if found[0] == "?" else "a fragment"
    return f": {kind} is no part of the path; write `{_shown(text[: found.start()])}`"


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
    return f": `{_shown(odd)}` is encoded in a path; write `{_shown(encoded)}`"


def _object_to_parameters(text: str) -> str | None:
    if ";" not in text:
        return None
    return f": parameters of a segment are set aside before paths are compared; write `{re.sub(';[^/]*', '', text)}`"


def _object_to_encoding(text: str) -> str | None:
    broken = re.search(r"%(?![0-9A-Fa-f]{2}).{0,2}", text)
    if broken:
        return f": `{broken[0]}` is no encoding; a `%` itself is `%25`"
    refused = re.search("%(?:2f|5c|00)", text, re.IGNORECASE)
    if refused is None:
        return None
    as_data = "; where it is data in what `*` matches, say encodedSlashes: opaque" if "2" in refused[0] else ""
    return f": paths with `{refused[0]}` are refused{as_data}"


def _object_to_empty_segments(text: str) -> str | None:
    if "//" in text:
        return f": paths with `//` are refused; write `{_shown(re.sub('/+', '/', text))}`"
    if len(text) > 1 and text.endswith("/"):
        return f": one final `/` is set aside before paths are compared; write `{_shown(text[:-1])}`"
    return None


def _object_to_dots(text: str) -> str | None:
    dots = next((segment for segment in _normal(text).split("/") if segment in {".", ".."}), None)
    return f": paths with a segment `{dots}` are refused; write the path that is meant" if dots else None


def _object_to_path_slots(text: str) -> str | None:
    return next(filter(None, map(_object_to_segment, text.split("/"))), None)


def _object_to_segment(segment: str) -> str | None:
    tokens = _tokens(segment)
    slots = [token for token in tokens if _is_slot(token)]
    odd = next((slot for slot in slots if not _SLOT_NAME.fullmatch(slot)), None)
    if odd is not None:
        return f": `{_shown(odd)}` is no slot; a name is letters and digits, lower case first, such as `{{orderId}}`"
    if any("{" in token or "}" in token for token in tokens if not _is_slot(token)):
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
        return f": `*` is a whole segment; for a part of one write `{{name}}`, such as `{_shown(right)}`"
    if "***" in text:
        return ": `*` is one segment, `**` the rest"
    if "**" in segments[:-1]:
        right = "/".join("*" if segment == "**" else segment for segment in segments)
        return f": `**` stands last; write one entry per depth, such as `{_shown(right)}`"
    return None


def _object_to_repeated_names(text: str) -> str | None:
    repeated = next((name for name in _CAPTURED if text.count(name) > 1), None)
    return f": `{repeated}` stands twice; which of the two would be meant?" if repeated else None


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
    _object_to_repeated_names,
)


# --- Facts for lint ---------------------------------------------------------------------------------------------------

# The ranges that https://wicg.github.io/local-network-access/#ip-address-space-section calls local, and the network
# "this host", which some systems route to themselves.
_PRIVATE_IPV4: Final = tuple(
    map(IPv4Network, ("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"))
)
_PRIVATE_IPV6: Final = tuple(map(IPv6Network, ("::/128", "fc00::/7", "fe80::/10")))
_LOOPBACK_IPV4: Final = IPv4Network("127.0.0.0/8")


def is_loopback(host: str) -> bool:
    """Tell whether a host, or all hosts of a pattern's `host`, are `localhost`, under it, 127.0.0.0/8 or `[::1]`."""
    name = host.removesuffix(".")
    if name in {"localhost", "[::1]"} or name.endswith(".localhost"):
        return True
    address = _address(name)
    return isinstance(address, IPv4Address) and address in _LOOPBACK_IPV4


def is_local(host: str) -> bool:
    """Tell whether a host, or all hosts of a pattern's `host`, are found by multicast DNS: `.local`."""
    return host.removesuffix(".").endswith(".local")


def is_private_address(host: str) -> bool:
    """Tell whether a host is an address, other than loopback, that means another machine in every network."""
    address = _address(host)
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        if mapped is None:
            return any(address in network for network in _PRIVATE_IPV6)
        return mapped in _LOOPBACK_IPV4 or any(mapped in network for network in _PRIVATE_IPV4)
    return address is not None and any(address in network for network in _PRIVATE_IPV4)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return IPv6Address(host[1:-1]) if host.startswith("[") else IPv4Address(host)
    except AddressValueError:
        return None


class _SuffixList(NamedTuple):
    """The public suffix list: rules by their last label, as labels from the right, `*` for any; and the exceptions."""

    version: str
    rules: Mapping[str, tuple[tuple[str, ...], ...]]
    exceptions: frozenset[tuple[str, ...]]


def suffix_list_version() -> str:
    """Return the version of the public suffix list in use, as it names itself: an instant in UTC."""
    return _suffix_list().version


def public_suffix_of_fixed_part(pattern: OriginPattern | HostPattern) -> str | None:
    """Find a public suffix, private section included, under which a pattern takes names that strangers can register.

    Returns: the shortest such suffix, `.` if the top-level domain itself is open; None for exact names, for addresses,
    and for patterns under a registered name. Top-level domains that the list does not know count as one's own.
    Spec: https://github.com/publicsuffix/list/wiki/Format
    """
    found = min(_open_suffixes(pattern), key=lambda rule: (len(rule), rule), default=None)
    return None if found is None else ".".join(reversed(found)) or "."


def spans_registrable_domains(pattern: OriginPattern | HostPattern) -> bool:
    """Tell whether a pattern takes names of more than one registrable domain.

    Top-level domains that the list does not know count as suffixes: whose they are is unknown. Loopback names are all
    of one machine.

    Spec: https://url.spec.whatwg.org/#host-registrable-domain
    """
    if is_loopback(pattern.host):
        return False
    return _is_open(pattern, 2) or next(_open_suffixes(pattern), None) is not None


def _open_suffixes(pattern: OriginPattern | HostPattern) -> Iterator[tuple[str, ...]]:
    labels = _from_right(pattern)
    if not _is_open(pattern, len(labels) + 1):
        return
    top = labels[0]
    if not is_literal(top):
        # A single label has no suffix above it: names such as `build-{digits}` are of one's own network.
        if pattern.wildcard or len(labels) > 1:
            yield ()
        return
    matchers = [piece_matcher(label) for label in labels]
    for rule in _suffix_list().rules.get(_joined(top), ()):
        fits = all(text == "*" or matches(text) for matches, text in zip(matchers, rule, strict=False))
        if fits and _is_open(pattern, len(rule) + 1) and _goes_beyond(pattern, rule):
            yield rule[:-1] if rule[-1] == "*" else rule


def _from_right(pattern: OriginPattern | HostPattern) -> tuple[Piece, ...]:
    labels = pattern.labels[::-1]
    return labels[1:] if labels[0] == ("",) else labels


def _is_open(pattern: OriginPattern | HostPattern, depth: int) -> bool:
    """Tell whether one of so many labels from the right can be more than one text."""
    labels = _from_right(pattern)
    return not all(map(is_literal, labels[:depth])) or (pattern.wildcard and depth > len(labels))


def _goes_beyond(pattern: OriginPattern | HostPattern, rule: tuple[str, ...]) -> bool:
    labels = _from_right(pattern)
    if not pattern.wildcard and len(labels) <= len(rule):
        return False
    return tuple(map(_joined, labels[: len(rule)])) not in _suffix_list().exceptions


@lru_cache(maxsize=1)
def _suffix_list() -> _SuffixList:
    # Only the package's data is read: its functions answer for one name, a pattern is asked about all rules below it.
    lines = (resources.files("publicsuffixlist") / "public_suffix_list.dat").read_text(encoding="utf-8").splitlines()
    version = next((line.partition("VERSION:")[2].strip() for line in lines if "VERSION:" in line), "unknown")
    names = [line.strip() for line in lines if line.strip() and not line.startswith("//")]
    rules: dict[str, list[tuple[str, ...]]] = {}
    for name in names:
        if name.startswith("!"):
            continue
        labels = _rule_labels(name)
        rules.setdefault(labels[0], []).append(labels)
        if labels[-1] == "*":
            rules[labels[0]].append(labels[:-1])
    exceptions = frozenset(_rule_labels(name[1:]) for name in names if name.startswith("!"))
    return _SuffixList(version, {top: tuple(found) for top, found in rules.items()}, exceptions)


def _rule_labels(name: str) -> tuple[str, ...]:
    return tuple(
        label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}"
        for label in reversed(name.split("."))
    )
