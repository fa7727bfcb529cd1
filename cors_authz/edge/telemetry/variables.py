"""The variables of OTLP exporters: which there are, and what may stand in those that the SDK would read as it likes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import product
from typing import Final
from urllib.parse import unquote

from cors_authz.edge.settings_error import SettingsError

PREFIX: Final = "OTEL_EXPORTER_OTLP"

_SIGNALS: Final = ("", "_TRACES", "_METRICS", "_LOGS", "_PROFILES")
_OPTIONS: Final = (
    *("ENDPOINT", "INSECURE", "CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"),
    *("HEADERS", "COMPRESSION", "TIMEOUT", "PROTOCOL"),
)
_OF_METRICS: Final = ("_METRICS_TEMPORALITY_PREFERENCE", "_METRICS_DEFAULT_HISTOGRAM_AGGREGATION")
_OBSOLETE: Final = ("_SPAN_INSECURE", "_METRIC_INSECURE")
KNOWN: Final = frozenset(
    {
        *(f"{PREFIX}{signal}_{option}" for signal, option in product(_SIGNALS, _OPTIONS)),
        *(f"{PREFIX}{rest}" for rest in (*_OF_METRICS, *_OBSOLETE)),
    }
)
"""Those of the specification: https://opentelemetry.io/docs/specs/otel/protocol/exporter/#configuration-options."""

_MILLISECONDS: Final = 1000
_LONGEST: Final = 86_400_000
_DIGITS: Final = 20
_SHOWN: Final = 40

# A name that gRPC and HTTP can carry, and a value as the specification encodes it, blanks apart: many write these.
_HEADER: Final = re.compile(r"\s*[0-9A-Za-z_.-]+[ \t]*=([ !#-+\--:<-\[\]-~]*)\s*", re.ASCII)


def unknown(names: Iterable[str]) -> Iterator[str]:
    """Say of each variable of OTLP exporters that there is none of that name, and which may be meant."""
    for name in sorted(names):
        if name.startswith(PREFIX) and name not in KNOWN:
            meant = get_close_matches(name, sorted(KNOWN), 1)
            yield f"{name}: there is no such variable, and nothing heeds it" + (f"; write {meant[0]}" if meant else "")


def seconds_of(name: str, text: str, standard: int) -> float:
    """Read a time in milliseconds.

    Args:
        name: of the variable.
        text: its value; empty for the standard.
        standard: milliseconds.

    Raises: SettingsError for what is no time, and for more than a day, which no clock of the system need be asked for.
    """
    if not text:
        return standard / _MILLISECONDS
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS and 0 < int(text) <= _LONGEST):
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        most = f" up to {_LONGEST}" if text.isascii() and text.isdecimal() and text.strip("0") else ""
        raise SettingsError(f"{name}: `{shown}` is no time; write milliseconds{most}, such as {standard}")
    return int(text) / _MILLISECONDS


def refuse_headers(name: str, headers: str) -> None:
    """See that headers are what the SDK can read, and a call can carry: it leaves out the others with a warning.

    Raises: SettingsError that repeats none of them: they may be secrets.
    """
    for number, header in enumerate(headers.split(","), 1):
        parts = _HEADER.fullmatch(header)
        text = unquote(parts[1]) if parts else ""
        if header.strip() and not (parts and text.isascii() and text.isprintable()):
            raise SettingsError(
                f"{name}: entry {number} is no header; write name=value,name=value, with a comma, semicolon, quote"
                " or backslash of a value as %xx"
            )
