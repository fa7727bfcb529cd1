"""Verification: every way to tamper with an audit trail is named by its line, and what is whole is called whole."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from cors_authz.edge.audit.signing import HeadKeys, HeadSigner
from cors_authz.review.audit import verify
from cors_authz.review.audit.chain import Chain, Due, Signer, read_chained
from cors_authz.review.audit.verify import MAX_BREACHES, At, Breach, Fault, Loss, Report, Tail, Verifier

KEY: Final = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER_KEY: Final = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
SIGNER: Final = HeadSigner(KEY)
KEYS: Final = HeadKeys({SIGNER.key_id: KEY.public_key()})
END: Final = Due(last=True, end=True)


def record(number: int) -> bytes:
    return b'{"kind":"decision","number":%d}\n' % number


def chained(
    count: int, *, writer: str = "w", signer: Signer | None = None, head_lines: int = 3, due: Due | None = None
) -> list[bytes]:
    """Write so many records with a head before them, after each three, and at the end."""
    chain = Chain(writer, signer, head_lines)
    return list(chain.link(map(record, range(count)), due or Due(first=True, last=True, end=True), 1.5))


def report_on(*files: list[bytes], keys: HeadKeys | None = None) -> Report:
    verifier = Verifier([f"f{number}" for number in range(len(files))], keys)
    for number, lines in enumerate(files):
        verifier.read(number, lines)
    return verifier.report()


def faults(report: Report) -> list[tuple[int, int, Fault]]:
    return [(breach.at.file, breach.at.line, breach.fault) for breach in report.breaches]


def test_what_is_whole_is_called_whole() -> None:
    assert report_on(chained(7)) == Report((), 0, 7, 4, 0, 0, (), ("w",), (), (), (), (), (), ())


def test_lines_are_written_as_the_contract_has_them() -> None:
    head, first, end = chained(1)
    assert head.startswith(
        b'{"kind":"head","time":1.500000,"records":0,"previous":"%b","writer":"w","seq":1,"hash":"' % (b"0" * 64)
    )
    assert b',"writer":"w","seq":2,"hash":"' in first
    assert b'"end":true,"writer":"w","seq":3' in end


class Case(NamedTuple):
    """What is done to the eleven lines of seven records, and the faults that are found: line and fault."""

    tamper: Callable[[list[bytes]], list[bytes]]
    faults: list[tuple[int, Fault]]


def without(*indexes: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [line for index, line in enumerate(lines) if index not in indexes]


def with_line(at: int, line: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [*lines[:at], line, *lines[at:]]


def edited(at: int, old: bytes, new: bytes) -> Callable[[list[bytes]], list[bytes]]:
    def edit(lines: list[bytes]) -> list[bytes]:
        assert old in lines[at]
        return [*lines[:at], lines[at].replace(old, new), *lines[at + 1 :]]

    return edit


def rehashed(at: int, number: int) -> Callable[[list[bytes]], list[bytes]]:
    """Replace a line by one that follows from the line before, as who knows the format would."""

    def forge(lines: list[bytes]) -> list[bytes]:
        before = read_chained(lines[at - 1].rstrip())
        assert before is not None
        chain = Chain("w", None, 1000, seq=before.seq, hash=before.hash)
        [line] = chain.link([record(number)], Due(), 1.5)
        return [*lines[:at], line, *lines[at + 1 :]]

    return forge


def behind(lines: list[bytes], count: int) -> list[bytes]:
    """Give records that follow the last of these lines, as who knows the format would write them."""
    last = read_chained(lines[-1].rstrip())
    assert last is not None
    chain = Chain(last.writer, None, 1000, seq=last.seq, hash=last.hash)
    return list(chain.link(map(record, range(count)), Due(), 1.5))


# Lines 1, 5, 9 and 11 are heads.
CASES: Final = {
    "a line is removed": Case(without(2), [(3, Fault.REMOVED)]),
    "several lines are removed": Case(without(2, 3), [(3, Fault.REMOVED)]),
    "a head is removed": Case(without(4), [(5, Fault.REMOVED)]),
    "lines are removed in two places": Case(without(2, 6), [(3, Fault.REMOVED), (6, Fault.REMOVED)]),
    "a line is changed": Case(edited(2, b'"number":1', b'"number":8'), [(3, Fault.CHANGED)]),
    "a line is changed, and its hash made to fit": Case(rehashed(2, 8), [(4, Fault.CHANGED)]),
    "the last line before a head is changed, and its hash made to fit": Case(rehashed(3, 8), [(5, Fault.CHANGED)]),
    "the time of a head is changed": Case(edited(4, b'"time":1.5', b'"time":2.5'), [(5, Fault.CHANGED)]),
    "the first head is changed": Case(edited(0, b'"records":0', b'"records":1'), [(1, Fault.CHANGED)]),
    "a number is changed to one that is taken": Case(
        edited(2, b'"seq":3', b'"seq":2'), [(3, Fault.DUPLICATED), (4, Fault.REMOVED)]
    ),
    "two lines change places": Case(lambda each: [*each[:2], each[3], each[2], *each[4:]], [(4, Fault.REORDERED)]),
    "a line is moved to the end": Case(lambda each: [*each[:2], *each[3:], each[2]], [(11, Fault.REORDERED)]),
    "a line stands there twice": Case(lambda each: [*each[:3], *each[2:]], [(4, Fault.DUPLICATED)]),
    "a line without a chain is put in": Case(with_line(3, record(1)), [(4, Fault.FOREIGN)]),
    "a line that is no JSON is put in": Case(with_line(3, b"\xff\x00garbage\n"), [(4, Fault.FOREIGN)]),
    "a signature is put at a record": Case(
        edited(2, b'"}', b'","key_id":"0123456789abcdef","signature":"' + b"0" * 128 + b'"}'),
        [(3, Fault.FOREIGN), (4, Fault.REMOVED)],
    ),
    "lines are put behind the end": Case(lambda each: [*each, *behind(each, 2)], [(12, Fault.FOREIGN)]),
    "an empty line is put in": Case(with_line(3, b"\n"), []),
    "another writer's lines stand between": Case(
        lambda each: [line for pair in zip(each, chained(7, writer="v"), strict=True) for line in pair], []
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_trail_that_was_tampered_with(case: Case) -> None:
    report = report_on(case.tamper(chained(7)))
    assert [(line, fault) for _, line, fault in faults(report)] == case.faults
    assert report.breach_count == len(case.faults)


def test_breaches_are_told_in_words() -> None:
    lines = chained(7)
    tampered = [*lines[:2], lines[3], lines[2], lines[5].replace(b'"number":3', b'"number":8'), lines[6]]
    report = report_on([*tampered, record(9), lines[6]])
    assert report.breaches == (
        Breach(At(0, 4), Fault.REORDERED, "number 3 of its writer stands behind number 4, f0:3"),
        Breach(At(0, 5), Fault.REMOVED, "line 5 of its writer is missing before this one"),
        Breach(At(0, 7), Fault.FOREIGN, "no writer wrote this line: it is in no chain"),
        Breach(At(0, 8), Fault.DUPLICATED, "number 7 of its writer stands here again"),
    )
    changed = report_on([lines[0], lines[1].replace(b'"number":0', b'"number":9')])
    assert changed.breaches == (
        Breach(At(0, 2), Fault.CHANGED, "this line is not what was written after f0:1, or that was changed"),
    )


@given(st.permutations(range(4)))
def test_files_may_come_in_any_order(order: list[int]) -> None:
    lines = chained(20)
    parts = [lines[:7], lines[7:8], lines[8:20], lines[20:]]
    assert report_on(*(parts[index] for index in order))[:4] == ((), 0, 20, 8)


def test_a_file_that_is_missing_between_others_is_told_at_the_next_one() -> None:
    lines = chained(20)
    report = report_on(lines[20:], lines[:7])
    assert [breach.text for breach in report.breaches] == [
        "13 lines, 8 to 20, of its writer are missing before this one"
    ]
    assert faults(report) == [(0, 1, Fault.REMOVED)]


def test_a_change_at_the_seam_of_two_files_is_found() -> None:
    lines = chained(20)
    report = report_on(lines[:7], [lines[7].replace(b'"number":', b'"number":9'), *lines[8:]])
    assert faults(report) == [(1, 1, Fault.CHANGED)]


def test_a_file_that_is_given_twice_is_told() -> None:
    assert faults(report_on(chained(3), chained(3))) == [(1, 1, Fault.DUPLICATED)]


def test_what_begins_late_is_no_breach_and_is_told_with_its_number() -> None:
    report = report_on(chained(20)[4:])
    assert (report.breaches, report.begins_late) == ((), (("w", 5),))


def test_a_file_that_begins_with_a_head_shows_a_change_of_its_first_line() -> None:
    lines = chained(20)[4:]
    assert faults(report_on([lines[0].replace(b'"records":3', b'"records":2'), *lines[1:]])) == [(0, 1, Fault.CHANGED)]


def test_the_tail_that_no_head_anchors_is_named_by_its_first_line_and_its_length() -> None:
    lines = chained(8, due=Due(first=True))
    report = report_on(lines)
    assert (report.tails, report.open_ends) == ((Tail("w", At(0, 10), 2),), ("w",))
    report = report_on(lines[:10], lines[10:])
    assert report.tails == (Tail("w", At(0, 10), 2),)
    assert report_on(chained(8)).tails == ()


def test_a_head_anchors_what_earlier_files_hold() -> None:
    lines = chained(8)
    assert report_on(lines[:3], lines[3:]).tails == ()


def test_behind_what_is_missing_a_head_is_held_against_itself() -> None:
    lines = chained(8)
    changed = lines[4].replace(b'"records":3', b'"records":2')
    assert changed != lines[4]
    for report in (report_on([*lines[:2], changed, *lines[5:]]), report_on(lines[:2], [changed, *lines[5:]])):
        assert [breach.fault for breach in report.breaches] == [Fault.CHANGED, Fault.REMOVED] or [
            breach.fault for breach in report.breaches
        ] == [Fault.REMOVED, Fault.CHANGED]


def test_no_head_follows_a_head_but_the_last() -> None:
    kinds = [b'"kind":"head"' in line for line in chained(3, due=Due(first=True, last=True))]
    assert kinds == [True, False, False, False, True]


def test_more_writers_than_can_be_followed_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "MAX_SEGMENTS", 2)
    report = report_on(*(chained(0, writer=name) for name in "abc"))
    assert [breach.text for breach in report.breaches] == [
        "there are more than 2 writers; give fewer files at once"
    ] * 2


def test_an_end_that_is_cut_off_is_told() -> None:
    assert report_on(chained(8)[:-1]).open_ends == ("w",)
    assert report_on(chained(8)).open_ends == ()


TORN: Final = ['{"kind":"decision","numb', '{"k', '{"kind":"head","time":1', "{", "\0" * 500, '{"ki' + "\0" * 500]


@pytest.mark.parametrize("torn", TORN)
def test_a_line_that_a_writer_could_not_end_is_no_breach_and_is_told(torn: str) -> None:
    lines = [*chained(3), torn.encode() + b"\n", *chained(3, writer="v")]
    report = report_on(lines)
    assert (report.breaches, report.torn) == ((), (At(0, 7),))


def test_a_last_line_without_its_end_counts() -> None:
    lines = chained(3)
    assert report_on([*lines[:-1], lines[-1].rstrip(b"\n")])[:4] == ((), 0, 3, 3)


# --- Losses -----------------------------------------------------------------------------------------------------------


def with_losses(*lost: int) -> list[bytes]:
    """Write a head, and after each record another; before each of them so many records were lost in all."""
    chain, lines = Chain("w", None, 1), list[bytes]()
    for number, each in enumerate(lost):
        chain.lost = each
        lines += chain.link([record(number)], Due(first=number == 0), 1.5)
    return lines


def test_each_head_tells_how_many_records_were_lost_since_the_last_one() -> None:
    report = report_on(with_losses(0, 343, 343, 345))
    assert (report.breach_count, report.lost, report.losses) == (0, 345, (Loss(At(0, 5), 343), Loss(At(0, 9), 2)))


def test_a_head_is_due_for_losses_alone_and_only_once() -> None:
    chain = Chain("w", None, 1000, lost=3)
    heads = [len(list(chain.link([], Due(last=True), 1.5))) for _ in range(2)]
    assert heads == [1, 0]


def test_a_loss_that_is_made_smaller_or_taken_out_is_found() -> None:
    lines = with_losses(0, 343)
    for said in (b'"lost":3,', b""):
        tampered = [*lines[:4], lines[4].replace(b'"lost":343,', said)]
        assert tampered[4] != lines[4]
        assert faults(report_on(tampered)) == [(0, 5, Fault.CHANGED)]


# --- Signatures -------------------------------------------------------------------------------------------------------


def test_signed_heads_are_proof_with_the_key() -> None:
    assert report_on(chained(7, signer=SIGNER), keys=KEYS) == Report(
        (), 0, 7, 4, 4, 0, (), ("w",), (), (), (), (), (), ()
    )


def test_without_the_key_signatures_are_not_looked_at() -> None:
    assert report_on(chained(7, signer=HeadSigner(OTHER_KEY))).breach_count == 0


def test_of_heads_that_were_put_in_none_counts_as_signed() -> None:
    lines = chained(7, signer=SIGNER)
    last = read_chained(lines[-1].rstrip())
    assert last is not None
    forged = Chain("w", None, 1000, seq=last.seq, hash=last.hash)
    report = report_on([*lines, *forged.link([record(8)], END, 1.5)], keys=KEYS)
    assert (report.heads, report.signed, report.breach_count) == (5, 4, 2)


def test_where_a_key_is_given_a_writer_begins_with_a_head() -> None:
    lines = chained(7, signer=SIGNER)
    cut = [lines[5].replace(b'"number":3', b'"number":8'), *lines[6:]]
    for forged in (cut, chained(2, due=Due())):
        assert [(breach.at, breach.fault, breach.text) for breach in report_on(forged, keys=KEYS).breaches] == [
            (At(0, 1), Fault.FORGED, "this line is the first of its writer here, and no signed head proves it")
        ]
    assert report_on(lines[4:], keys=KEYS).breaches == ()
    assert report_on(lines[6:], lines[:6], keys=KEYS).breaches == ()


def test_a_first_line_that_nothing_proves_is_told_where_no_key_is_given() -> None:
    lines = chained(7)
    assert report_on(lines[5:]).unproven == (At(0, 1),)
    assert [report_on(each).unproven for each in (lines, lines[4:])] == [(), ()]
    assert report_on(chained(7, signer=SIGNER)[5:], keys=KEYS).unproven == ()


def test_what_follows_the_end_in_another_file_is_told() -> None:
    lines = chained(2, signer=SIGNER)
    assert faults(report_on(lines, behind(lines, 1), keys=KEYS)) == [(1, 1, Fault.FOREIGN)]


def test_where_a_key_is_given_no_lines_at_all_are_no_proof() -> None:
    for report in (report_on([], [], keys=KEYS), report_on([b"{\n"], keys=KEYS)):
        assert faults(report) == [(0, 1, Fault.REMOVED)]
    assert report_on([], chained(1, signer=SIGNER), keys=KEYS).breaches == ()


FORGED: Final = {
    "heads are not signed": (chained(2), "this head is not signed, and a key was given"),
    "heads are signed by another": (
        chained(2, signer=HeadSigner(OTHER_KEY)),
        f"this head is signed with key {HeadSigner(OTHER_KEY).key_id}, which was not given",
    ),
}


@pytest.mark.parametrize(("lines", "told"), FORGED.values(), ids=FORGED)
def test_heads_that_the_key_did_not_sign(lines: list[bytes], told: str) -> None:
    report = report_on(lines, keys=KEYS)
    assert {breach.text for breach in report.breaches} == {told}
    assert {breach.fault for breach in report.breaches} == {Fault.FORGED}
    assert report.tails == (Tail("w", At(0, 2), 2),)


def test_a_signature_that_stands_at_another_head_is_found() -> None:
    lines, others = chained(2, signer=SIGNER), chained(2, signer=SIGNER, writer="v")
    mark = b',"key_id"'
    swapped = lines[0].partition(mark)[0] + mark + others[0].partition(mark)[2]
    report = report_on([swapped, *lines[1:]], keys=KEYS)
    assert [(breach.at, breach.text) for breach in report.breaches] == [
        (At(0, 1), f"the signature of this head is not that of key {SIGNER.key_id}")
    ]


def test_who_rewrites_the_whole_chain_lacks_the_key() -> None:
    forged = chained(7, signer=None)
    assert report_on(forged, keys=KEYS).breach_count == 4


def test_a_key_that_was_changed_is_verified_with_both() -> None:
    other = HeadSigner(OTHER_KEY)
    both = HeadKeys({SIGNER.key_id: KEY.public_key(), other.key_id: OTHER_KEY.public_key()})
    files = (chained(7, signer=SIGNER), chained(7, writer="v", signer=other))
    assert report_on(*files, keys=both).breach_count == 0


# --- Hostile and huge files -------------------------------------------------------------------------------------------


@given(st.lists(st.one_of(st.binary(max_size=200), st.sampled_from(chained(5)))))
def test_garbage_never_breaks_the_verification(lines: list[bytes]) -> None:
    report = report_on(lines)
    assert report.breach_count >= len(report.breaches)


@given(st.data())
def test_any_byte_that_is_changed_is_found(data: st.DataObject) -> None:
    lines = chained(7, signer=SIGNER)
    text = b"".join(lines)
    at = data.draw(st.integers(0, len(text) - 1))
    changed = bytes([data.draw(st.integers(0, 255).filter(lambda byte: byte != text[at]))])
    tampered = (text[:at] + changed + text[at + 1 :]).splitlines(keepends=True)
    report = report_on(tampered, keys=KEYS)
    assert report.breach_count > 0 or report.torn or report.open_ends


def test_an_empty_file_is_whole_and_told() -> None:
    assert report_on([], []) == Report((), 0, 0, 0, 0, 0, (), (), (), (), (0, 1), (), (), ())
    assert report_on(chained(1), [b"garbage\n"]).empty == (1,)


def test_breaches_are_listed_up_to_a_bound_and_all_are_counted() -> None:
    report = report_on([b"garbage\n"] * (MAX_BREACHES + 5))
    assert (len(report.breaches), report.breach_count) == (MAX_BREACHES, MAX_BREACHES + 5)


def test_of_many_gaps_none_is_forgotten() -> None:
    lines = chained(9000, head_lines=10_000)
    report = report_on(lines[::2])
    assert report.breach_count == 4500


def peak_bytes(lines: Iterator[bytes]) -> int:
    verifier = Verifier(["f"], None)
    tracemalloc.start()
    try:
        verifier.read(0, lines)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_is_kept_does_not_grow_with_the_lines() -> None:
    def lines() -> Iterator[bytes]:
        return Chain("w", None, 1000).link(map(record, range(100_000)), Due(first=True), 1.5)

    assert peak_bytes(islice(lines(), 20_000)) < peak_bytes(islice(lines(), 1000)) + 20_000


def test_what_is_kept_does_not_grow_with_the_gaps() -> None:
    lines = chained(30_000, head_lines=100_000)[::2]
    assert peak_bytes(iter(lines)) < peak_bytes(iter(lines[:4000])) + 20_000


def test_a_shuffled_file_is_told_and_ends() -> None:
    lines = chained(2000)
    random.Random(1).shuffle(lines)  # noqa: S311 - no secret
    assert report_on(lines).breach_count > 1000
