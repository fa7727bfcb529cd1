"""Objects of any shape are judged: what a field holds that should hold something else breaks nothing."""

from __future__ import annotations

import copy
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from cors_authz.doctor.lined import documents
from cors_authz.doctor.manifests import findings, judges, routed, things_in
from cors_authz.doctor.reads import Reads
from tests.unit.doctor.test_attached import estate
from tests.unit.doctor.test_manifest_findings import ISTIO
from tests.unit.doctor.test_patches import FILTERS, JSON_PATCHES

_Way = tuple[str | int, ...]

_PATCHES: Final = "".join(text.removeprefix(ISTIO) for text, _ in FILTERS.values())
_OPERATIONS: Final = "\n".join(f"  - operation: {text}" for text, _ in JSON_PATCHES.values())
_ALL: Final = (
    f"{ISTIO}{_PATCHES}---\n{estate()}"
    f"---\nkind: EnvoyPatchPolicy\nmetadata: {{name: p}}\nspec:\n  jsonPatches:\n{_OPERATIONS}\n"
)
OBJECTS: Final[Any] = [dict(each) for each in documents("all.yaml", _ALL.encode()) if each]
"""An object of each kind, and every patch."""


def places(value: object, way: _Way = ()) -> list[_Way]:
    """Give the way to each value inside of one."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, each in entries for place in ((*way, key), *places(each, (*way, key)))]


PLACES: Final = places(OBJECTS)
_SHAPES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["REPLACE", "move", "Gateway"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(PLACES), _SHAPES)
def test_any_value_in_any_place_of_objects_is_judged(way: _Way, value: object) -> None:
    parsed = copy.deepcopy(OBJECTS)
    inside = parsed
    for step in way[:-1]:
        inside = inside[step]
    inside[way[-1]] = value
    things = tuple(things_in("all.yaml", parsed))
    assert isinstance(list(findings(things, Reads())), list)
    assert isinstance(list(routed(things)), list)
    assert judges(things)
