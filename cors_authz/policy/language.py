"""Patterns as regular languages: is one within the other, do they overlap, and by which shortest string.

A literal is a chain of states, a slot or `*.` a chain with loops, an open port an optional chain of digits. Bounds on
the length of names are left out, which can only err towards "wider", for names near 63 letters.
"""

from __future__ import annotations

import string
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, unique
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

from cors_authz.policy.effort import Effort
from cors_authz.policy.ends import ends_of
from cors_authz.policy.pattern import HostPattern, OriginPattern, PathTemplate, Slot, is_literal, piece_matcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cors_authz.policy.pattern import Piece

MOST_STEPS: Final = 200_000
"""How many pairs of a state and a set of states `within` visits at most; two patterns rarely have a hundred."""

# Witnesses are read by people: `pr-7.x.shop.example` rather than `pr-0.-.shop.example`.
_READABLE: Final = "a7" + string.ascii_lowercase[1:] + "123456890" + string.ascii_uppercase + "-_."

Pattern = OriginPattern | HostPattern | PathTemplate
_Node = TypeVar("_Node")


class SearchBoundError(Exception):
    """A search that would take more than `MOST_STEPS`; whether the one language is within the other stays open."""


@dataclass(frozen=True, slots=True)
class Language:
    """A set of strings, as states and the letters that lead from one to the next.

    `moves[state]` lists (letters, next state); a string is in the language if its letters lead from one of `starts` to
    one of `accepts`.
    """

    moves: tuple[tuple[tuple[frozenset[str], int], ...], ...]
    starts: frozenset[int]
    accepts: frozenset[int]

    def holds(self, text: str) -> bool:
        """Tell whether a string is in the language, in time linear in its length. Never raises."""
        states: Iterable[int] = self.starts
        for letter in text:
            states = {after for state in states for letters, after in self.moves[state] if letter in letters}
        return not self.accepts.isdisjoint(states)


# --- Building ---------------------------------------------------------------------------------------------------------

_DOT: Final = frozenset(".")
_SLASH: Final = frozenset("/")
_HYPHEN: Final = frozenset("-")
_DIGITS: Final = frozenset(string.digits)
_START: Final = 0


@dataclass(slots=True)
class _Draft:
    """A language under construction; every method leads on from a state and returns the one that is reached."""

    moves: list[list[tuple[frozenset[str], int]]] = field(default_factory=lambda: [[]])

    def letter(self, state: int, letters: frozenset[str]) -> int:
        self.moves.append([])
        self.lead(state, letters, len(self.moves) - 1)
        return len(self.moves) - 1

    def lead(self, state: int, letters: frozenset[str], after: int) -> None:
        self.moves[state].append((letters, after))

    def piece(self, state: int, piece: Piece) -> int:
        for part in piece:
            if isinstance(part, Slot):
                state = self.slot(state, part)
            else:
                for letter in part:
                    state = self.letter(state, frozenset(letter))
        return state

    def slot(self, state: int, slot: Slot) -> int:
        letters = frozenset(slot.letters)
        body = self.letter(state, letters)
        self.lead(body, letters, body)
        if slot.has_inner_hyphens:
            hyphen = self.letter(body, _HYPHEN)
            self.lead(hyphen, _HYPHEN, hyphen)
            self.lead(hyphen, letters, body)
        return body

    def name(self, state: int, labels: Sequence[Piece], *, wildcard: bool) -> int:
        if wildcard:
            label = self.slot(state, Slot.LABEL)
            state = self.letter(label, _DOT)
            self.lead(state, frozenset(Slot.LABEL.letters), label)
        for index, label_piece in enumerate(labels):
            state = self.piece(self.letter(state, _DOT) if index else state, label_piece)
        return state

    def any_port(self, state: int) -> int:
        first = self.letter(self.letter(state, frozenset(":")), _DIGITS - {"0"})
        self.lead(first, _DIGITS, first)
        return first

    def done(self, *accepts: int) -> Language:
        return Language(tuple(map(tuple, self.moves)), frozenset({_START}), frozenset(accepts))


# A catch-all is compared with every other pattern of its host; the others come once or twice.
@lru_cache(maxsize=1024)
def language_of(pattern: Pattern) -> Language:
    """Build the language of a pattern: origins as serialized, hosts with their port if they have one, normal paths."""
    if isinstance(pattern, OriginPattern):
        return _origins(pattern)
    return _hosts(pattern) if isinstance(pattern, HostPattern) else _paths(pattern)


