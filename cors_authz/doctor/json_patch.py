"""Which part of Envoy's configuration a JSON patch of Envoy Gateway is for: a JSONPath, and a JSON Pointer below it."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from cors_authz.doctor.canonical import snake

FILTERS: Final = "http_filters"
PER_FILTER: Final = "typed_per_filter_config"

_CONFIG: Final = "typed_config"
_QUOTED: Final = r"'[^']*'|\"[^\"]*\""
_STEP: Final = re.compile(rf"\[(?:[^\[\]'\"]|{_QUOTED}|\[(?:[^\[\]'\"]|{_QUOTED})*\])*\]|[^.\[\]]+")
_NAMED: Final = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_PLACE: Final = re.compile(r"[0-9]+|-|\*|\?.*", re.DOTALL)
_OF_CHECK: Final = re.compile("ext_?authz", re.IGNORECASE)
_OF_ANOTHER: Final = re.compile(r"(?:name|@type)['\"]?\]?\s*==\s*['\"]")


class Target(NamedTuple):
    """What a patch is for.

    Attributes:
        container: `http_filters` or `typed_per_filter_config`; "" for neither.
        element: The one of its filters, as the patch names it; "" for all of them.
        rest: The steps down from there, or all of them where there is no container.
    """

    container: str
    element: str
    rest: tuple[str, ...]

    @property
    def may_be_check(self) -> bool:
        """Whether it may be ext_authz, or all filters: only the Envoy knows which filter a number means."""
        if not self.container:
            return False
        if not self.element or _OF_CHECK.search(self.element):
            return True
        if self.container == PER_FILTER:
            return _PLACE.fullmatch(self.element) is not None
        return "||" in self.element or not _OF_ANOTHER.search(self.element)

    def around(self, value: Any) -> Any:  # noqa: ANN401 -- JSON
        """Put a value where it goes below the element: the message that has it."""
        for step in reversed(self.rest):
            value = [value] if _PLACE.fullmatch(step) else {step: value}
        return value


def target_of(path: object, pointer: object) -> Target:
    """Read the place of a patch; what is no text is no step.

    Spec: https://www.rfc-editor.org/rfc/rfc9535, https://www.rfc-editor.org/rfc/rfc6901.
    """
    steps = (*_steps(path), *_pointed(pointer))
    at = next((at for at in reversed(range(len(steps))) if steps[at] in {FILTERS, PER_FILTER}), None)
    if at is not None:
        return Target(steps[at], *_first(steps[at + 1 :]))
    return _anywhere(steps)


def _anywhere(steps: tuple[str, ...]) -> Target:
    """Read steps such as `..[?(@.name=='envoy.filters.http.ext_authz')]`, which find a filter wherever it stands."""
    at = next((at for at, step in enumerate(steps) if step.startswith("?") and _OF_CHECK.search(step)), None)
    if at is not None:
        return Target(FILTERS, *_first(steps[at:]))
    if _CONFIG not in steps or any(map(_OF_ANOTHER.search, steps)):
        return Target("", "", steps)
    last = max(at for at, step in enumerate(steps) if step == _CONFIG)
    return Target(FILTERS, "*", steps[last:])


def _first(steps: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    return (steps[0], steps[1:]) if steps else ("", ())


def _steps(path: object) -> tuple[str, ...]:
    found = _STEP.findall(path) if isinstance(path, str) else []
    return tuple(snake(_bare(step)) for step in found if step != "$")


def _bare(step: str) -> str:
    inside = step[1:-1].strip() if step.startswith("[") else step
    named = _NAMED.fullmatch(inside)
    return (named[1] or named[2] or "") if named else inside


def _pointed(pointer: object) -> tuple[str, ...]:
    if not isinstance(pointer, str) or not pointer:
        return ()
    steps = pointer.removeprefix("/").split("/")
    return tuple(snake(step.replace("~1", "/").replace("~0", "~")) for step in steps)
