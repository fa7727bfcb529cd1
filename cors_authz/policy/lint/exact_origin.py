"""Exact origins of exceptions and overlays: where they are written, and which of them name a machine of their own."""

from __future__ import annotations

from cors_authz.policy.grammar.origin import parse_origin_pattern
from cors_authz.policy.locality import is_local, is_loopback, is_private_address
from cors_authz.policy.pattern import OriginPattern, Problem


def read_exact_origin(text: str) -> OriginPattern | Problem:
    """Read an origin where patterns are refused.

    Returns: the origin; else the problem, that of `parse_origin_pattern` or CX003 for a pattern. Never raises.
    """
    pattern = parse_origin_pattern(text)
    if isinstance(pattern, OriginPattern) and not pattern.is_exact:
        return Problem("CX003", f"`{pattern.text}` is a pattern, and only exact origins stand here; list each")
    return pattern


def is_of_one_network(origin: OriginPattern) -> bool:
    """Tell whether the origin is another server, or none, for everyone on another machine or in another network."""
    return is_loopback(origin.host) or is_local(origin.host) or is_private_address(origin.host)
