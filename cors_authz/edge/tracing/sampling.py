"""Which checks get a span: the samplers that OpenTelemetry's variables name, as one comparison of a trace's id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from cors_authz.edge.observation import Parent
from cors_authz.edge.settings_error import SettingsError

Sampler: TypeAlias = Callable[[str, Parent | None], bool]
"""Tells whether a check is sampled, by the id of its trace (32 lower-case hexadecimal digits) and its parent."""

SAMPLER: Final = "OTEL_TRACES_SAMPLER"
ARGUMENT: Final = "OTEL_TRACES_SAMPLER_ARG"

_DEFAULT: Final = "parentbased_always_on"
_PARENT_BASED: Final = "parentbased_"
_RATIO: Final = "traceidratio"
_ROOTS: Final = ("always_on", "always_off", _RATIO)
_SAMPLERS: Final = (*_ROOTS, *(f"{_PARENT_BASED}{root}" for root in _ROOTS))
_DIGITS: Final = 16


def sampler_of(environ: Mapping[str, str]) -> Sampler:
    """Give the sampler that the environment names.

    Raises: SettingsError for one that is not known, or a ratio that is none.
    Spec: https://opentelemetry.io/docs/specs/otel/trace/sdk/#sampling.
    """
    name = _name(environ)
    root = _root(name.removeprefix(_PARENT_BASED), environ)
    return _parent_based(root) if name.startswith(_PARENT_BASED) else root


def named_sampler(environ: Mapping[str, str]) -> str:
    """Say which sampler the environment names, and its ratio where it has one.

    Raises: SettingsError as `sampler_of` does.
    """
    name = _name(environ)
    return f"{name} {_ratio(_argument(environ)):g}" if name.endswith(_RATIO) else name


def _name(environ: Mapping[str, str]) -> str:
    name = environ.get(SAMPLER, "").strip() or _DEFAULT
    if name not in _SAMPLERS:
        raise SettingsError(f"{SAMPLER}: `{name}` is not known; write one of {', '.join(_SAMPLERS)}")
    return name


def _argument(environ: Mapping[str, str]) -> str:
    return environ.get(ARGUMENT, "").strip() or "1"


def _root(name: str, environ: Mapping[str, str]) -> Sampler:
    if name == "always_on":
        return _always
    return _never if name == "always_off" else _by_ratio(_ratio(_argument(environ)))


def _ratio(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    # Not-a-number is in no range.
    if not 0.0 <= ratio <= 1.0:
        raise SettingsError(f"{ARGUMENT}: `{text}` is no ratio; write a number from 0 to 1")
    return ratio


def _by_ratio(ratio: float) -> Sampler:
    # As the other SDKs draw the line, so that they agree on a trace that goes through several: by its last 64 bits.
    bound = f"{round(ratio * 2**64):0{_DIGITS}x}"
    if len(bound) > _DIGITS:
        return _always
    return lambda trace_id, _parent: trace_id[_DIGITS:] < bound


def _parent_based(root: Sampler) -> Sampler:
    return lambda trace_id, parent: root(trace_id, None) if parent is None else parent.is_sampled


def _always(_trace_id: str, _parent: Parent | None) -> bool:
    return True


def _never(_trace_id: str, _parent: Parent | None) -> bool:
    return False
