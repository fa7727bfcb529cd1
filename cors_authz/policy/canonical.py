"""The canonical form of a policy: what its documents say together, without layout, comments and order of files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel

from cors_authz.policy.document import Document

_REVISION_DIGITS: Final = 16
_UNITS: Final = (
    (timedelta(days=1), "d"),
    (timedelta(hours=1), "h"),
    (timedelta(minutes=1), "m"),
    (timedelta(seconds=1), "s"),
    (timedelta(milliseconds=1), "ms"),
)


def canonical(documents: Iterable[Document]) -> list[Any]:
    """Give the documents as plain data in one order, each value in the one way to write it."""
    return sorted((_plain(document.model) for document in documents), key=_ordered)


def revision_of(documents: Iterable[Document]) -> str:
    """Digest the canonical form into 16 hexadecimal digits."""
    # Each document is written once: the canonical form as one value, and that in JSON, would be held beside each other.
    ordered = ", ".join(sorted(_ordered(_plain(document.model)) for document in documents))
    return hashlib.sha256(f"[{ordered}]".encode()).hexdigest()[:_REVISION_DIGITS]


def _ordered(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON
    match value:
        case str():
            return value
        case BaseModel():
            fields = type(value).model_fields
            return {fields[name].alias or name: _plain(getattr(value, name)) for name in sorted(value.model_fields_set)}
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case tuple():
            return [_plain(item) for item in value]
        case timedelta() | datetime() | float():
            return _written(value)
        case _:
            return value


def _written(value: timedelta | datetime | float) -> str:
    if isinstance(value, timedelta):
        unit, letter = next((unit, letter) for unit, letter in _UNITS if value % unit == timedelta())
        return f"{value // unit}{letter}" if value else "0s"
    if isinstance(value, datetime):
        # Loading reads every moment in UTC.
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    # The one kind of fraction in the language is a percentage.
    return f"{value:g}%"