def _origins(pattern: OriginPattern) -> Language:
    draft = _Draft()
    state = draft.name(draft.piece(_START, (f"{pattern.scheme}://",)), pattern.labels, wildcard=pattern.wildcard)
    if pattern.port == "*":
        return draft.done(state, draft.any_port(state))
    return draft.done(draft.piece(state, (f":{pattern.port}",)) if pattern.port else state)


def _hosts(pattern: HostPattern) -> Language:
    draft = _Draft()
    state = draft.name(_START, pattern.labels, wildcard=pattern.wildcard)
    if pattern.port:
        return draft.done(draft.piece(state, (f":{pattern.port}",)))
    return draft.done(state, draft.any_port(state))


def _paths(pattern: PathTemplate) -> Language:
    draft = _Draft()
    state = _START
    for segment in pattern.segments:
        state = draft.piece(draft.letter(state, _SLASH), segment)
    if not pattern.rest:
        return draft.done(state if pattern.segments else draft.letter(state, _SLASH))
    slash = draft.letter(state, _SLASH)
    further = draft.slot(slash, Slot.SEGMENT)
    draft.lead(draft.letter(further, _SLASH), frozenset(Slot.SEGMENT.letters), further)
    # `/**` takes `/` as well; elsewhere a final slash has been set aside before paths are compared.
    return draft.done(state if pattern.segments else slash, further)


def union_of(languages: Iterable[Language]) -> Language:
    """Unite languages; of none it is the empty one."""
    moves: list[tuple[tuple[frozenset[str], int], ...]] = []
    starts: set[int] = set()
    accepts: set[int] = set()
    for language in languages:
        shift = len(moves)
        starts.update(state + shift for state in language.starts)
        accepts.update(state + shift for state in language.accepts)
        moves.extend(tuple((letters, after + shift) for letters, after in state) for state in language.moves)
    return Language(tuple(moves), frozenset(starts), frozenset(accepts))


# --- Searching --------------------------------------------------------------------------------------------------------


def within(inner: Language, outer: Language, *, effort: Effort | None = None) -> str | None:
    """Look for a string that is in the one language and not in the other.

    Returns: None if all of `inner` is in `outer`; else a shortest string that is not. The same for the same languages.
    Raises: SearchBoundError after `MOST_STEPS` pairs of a state and a set of states; EffortSpentError.
    """
    spend = _counting(effort)
    letters = _telling_letters(inner, outer)
    spend(len(letters) * (len(inner.moves) + len(outer.moves)))
    inner_moves, outer_moves = _by_letter(inner, letters), _by_letter(outer, letters)

    def goes_on(node: tuple[int, frozenset[int]]) -> Iterator[tuple[str, tuple[int, frozenset[int]]]]:
        state, others = node
        spend(len(inner_moves[state]) * (_STEPS_OF_A_SET + len(others)))
        for letter, afters in inner_moves[state].items():
            reached = frozenset(after for other in others for after in outer_moves[other].get(letter, ()))
            yield from ((letter, (after, reached)) for after in afters)

    def is_counterexample(node: tuple[int, frozenset[int]]) -> bool:
        return node[0] in inner.accepts and outer.accepts.isdisjoint(node[1])

    starts = ((state, outer.starts) for state in sorted(inner.starts))
    return _shortest(starts, goes_on, is_counterexample, MOST_STEPS)


def common(one: Language, other: Language, *, effort: Effort | None = None) -> str | None:
    """Look for a string that is in both languages.

    Returns: a shortest one; None if there is none. The same for the same languages.
    Raises: EffortSpentError; without an effort nothing, as there are no more steps than pairs of states.
    """
    spend = _counting(effort)
    letters = _telling_letters(one, other)
    spend(len(letters) * (len(one.moves) + len(other.moves)))
    one_moves, other_moves = _by_letter(one, letters), _by_letter(other, letters)

    def goes_on(node: tuple[int, int]) -> Iterator[tuple[str, tuple[int, int]]]:
        spend(len(one_moves[node[0]]) * _STEPS_OF_A_PAIR)
        for letter, afters in one_moves[node[0]].items():
            others = other_moves[node[1]].get(letter, ())
            yield from ((letter, (after, reached)) for after in afters for reached in others)

    def is_in_both(node: tuple[int, int]) -> bool:
        return node[0] in one.accepts and node[1] in other.accepts

    starts = ((left, right) for left in sorted(one.starts) for right in sorted(other.starts))
    return _shortest(starts, goes_on, is_in_both, len(one.moves) * len(other.moves))


_STEPS_OF_A_PAIR: Final = 3
_STEPS_OF_A_SET: Final = 6
"""What a letter takes that leads on from two states, or from a state and a set of states."""


