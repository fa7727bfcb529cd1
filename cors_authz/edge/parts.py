"""A value of millions of objects as a sequence of small pickles: loaded, and later freed, a little at a time.

To unpickle a large value, or to drop it, holds the interpreter lock for seconds, and every other thread waits. So the
value is cut into parts. Each is a pickle of its own that refers to objects of earlier parts by number; what is shared
in the value is shared again in its copy. Nothing here knows what the value is: dataclasses, named tuples and containers
are found by looking, and whatever else there is goes along whole.

Pickles are code: only a process that was started by this one, or that started it, may have written them.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from gc import get_referents
from io import BytesIO
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

PAUSE_SECONDS: Final = 0.001
"""How long other threads have the interpreter to themselves after each part."""

PART_OBJECTS: Final = 1200
"""About so many objects, numbers and texts among them, are loaded or freed in one go."""

_SLICE_ENTRIES: Final = 200
_OURS: Final = "cors_authz."
_OPEN: Final = -1
_CONTAINERS: Final = frozenset({tuple, list, dict, set, frozenset})

T = TypeVar("T")


class PartsError(Exception):
    """A sequence of bytes that is not what `take_apart` made of a value."""


class Held:
    """What keeps the objects of a loaded value alive, so that they are not all freed the moment nobody needs it."""

    __slots__ = ("_objects", "_sizes")

    def __init__(self) -> None:
        self._objects: list[object] = []
        self._sizes: list[int] = []

    def add(self, objects: list[object]) -> None:
        """Keep what a part brought."""
        self._objects += objects
        self._sizes.append(len(objects))

    def get(self, number: int) -> object:
        """Hand out an object; one with a number below zero for the last time, so it is not held on to."""
        if number >= 0:
            return self._objects[number]
        found, self._objects[~number] = self._objects[~number], None
        return found

    def free(self, pause: Callable[[], object]) -> None:
        """Free the value part by part. Its root must be out of use: then no part is needed by those before it."""
        while self._sizes:
            size = self._sizes.pop()
            if size:
                del self._objects[-size:]
            pause()


class Assembled(NamedTuple):
    """A value that was put together. Whoever gives it up drops `value` first and frees what is `held` then."""

    value: Any
    held: Held


def take_apart(value: object) -> Iterator[bytes]:
    """Cut a value into parts, each of which loads in a fraction of a millisecond.

    Args:
        value: must not change meanwhile, nor refer back to itself. Large sets and lists are not cut.

    Returns: the parts in their order, never none.
    Raises: ValueError for a value that refers back to itself; pickle's errors for what it cannot write.
    """
    plan = _Plan()
    # The root is an object that nothing refers to, so the last part hands on nothing else.
    plan.visit((value,))
    numbers: dict[int, int] = {}
    for handed_on in plan.handed_on:
        for written in handed_on.values():
            if type(written) is _Complete:
                numbers[id(written.begun)] = ~numbers[id(written.begun)]
        buffer = BytesIO()
        _PartPickler(buffer, numbers).dump(list(handed_on.values()))
        numbers.update(zip(handed_on, range(len(numbers), len(numbers) + len(handed_on)), strict=True))
        yield buffer.getvalue()


def put_together(parts: Iterable[bytes], pause: Callable[[], object]) -> Assembled:
    """Build a value from its parts.

    Args:
        parts: from `take_apart`, in a process that this one trusts as it trusts itself.
        pause: called after each part, to let other threads run.

    Raises: PartsError for anything that is no such sequence; nothing of it remains then.
    """
    held = Held()
    last: Any = None
    try:
        for part in parts:
            last = _PartUnpickler(BytesIO(part), held).load()
            held.add(last)
            pause()
        return Assembled(last[0][0], held)
    except Exception as error:
        raise PartsError(f"a part cannot be loaded: {type(error).__name__}: {error}") from error


class _PartPickler(pickle.Pickler):
    """Writes one part; an object that an earlier part holds is written as its number there."""

    def __init__(self, file: BytesIO, numbers: dict[int, int]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._numbers = numbers

    def persistent_id(self, obj: object) -> int | None:
        return self._numbers.get(id(obj))


class _PartUnpickler(pickle.Unpickler):
    """Reads one part."""

    def __init__(self, file: BytesIO, held: Held) -> None:
        super().__init__(file)
        self._held = held

    def persistent_load(self, pid: Any) -> object:  # noqa: ANN401 - pickle's signature
        return self._held.get(pid)


# --- What goes into which part ----------------------------------------------------------------------------------------


class _Fill(NamedTuple):
    """Some entries of a large dict, or of a large tuple while it is a list: keys and values, or values alone."""

    container: dict[object, object] | list[object]
    keys: tuple[object, ...]
    values: tuple[object, ...]

    def __reduce__(self) -> tuple[object, ...]:
        return _fill, tuple(self)


class _Complete(NamedTuple):
    """A large dict or tuple once all its entries have been added."""

    begun: dict[object, object] | list[object]

    def __reduce__(self) -> tuple[object, ...]:
        return _complete, tuple(self)


def _fill(
    container: dict[object, object] | list[object], keys: tuple[object, ...], values: tuple[object, ...]
) -> tuple[tuple[object, ...], ...]:
    if isinstance(container, dict):
        container.update(zip(keys, values, strict=True))
    else:
        container.extend(values)
    # Held on to, so that the large container does not take all its entries along when it is freed.
    return keys, values


def _complete(begun: dict[object, object] | list[object]) -> object:
    return begun if isinstance(begun, dict) else tuple(begun)


def _sliced(entries: Iterable[T]) -> Iterator[tuple[T, ...]]:
    rest = iter(entries)
    while some := tuple(islice(rest, _SLICE_ENTRIES)):
        yield some


class _Growing(NamedTuple):
    """A large dict or tuple: what it grows from, and the entries that are added to that, some at a time."""

    begun: dict[object, object] | list[object]
    fills: list[_Fill]


def _growing(value: object) -> _Growing | None:
    begun: dict[object, object] | list[object]
    if type(value) is dict and len(value) > _SLICE_ENTRIES:
        begun = {}
        return _Growing(begun, [_Fill(begun, *zip(*some, strict=True)) for some in _sliced(value.items())])
    if type(value) is tuple and len(value) > _SLICE_ENTRIES:
        begun = []
        return _Growing(begun, [_Fill(begun, (), some) for some in _sliced(value)])
    return None


class _Kinds(dict[type, bool]):
    """Whether objects of a type are looked into, asked once a type."""

    def __missing__(self, kind: type) -> bool:
        looked_into = kind in _CONTAINERS or (kind.__module__.startswith(_OURS) and not issubclass(kind, Enum | type))
        self[kind] = looked_into
        return looked_into


class _Step(NamedTuple):
    """An object that is being visited: what it refers to, what of that is still to come, and how much it weighs."""

    value: object
    growing: _Growing | None
    referred: list[object]
    rest: Iterator[object]
    weight: int


class _Plan:
    """Goes through a value from its leaves to its root, and says what each part hands on to later ones.

    Objects stand in the order in which they are completed; a part is a run of them. So an object finds what it refers
    to in its own part, where pickle writes it on the way, or in an earlier one, which hands it on.
    """

    def __init__(self) -> None:
        self.handed_on: list[dict[int, object]] = [{}]
        """By part, and by the `id` of what is referred to: what is written of it."""
        self._part_of: dict[int, int] = {}
        self._weight = 0
        self._kinds = _Kinds()

    def visit(self, root: object) -> None:
        """Go through all that an object consists of, without recursion: paths may be deep.

        Raises: ValueError if something refers back to itself.
        """
        pending = [self._enter(root)]
        part_of = self._part_of
        while pending:
            for child in pending[-1].rest:
                part = part_of.get(id(child))
                if part is None:
                    pending.append(self._enter(child))
                    break
                if part == _OPEN:
                    raise ValueError("a value that refers back to itself cannot be taken apart")
            else:
                self._leave(pending.pop())
        self._hand_on(root, root)

    def _enter(self, value: object) -> _Step:
        kinds, growing = self._kinds, _growing(value)
        if growing:
            referents = self._begin(growing)
        elif type(value) is _Fill:
            referents = [*value.keys, *value.values]
        else:
            referents = get_referents(value)
        referred = [each for each in referents if kinds[type(each)] and each]
        self._part_of[id(value)] = _OPEN
        return _Step(value, growing, referred, iter(referred), 1 + len(referents))

    def _begin(self, growing: _Growing) -> list[object]:
        self._hand_on(growing.begun, growing.begun)
        self._close_part()
        return [*growing.fills]

    def _leave(self, step: _Step) -> None:
        value, growing, referred, _, weight = step
        if growing:
            self._close_part()
        handed_on, part_of = self.handed_on, self._part_of
        part = part_of[id(value)] = len(handed_on) - 1
        for each in referred:
            if (there := part_of[id(each)]) != part:
                handed_on[there].setdefault(id(each), each)
        if growing:
            self._hand_on(value, _Complete(growing.begun))
        elif type(value) is _Fill:
            self._hand_on(value, value)
        self._weight += weight
        if growing or self._weight > PART_OBJECTS:
            self._close_part()

    def _hand_on(self, value: object, written: object) -> None:
        self.handed_on[-1][id(value)] = written

    def _close_part(self) -> None:
        self.handed_on.append({})
        self._weight = 0
