"""docs/audit.md says what the contract and the code have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from cors_authz._gen.v1.decision_pb2 import ChainHead, DecisionRecord
from cors_authz.edge.audit import lane, line_queue
from cors_authz.edge.audit.options import NEVER_REVEALED, AuditOptions, WriterOptions
from cors_authz.edge.audit.record import MAX_ROLES, RECORDED_OF_PREFLIGHTS, RECORDED_OF_REFUSALS
from cors_authz.edge.audit.trail import first_left_out
from cors_authz.edge.client_text import MAX_TEXT
from cors_authz.edge.observe import TELL_SECONDS
from cors_authz.review.audit.verify import Fault

TEXT: Final = (Path(__file__).parents[3] / "docs" / "audit.md").read_text()
PLAIN: Final = " ".join(TEXT.split())
DEFAULTS: Final = WriterOptions(targets=("-",))


def section(heading: str) -> str:
    return TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def first_cells(heading: str) -> list[str]:
    rows = re.findall(r"^\| ([^|]*) \|", section(heading), flags=re.MULTILINE)[1:]
    return [name.strip("`") for cell in rows for name in cell.split(", ")]


def test_the_fields_of_a_decision_are_those_of_the_contract() -> None:
    assert sorted(first_cells("The fields of a decision")) == sorted(DecisionRecord.DESCRIPTOR.fields_by_name)


def test_the_fields_of_a_head_are_those_of_the_contract() -> None:
    named = set(re.findall(r"`([a-z_]+)`", section("The chain"))) | {"writer", "seq", "hash"}
    assert set(ChainHead.DESCRIPTOR.fields_by_name) <= named


def test_the_headers_that_are_recorded_are_those_of_the_code() -> None:
    assert first_cells("What is never recorded") == [*RECORDED_OF_REFUSALS, *RECORDED_OF_PREFLIGHTS]


def test_what_is_never_revealed_is_that_of_the_code() -> None:
    said = section("What is never recorded").partition("What is refused at the start:")[2].partition(", and\n")[0]
    assert sorted(re.findall(r"`([a-z-]+)`", said)) == sorted(NEVER_REVEALED)


def test_the_words_of_verification_are_those_of_the_code() -> None:
    assert first_cells("The chain") == [fault.value for fault in Fault]


def test_the_numbers_are_those_of_the_code() -> None:
    for said in (
        f"(`--audit-queue`, {DEFAULTS.queue_lines:,} records for each target)",
        f"`--audit-rotate-bytes` ({DEFAULTS.rotate_bytes >> 20} MiB)",
        f"`--audit-keep` ({DEFAULTS.keep})",
        f"`--audit-head-records` ({DEFAULTS.head_lines:,})",
        f"each text is cut to {MAX_TEXT} characters",
        f"the roles of the token, {MAX_ROLES} at most",
        f"what was decided in the last {(TELL_SECONDS + lane.FLUSH_SECONDS) * 1000:.0f} ms",
        f"takes nothing for {lane.STOP_SECONDS:.0f} s",
        f"{lane.HEAD_SECONDS:.0f} s after the last one",
        f"within {line_queue.BLOCK_SECONDS} s",
        f"at most every {line_queue.TELL_SECONDS:.0f} s",
        f"below `{first_left_out(AuditOptions(writer=DEFAULTS, sample_allow=0.1).sample_allow)}` in hexadecimal",
    ):
        assert said in PLAIN
