"""Hosts of this machine or network among those that an open pattern takes, where its text does not show them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, product
from typing import Final

from cors_authz.fetch.origin import DEFAULT_PORTS
from cors_authz.policy.grammar.origin import parse_origin_pattern
from cors_authz.policy.language import common, language_of
from cors_authz.policy.locality import is_loopback, is_private_address
from cors_authz.policy.pattern import OriginPattern, Piece, Slot, is_literal, piece_matcher

_NAMES: Final = ("localhost", "*.localhost", "*.local", "localhost.", "*.localhost.", "*.local.")
_OCTETS: Final = tuple(map(str, range(256)))


# Each environment is judged, by two rules.
@lru_cache(maxsize=1024)
def local_origin_in(pattern: OriginPattern) -> str | None:
    """Look for an origin with a local name or address among those of a pattern.

    Returns: one that the pattern takes; None if it takes none, if its last label is text, which shows it, or if its
        scheme is an extension's or an app's: what stands for a host there is an id.
    """
    if pattern.scheme not in DEFAULT_PORTS:
        return None
    labels = pattern.labels[:-1] if pattern.labels[-1] == ("",) else pattern.labels
    if is_literal(labels[-1]):
        return None
    return next(chain(_local_names(pattern), _local_addresses(pattern)), None)


def _local_names(pattern: OriginPattern) -> Iterator[str]:
    ours = language_of(pattern)
    for name in _NAMES:
        local = parse_origin_pattern(_origin(pattern, name))
        witness = common(ours, language_of(local)) if isinstance(local, OriginPattern) else None
        if witness is not None:
            yield witness


def _local_addresses(pattern: OriginPattern) -> Iterator[str]:
    missing = 4 - len(pattern.labels)
    if missing < pattern.wildcard or (missing and not pattern.wildcard):
        return
    first, second, *others = (_octets(piece) for piece in (*[(Slot.LABEL,)] * missing, *pattern.labels))
    # Whether an address is near hangs on its first half.
    for half in product(first, second) if all(others) else ():
        host = ".".join((*half, *(octets[0] for octets in others)))
        if is_loopback(host) or is_private_address(host):
            yield _origin(pattern, host)


def _origin(pattern: OriginPattern, host: str) -> str:
    return f"{pattern.scheme}://{host}" + (f":{pattern.port}" if pattern.port not in {"", "*"} else "")


def _octets(piece: Piece) -> Sequence[str]:
    return tuple(filter(piece_matcher(piece), _OCTETS))
