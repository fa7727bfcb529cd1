"""Patterns of any shape: matcher and language agree, searches tell the truth, and no text makes a parser raise."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from cors_authz.fetch.origin import parse_origin
from cors_authz.policy.grammar import origin
from cors_authz.policy.grammar.host import parse_host_pattern
from cors_authz.policy.grammar.origin import parse_origin_pattern
from cors_authz.policy.grammar.path import parse_path_template
from cors_authz.policy.language import Relation, common, language_of, relate, union_of, within
from cors_authz.policy.pattern import HostPattern, OriginPattern, PathTemplate, Problem, Slot, piece_matcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from cors_authz.policy.pattern import Piece

    _Pattern = OriginPattern | HostPattern | PathTemplate

modest = settings(max_examples=150)

# Few letters, so that patterns and strings that are drawn apart still meet.
texts = st.text("ab1-", min_size=1, max_size=3)
label_slots = st.sampled_from(["{digits}", "{hex}", "{alnum}", "{slug}"])
labels = st.one_of(
    texts,
    st.just("{label}"),
    st.builds("{}{}{}".format, st.one_of(st.just(""), texts), label_slots, st.one_of(st.just(""), texts)),
    st.builds("{}{}{}".format, label_slots, texts, label_slots),
)
names = st.builds("{}{}.x".format, st.sampled_from(["", "*."]), st.lists(labels, min_size=1, max_size=2).map(".".join))
segments = st.one_of(
    texts, st.just("*"), st.builds("{}{{id}}{}".format, st.one_of(st.just(""), texts), st.one_of(st.just(""), texts))
)
path_texts = st.builds(
    "/{}{}".format, st.lists(segments, min_size=1, max_size=2).map("/".join), st.sampled_from(["", "/**"])
)
origin_texts = st.builds("https://{}{}".format, names, st.sampled_from(["", ":*", ":7"]))
host_texts = st.builds("{}{}".format, names, st.sampled_from(["", ":7"]))


@st.composite
def patterns(draw: st.DrawFn) -> tuple[_Pattern, ...]:
    """Draw two patterns of one kind."""
    kinds: list[tuple[st.SearchStrategy[str], Callable[[str], _Pattern | Problem]]] = [
        (origin_texts, parse_origin_pattern),
        (host_texts, parse_host_pattern),
        (path_texts, parse_path_template),
    ]
    texts_of_kind, parse = draw(st.sampled_from(kinds))
    found = tuple(parse(draw(texts_of_kind)) for _ in range(2))
    assume(not any(isinstance(one, Problem) for one in found))
    return tuple(one for one in found if not isinstance(one, Problem))


strings = st.one_of(
    st.builds(
        "https://{}{}.x{}".format,
        st.sampled_from(["", "a.", "1."]),
        st.text("ab1-_", min_size=1, max_size=6),
        st.sampled_from(["", ":7"]),
    ),
    st.text("ab1/-.", max_size=8).map("/{}".format),
)


@modest
@given(st.data())
def test_matcher_agrees_with_language(data: st.DataObject) -> None:
    pattern = parse_origin_pattern(f"q://{data.draw(labels)}.x")
    assume(isinstance(pattern, OriginPattern))
    assert isinstance(pattern, OriginPattern)
    text = data.draw(st.text("ab1z-_.", max_size=8))
    assert piece_matcher(pattern.labels[0])(text) == language_of(pattern).holds(f"q://{text}.x")


@modest
@given(segments, st.text("ab1-.%", max_size=6))
def test_segment_matcher_agrees_with_language(segment: str, text: str) -> None:
    template = parse_path_template(f"/{segment}")
    assert isinstance(template, PathTemplate)
    assert piece_matcher(template.segments[0])(text) == language_of(template).holds(f"/{text}")


@modest
@given(st.sampled_from(Slot), texts, st.sampled_from(Slot), st.text("ab1f-_", max_size=9))
def test_several_slots_take_what_some_division_gives(left: Slot, between: str, right: Slot, text: str) -> None:
    assume(Slot.SEGMENT not in {left, right})
    one, other = piece_matcher((left,)), piece_matcher((right,))
    divided = any(
        text[at : at + len(between)] == between and one(text[:at]) and other(text[at + len(between) :])
        for at in range(len(text))
    )
    assert piece_matcher((left, between, right))(text) == divided


@modest
@given(origin_texts)
def test_origin_is_written_back_as_it_was_read(text: str) -> None:
    pattern = parse_origin_pattern(text)
    assume(isinstance(pattern, OriginPattern))
    assert isinstance(pattern, OriginPattern)
    name = "*." * pattern.wildcard + ".".join(map(written, pattern.labels))
    assert (text, name) == (f"{pattern.scheme}://{name}" + f":{pattern.port}" * bool(pattern.port), pattern.host)


def written(piece: Piece) -> str:
    """Write a label as it stands in a pattern."""
    return "".join(part.value if isinstance(part, Slot) else part for part in piece)


@modest
@given(path_texts)
def test_normal_form_of_a_path_is_stable(text: str) -> None:
    template = parse_path_template(text)
    assert isinstance(template, PathTemplate)
    assert parse_path_template(template.text) == template


exact = st.builds(
    "{}://{}{}".format,
    st.sampled_from(["http", "https", "app"]),
    st.text("ab1", min_size=1, max_size=3).map("{}.x".format)
    | st.ip_addresses(v=4).map(str)
    | st.sampled_from(["[::1]", "[2001:db8::1]", "a-b_c.", "localhost"]),
    st.sampled_from(["", ":1", ":65535"]),
)
serialized = st.builds(
    "{}://{}{}".format,
    st.sampled_from(["http", "https", "app", "Http", "a_b"]),
    st.one_of(
        st.text("ab1.-_", max_size=8),
        st.ip_addresses(v=4).map(str),
        st.ip_addresses(v=6).map("[{}]".format),
        st.sampled_from(["[::0]", "0x7f.1", "127.1", "a.0x", "1.2.3.4.", "a.b.", "\u00fc"]),
    ),
    st.sampled_from(["", ":", ":1", ":80", ":443", ":0", ":65535", ":65536", ":01"]),
)


@modest
@given(serialized)
@example("https://[::ffff:102:304]")
def test_exact_pattern_is_what_a_browser_serializes(text: str) -> None:
    pattern = parse_origin_pattern(text)
    assert (isinstance(pattern, OriginPattern) and pattern.is_exact) == (parse_origin(text) is not None)


@modest
@given(exact | serialized | origin_texts | serialized.map(lambda text: text.replace("app", "file")))
@example("ws://x")
@example("null")
@example(f"{'a' * 64}://x")
@example(f"{'a' * 65}://x")
@example(f"https://{'.'.join(['a' * 62] * 4)}.b")
@example(f"https://{'.'.join(['a' * 62] * 4)}.bc")
def test_exact_origins_are_read_the_short_way_as_the_long_way_reads_them(text: str) -> None:
    with patch.object(origin, "parse_origin", return_value=None):
        the_long_way = parse_origin_pattern(text)
    assert parse_origin_pattern(text) == the_long_way


@modest
@given(exact, strings)
def test_language_of_an_exact_origin_is_just_itself(text: str, other: str) -> None:
    pattern = parse_origin_pattern(text)
    assert isinstance(pattern, OriginPattern)
    language = language_of(pattern)
    assert (language.holds(text), language.holds(other)) == (True, other == text)


@modest
@given(serialized)
def test_form_that_is_shown_is_right(text: str) -> None:
    problem = parse_origin_pattern(text)
    assume(isinstance(problem, Problem) and "; write `" in problem.text)
    assert isinstance(problem, Problem)
    assert isinstance(parse_origin_pattern(problem.text.rpartition("; write `")[2].partition("`")[0]), OriginPattern)


@modest
@given(patterns())
def test_counterexample_is_in_the_one_and_not_in_the_other(
    drawn: tuple[OriginPattern | HostPattern | PathTemplate, ...],
) -> None:
    one, other = map(language_of, drawn)
    found, shared = within(one, other), common(one, other)
    assert found is None or (one.holds(found) and not other.holds(found))
    assert shared is None or (one.holds(shared) and other.holds(shared))
    assert found is not None or shared is not None


@modest
@given(patterns(), st.lists(strings, max_size=20))
def test_relation_fits_every_string(
    drawn: tuple[OriginPattern | HostPattern | PathTemplate, ...], candidates: list[str]
) -> None:
    one, other = map(language_of, drawn)
    relation, _ = relate(*drawn)
    found = [
        text for text in (*candidates, within(one, other), within(other, one), common(one, other)) if text is not None
    ]
    in_one, in_other = ({text for text in found if side.holds(text)} for side in (one, other))
    assert {
        Relation.EQUAL: in_one == in_other,
        Relation.NARROWER: in_one < in_other,
        Relation.WIDER: in_one > in_other,
        Relation.CROSSING: bool(in_one - in_other and in_other - in_one and in_one & in_other),
        Relation.DISJOINT: not in_one & in_other,
    }[relation]


MIRRORED = {Relation.NARROWER: Relation.WIDER, Relation.WIDER: Relation.NARROWER}


@st.composite
def overlapping(draw: st.DrawFn) -> tuple[OriginPattern | HostPattern | PathTemplate, ...]:
    """Draw a pattern, and one that often begins (of names: ends) as it does and goes on."""
    front, ends = draw(st.lists(labels, max_size=2)), draw(st.lists(labels, max_size=2))
    names_of = [".".join([*some, "x"]) for some in ([*front, *ends], ends)]
    hosts = [f"{draw(st.sampled_from(['', '*.']))}{name}{draw(st.sampled_from(['', ':7']))}" for name in names_of]
    front, ends = draw(st.lists(segments, max_size=2)), draw(st.lists(segments, max_size=2))
    paths = [f"/{'/'.join([*some, *draw(st.sampled_from([[], ['**']]))])}" for some in (front, [*front, *ends])]
    any_port = draw(st.sampled_from(["", ":*"]))
    drawn = draw(
        st.sampled_from(
            [
                tuple(map(parse_host_pattern, hosts)),
                tuple(parse_origin_pattern(f"q://{host}{'' if ':' in host else any_port}") for host in hosts),
                tuple(map(parse_path_template, paths)),
            ]
        )
    )
    assume(not any(isinstance(one, Problem) for one in drawn))
    return tuple(one for one in drawn if not isinstance(one, Problem))


@modest
@given(overlapping() | patterns())
def test_relation_is_what_a_search_finds(drawn: tuple[OriginPattern | HostPattern | PathTemplate, ...]) -> None:
    left, right = map(language_of, drawn)
    shared = common(left, right)
    narrower, wider = within(left, right) is None, within(right, left) is None
    found = {
        (True, True): Relation.EQUAL,
        (True, False): Relation.NARROWER,
        (False, True): Relation.WIDER,
        (False, False): Relation.CROSSING,
    }[narrower, wider]
    assert relate(*drawn) == ((Relation.DISJOINT, None) if shared is None else (found, shared))


@modest
@given(patterns())
def test_relation_is_mirrored_from_the_other_side(
    drawn: tuple[OriginPattern | HostPattern | PathTemplate, ...],
) -> None:
    one, other = drawn
    relation, _ = relate(one, other)
    assert relate(other, one)[0] is MIRRORED.get(relation, relation)
    assert relate(one, one)[0] is Relation.EQUAL


@modest
@given(patterns())
def test_union_holds_each_of_its_languages(drawn: tuple[OriginPattern | HostPattern | PathTemplate, ...]) -> None:
    one, other = map(language_of, drawn)
    both = union_of((one, other))
    assert (within(one, both), within(other, both), within(both, both)) == (None, None, None)


hostile = st.one_of(
    st.text(max_size=40),
    st.text("ab1.:/[]{}*%@?#\\-_ \u00fc\u3002\ud800()^$+|d", max_size=40),
    st.builds("{}{}".format, st.sampled_from(["https://", "http://[", "blob:ws:", "//", "*."]), st.text(max_size=20)),
)


@modest
@given(hostile)
@example("https://x:" + "9" * 5000)
@example("https://" + "9" * 5000)
@example("https://" + "{" * 5000)
@example("/" + "{" * 5000)
@example("https://" + "\u00fc" * 5000)
@example("https://[" + ":" * 5000)
@example("https://" + ".*" * 5000)
def test_no_text_makes_a_parser_raise(text: str) -> None:
    answers = (parse_origin_pattern(text), parse_host_pattern(text), parse_path_template(text))
    assert all(isinstance(answer, Problem) or answer.text for answer in answers)