def _counting(effort: Effort | None) -> Callable[[int], object]:
    return effort.spend if effort else _uncounted


def _uncounted(_: int) -> None:
    """Let a search that is bound by its size alone go on."""


def _telling_letters(*languages: Language) -> tuple[str, ...]:
    """Choose one letter of each class of letters that no move tells apart, the most readable first."""
    alphabets = {letters for language in languages for moves in language.moves for letters, _ in moves}
    classes: dict[tuple[bool, ...], str] = {}
    for letter in sorted(frozenset().union(*alphabets), key=_unreadableness):
        classes.setdefault(tuple(letter in letters for letters in alphabets), letter)
    return tuple(classes.values())


def _unreadableness(letter: str) -> tuple[int, str]:
    rank = _READABLE.find(letter)
    return (rank if rank >= 0 else len(_READABLE)), letter


def _by_letter(language: Language, letters: Sequence[str]) -> Sequence[Mapping[str, Sequence[int]]]:
    """List where each letter leads from each state. Letters stand in their order, which makes searches repeatable."""
    return [
        {letter: afters for letter in letters if (afters := [after for taken, after in moves if letter in taken])}
        for moves in language.moves
    ]


def _shortest(
    starts: Iterable[_Node],
    goes_on: Callable[[_Node], Iterable[tuple[str, _Node]]],
    is_goal: Callable[[_Node], bool],
    most_steps: int,
) -> str | None:
    came_from: dict[_Node, tuple[str, _Node] | None] = dict.fromkeys(starts)
    pending = deque(came_from)
    while pending:
        node = pending.popleft()
        if is_goal(node):
            return _spelled(came_from, node)
        for letter, after in goes_on(node):
            if after not in came_from:
                came_from[after] = (letter, node)
                pending.append(after)
        if len(came_from) > most_steps:
            raise SearchBoundError(f"more than {most_steps} steps")
    return None


def _spelled(came_from: Mapping[_Node, tuple[str, _Node] | None], node: _Node) -> str:
    letters = []
    while (step := came_from[node]) is not None:
        letter, node = step
        letters.append(letter)
    return "".join(reversed(letters))


# --- Relating ---------------------------------------------------------------------------------------------------------


@unique
class Relation(Enum):
    """How the strings of one pattern stand to those of another."""

    EQUAL = "equal"
    NARROWER = "narrower"
    WIDER = "wider"
    CROSSING = "crossing"
    DISJOINT = "disjoint"


def relate(one: Pattern, other: Pattern, *, effort: Effort | None = None) -> tuple[Relation, str | None]:
    """Compare two patterns of one kind. Names of slots do not count: `/{id}` is EQUAL to `/{version}`.

    Returns: the relation of the first to the second, with a shortest string that both take, None if they are DISJOINT.
    Where a search meets its bound the answer is CROSSING, so that what is not proven to be narrower never wins.
    Raises: EffortSpentError; without an effort nothing.
    """
    _counting(effort)(_pieces(one) + _pieces(other))
    if _are_plainly_disjoint(one, other):
        return Relation.DISJOINT, None
    plain = _RELATIONS[_is_plainly_within(one, other), _is_plainly_within(other, one)]
    if plain is not Relation.CROSSING:
        return plain, _shortest_of(other if plain is Relation.WIDER else one)
    left, right = language_of(one), language_of(other)
    only, other_only = _only_string(one), _only_string(other)
    if only is not None:
        relation = Relation.EQUAL if only == other_only else Relation.NARROWER
        return (relation, only) if right.holds(only) else (Relation.DISJOINT, None)
    if other_only is not None:
        return (Relation.WIDER, other_only) if left.holds(other_only) else (Relation.DISJOINT, None)
    witness = common(left, right, effort=effort)
    if witness is None:
        return Relation.DISJOINT, None
    return _RELATIONS[_is_within(left, right, effort), _is_within(right, left, effort)], witness


def _pieces(pattern: Pattern) -> int:
    return len(pattern.segments if isinstance(pattern, PathTemplate) else pattern.labels)


_RELATIONS: Final = {
    (True, True): Relation.EQUAL,
    (True, False): Relation.NARROWER,
    (False, True): Relation.WIDER,
    (False, False): Relation.CROSSING,
}


def _is_within(inner: Language, outer: Language, effort: Effort | None) -> bool:
    try:
        return within(inner, outer, effort=effort) is None
    except SearchBoundError:
        return False


