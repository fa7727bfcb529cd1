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
    for rule in _rules_near(labels):
        fits = all(text == "*" or matches(text) for matches, text in zip(matchers, rule, strict=False))
        if fits and _is_open(pattern, len(rule) + 1) and _goes_beyond(pattern, rule):
            yield rule[:-1] if rule[-1] == "*" else rule


def _rules_near(labels: Sequence[Piece]) -> Iterator[tuple[str, ...]]:
    """Give the rules that may fit: under `com` stand thousands, of which hardly one shares the second label as well."""
    below = _suffix_list().rules.get(written(labels[0]), {})
    if len(labels) > 1 and is_literal(labels[1]):
        seconds: Iterable[str] = ("", "*", written(labels[1]))
    else:
        seconds = below
    return chain.from_iterable(below.get(second, ()) for second in seconds)


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
    return tuple(map(written, labels[: len(rule)])) not in _suffix_list().exceptions


class _SuffixList(NamedTuple):
    """The public suffix list: its rules, as labels from the right with `*` for any, and the exceptions from them."""

    version: str
    rules: Mapping[str, Mapping[str, Sequence[tuple[str, ...]]]]
    """By their first label from the right, then by their second; "" where there is none."""
    exceptions: frozenset[tuple[str, ...]]


@lru_cache(maxsize=1)
def _suffix_list() -> _SuffixList:
    # Only the package's data is read: its functions answer for one name, a pattern is asked about all rules below it.
    lines = (resources.files("publicsuffixlist") / "public_suffix_list.dat").read_text(encoding="utf-8").splitlines()
    version = next((line.partition("VERSION:")[2].strip() for line in lines if "VERSION:" in line), "unknown")
    names = [line.strip() for line in lines if line.strip() and not line.startswith("//")]
    exceptions = frozenset(_rule_labels(name[1:]) for name in names if name.startswith("!"))
    return _SuffixList(version, _by_labels(name for name in names if not name.startswith("!")), exceptions)


def _by_labels(names: Iterable[str]) -> Mapping[str, Mapping[str, Sequence[tuple[str, ...]]]]:
    rules: dict[str, dict[str, list[tuple[str, ...]]]] = {}
    for labels in map(_rule_labels, names):
        # What a rule with a star says of all names below a name, it says of that name as well.
        for rule in (labels, labels[:-1]) if labels[-1] == "*" else (labels,):
            top, second = (*rule, "")[:2]
            rules.setdefault(top, {}).setdefault(second, []).append(rule)
    return rules


def _rule_labels(name: str) -> tuple[str, ...]:
    return tuple(
        label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}"
        for label in reversed(name.split("."))
    )
