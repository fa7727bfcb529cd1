"""The switches of Envoy's runtime: what the layers of a configuration set them to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from cors_authz.doctor.setup import Message, inner, maps, number

_HUNDRED: Final = 100
_WHOLE: Final = {"HUNDRED": _HUNDRED, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}


def whole(percent: Message) -> int:
    """Give the numerator at which a FractionalPercent takes all requests."""
    return _WHOLE.get(str(percent.get("denominator")), _HUNDRED)


def is_whole(value: object) -> bool:
    """Tell whether a value of the runtime takes all requests: a number of a hundred, or a FractionalPercent."""
    if isinstance(value, Mapping):
        return number(value.get("numerator"), 0) >= whole(value)
    return number(value, 0) >= _HUNDRED


def settings(runtime: Message, key: str) -> Iterator[tuple[str, object]]:
    """Give the static layers of a `layered_runtime` that set a key, by their names, and the values."""
    for layer in maps(runtime.get("layers")):
        for value in _found(inner(layer, "static_layer"), key):
            yield str(layer.get("name", "")), value


def _found(values: Message, key: str) -> Iterator[object]:
    """Look a key up, of which any dot may be a step down."""
    for name, value in values.items():
        if name == key:
            yield value
        elif isinstance(value, Mapping) and key.startswith(f"{name}."):
            yield from _found(value, key[len(name) + 1 :])
