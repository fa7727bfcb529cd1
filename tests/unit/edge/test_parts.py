"""Large values in small parts: what was taken apart is put together, no part is large, and freeing is gradual."""

from __future__ import annotations

import pickle
from itertools import pairwise
from typing import Any, Self

import pytest

from cors_authz.edge.parts import PART_OBJECTS, PartsError, put_together, take_apart
from cors_authz.policy.finding import Place
from cors_authz.policy.pattern import Slot
from cors_authz.policy.trie import Trie


def no_pause() -> None:
    return None


def copied(value: object) -> Any:  # noqa: ANN401 - whatever the value is
    return put_together(take_apart(value), no_pause).value


def places(count: int) -> tuple[Place, ...]:
    return tuple(Place(f"{number}.yaml", number, 1) for number in range(count))


VALUES: dict[str, object] = {
    "nothing": None,
    "a text": "x",
    "an empty tuple": (),
    "a small tuple": (1, "a", Slot.HEX),
    "a large tuple": places(5_000),
    "a large dict": {place.file: (place, place.line) for place in places(5_000)},
    "a large dict in a large dict in a large tuple": ({"a": {n: str(n) for n in range(1_000)}}, *range(1_000)),
    "a dict by large tuples": {tuple(range(n, n + 300)): frozenset({n}) for n in range(300)},
    "a large tuple at the end": (places(1_000), tuple(range(1_000))),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_what_is_put_together_is_what_was_taken_apart(value: object) -> None:
    assert copied(value) == value


def test_what_is_shared_is_shared_again_however_far_apart_it_stands() -> None:
    shared, large = Place("p.yaml", 1, 1), {n: n for n in range(1_000)}
    first, *_, last, again, once_more = copied((shared, large, *places(10_000), shared, large, (large, shared)))
    assert (first is last, first == shared) == (True, True)
    assert (again == large, again is once_more[0], once_more[1] is first) == (True, True, True)


def test_a_trie_finds_the_same_after_its_journey() -> None:
    trie: Trie[int] = Trie()
    for number in range(3_000):
        trie.add((("example",), (f"shop-{number % 700}",), ("v", Slot.DIGITS)), number, below=number % 2 == 0)
    arrived = copied(trie)
    assert isinstance(arrived, Trie)
    names = [("example", f"shop-{number}", text) for number in range(700) for text in ("v1", "v", "w1")]
    assert [sorted(arrived.find(each)) for each in names] == [sorted(trie.find(each)) for each in names]


def test_a_path_that_is_deeper_than_the_interpreter_recurses_makes_the_journey() -> None:
    trie: Trie[str] = Trie()
    deep = [str(number) for number in range(20_000)]
    trie.add([(name,) for name in deep], "here")
    arrived = copied(trie)
    assert isinstance(arrived, Trie)
    assert list(arrived.find(deep)) == ["here"]


def test_no_part_is_large() -> None:
    value = {place.file: (place, {place.line: frozenset({place.line})}) for place in places(30_000)}
    parts = list(take_apart(value))
    assert max(map(len, parts)) < 40 * PART_OBJECTS
    assert len(parts) > 30_000 * 6 / PART_OBJECTS / 2


def test_a_pause_follows_each_part_that_is_loaded_and_each_that_is_freed() -> None:
    pauses: list[None] = []
    parts = list(take_apart(places(20_000)))
    assembled = put_together(parts, lambda: pauses.append(None))
    held = assembled.held
    del assembled
    assert len(pauses) == len(parts)
    held.free(lambda: pauses.append(None))
    assert len(pauses) == 2 * len(parts)


class Counted(str):
    """A text that is counted while it is there."""

    __slots__ = ()
    alive = 0

    def __new__(cls, text: str) -> Self:
        """Count."""
        cls.alive += 1
        return super().__new__(cls, text)

    def __del__(self) -> None:
        """Count down."""
        type(self).alive -= 1


@pytest.mark.parametrize("shape", [lambda all_: all_, lambda all_: {(text, "key"): (text,) for text in all_}])
def test_no_pause_sees_many_objects_freed_at_once(shape: object) -> None:
    assert callable(shape)
    assembled = put_together(take_apart(shape(tuple(Counted(str(number)) for number in range(20_000)))), no_pause)
    held = assembled.held
    assert Counted.alive == 20_000
    del assembled
    seen = [Counted.alive]
    held.free(lambda: seen.append(Counted.alive))
    freed = [before - after for before, after in pairwise(seen)]
    assert (seen[0] > 19_000, max(freed) <= PART_OBJECTS, seen[-1]) == (True, True, 0)


def test_freeing_leaves_alone_what_is_still_in_use() -> None:
    assembled = put_together(take_apart({n: Place("p", n, n) for n in range(5_000)}), no_pause)
    assembled.held.free(no_pause)
    assert assembled.value == {n: Place("p", n, n) for n in range(5_000)}


def test_a_value_that_refers_back_to_itself_is_refused() -> None:
    value: list[object] = []
    value.append((1, value))
    with pytest.raises(ValueError, match="refers back to itself"):
        list(take_apart(value))


BROKEN: dict[str, list[bytes]] = {
    "nothing": [],
    "no pickle": [b"garbage"],
    "half a part": [next(take_apart(places(3)))[:-5]],
    "a part without those before it": list(take_apart(places(5_000)))[-1:],
    "a pickle of something else": [pickle.dumps(7)],
    "a pickle that raises": [b"cbuiltins\nint\n(S'x'\ntR."],
}


@pytest.mark.parametrize("parts", BROKEN.values(), ids=BROKEN)
def test_what_is_no_sequence_of_parts_is_refused(parts: list[bytes]) -> None:
    with pytest.raises(PartsError, match="a part cannot be loaded"):
        put_together(parts, no_pause)
