"""Single values as YAML 1.2 reads them: `no`, `12:30` and dates are text, which YAML 1.1 had as something else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, unique
from typing import Final

MAX_NUMBER_CHARACTERS: Final = 64
"""Longer digits stay text: no key takes such a number, and Python refuses to read very long ones."""


@unique
class Blank(Enum):
    """What stands where there is no value."""

    NULL = "null"
    """The author wrote none; no key of the language takes that."""
    UNREAD = "unread"
    """The author wrote something that is refused; nothing further is said of it."""


Scalar = str | int | float | bool | Blank

_CONSTANTS: Final[Mapping[str, bool | float | Blank]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), Blank.NULL),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_NUMBER_BEGINS: Final = frozenset("+-.0123456789")
_DECIMAL: Final = re.compile(r"[-+]?[0-9]+")
_PREFIXED: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


def plain_value(text: str) -> str | int | float | bool | Blank:
    """Read an unquoted scalar by the core schema of YAML 1.2; never raises.

    Returns: Blank.NULL, a truth value or a number where the text says one; the text itself for all else, so also for
    `yes`, `12:30`, dates, and numbers of more than 64 characters.
    Spec: https://yaml.org/spec/1.2.2/#1032-tag-resolution.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMBER_BEGINS or len(text) > MAX_NUMBER_CHARACTERS:
        return text
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _PREFIXED.fullmatch(text):
        return int(text, base=0)
    return float(text) if _FLOAT.fullmatch(text) else text
