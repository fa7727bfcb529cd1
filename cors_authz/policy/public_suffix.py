"""Public suffixes: under which names strangers can register their own, and which patterns take such names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from itertools import chain
from typing import NamedTuple

from cors_authz.policy.locality import is_loopback
from cors_authz.policy.pattern import HostPattern, OriginPattern, Piece, is_literal, piece_matcher, written


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
    if _is_one_name(pattern) or is_loopback(pattern.host):
        return False
    return _is_open(pattern, 2) or next(_open_suffixes(pattern), None) is not None


def _open_suffixes(pattern: OriginPattern | HostPattern) -> Iterator[tuple[str, ...]]:
    if _is_one_name(pattern):
        return
    labels = _from_right(pattern)
    top = labels[0]
    if not is_literal(top):
        # A single label has no suffix above it: names such as `build-{digits}` are of one's own network.
        if pattern.wildcard or len(labels) > 1:
            yield ()
        return
    matchers = [piece_matcher(label) for label in labels]
    for rule in _rules_near(labels):
        fits = all(text == "*" or matches(text) for matches, text in zip(matchers, rule, strict=False))
        if fits and _is_open(pattern, len(rule) + 1) and _goes_beyond(pattern, rule):
            yield rule[:-1] if rule[-1] == "*" else rule


def _rules_near(labels: Sequence[Piece]) -> Iterator[tuple[str, ...]]:
    """Give the rules that may fit: under `com` stand thousands, of which hardly one shares the second label as well."""
    below = _rules_below(written(labels[0]))
    if len(labels) > 1 and is_literal(labels[1]):
        seconds: Iterable[str] = ("", "*", written(labels[1]))
    else:
        seconds = below
    return chain.from_iterable(below.get(second, ()) for second in seconds)


def _from_right(pattern: OriginPattern | HostPattern) -> tuple[Piece, ...]:
    labels = pattern.labels[::-1]
    return labels[1:] if labels[0] == ("",) else labels


def _is_one_name(pattern: OriginPattern | HostPattern) -> bool:
    return not pattern.wildcard and all(map(is_literal, pattern.labels))


def _is_open(pattern: OriginPattern | HostPattern, depth: int) -> bool:
    """Tell whether one of so many labels from the right can be more than one text."""
    labels = _from_right(pattern)
    return not all(map(is_literal, labels[:depth])) or (pattern.wildcard and depth > len(labels))


def _goes_beyond(pattern: OriginPattern | HostPattern, rule: tuple[str, ...]) -> bool:
    labels = _from_right(pattern)
    if not pattern.wildcard and len(labels) <= len(rule):
        return False
    return tuple(map(written, labels[: len(rule)])) not in _suffix_list().exceptions


class _SuffixList(NamedTuple):
    """The public suffix list: its rules as it writes them, by their last label; and the exceptions, from the right."""

    version: str
    names: Mapping[str, Sequence[str]]
    exceptions: frozenset[tuple[str, ...]]


@lru_cache(maxsize=1)
def _suffix_list() -> _SuffixList:
    # Only the package's data is read: its functions answer for one name, a pattern is asked about all rules below it.
    lines = (resources.files("publicsuffixlist") / "public_suffix_list.dat").read_text(encoding="utf-8").splitlines()
    version = next((line.partition("VERSION:")[2].strip() for line in lines if "VERSION:" in line), "unknown")
    by_top: dict[str, list[str]] = {}
    exceptions: set[tuple[str, ...]] = set()
    for name in filter(None, map(str.strip, lines)):
        if name.startswith("!"):
            exceptions.add(_rule_labels(name[1:]))
        elif not name.startswith("//"):
            by_top.setdefault(name.rpartition(".")[2], []).append(name)
    return _SuffixList(version, {_a_label(top): names for top, names in by_top.items()}, frozenset(exceptions))


# The list has ten thousand rules, and the patterns of a policy stand under one or two top-level domains.
@lru_cache(maxsize=16)
def _rules_below(top: str) -> Mapping[str, Sequence[tuple[str, ...]]]:
    """Give the rules under a top-level domain, as labels from the right, by the second; "" where there is none."""
    rules: dict[str, list[tuple[str, ...]]] = {}
    for labels in map(_rule_labels, _suffix_list().names.get(top, ())):
        # What a rule with a star says of all names below a name, it says of that name as well.
        for rule in (labels, labels[:-1]) if labels[-1] == "*" else (labels,):
            rules.setdefault("".join(rule[1:2]), []).append(rule)
    return rules


def _rule_labels(name: str) -> tuple[str, ...]:
    return tuple(map(_a_label, reversed(name.split("."))))


def _a_label(label: str) -> str:
    return label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}"
