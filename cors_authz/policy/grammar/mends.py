"""How an origin or a host that is off in its spelling is written right.

A mend is shown and never made in silence: what a reviewer greps is what is compared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import idna

from cors_authz.fetch.origin import DEFAULT_PORTS
from cors_authz.policy.grammar.address import ipv4_form, ipv6_form
from cors_authz.policy.grammar.authority import LONGEST_NAME, TAILS, Grammar, Parts
from cors_authz.policy.pattern import Problem

_NO_DEFAULT_PORT: Final = "no default port"


def mended(parts: Parts, grammar: Grammar, reasons: tuple[str, ...]) -> tuple[Parts, tuple[str, ...]]:
    """Apply the mends of a grammar, and collect the reason of each that changed something."""
    for mend in grammar.mends:
        parts, reason = mend(parts)
        reasons += (reason,) * bool(reason)
    return parts, reasons


def object_to_form(parts: Parts, reasons: Sequence[str], grammar: Grammar) -> Problem | None:
    """Object to a text that had to be mended, and show what it becomes."""
    if not reasons:
        return None
    if tuple(reasons) == (_NO_DEFAULT_PORT,):
        return Problem("CX003", f" can never match: browsers leave out the default port; write `{parts}`")
    return Problem("CX003", f" is not {grammar.noun}; write `{parts}`: {', '.join(reasons)}")


def with_lower_case(parts: Parts) -> tuple[Parts, str]:
    """Write scheme and host in lower case."""
    lowered = parts._replace(scheme=parts.scheme.lower(), host=parts.host.lower())
    return lowered, "lower case" if lowered != parts else ""


def without_scheme(parts: Parts) -> tuple[Parts, str]:
    """Leave the scheme out."""
    return parts._replace(scheme=""), "no scheme" if parts.scheme else ""


def without_user(parts: Parts) -> tuple[Parts, str]:
    """Leave a user name and its password out."""
    return parts._replace(user=""), "no user name" if parts.user else ""


def with_a_labels(parts: Parts) -> tuple[Parts, str]:
    """Write labels beyond ASCII as A-labels (https://www.rfc-editor.org/rfc/rfc5891#section-4.4)."""
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


def with_plain_address(parts: Parts) -> tuple[Parts, str]:
    """Write an address as browsers do."""
    plain = ipv6_form(parts.host) if ":" in parts.host else ipv4_form(parts.host)
    if not plain or plain == parts.host:
        return parts, ""
    return parts._replace(host=plain), "the address as browsers write it"


def without_final_dot(parts: Parts) -> tuple[Parts, str]:
    """Leave a final dot out."""
    host = parts.host.removesuffix(".")
    return parts._replace(host=host), "no final dot" if host != parts.host else ""


def without_port_zeros(parts: Parts) -> tuple[Parts, str]:
    """Leave leading zeros of the port out."""
    port = parts.port and (parts.port.lstrip("0") or "0")
    return parts._replace(port=port), "no leading zero in the port" if port != parts.port else ""


def without_empty_port(parts: Parts) -> tuple[Parts, str]:
    """Leave out a colon that no port follows."""
    return (parts._replace(port=None), "no colon without a port") if parts.port == "" else (parts, "")


def without_any_port(parts: Parts) -> tuple[Parts, str]:
    """Leave `:*` out, where no port already means any."""
    return (parts._replace(port=None), "no port is any port") if parts.port == "*" else (parts, "")


def without_default_port(parts: Parts) -> tuple[Parts, str]:
    """Leave the scheme's default port out."""
    if not parts.port or parts.port != DEFAULT_PORTS.get(parts.scheme):
        return parts, ""
    return parts._replace(port=None), _NO_DEFAULT_PORT


def without_tail(parts: Parts) -> tuple[Parts, str]:
    """Leave path, query and fragment out."""
    return parts._replace(tail=""), TAILS[parts.tail[0]] if parts.tail else ""