def _is_plainly_within(inner: Pattern, outer: Pattern) -> bool:
    """Spare catch-alls the search: ten thousand groups share a host, or a domain, with one.

    Whatever begins with the pieces of an open pattern, or with names that fit them, is within it, and the other way
    around only if both are the same: every slotted piece takes more than one name.
    """
    if isinstance(inner, PathTemplate) or isinstance(outer, PathTemplate):
        return isinstance(inner, PathTemplate) and isinstance(outer, PathTemplate) and _is_path_within(inner, outer)
    any_port = "*" if isinstance(outer, OriginPattern) else ""
    return outer.port in {any_port, inner.port} and _is_name_within(inner, outer)


def _is_path_within(inner: PathTemplate, outer: PathTemplate) -> bool:
    if not outer.rest:
        return not inner.rest and _are_plainly_all_within(inner.segments, outer.segments)
    return _are_plainly_all_within(inner.segments[: len(outer.segments)], outer.segments)


def _is_name_within(inner: OriginPattern | HostPattern, outer: OriginPattern | HostPattern) -> bool:
    more = len(inner.labels) - len(outer.labels)
    if more == 0:
        return inner.wildcard == outer.wildcard and _are_plainly_all_within(inner.labels, outer.labels)
    return more > 0 and outer.wildcard and _are_plainly_all_within(inner.labels[more:], outer.labels)


def _are_plainly_all_within(inner: Sequence[Piece], outer: Sequence[Piece]) -> bool:
    return len(inner) == len(outer) and all(map(_is_plainly_piece_within, inner, outer))


def _is_plainly_piece_within(inner: Piece, outer: Piece) -> bool:
    if inner == outer or is_literal(outer):
        return inner == outer
    return outer == (Slot.SEGMENT,) or (is_literal(inner) and piece_matcher(outer)("".join(map(str, inner))))


def _shortest_of(pattern: Pattern) -> str:
    """Write the string that a search would find in a pattern: the shortest, and of those the most readable."""
    if isinstance(pattern, PathTemplate):
        return "".join(f"/{_shortest_piece(segment)}" for segment in pattern.segments) or "/"
    labels = ((Slot.LABEL,), *pattern.labels) if pattern.wildcard else pattern.labels
    scheme = f"{pattern.scheme}://" if isinstance(pattern, OriginPattern) else ""
    port = "" if pattern.port in {"", "*"} else f":{pattern.port}"
    return scheme + ".".join(map(_shortest_piece, labels)) + port


def _shortest_piece(piece: Piece) -> str:
    return "".join(min(part.letters, key=_unreadableness) if isinstance(part, Slot) else part for part in piece)


def _only_string(pattern: Pattern) -> str | None:
    if isinstance(pattern, OriginPattern):
        return pattern.text if pattern.is_exact else None
    if isinstance(pattern, HostPattern):
        exact = pattern.port and not pattern.wildcard and all(map(is_literal, pattern.labels))
    else:
        exact = not pattern.rest and all(map(is_literal, pattern.segments))
    return pattern.text if exact else None


def _are_plainly_disjoint(one: Pattern, other: Pattern) -> bool:
    """Spare most pairs the search: a policy of ten thousand groups has few that begin or end alike."""
    if isinstance(one, PathTemplate) or isinstance(other, PathTemplate):
        return isinstance(one, PathTemplate) and isinstance(other, PathTemplate) and _are_disjoint_paths(one, other)
    if isinstance(one, OriginPattern) and isinstance(other, OriginPattern) and one.scheme != other.scheme:
        return True
    any_port = "*" if isinstance(one, OriginPattern) else ""
    return (any_port not in {one.port, other.port} and one.port != other.port) or _are_disjoint_names(one, other)


def _are_disjoint_paths(one: PathTemplate, other: PathTemplate) -> bool:
    longer = len(one.segments) - len(other.segments)
    return (longer > 0 and not other.rest) or (longer < 0 and not one.rest) or _differ(one.segments, other.segments)


def _are_disjoint_names(one: OriginPattern | HostPattern, other: OriginPattern | HostPattern) -> bool:
    # A wildcard stands for one label at least.
    longer = len(one.labels) + one.wildcard - len(other.labels) - other.wildcard
    too_long = (longer > 0 and not other.wildcard) or (longer < 0 and not one.wildcard)
    return too_long or _differ(one.labels[::-1], other.labels[::-1])


def _differ(some: Sequence[Piece], others: Sequence[Piece]) -> bool:
    return any(one != other and _are_apart(one, other) for one, other in zip(some, others, strict=False))


def _are_apart(one: Piece, other: Piece) -> bool:
    return (is_literal(one) and is_literal(other)) or not ends_of(one).may_meet(ends_of(other))
